// SPDX-License-Identifier: GPL-2.0-only
/* A thread that calls one function at the times the function itself asks for. */
#include "sample/ticker.h"

#include <signal.h>
#include <time.h>

static void *run(void *arg)
{
	struct ticker *t = arg;
	struct timespec until;
	uint64_t next;

	pthread_mutex_lock(&t->lock);
	while (!t->stopping) {
		pthread_mutex_unlock(&t->lock);
		next = t->fn(t->ctx);
		until.tv_sec = (time_t)(next / 1000000000ull);
		until.tv_nsec = (long)(next % 1000000000ull);
		pthread_mutex_lock(&t->lock);
		if (!t->stopping) /* an early wake-up only makes fn look at its clock once more */
			pthread_cond_timedwait(&t->wake, &t->lock, &until);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int ticker_start(struct ticker *t, ticker_fn fn, void *ctx)
{
	pthread_condattr_t attr;
	sigset_t all, old;
	int ret;

	t->fn = fn;
	t->ctx = ctx;
	t->stopping = false;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* inherited: Ctrl-C is main's */
	ret = pthread_create(&t->thread, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		pthread_cond_destroy(&t->wake);
		pthread_mutex_destroy(&t->lock);
	}
	return -ret;
}

void ticker_stop(struct ticker *t)
{
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
}

uint64_t ticker_jitter(uint64_t *random, uint64_t period)
{
	uint64_t x = *random;

	/* xorshift64 (Marsaglia 2003): jitter needs no more. */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*random = x;
	return period / 2 + (period ? x % period : 0);
}
