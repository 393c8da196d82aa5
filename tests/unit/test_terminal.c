// SPDX-License-Identifier: GPL-2.0-only
/* The console of a Linux guest on a real (pseudo) terminal, on pipes and on nothing. */
#include "suite.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "cmd/terminal.h"

static struct serial *listening(void)
{
	const struct serial_host host = {0};
	struct serial *s = serial_create(&host);
	uint64_t ier = 1;

	if (s)
		serial_access(s, 0, true, 1, 1, &ier);
	return s;
}

static void guest_says(struct serial *s, const char *text)
{
	uint64_t v;

	for (; *text; text++) {
		v = (uint8_t)*text;
		serial_access(s, 0, true, 0, 1, &v);
	}
}

/* What the guest has received. */
static size_t guest_hears(struct serial *s, char *buf, size_t len)
{
	uint64_t v = 0;
	size_t n = 0;

	while (n + 1 < len) {
		serial_access(s, 0, false, 5, 1, &v);
		if (!(v & 1))
			break;
		serial_access(s, 0, false, 0, 1, &v);
		buf[n++] = (char)v;
	}
	buf[n] = '\0';
	return n;
}

static enum terminal_event turn(struct terminal *t, int timeout_ms)
{
	struct pollfd p[2];

	terminal_poll(t, p);
	poll(p, 2, timeout_ms);
	return terminal_step(t, p);
}

/* Runs fn with standard input and output on `in` and `out`; 0 when it returned true. */
static int run_child(int in, int out, bool session, bool (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (session && (setsid() < 0 || ioctl(in, TIOCSCTTY, 0)))
			_exit(3);
		if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
			_exit(4);
		alarm(30);
		_exit(!fn());
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static bool on_terminal(void)
{
	struct serial *s = listening();
	struct termios before, raw, after;
	struct terminal t;
	char got[64];

	tcgetattr(0, &before);
	terminal_open(&t, s);
	tcgetattr(0, &raw);
	if (raw.c_lflag & (ICANON | ECHO | ISIG))
		return false;
	guest_says(s, "login: ");
	/* The other side wrote ^C ^Z "x" Ctrl-] "y" before. */
	while (turn(&t, 1000) == TERMINAL_GO_ON)
		;
	guest_hears(s, got, sizeof(got));
	terminal_drain(&t);
	terminal_close(&t);
	terminal_close(&t);
	tcgetattr(0, &after);
	return !strcmp(got, "\x03\x1ax") && after.c_lflag == before.c_lflag &&
	       after.c_iflag == before.c_iflag && after.c_oflag == before.c_oflag;
}

static void test_terminal(void)
{
	struct termios raw;
	int master, slave;
	char buf[64];
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(openpty(&master, &slave, NULL, NULL, NULL), 0);
	/* Written in raw mode, so that the line discipline does not act on it before the test. */
	tcgetattr(slave, &raw);
	raw.c_lflag &= ~(tcflag_t)(ISIG | ECHO | ICANON);
	tcsetattr(slave, TCSANOW, &raw);
	CU_ASSERT_EQUAL(write(master, "\x03\x1ax\x1dy", 5), 5);
	raw.c_lflag |= ECHO;
	tcsetattr(slave, TCSANOW, &raw);
	CU_ASSERT_EQUAL(run_child(slave, slave, true, on_terminal), 0);
	n = read(master, buf, sizeof(buf));
	CU_ASSERT_TRUE(n >= 7);
	CU_ASSERT_PTR_NOT_NULL(memmem(buf, n > 0 ? (size_t)n : 0, "login: ", 7));
	close(slave);
	close(master);
}

static bool in_background(void)
{
	struct serial *s = listening();
	struct terminal t;

	/* Not the foreground group: it must neither read nor change modes (either would stop us).
	 */
	terminal_open(&t, s);
	guest_says(s, "x");
	return !t.raw && t.in_done && turn(&t, 100) == TERMINAL_GO_ON;
}

static bool background_session(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		setpgid(0, 0);
		_exit(!in_background());
	}
	return waitpid(pid, &status, WUNTRACED) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static void test_background(void)
{
	int master, slave;

	CU_ASSERT_EQUAL_FATAL(openpty(&master, &slave, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(run_child(slave, slave, true, background_session), 0);
	close(slave);
	close(master);
}

static bool on_pipes(void)
{
	struct serial *s = listening();
	struct terminal t;
	char got[64];
	unsigned i;

	terminal_open(&t, s);
	guest_says(s, "out");
	for (i = 0; i < 20 && !(t.in_done && !t.pending_len); i++)
		if (turn(&t, 1000) != TERMINAL_GO_ON)
			return false;
	guest_hears(s, got, sizeof(got));
	/* No escape outside a terminal; the end of the input is not the end of the guest. */
	return t.in_done && !strcmp(got, "a\x1d"
					 "b");
}

static void test_pipes(void)
{
	int in[2], out[2];
	char buf[16];

	CU_ASSERT_EQUAL_FATAL(pipe(in), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
	CU_ASSERT_EQUAL(write(in[1],
			      "a\x1d"
			      "b",
			      3),
			3);
	close(in[1]);
	CU_ASSERT_EQUAL(run_child(in[0], out[1], false, on_pipes), 0);
	CU_ASSERT_EQUAL(read(out[0], buf, sizeof(buf)), 3);
	CU_ASSERT_EQUAL(memcmp(buf, "out", 3), 0);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static bool nobody_reads(void)
{
	struct serial *s = listening();
	enum terminal_event event = TERMINAL_GO_ON;
	struct terminal t;
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	terminal_open(&t, s);
	t.in_done = true;
	guest_says(s, "x");
	for (i = 0; i < 10 && event == TERMINAL_GO_ON; i++)
		event = turn(&t, 100);
	terminal_drain(&t); /* returns */
	return event == TERMINAL_BROKEN;
}

static void test_broken(void)
{
	int out[2];

	CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
	close(out[0]);
	CU_ASSERT_EQUAL(run_child(STDIN_FILENO, out[1], false, nobody_reads), 0);
	close(out[1]);
}

static const struct suite_test tests[] = {
	{"raw terminal with escape and modes put back", test_terminal},
	{"a background job leaves the terminal alone", test_background},
	{"pipes are copied as they are", test_pipes},
	{"output that nobody reads ends the run", test_broken},
};
SUITE_MAIN("terminal", tests, 60)
