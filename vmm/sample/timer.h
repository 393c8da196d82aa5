/* SPDX-License-Identifier: GPL-2.0-only */
/* The timer sampler's jitter. Pure. */
#ifndef HOTRAIL_SAMPLE_TIMER_H
#define HOTRAIL_SAMPLE_TIMER_H

#include <stdint.h>

/* Nanoseconds to the next kick, uniform in [0.5, 1.5) periods; *random is the state, not 0. */
uint64_t timer_interval(uint64_t *random, uint64_t period_ns);

#endif
