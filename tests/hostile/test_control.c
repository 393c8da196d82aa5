// SPDX-License-Identifier: GPL-2.0-only
/* Clients of the control socket that misbehave: none of them may harm the server or other clients.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../unit/suite.h"
#include "control/control.h"
#include "util/clock.h"

static char dir[64], path[128];
static struct control_server *server;

static int nothing(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	return 0;
}

static int big(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	char *text = malloc(2 << 20);

	memset(text, 'x', 2 << 20);
	*ret = json_stringn(text, 2 << 20);
	free(text);
	return 0;
}

static const struct control_command commands[] = {
	{"nothing", "returns nothing", nothing},
	{"big", "2 MiB", big},
};

static void start(void)
{
	struct error err;

	strcpy(dir, "/tmp/hotrail-hostile-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/control", dir);
	CU_ASSERT_EQUAL_FATAL(control_server_start(path, commands, 2, NULL, &server, &err), 0);
}

/* The server still answers an honest client, stops in time and leaves nothing. */
static void finish(void)
{
	struct control_client *c;
	struct error err;
	uint64_t begin;
	json_t *ret;

	CU_ASSERT_EQUAL_FATAL(control_connect_within(path, 30000, &c, &err), 0);
	CU_ASSERT_EQUAL(control_call(c, "nothing", NULL, &ret, &err), 0);
	json_decref(ret);
	control_close(c);
	begin = clock_ns();
	control_server_stop(server);
	CU_ASSERT(clock_ns() - begin < 30000 * 1000000ull);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* dropped: the test looks at what was answered */
		bytes += n;
		len -= (size_t)n;
	}
}

/* One line within 5 s; "" at the end of the stream. */
static const char *hear(int fd)
{
	static char line[4096];
	size_t used = 0;

	while (used < sizeof(line) - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 30000) <= 0 || recv(fd, line + used, 1, 0) != 1)
			break;
		if (line[used++] == '\n')
			break;
	}
	line[used] = '\0';
	return line;
}

static void line_without_end(void)
{
	char chunk[65536];
	int fd, i;

	start();
	fd = dial();
	hear(fd);
	memset(chunk, 'a', sizeof(chunk));
	for (i = 0; i < 20; i++) /* 1.25 MiB */
		say(fd, chunk, sizeof(chunk));
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "longer than"));
	CU_ASSERT_STRING_EQUAL(hear(fd), ""); /* and dropped */
	close(fd);
	finish();
}

static void longest_line_is_served(void)
{
	size_t len = CONTROL_MAX_LINE;
	char *line = malloc(len);
	int fd, n;

	start();
	fd = dial();
	hear(fd);
	n = snprintf(line, len, "{\"execute\":\"nothing\",\"id\":1}");
	memset(line + n, ' ', len - (size_t)n);
	line[len - 1] = '\n';
	say(fd, line, len);
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"return\""));
	close(fd);
	free(line);
	finish();
}

static void garbage_lines(void)
{
	static const char *const lines[] = {"\n",
					    "\xff\xfe\xfd\n",
					    "{\"execute\":\"\xc0\x80\"}\n",
					    "GET / HTTP/1.1\r\n",
					    "{\"execute\":\"nothing\",\"id\":1,\"x\":2}\n",
					    "{\"execute\":null}\n",
					    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
					    "\"\\u0000\"\n"};
	char zeros[64] = {0};
	size_t i;
	int fd;

	start();
	fd = dial();
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"hotrail\""));
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		say(fd, lines[i], strlen(lines[i]));
		CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"class\":\"Usage\""));
	}
	zeros[63] = '\n';
	say(fd, zeros, sizeof(zeros));
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"error\""));
	say(fd, "{\"execute\":\"nothing\",\"id\":5}\n", 29);
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"id\":5")); /* still served */
	close(fd);
	finish();
}

static void unknown_command_has_its_class(void)
{
	static const char line[] = "{\"execute\":\"rm -rf\",\"id\":\"x\"}\n";
	const char *answer;
	int fd;

	start();
	fd = dial();
	hear(fd);
	say(fd, line, sizeof(line) - 1);
	answer = hear(fd);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"class\":\"CommandNotFound\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"exit\":2"));
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"id\":\"x\""));
	close(fd);
	finish();
}

static void many_requests_at_once(void)
{
	static const char line[] = "{\"execute\":\"nothing\",\"id\":1}\n";
	static char lines[2000 * (sizeof(line) - 1)];
	int fd, i;

	for (i = 0; i < 2000; i++)
		memcpy(lines + i * (sizeof(line) - 1), line, sizeof(line) - 1);
	start();
	fd = dial();
	hear(fd);
	say(fd, lines, sizeof(lines)); /* fits the socket's buffer: nothing blocks */
	for (i = 0; i < 2000; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"return\""));
	close(fd);
	finish();
}

static void half_closed_gets_its_answer(void)
{
	static const char line[] = "{\"execute\":\"nothing\",\"id\":1}\n";
	int fd;

	start();
	fd = dial();
	hear(fd);
	say(fd, line, sizeof(line) - 1);
	shutdown(fd, SHUT_WR);
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"return\""));
	CU_ASSERT_STRING_EQUAL(hear(fd), "");
	close(fd);
	finish();
}

static void disconnects_anywhere(void)
{
	static const char line[] = "{\"execute\":\"big\"}\n";
	int fd, i;

	start();
	for (i = 0; i < 200; i++) {
		fd = dial();
		say(fd, line, (size_t)i % sizeof(line));
		close(fd);
		if (i % 8 == 0)
			clock_sleep_ms(1); /* slots are freed by another thread */
	}
	clock_sleep_ms(300);
	finish();
}

static void too_many_clients(void)
{
	int fds[CONTROL_MAX_CLIENTS], extra, i;

	start();
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		fds[i] = dial();
		CU_ASSERT_PTR_NOT_NULL(strstr(hear(fds[i]), "\"hotrail\""));
	}
	extra = dial();
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(extra), "\"class\":\"Busy\""));
	CU_ASSERT_STRING_EQUAL(hear(extra), "");
	close(extra);
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++)
		close(fds[i]);
	clock_sleep_ms(300);
	finish();
}

/* A client that reads nothing: events to it are dropped and counted, memory stays bounded. */
static void reader_that_sleeps(void)
{
	char text[1024];
	bool told = false;
	const char *line;
	int fd, i;

	start();
	fd = dial();
	memset(text, 'e', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (i = 0; i < 20000; i++) /* 20 MB */
		control_server_event(server, "FLOOD", json_string(text));
	while (!told && *(line = hear(fd)))
		told = strstr(line, "EVENTS_DROPPED") != NULL;
	CU_ASSERT(told);
	close(fd);
	finish();
}

static void answer_nobody_reads(void)
{
	static const char line[] = "{\"execute\":\"big\"}\n";
	int fds[4], i, j;

	start();
	for (i = 0; i < 4; i++) {
		fds[i] = dial();
		for (j = 0; j < 50; j++)
			say(fds[i], line, sizeof(line) - 1);
	}
	clock_sleep_ms(200);
	finish(); /* stops although four answers cannot be delivered */
	for (i = 0; i < 4; i++)
		close(fds[i]);
}

/* Byte by byte: must not cost more than linear time. */
static void one_byte_at_a_time(void)
{
	static const char line[] = "{\"execute\":\"nothing\",\"id\":1}\n";
	uint64_t begin;
	size_t i;
	int fd;

	start();
	fd = dial();
	hear(fd);
	begin = clock_ns();
	for (i = 0; i < 30000; i++)
		say(fd, " ", 1);
	for (i = 0; i < sizeof(line) - 1; i++)
		say(fd, line + i, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(hear(fd), "\"return\""));
	CU_ASSERT(clock_ns() - begin < 10 * 1000000000ull);
	close(fd);
	finish();
}

static void foreign_user_is_refused(void)
{
	int status;
	pid_t pid;

	start();
	if (geteuid()) {
		puts("not root: the refusal of another user was not tried");
		finish();
		return;
	}
	/* Even where the file mode would let it in. */
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	CU_ASSERT_EQUAL(chmod(dir, 0711), 0);
	pid = fork();
	if (!pid) {
		struct control_client *c;
		struct error err;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (control_connect_within(path, 30000, &c, &err) != -EACCES)
			_exit(3);
		_exit(err.exit_code == HOTRAIL_EXIT_PERMISSION ? 0 : 4);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	finish();
}

/* A server that lies to the client. */
static void *liar(void *arg)
{
	const char *words = arg;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;

	strcpy(addr.sun_path, path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		return NULL;
	client = accept(fd, NULL, NULL);
	say(client, words, strlen(words));
	shutdown(client, SHUT_WR);
	while (recv(client, &(char){0}, 1, 0) > 0)
		;
	close(client);
	close(fd);
	return NULL;
}

static void servers_that_lie(void)
{
	static const char hello[] = "{\"hotrail\":{\"version\":\"0\",\"schema\":1}}\n";
	static const char *const lies[] = {
		"",
		"HTTP/1.1 400 Bad Request\r\n",
		"{}\n",
		"[]\n",
		"{\"hotrail\":{\"schema\":2}}\n",
		"{\"hotrail\":{\"schema\":1}}\n{\"return\":",
		"{\"hotrail\":{\"schema\":1}}\n[]\n",
		"{\"hotrail\":{\"schema\":1}}\n{\"id\":1}\n",
		"{\"hotrail\":{\"schema\":1}}\n{\"id\":1,\"error\":{\"desc\":5}}\n",
		"{\"hotrail\":{\"schema\":1}}\n{\"id\":99,\"return\":{}}\n",
		hello,
	};
	struct control_client *c;
	struct error err;
	pthread_t thread;
	json_t *ret;
	size_t i;
	int r;

	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		strcpy(dir, "/tmp/hotrail-hostile-XXXXXX");
		CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/control", dir);
		pthread_create(&thread, NULL, liar, (void *)lies[i]);
		while (access(path, F_OK))
			clock_sleep_ms(1);
		err.text[0] = '\0';
		while ((r = control_connect_within(path, 30000, &c, &err)) == -ECONNREFUSED)
			clock_sleep_ms(1); /* bound, not yet listening */
		if (!r) {
			r = control_call(c, "nothing", NULL, &ret, &err);
			control_close(c);
		}
		CU_ASSERT(r < 0);
		CU_ASSERT(err.text[0] != '\0');
		pthread_join(thread, NULL);
		unlink(path);
		rmdir(dir);
	}
}

static const struct suite_test tests[] = {
	{"a line without end", line_without_end},
	{"the longest line is served", longest_line_is_served},
	{"garbage is refused and the client stays", garbage_lines},
	{"an unknown command has its class", unknown_command_has_its_class},
	{"many requests at once", many_requests_at_once},
	{"half closed gets its answer", half_closed_gets_its_answer},
	{"disconnects anywhere", disconnects_anywhere},
	{"too many clients", too_many_clients},
	{"a reader that sleeps", reader_that_sleeps},
	{"an answer nobody reads", answer_nobody_reads},
	{"one byte at a time", one_byte_at_a_time},
	{"a foreign user is refused", foreign_user_is_refused},
	{"servers that lie to the client", servers_that_lie},
};
SUITE_MAIN("hostile control", tests, 120)
