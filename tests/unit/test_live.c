// SPDX-License-Identifier: GPL-2.0-only
/* The live screen on a pseudo terminal: every way out ends with 0, the terminal as it was. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <utmp.h>

#include "show/show.h"
#include "util/clock.h"

#define INTERVAL_MS 20

struct session {
	pid_t pid;
	int master,
		slave; /* the slave stays open here, so that its settings can be read afterwards */
	struct termios before;
	char seen[65536];
	size_t len;
};

enum source { COUNTING, ENDING, HANGING };

/* In the child: a document whose throughput says how often it was asked for. */
static json_t *fetch(void *ctx)
{
	static int asked;
	const enum source *source = ctx;

	asked++;
	if (*source == HANGING && asked > 1)
		for (;;)
			poll(NULL, 0,
			     1000); /* a monitor that does not answer; a cancellation point */
	if (*source == ENDING && asked > 3)
		return NULL;
	return json_pack("{s:{s:{s:s}, s:{s:i}}, s:[]}", "status", "guest", "name", "yard-77",
			 "workload", "ops_per_s", asked, "sites");
}

static void child(int slave, enum source source)
{
	struct error err = {0};
	struct sigaction act;
	sigset_t mask;
	struct show s;
	int ret;

	login_tty(slave);
	setenv("TERM", "xterm", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	show_init(&s, stdout, false);
	ret = show_live(&s, INTERVAL_MS, fetch, &source, &err);
	/* Nothing of the signal handling may be left behind. */
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigaction(SIGINT, NULL, &act);
	if (!ret && (sigismember(&mask, SIGINT) || act.sa_handler != SIG_DFL))
		ret = 99;
	printf("after:%d\n", ret);
	fflush(stdout);
	_exit(ret ? 1 : 0);
}

static void begin(struct session *t, enum source source)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};

	memset(t, 0, sizeof(*t));
	CU_ASSERT_EQUAL_FATAL(openpty(&t->master, &t->slave, NULL, NULL, &size), 0);
	CU_ASSERT_EQUAL_FATAL(tcgetattr(t->slave, &t->before), 0);
	t->pid = fork();
	CU_ASSERT_FATAL(t->pid >= 0);
	if (!t->pid) {
		close(t->master);
		child(t->slave, source);
	}
}

static void drain(struct session *t, int ms)
{
	struct pollfd p = {.fd = t->master, .events = POLLIN};
	ssize_t n;

	while (t->len < sizeof(t->seen) - 1 && poll(&p, 1, ms) > 0) {
		n = read(t->master, t->seen + t->len, sizeof(t->seen) - 1 - t->len);
		if (n <= 0)
			return;
		t->len += (size_t)n;
	}
}

#define BUSY_NS 60000000000ull /* what a busy host may take for what takes a moment */

/* Until `text` has been drawn. */
static bool wait_for(struct session *t, const char *text)
{
	uint64_t until = clock_ns() + BUSY_NS;

	while (clock_ns() < until) {
		t->seen[t->len] = 0;
		if (strstr(t->seen, text))
			return true;
		drain(t, 10);
	}
	return false;
}

/* Exit status of the child, -1 when it does not end by itself, -signal when it was killed. */
static int end(struct session *t)
{
	uint64_t until = clock_ns() + BUSY_NS;
	int status = 0, done = 0;

	while (!done && clock_ns() < until) {
		drain(t, 10);
		done = waitpid(t->pid, &status, WNOHANG) == t->pid;
	}
	if (!done) {
		kill(t->pid, SIGKILL);
		waitpid(t->pid, &status, 0);
		return -1;
	}
	drain(t, 10);
	t->seen[t->len] = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void check_restored(struct session *t)
{
	struct termios now;

	CU_ASSERT_EQUAL(tcgetattr(t->slave, &now), 0);
	CU_ASSERT_EQUAL(now.c_lflag, t->before.c_lflag);
	CU_ASSERT_EQUAL(now.c_iflag, t->before.c_iflag);
	CU_ASSERT_EQUAL(now.c_oflag, t->before.c_oflag);
	CU_ASSERT_PTR_NOT_NULL(strstr(t->seen, "\033[?1049l")); /* back from the alternate screen */
	CU_ASSERT_PTR_NOT_NULL(strstr(t->seen, "after:0"));
	close(t->master);
	close(t->slave);
}

static void by_keys(const char *keys)
{
	struct session t;

	begin(&t, COUNTING);
	CU_ASSERT(wait_for(&t, "yard-77"));
	CU_ASSERT_EQUAL(write(t.master, keys, strlen(keys)), (ssize_t)strlen(keys));
	CU_ASSERT_EQUAL(end(&t), 0);
	check_restored(&t);
}

static void test_keys(void)
{
	by_keys("q");
	by_keys("\033");
	by_keys("jjk q"); /* scrolling first */
	by_keys("\003");  /* Ctrl-C, through the line discipline */
}

static void test_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct session t;
	unsigned i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		begin(&t, COUNTING);
		CU_ASSERT(wait_for(&t, "yard-77"));
		kill(t.pid, signals[i]);
		CU_ASSERT_EQUAL(end(&t), 0);
		check_restored(&t);
	}
}

/* However often Ctrl-C is hit, and whenever. */
static void test_many_interrupts(void)
{
	struct session t;
	unsigned i;

	for (i = 0; i < 20; i++) {
		begin(&t, COUNTING);
		CU_ASSERT(wait_for(&t, "\033[?1049h"));
		clock_sleep_ms(i);
		kill(t.pid, SIGINT);
		kill(t.pid, SIGINT);
		CU_ASSERT_EQUAL(end(&t), 0);
		check_restored(&t);
	}
}

static void test_silent_monitor(void)
{
	struct session t;

	begin(&t, HANGING);
	CU_ASSERT(wait_for(&t, "yard-77"));
	clock_sleep_ms(3 * INTERVAL_MS);
	kill(t.pid, SIGINT);
	CU_ASSERT_EQUAL(end(&t), 0); /* though no answer ever comes */
	check_restored(&t);
}

static void test_guest_ends(void)
{
	struct session t;

	begin(&t, ENDING);
	CU_ASSERT_EQUAL(end(&t), 0);
	check_restored(&t);
}

static void test_resize(void)
{
	struct winsize size = {.ws_row = 10, .ws_col = 50};
	struct session t;

	begin(&t, COUNTING);
	CU_ASSERT(wait_for(&t, "lines 1-"));
	t.len = 0;
	CU_ASSERT_EQUAL(ioctl(t.master, TIOCSWINSZ, &size), 0);
	kill(t.pid, SIGWINCH);
	/* The last line is now line 10, and more lines than fit are counted. */
	CU_ASSERT(wait_for(&t, "\033[10"));
	CU_ASSERT(wait_for(&t, "lines 1-9 of"));
	CU_ASSERT_EQUAL(write(t.master, "q", 1), 1);
	CU_ASSERT_EQUAL(end(&t), 0);
	check_restored(&t);
}

/* Ctrl-Z, or SIGTSTP from elsewhere (again and again: ncurses throws one away that comes while it
 * draws). */
static void suspend_once(bool by_key)
{
	struct termios now;
	struct session t;
	int status = 0;

	begin(&t, COUNTING);
	CU_ASSERT(wait_for(&t, "yard-77"));
	if (by_key)
		CU_ASSERT_EQUAL(write(t.master, "\032", 1), 1);
	while (waitpid(t.pid, &status, WUNTRACED | WNOHANG) == 0) {
		if (!by_key)
			kill(t.pid, SIGTSTP);
		drain(&t, 10); /* giving a terminal back waits until its output is read */
	}
	CU_ASSERT_FATAL(WIFSTOPPED(status));
	CU_ASSERT_EQUAL(tcgetattr(t.slave, &now), 0);
	CU_ASSERT_EQUAL(now.c_lflag, t.before.c_lflag); /* the shell gets a sane terminal */
	CU_ASSERT_EQUAL(now.c_cc[VSUSP], t.before.c_cc[VSUSP]);
	kill(t.pid, SIGCONT);
	t.len = 0;
	CU_ASSERT(wait_for(&t, "yard-77")); /* all of it is drawn again */
	CU_ASSERT_EQUAL(write(t.master, "q", 1), 1);
	CU_ASSERT_EQUAL(end(&t), 0);
	check_restored(&t);
}

static void test_suspend(void)
{
	suspend_once(true);
	suspend_once(false);
}

static void test_terminal_gone(void)
{
	struct session t;
	int status;

	begin(&t, COUNTING);
	CU_ASSERT(wait_for(&t, "yard-77"));
	close(t.slave);
	close(t.master); /* SIGHUP and POLLHUP */
	alarm(30);
	CU_ASSERT_EQUAL(waitpid(t.pid, &status, 0), t.pid);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

/* A terminal type nobody knows is a refusal in words, not an exit from inside a library. */
static void test_unknown_terminal(void)
{
	struct session t;
	struct error err = {0};
	enum source source = COUNTING;
	struct show s;

	memset(&t, 0, sizeof(t));
	CU_ASSERT_EQUAL_FATAL(openpty(&t.master, &t.slave, NULL, NULL, NULL), 0);
	t.pid = fork();
	if (!t.pid) {
		login_tty(t.slave);
		setenv("TERM", "no-such-terminal", 1);
		show_init(&s, stdout, false);
		_exit(show_live(&s, INTERVAL_MS, fetch, &source, &err) == -ENOTTY &&
				      err.exit_code == HOTRAIL_EXIT_UNSUPPORTED &&
				      strstr(err.text, "no-such-terminal")
			      ? 0
			      : 1);
	}
	CU_ASSERT_EQUAL(end(&t), 0);
	close(t.master);
	close(t.slave);
}

static const struct suite_test tests[] = {
	{"keys end it", test_keys},
	{"signals end it", test_signals},
	{"two interrupts at any moment end it cleanly", test_many_interrupts},
	{"a silent monitor does not hold it", test_silent_monitor},
	{"a guest that ends ends it", test_guest_ends},
	{"resize redraws", test_resize},
	{"suspend gives the terminal back", test_suspend},
	{"a terminal that goes away ends it", test_terminal_gone},
	{"unknown terminal type is refused", test_unknown_terminal},
};

SUITE_MAIN("live", tests, 240)
