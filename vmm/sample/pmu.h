/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the pmu sampler: its event table, its arithmetic, and a start with any event (tests use a
 * software one). */
#ifndef HOTRAIL_SAMPLE_PMU_H
#define HOTRAIL_SAMPLE_PMU_H

#include "sample/event.h"
#include "sample/sampler.h"

/* Mispredicted returns, exact codes first, then what every PMU has. */
extern const struct event_spec pmu_events[];
extern const size_t pmu_events_count;

/* As the sampler's own probe and start, from the first of `events` that fits this CPU and opens. */
int pmu_probe_events(struct guest *g, const struct event_spec *events, size_t n, struct error *err);
int pmu_start_events(struct guest *g, const struct event_spec *events, size_t n,
		     const struct sampler_config *c, struct sampler **out, struct error *err);

#define PMU_PERIOD_MIN 16ull
#define PMU_PERIOD_MAX (1ull << 31) /* the narrowest counter of table users is 32 bits */

/* The period for `hz` overflows a second at `rate` events a second; the present one while it is
 * near enough (within a quarter), so that a steady guest is left alone. Pure. */
uint64_t pmu_next_period(uint64_t present, double rate, unsigned hz);

/*
 * Overflows a counter must have had. A changed period starts afresh (the kernel
 * sets period_left to 0), so each stretch of one period counts alone. Pure.
 */
struct pmu_expect {
	uint64_t period, base; /* of this stretch */
	uint64_t in_stretch, total;
};
void pmu_expect_count(struct pmu_expect *e, uint64_t count); /* the counter says `count` now */
void pmu_expect_period(struct pmu_expect *e, uint64_t count, uint64_t period);

#endif
