/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread that calls one function at the times the function itself asks for. */
#ifndef HOTRAIL_SAMPLE_TICKER_H
#define HOTRAIL_SAMPLE_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* On the ticker's thread; returns the CLOCK_MONOTONIC nanosecond of the next call. */
typedef uint64_t (*ticker_fn)(void *ctx);

struct ticker {
	pthread_t thread;
	pthread_mutex_t lock; /* guards `stopping` */
	pthread_cond_t wake;
	bool stopping;
	ticker_fn fn;
	void *ctx;
};

/* The first call comes at once. 0 or negative errno; the thread blocks all signals. */
int ticker_start(struct ticker *t, ticker_fn fn, void *ctx);
/* Returns when fn is not running and never will again. Not from fn. */
void ticker_stop(struct ticker *t);

/* Uniform in [0.5, 1.5) * period: the mean is the period, and no rhythm can lock to it. *random !=
 * 0 is the state. */
uint64_t ticker_jitter(uint64_t *random, uint64_t period);

#endif
