// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: a real server with real clients. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control/control.h"
#include "suite.h"
#include "util/clock.h"

static char dir[512], path[640];

/* --- commands of the test server --- */

static int echo(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	*ret = json_deep_copy(arguments);
	return 0;
}

static int nothing(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	++*(int *)ctx;
	return 0;
}

static int busy(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY, "site is being patched: try later");
}

static int mute(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	return -EIO; /* forgets to say why */
}

static int slow(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	clock_sleep_ms(300);
	*ret = json_string("slept");
	return 0;
}

static int big(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	size_t i;

	*ret = json_array();
	for (i = 0; i < 60000; i++)
		json_array_append_new(*ret, json_string("0xffffffff81000000 some_symbol+0x12"));
	return 0;
}

static const struct control_command commands[] = {
	{"echo", "gives back its arguments", echo},
	{"nothing", "returns nothing", nothing},
	{"busy", "always busy", busy},
	{"mute", "fails in silence", mute},
	{"slow", "takes a while", slow},
	{"big", "a long answer", big},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int calls;
static struct control_server *server;

static void start(void)
{
	struct error err = {0};

	strcpy(dir, "/tmp/hotrail-control-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	calls = 0;
	CU_ASSERT_EQUAL_FATAL(control_server_start(path, commands, COMMANDS, &calls, &server, &err),
			      0);
}

static void finish(void)
{
	control_server_stop(server);
	server = NULL;
	CU_ASSERT(access(path, F_OK));
	CU_ASSERT_EQUAL(rmdir(dir), 0); /* nothing left behind */
}

/* --- server and client --- */

static void call_and_answer(void)
{
	struct control_client *c;
	struct error err;
	json_t *ret;

	start();
	CU_ASSERT_EQUAL_FATAL(control_connect(path, &c, &err), 0);
	CU_ASSERT_EQUAL_FATAL(control_call(c, "echo", json_pack("{s:s}", "a", "b"), &ret, &err), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(ret, "a")), "b");
	json_decref(ret);
	CU_ASSERT_EQUAL_FATAL(control_call(c, "nothing", NULL, &ret, &err), 0);
	CU_ASSERT(json_is_object(ret) && !json_object_size(ret));
	json_decref(ret);
	CU_ASSERT_EQUAL(calls, 1);
	CU_ASSERT_EQUAL_FATAL(control_call(c, "big", NULL, &ret, &err), 0);
	CU_ASSERT_EQUAL(json_array_size(ret), 60000);
	json_decref(ret);
	control_close(c);
	finish();
}

static void errors_reach_the_client(void)
{
	struct control_client *c;
	struct error err;
	json_t *ret;

	start();
	CU_ASSERT_EQUAL_FATAL(control_connect(path, &c, &err), 0);
	CU_ASSERT_EQUAL(control_call(c, "busy", NULL, &ret, &err), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_STRING_EQUAL(err.text, "site is being patched: try later");
	CU_ASSERT_EQUAL(control_call(c, "mute", NULL, &ret, &err), -EIO);
	CU_ASSERT(err.text[0] != '\0');
	CU_ASSERT_EQUAL(control_call(c, "no-such", NULL, &ret, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no-such"));
	CU_ASSERT_EQUAL(control_call(c, "nothing", NULL, &ret, &err), 0); /* still there */
	json_decref(ret);
	control_close(c);
	finish();
}

static void commands_are_listed(void)
{
	struct control_client *c;
	struct error err;
	json_t *ret;
	size_t i;

	start();
	CU_ASSERT_EQUAL_FATAL(control_connect(path, &c, &err), 0);
	CU_ASSERT_EQUAL_FATAL(control_call(c, "query-commands", NULL, &ret, &err), 0);
	CU_ASSERT_EQUAL(json_array_size(ret), COMMANDS + 1);
	for (i = 0; i < json_array_size(ret); i++) {
		const json_t *one = json_array_get(ret, i);

		CU_ASSERT(json_is_string(json_object_get(one, "name")));
		CU_ASSERT(json_is_string(json_object_get(one, "help")));
	}
	json_decref(ret);
	control_close(c);
	finish();
}

static void events_pass_between(void)
{
	struct control_client *c;
	struct error err;
	json_t *ret;
	int i;

	start();
	CU_ASSERT_EQUAL_FATAL(control_connect(path, &c, &err), 0);
	for (i = 0; i < 10; i++) {
		control_server_event(server, "TICK", json_pack("{s:i}", "n", i));
		CU_ASSERT_EQUAL(control_call(c, "nothing", NULL, &ret, &err), 0);
		json_decref(ret);
	}
	control_close(c);
	finish();
}

static void *slow_caller(void *arg)
{
	struct control_client *c;
	struct error err;
	json_t *ret = NULL;

	if (control_connect(path, &c, &err))
		return NULL;
	control_call(c, "slow", NULL, &ret, &err);
	control_close(c);
	return ret;
}

static void clients_do_not_wait_for_each_other(void)
{
	uint64_t begin = clock_ns();
	pthread_t thread[3];
	void *ret;
	int i;

	start();
	for (i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, slow_caller, NULL);
	for (i = 0; i < 3; i++) {
		pthread_join(thread[i], &ret);
		CU_ASSERT_PTR_NOT_NULL(ret);
		json_decref(ret);
	}
	CU_ASSERT(clock_ns() - begin < 800 * 1000000ull); /* one after the other: 900 ms */
	finish();
}

/* A command in progress is finished and answered when the server stops. */
static void stopping_answers_first(void)
{
	pthread_t thread;
	void *ret;

	start();
	pthread_create(&thread, NULL, slow_caller, NULL);
	clock_sleep_ms(100);
	finish();
	pthread_join(thread, &ret);
	CU_ASSERT_PTR_NOT_NULL(ret);
	json_decref(ret);
}

static void stopping_with_idle_clients(void)
{
	struct control_client *c[4];
	uint64_t begin;
	struct error err;
	json_t *ret;
	int i;

	start();
	for (i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(control_connect(path, &c[i], &err), 0);
	begin = clock_ns();
	finish();
	CU_ASSERT(clock_ns() - begin < 400 * 1000000ull);
	CU_ASSERT(control_call(c[0], "nothing", NULL, &ret, &err) < 0);
	CU_ASSERT(err.text[0] != '\0');
	for (i = 0; i < 4; i++)
		control_close(c[i]);
}

static void nobody_listens(void)
{
	struct control_client *c;
	struct error err;

	CU_ASSERT_EQUAL(control_connect("/tmp/hotrail-no-such/control", &c, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hotrail ps"));
}

static void second_server_is_refused(void)
{
	struct control_server *second = NULL;
	struct control_client *c;
	struct error err;

	start();
	CU_ASSERT_EQUAL(control_server_start(path, commands, COMMANDS, NULL, &second, &err),
			-EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_EQUAL(control_connect(path, &c, &err), 0); /* the first is unharmed */
	control_close(c);
	finish();
}

static void stale_socket_is_replaced(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct control_client *c;
	struct error err;
	int fd;

	strcpy(dir, "/tmp/hotrail-control-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd); /* as after kill -9 */
	CU_ASSERT_EQUAL(control_connect(path, &c, &err), -ECONNREFUSED);
	CU_ASSERT_EQUAL_FATAL(control_server_start(path, commands, COMMANDS, &calls, &server, &err),
			      0);
	CU_ASSERT_EQUAL(control_connect(path, &c, &err), 0);
	control_close(c);
	finish();
}

static void other_file_is_not_touched(void)
{
	struct error err;

	strcpy(dir, "/tmp/hotrail-control-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CU_ASSERT_EQUAL(control_server_start(path, commands, COMMANDS, NULL, &server, &err),
			-EEXIST);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	unlink(path);
	rmdir(dir);
}

static void socket_is_private(void)
{
	mode_t old = umask(0);
	struct stat st;

	start();
	umask(old);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT(S_ISSOCK(st.st_mode));
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	finish();
}

/* sun_path holds 108 bytes; XDG_RUNTIME_DIR may be longer. */
static void long_path_works(void)
{
	char top[] = "/tmp/hotrail-control-XXXXXX";
	struct control_client *c;
	struct error err;
	size_t used;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
	used = (size_t)snprintf(dir, sizeof(dir), "%s/", top);
	memset(dir + used, 'd', 200);
	dir[used + 200] = '\0';
	CU_ASSERT_EQUAL_FATAL(mkdir(dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/control", dir);
	CU_ASSERT_EQUAL_FATAL(control_server_start(path, commands, COMMANDS, &calls, &server, &err),
			      0);
	CU_ASSERT_EQUAL(control_connect(path, &c, &err), 0);
	control_close(c);
	finish();
	rmdir(top);
}

static void name_too_long_is_refused(void)
{
	char name[300];
	struct error err;

	memset(name, 'n', sizeof(name));
	memcpy(name, "/tmp/", 5);
	name[sizeof(name) - 1] = '\0';
	CU_ASSERT_EQUAL(control_server_start(name, commands, COMMANDS, NULL, &server, &err),
			-ENAMETOOLONG);
}

static void answer_has_a_time_limit(void)
{
	struct control_client *c;
	struct error err;
	json_t *ret;

	start();
	CU_ASSERT_EQUAL_FATAL(control_connect_within(path, 100, &c, &err), 0);
	CU_ASSERT_EQUAL(control_call(c, "slow", NULL, &ret, &err), -ETIMEDOUT);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	control_close(c);
	finish();
}

static const struct suite_test tests[] = {
	{"call and answer", call_and_answer},
	{"errors reach the client", errors_reach_the_client},
	{"commands are listed", commands_are_listed},
	{"events pass between answers", events_pass_between},
	{"clients do not wait for each other", clients_do_not_wait_for_each_other},
	{"stopping answers first", stopping_answers_first},
	{"stopping with idle clients", stopping_with_idle_clients},
	{"nobody listens", nobody_listens},
	{"a second server is refused", second_server_is_refused},
	{"a stale socket is replaced", stale_socket_is_replaced},
	{"another file is not touched", other_file_is_not_touched},
	{"the socket is private", socket_is_private},
	{"a long path works", long_path_works},
	{"a name that is too long is refused", name_too_long_is_refused},
	{"an answer has a time limit", answer_has_a_time_limit},
};
SUITE_MAIN("control", tests, 60)
