// SPDX-License-Identifier: GPL-2.0-only
/* Life of the agent's client: its thread reads, keeps in touch and sends what did not fit. */
#include "agent/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "util/clock.h"

#define LEASE_MS    10000
#define PATIENCE_MS 5000

/* Half a frame whose rest does not come was cut off: what comes next is another. */
static void give_up_rest(struct agent *a, uint64_t now)
{
	if (!stream_waits(&a->stream) || now - a->came_ns < a->patience_ns)
		return;
	stream_give_up(&a->stream);
	io_frames(a);
}

/* What is due; how long to sleep at most, in ms. */
static int tick(struct agent *a, bool *unsent, bool *over, bool *closing)
{
	uint64_t now = clock_ns(), next;

	give_up_rest(a, now);
	pthread_mutex_lock(&a->lock);
	next = talk_tick(a, now);
	if (a->talk != TALK_OVER && io_flush(a))
		talk_over(a);
	*unsent = io_unsent(a);
	*over = a->talk == TALK_OVER;
	*closing = a->closing;
	pthread_mutex_unlock(&a->lock);
	return (int)((next - now + 999999) / 1000000);
}

static void *run(void *agent)
{
	struct agent *a = agent;
	bool unsent, over, closing;
	uint64_t count;
	int ms;

	for (;;) {
		struct pollfd p[2] = {{.fd = a->wake, .events = POLLIN}, {.events = POLLIN}};

		ms = tick(a, &unsent, &over, &closing);
		if (closing)
			return NULL;
		p[1].fd = over ? -1 : a->config.fd;
		p[1].events = POLLIN | (unsent ? POLLOUT : 0);
		if (poll(p, 2, ms) <= 0)
			continue;
		if (p[0].revents && read(a->wake, &count, sizeof(count)) < 0)
			continue; /* not rung after all */
		if ((p[1].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) && !io_receive(a)) {
			pthread_mutex_lock(&a->lock);
			talk_over(a);
			pthread_mutex_unlock(&a->lock);
		}
	}
}

/* Signals belong to vCPU threads and the main thread. */
static int start_thread(struct agent *a)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&a->thread, NULL, run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

static void init_locks(struct agent *a)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->answered, &attr);
	pthread_condattr_destroy(&attr);
}

static void free_agent(struct agent *a)
{
	if (a->wake >= 0)
		close(a->wake);
	pthread_cond_destroy(&a->answered);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

int agent_open(const struct agent_config *c, struct agent **out, struct error *err)
{
	struct agent *a = calloc(1, sizeof(*a));
	int ret;

	if (!a)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the agent");
	a->config = *c;
	a->lease_ns = (c->lease_ms ? c->lease_ms : LEASE_MS) * 1000000ull;
	a->patience_ns = (c->patience_ms ? c->patience_ms : PATIENCE_MS) * 1000000ull;
	init_locks(a);
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake < 0) {
		ret = error_errno(err, "agent: cannot make an eventfd");
		goto out_free;
	}
	/* Answers to an earlier client may still be under way: they must not fit our questions. */
	if (getrandom(&a->host, sizeof(a->host), 0) != sizeof(a->host) ||
	    getrandom(&a->seq, sizeof(a->seq), 0) != sizeof(a->seq)) {
		ret = error_errno(err, "agent: no random numbers");
		goto out_free;
	}
	a->host |= 1; /* 0 = nobody */
	ret = start_thread(a);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "agent: cannot start a thread");
		goto out_free;
	}
	*out = a;
	return 0;

out_free:
	free_agent(a);
	return ret;
}

void agent_close(struct agent *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->closing = true;
	io_ring(a);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	free_agent(a);
}

void agent_get_state(struct agent *a, struct agent_state *s)
{
	pthread_mutex_lock(&a->lock);
	*s = a->state;
	pthread_mutex_unlock(&a->lock);
}
