// SPDX-License-Identifier: GPL-2.0-only
/* The program against living guests, as a user drives it: launch, look, change, undo, profiles. */
#include "cli_guest.h"

#include <math.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <utmp.h>

#include "profile/store.h"

static int64_t applied(struct run *r)
{
	json_t *doc = json_of(r);
	int64_t n = json_integer_value(at(doc, "applied"));

	CU_ASSERT_EQUAL(json_integer_value(at(doc, "failed")), 0);
	json_decref(doc);
	return n;
}

static void launched(void)
{
	pid_t pid = start_guest("one", "--promote", "off", NULL);
	struct run *r;

	CU_ASSERT(is_state("one", "running"));
	CU_ASSERT_EQUAL(status("one", "guest.pid"), pid);
	CU_ASSERT_EQUAL(status("one", "guest.vcpus"), 2);
	CU_ASSERT_EQUAL(status("one", "engine.follow"), 0);
	guest_is_well("one");
	CU_ASSERT_EQUAL(status("one", "promotions.promoted"), 0);

	r = cli("run", "--detach", "--name", "one", NULL);
	refused(r, 3, "hotrail stop one");
	r = cli("run", "--name", "one", NULL);
	refused(r, 3, "one");
	r = cli("status", "two", NULL);
	refused(r, 1, "hotrail ps");
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "one"));
	r = cli("status", NULL); /* the only one */
	succeeds(r);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "one"));
	guest_is_well("one");
	stop_guest("one", pid);
	refused(cli("status", "one", NULL), 1, "one");
}

static void promoted_and_demoted(void)
{
	pid_t pid = start_guest("g", "--promote", "off", NULL);
	struct run *r;
	json_t *doc;
	int64_t n;

	r = PATIENT(cli("promote", "g", "--auto", "--dry-run", "-j", NULL));
	succeeds(r);
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	n = applied(PATIENT(cli("promote", "g", "--auto", "-j", NULL)));
	CU_ASSERT(n > 0);
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), n);
	CU_ASSERT_EQUAL(status("g", "promotions.learning"), 0);
	CU_ASSERT(status("g", "promotions.coverage") > 0.5);
	guest_is_well("g");
	doc = json_of(cli("sites", "g", "-j", NULL));
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "totals.promoted")), n);
	json_decref(doc);

	succeeds(PATIENT(cli("promote", "g", "--auto", NULL))); /* again is no error */
	guest_is_well("g");
	r = PATIENT(cli("demote", "g", "--all", NULL));
	succeeds(r);
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	guest_is_well("g");
	/* The printed undo is a command that works. */
	r = PATIENT(cli("promote", "g", "--auto", NULL));
	succeeds(r);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "hotrail demote g --all"));
	CU_ASSERT(status("g", "promotions.promoted") > 0);
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	stop_guest("g", pid);
}

/* The hottest site, as `sites` writes it. */
static void hottest(char index[24], char addr[24], char name[96])
{
	json_t *doc, *first;

	applied(PATIENT(cli("promote", "g", "--auto", "-j", NULL)));
	applied(PATIENT(cli("demote", "g", "--all", "-j", NULL)));
	doc = json_of(cli("sites", "g", "-j", "--limit", "1", NULL));
	first = json_array_get(at(doc, "sites"), 0);
	CU_ASSERT(json_integer_value(at(first, "calls")) > 0);
	snprintf(index, 24, "%d", (int)json_integer_value(at(first, "index")));
	snprintf(addr, 24, "%s", json_string_value(at(first, "addr")));
	snprintf(name, 96, "%s", json_string_value(at(first, "name")));
	json_decref(doc);
}

static json_t *promote_again(const char *site, const char *how)
{
	return json_of(PATIENT(cli("promote", "g", "--site", site, "-j", how, NULL)));
}

/* Asked again, tried or not: it is so already, and what it is, is told. What is counted on a busy
 * host may differ so much that the site gets other targets: then once more. */
static void check_promoted_already(const char *site)
{
	const char *const how[] = {NULL, "--dry-run"};
	json_t *doc, *change;
	unsigned i, tries;

	for (i = 0; i < 2; i++) {
		doc = promote_again(site, how[i]);
		for (tries = 0; json_integer_value(at(doc, "applied")) && tries < 20; tries++) {
			json_decref(doc);
			doc = promote_again(site, how[i]);
		}
		CU_ASSERT_EQUAL(json_integer_value(at(doc, "applied")), 0);
		CU_ASSERT_TRUE(json_is_null(at(doc, "undo")));
		change = json_array_get(at(doc, "changes"), 0);
		CU_ASSERT_STRING_EQUAL(json_string_value(at(change, "result")), "skipped");
		CU_ASSERT_STRING_EQUAL(json_string_value(at(change, "reason")), "already promoted");
		CU_ASSERT_TRUE(json_array_size(at(change, "targets")) > 0);
		json_decref(doc);
	}
}

static void sites_by_name(void)
{
	pid_t pid = start_guest("g", "--promote", "off", NULL);
	char how[3][96] = {"", "", ""};
	unsigned i;

	hottest(how[0], how[1], how[2]);
	for (i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(applied(PATIENT(cli("promote", "g", "--site", how[i], "-j", NULL))),
				1);
		CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 1);
		succeeds(PATIENT(cli("promote", "g", "--site", how[i], NULL)));
		check_promoted_already(how[i]);
		guest_is_well("g");
		CU_ASSERT_EQUAL(applied(PATIENT(cli("demote", "g", "--site", how[(i + 1) % 3], "-j",
						    NULL))),
				1);
		CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
		succeeds(PATIENT(cli("demote", "g", "--site", how[i], NULL)));
	}
	*strchr(how[2], '+') = 0; /* the whole function */
	CU_ASSERT(applied(PATIENT(cli("promote", "g", "--site", how[2], "-j", NULL))) >= 1);
	CU_ASSERT(status("g", "promotions.promoted") >= 1);
	refused(PATIENT(cli("promote", "g", "--site", "no_such_function", NULL)), 2,
		"no_such_function");
	refused(PATIENT(cli("promote", "g", "--site", "100000", NULL)), 2, "100000");
	refused(PATIENT(cli("promote", "g", "--site", "0x1", NULL)), 2, "0x1");
	refused(PATIENT(cli("demote", "g", "--site", "0xffffffffffffffff", NULL)), 2, "0xffffffff");
	guest_is_well("g");
	stop_guest("g", pid);
}

/* An emulated CPU has no mispredicted returns to save: there the engine may rightly undo
 * everything. */
static bool undone(void)
{
	return getenv("HOTRAIL_RIG") && status("g", "engine.rolled_back") > 0;
}

static void following(void)
{
	pid_t pid = start_guest("g", NULL);

	CU_ASSERT(status("g", "engine.follow") == 1 || undone());
	CU_ASSERT(UNTIL(60, status("g", "promotions.applied") > 0));
	CU_ASSERT(status("g", "engine.first_gain_s") > 0);
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	CU_ASSERT_EQUAL(status("g", "engine.follow"), 0);
	clock_sleep_ms(500);
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0); /* stays undone */
	succeeds(PATIENT(cli("promote", "g", "--auto", "--follow", "on", NULL)));
	CU_ASSERT(status("g", "engine.follow") == 1 || undone());
	CU_ASSERT(status("g", "promotions.promoted") > 0 || undone());
	succeeds(PATIENT(cli("promote", "g", "--auto", "--follow", "off", NULL)));
	CU_ASSERT_EQUAL(status("g", "engine.follow"), 0);
	guest_is_well("g");
	stop_guest("g", pid);
}

static void nothing_to_gain(void)
{
	pid_t pid = start_guest("p", "--variant", "plain", NULL);
	struct run *r;

	r = PATIENT(cli("promote", "p", "--auto", NULL));
	refused(r, 4, "nothing to gain");
	refused(PATIENT(cli("promote", "p", "--site", "0", NULL)), 4, "nothing to gain");
	CU_ASSERT_EQUAL(status("p", "promotions.promoted"), 0);
	CU_ASSERT_EQUAL(status("p", "promotions.applied"), 0);
	succeeds(PATIENT(cli("demote", "p", "--all", NULL)));
	CU_ASSERT(status("p", "workload.ops") > 0);
	stop_guest("p", pid);
}

/* The same profile of another build. */
static void spoil_build(const char *from, const char *to)
{
	struct profile *p;

	CU_ASSERT_EQUAL_FATAL(profile_load(from, &p, NULL), 0);
	CU_ASSERT(p->count > 0);
	p->build_id[0] ^= 1;
	CU_ASSERT_EQUAL(profile_save(to, p, NULL), 0);
	profile_free(p);
}

static void profiles(void)
{
	pid_t pid = start_guest("g", "--promote", "off", NULL);
	char good[64], bad[64];
	struct run *r;
	double warm;
	int64_t n;

	snprintf(good, sizeof(good), "%s/good.hotrail", folder);
	snprintf(bad, sizeof(bad), "%s/bad.hotrail", folder);
	n = applied(PATIENT(cli("promote", "g", "--auto", "-j", NULL)));
	CU_ASSERT(n > 0);
	succeeds(cli("profile", "save", "g", good, NULL));
	succeeds(cli("profile", "info", good, NULL));
	stop_guest("g", pid);
	spoil_build(good, bad);

	/* Neither sampled nor learned: what is promoted comes from the file. */
	pid = start_guest("g", "--promote", "off", "--sampler", "off", "--profile", good, NULL);
	warm = status("g", "promotions.promoted");
	CU_ASSERT(warm >= 0.5 * (double)n);
	guest_is_well("g");
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	refused(PATIENT(cli("profile", "load", "g", bad, NULL)), 5, "build");
	refused(PATIENT(cli("profile", "load", "g", good, "--via", "agent", NULL)), 4, "agent");
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	succeeds(PATIENT(cli("profile", "load", "g", good, "--via", "host", NULL)));
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), warm);
	guest_is_well("g");
	stop_guest("g", pid);

	r = cli("run", "--detach", "--name", "g", "--profile", bad, NULL);
	refused(r, 5, "build");
	CU_ASSERT(no_folder("g"));
	r = cli("run", "--name", "g", "--profile", bad, NULL); /* its console comes first */
	CU_ASSERT_EQUAL(r->code, 5);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "build"));
	CU_ASSERT(no_folder("g"));
	CU_ASSERT_STRING_EQUAL(state_of("g"), "");
}

/* What a monitor of another time left: a folder, a lock nobody holds, a socket nobody serves. */
static void stale_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[96];
	pid_t pid;

	mkdir(runtime, 0700);
	snprintf(path, sizeof(path), "%s/old", runtime);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	write_file("run/old/lock", "1\n", 2, path);
	write_file("run/old/journal", "no journal", 10, path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/old/control", runtime);
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	CU_ASSERT(is_state("old", "stale"));
	refused(cli("status", "old", NULL), 1, "has ended");
	refused(PATIENT(cli("promote", "old", "--auto", NULL)), 1, "hotrail stop old");
	pid = start_guest("old", "--promote", "off", NULL);
	CU_ASSERT(is_state("old", "running"));
	guest_is_well("old");
	stop_guest("old", pid);
}

/* --- top --- */

/* Reads what the terminal shows until it holds `word` (NULL: until the program ends). */
static bool terminal_shows(int terminal, const char *word)
{
	static char screen[1 << 18];
	uint64_t limit = clock_ns() + cli_patience(20) * 1000000000ull;
	size_t used = 0;
	ssize_t n;

	while (clock_ns() < limit && used + 1 < sizeof(screen)) {
		n = read(terminal, screen + used, sizeof(screen) - 1 - used);
		if (n <= 0 && errno != EAGAIN)
			return !word; /* EIO: nobody has it open any more */
		if (n <= 0) {
			clock_sleep_ms(10);
			continue;
		}
		used += (size_t)n;
		screen[used] = 0;
		if (word && strstr(screen, word))
			return true;
	}
	return false;
}

static void top_live(void)
{
	struct winsize size = {.ws_row = 40, .ws_col = 120};
	pid_t pid = start_guest("watched", NULL), child;
	struct termios before, after;
	int terminal, slave, code = -1;

	if (openpty(&terminal, &slave, NULL, NULL, &size)) {
		printf("    no pseudo terminal here: not tried\n");
		stop_guest("watched", pid);
		return;
	}
	fcntl(terminal, F_SETFD, FD_CLOEXEC);
	fcntl(terminal, F_SETFL, O_NONBLOCK);
	tcgetattr(slave, &before);
	child = fork();
	if (!child) {
		login_tty(slave);
		setenv("TERM", "xterm", 1);
		/* An answer that Ctrl-C cuts short goes with the process: live.c says so. */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(program, "hotrail", "top", "watched", "--interval", "0.1", NULL);
		_exit(127);
	}
	CU_ASSERT(terminal_shows(terminal, "watched"));
	clock_sleep_ms(300); /* some screens */
	CU_ASSERT_EQUAL(write(terminal, "\003", 1), 1);
	CU_ASSERT(terminal_shows(terminal, "\033[?1049l")); /* xterm: back to the usual screen */
	CU_ASSERT(UNTIL(10, waitpid(child, &code, WNOHANG) == child));
	if (!WIFEXITED(code) || WEXITSTATUS(code))
		printf("    top ended with wait status %#x\n", (unsigned)code);
	CU_ASSERT(WIFEXITED(code));
	CU_ASSERT_EQUAL(WEXITSTATUS(code), 0);
	tcgetattr(slave, &after);
	CU_ASSERT_EQUAL(before.c_lflag, after.c_lflag);
	CU_ASSERT_EQUAL(before.c_iflag, after.c_iflag);
	close(slave);
	close(terminal);
	guest_is_well("watched");
	stop_guest("watched", pid);
}

/* A stream ends when its reader or its guest goes. */
static void top_stream(void)
{
	pid_t pid = start_guest("g", NULL), child;
	struct run *r;

	child = cli_start("top", "g", "-j", "--interval", "0.05", NULL);
	clock_sleep_ms(cli_patience(1) * 500);
	stop_guest("g", pid);
	r = cli_join(child);
	succeeds(r);
	CU_ASSERT_EQUAL(r->out[0], '{');
	CU_ASSERT_PTR_NOT_NULL(strchr(r->out, '\n'));
}

static const struct suite_test tests[] = {
	{"a detached guest runs", launched},
	{"promote and demote", promoted_and_demoted},
	{"sites by number, address and name", sites_by_name},
	{"following is switched", following},
	{"nothing to gain is an answer", nothing_to_gain},
	{"profiles", profiles},
	{"a stale socket", stale_socket},
	{"top on a terminal", top_live},
	{"top as a stream", top_stream},
};

int main(void)
{
	return cli_suite("cli-guest", tests, sizeof(tests) / sizeof(tests[0]), cli_patience(240));
}
