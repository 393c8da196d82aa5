// SPDX-License-Identifier: GPL-2.0-only
/* Doorbell: counts what each vCPU rings and wakes whoever waits for it. */
#include "device/bus.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <hotrail/types.h>
#include "util/clock.h"

#define BELLS 8 /* 0 collects all unknown numbers */

struct doorbell {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t rung;  /* CLOCK_MONOTONIC */
	uint64_t count[HOTRAIL_MAX_VCPUS][BELLS];
};

struct doorbell *doorbell_create(void)
{
	struct doorbell *d = calloc(1, sizeof(*d));
	pthread_condattr_t attr;

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->rung, &attr);
	pthread_condattr_destroy(&attr);
	return d;
}

void doorbell_destroy(struct doorbell *d)
{
	if (!d)
		return;
	pthread_cond_destroy(&d->rung);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static unsigned bell_index(uint32_t bell)
{
	return bell < BELLS ? bell : 0; /* the guest chooses the number */
}

void doorbell_write(void *doorbell, unsigned vcpu, uint32_t value)
{
	struct doorbell *d = doorbell;

	if (vcpu >= HOTRAIL_MAX_VCPUS)
		return;
	pthread_mutex_lock(&d->lock);
	d->count[vcpu][bell_index(value)]++;
	pthread_cond_broadcast(&d->rung);
	pthread_mutex_unlock(&d->lock);
}

uint64_t doorbell_count(struct doorbell *d, unsigned vcpu, uint32_t bell)
{
	uint64_t n;

	if (vcpu >= HOTRAIL_MAX_VCPUS)
		return 0;
	pthread_mutex_lock(&d->lock);
	n = d->count[vcpu][bell_index(bell)];
	pthread_mutex_unlock(&d->lock);
	return n;
}

int doorbell_wait(struct doorbell *d, unsigned vcpu, uint32_t bell, uint64_t at_least,
		  unsigned timeout_ms)
{
	uint64_t at = clock_ns() + timeout_ms * 1000000ull;
	struct timespec ts = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
	int ret = 0;

	if (vcpu >= HOTRAIL_MAX_VCPUS)
		return -EINVAL;
	pthread_mutex_lock(&d->lock);
	while (d->count[vcpu][bell_index(bell)] < at_least && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&d->rung, &d->lock, &ts);
	ret = d->count[vcpu][bell_index(bell)] >= at_least ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&d->lock);
	return ret;
}
