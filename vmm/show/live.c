// SPDX-License-Identifier: GPL-2.0-only
/*
 * The live screen's loop. Signals are blocked and read from a signalfd, so nothing ever
 * runs in a handler; documents are fetched on a thread of their own, so a monitor that
 * does not answer never makes the keys or Ctrl-C wait.
 */
#include "show/show.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "show/live_draw.h"
#include "util/clock.h"

/* SIGTSTP too: a stopped process must leave a sane terminal behind. */
static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

struct fetcher {
	json_t *(*fetch)(void *ctx);
	void *ctx;
	int ask, answer; /* eventfds */
	json_t *doc;	 /* owned by the thread between ask and answer, by the loop otherwise */
	pthread_t thread;
};

struct live {
	struct live_page *page;
	struct fetcher fetcher;
	int signals;
	unsigned interval_ms;
	json_t *doc;
	bool asked, over;
	uint64_t next_ns;
};

static void *fetch_loop(void *arg)
{
	struct fetcher *f = arg;
	eventfd_t unused;

	/* Cancelled in poll() or read() when the screen ends; the memory of a half-read answer goes
	 * with the process. */
	while (eventfd_read(f->ask, &unused) == 0) {
		f->doc = f->fetch(f->ctx);
		eventfd_write(f->answer, 1);
	}
	return NULL;
}

static void fetcher_close(struct fetcher *f)
{
	if (f->ask >= 0)
		close(f->ask);
	if (f->answer >= 0)
		close(f->answer);
}

static int fetcher_open(struct fetcher *f, json_t *(*fetch)(void *ctx), void *ctx,
			struct error *err)
{
	int ret;

	f->fetch = fetch;
	f->ctx = ctx;
	f->ask = eventfd(0, EFD_CLOEXEC);
	f->answer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->ask < 0 || f->answer < 0) {
		ret = error_errno(err, "live screen: eventfd");
	} else {
		ret = -pthread_create(&f->thread, NULL, fetch_loop, f);
		if (ret)
			error_set(err, HOTRAIL_EXIT_FAILED, ret, "live screen: thread: %s",
				  strerror(-ret));
	}
	if (ret)
		fetcher_close(f);
	return ret;
}

static void fetcher_stop(struct fetcher *f)
{
	pthread_cancel(f->thread);
	pthread_join(f->thread, NULL);
	fetcher_close(f);
	json_decref(f->doc);
}

static void suspend(struct live *l)
{
	live_suspend(l->page);
	kill(getpid(), SIGSTOP);
	live_resume(l->page);
}

static void take_signals(struct live *l)
{
	struct signalfd_siginfo info;

	while (read(l->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGWINCH:
			live_resize(l->page);
			break;
		case SIGTSTP:
			suspend(l);
			break;
		default:
			l->over = true;
		}
	}
}

static void take_keys(struct live *l)
{
	enum live_key key = live_keys(l->page);

	if (key == LIVE_KEY_SUSPEND)
		suspend(l);
	else if (key == LIVE_KEY_QUIT)
		l->over = true;
}

static void take_answer(struct live *l)
{
	eventfd_t unused;

	if (eventfd_read(l->fetcher.answer, &unused))
		return;
	json_decref(l->doc);
	l->doc = l->fetcher.doc;
	l->fetcher.doc = NULL;
	l->asked = false;
	l->over |= !l->doc;
	l->next_ns = clock_ns() + l->interval_ms * 1000000ull;
}

static int wait_ms(const struct live *l)
{
	uint64_t now = clock_ns();

	if (l->asked)
		return -1;
	return now >= l->next_ns ? 0 : (int)((l->next_ns - now) / 1000000 + 1);
}

static void loop(struct live *l, int tty)
{
	struct pollfd fds[] = {{.fd = l->signals, .events = POLLIN},
			       {.fd = l->fetcher.answer, .events = POLLIN},
			       {.fd = tty, .events = POLLIN}};

	while (!l->over) {
		if (!l->asked && clock_ns() >= l->next_ns) {
			l->asked = true;
			eventfd_write(l->fetcher.ask, 1);
		}
		live_draw(l->page, l->doc, l->interval_ms);
		if (poll(fds, 3, wait_ms(l)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			take_signals(l);
		if (fds[1].revents)
			take_answer(l);
		if (fds[2].revents & (POLLHUP | POLLERR | POLLNVAL))
			l->over = true;
		else if (fds[2].revents)
			take_keys(l);
	}
}

/* Opens the page with the caller's signal actions kept: newterm() installs handlers that clean up
 * and exit from inside the handler, which is neither safe nor a decision this program leaves to a
 * library. */
static int open_page(const struct show *s, FILE *in, struct live_page **page, struct error *err)
{
	struct sigaction saved[CAUGHT];
	unsigned i;
	int ret;

	for (i = 0; i < CAUGHT; i++)
		sigaction(caught[i], NULL, &saved[i]);
	ret = live_open(s, in, page, err);
	for (i = 0; i < CAUGHT; i++)
		sigaction(caught[i], &saved[i], NULL);
	return ret;
}

static int run(const struct show *s, FILE *in, struct live *l, json_t *(*fetch)(void *ctx),
	       void *ctx, struct error *err)
{
	int ret = fetcher_open(&l->fetcher, fetch, ctx, err);

	if (ret)
		return ret;
	ret = open_page(s, in, &l->page, err);
	if (!ret) {
		loop(l, fileno(in));
		live_close(l->page);
	}
	fetcher_stop(&l->fetcher);
	json_decref(l->doc);
	return ret;
}

int show_live(const struct show *s, unsigned interval_ms, json_t *(*fetch)(void *ctx), void *ctx,
	      struct error *err)
{
	struct live l = {.interval_ms = interval_ms};
	FILE *in = isatty(STDIN_FILENO) ? stdin : fopen("/dev/tty", "re");
	struct signalfd_siginfo late;
	sigset_t set, saved;
	unsigned i;
	int ret;

	if (!in)
		return error_errno(err, "live screen: no terminal to read keys from (use --once)");
	sigemptyset(&set);
	for (i = 0; i < CAUGHT; i++)
		sigaddset(&set, caught[i]);
	pthread_sigmask(SIG_BLOCK, &set, &saved);
	l.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l.signals < 0) {
		ret = error_errno(err, "live screen: signalfd");
	} else {
		ret = run(s, in, &l, fetch, ctx, err);
		/* A second Ctrl-C must not turn a clean end into a death by signal. */
		while (read(l.signals, &late, sizeof(late)) > 0)
			;
		close(l.signals);
	}
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (in != stdin)
		fclose(in);
	return ret;
}
