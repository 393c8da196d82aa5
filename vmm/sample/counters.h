/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PMU counters over the guest's own execution, for benchmarks and for watch. A
 * counter the machine does not have is absent, never zero.
 */
#ifndef HOTRAIL_SAMPLE_COUNTERS_H
#define HOTRAIL_SAMPLE_COUNTERS_H

#include <stdbool.h>
#include "target/target.h"

enum counter_id {
	COUNTER_CYCLES,
	COUNTER_INSTRUCTIONS,
	COUNTER_BRANCHES,
	COUNTER_BRANCH_MISSES,
	COUNTER_INDIRECT_MISSES,
	COUNTER_RETURN_MISSES,
	COUNTER_ITLB_MISSES,
	COUNTER_L1I_MISSES,
	COUNTERS
};
extern const char *const counter_names[COUNTERS]; /* JSON keys: "cycles", "instructions", ... */

struct counter_values {
	bool present[COUNTERS];
	uint64_t value[COUNTERS]; /* scaled for multiplexing, sum over vCPUs */
};

struct counters;
/* Succeeds with any subset present (even none); `why` says in words what is missing and the remedy.
 */
int counters_open(struct target *t, struct counters **out, struct error *why);
int counters_read(struct counters *c, struct counter_values *out);
void counters_close(struct counters *c);

#endif
