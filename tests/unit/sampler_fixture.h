/* SPDX-License-Identifier: GPL-2.0-only */
/* What samplers on real threads deliver. */
#ifndef HOTRAIL_TESTS_SAMPLER_FIXTURE_H
#define HOTRAIL_TESTS_SAMPLER_FIXTURE_H

#include "fake_threads.h"
#include "sample/sampler.h"
#include "suite.h"
#include "util/clock.h"

struct seen {
	uint64_t calls, weight, with_target;
};

static inline void on_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	struct seen *s = ctx;

	CU_ASSERT_EQUAL(site, 0);
	s->calls++;
	s->weight += weight;
	s->with_target += target == FAKE_FUNCTION;
}

/* Drain for `ms`; the sampler runs on its own. */
static inline void let_run(const struct sampler_ops *ops, struct sampler *s, unsigned ms,
			   struct seen *seen)
{
	uint64_t end = clock_ns() + ms * 1000000ull;

	while (clock_ns() < end) {
		clock_sleep_ms(20);
		ops->drain(s, on_edge, seen);
	}
}

#endif
