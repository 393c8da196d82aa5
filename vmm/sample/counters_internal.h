/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside counters.c: an open with any event table (tests use software events). */
#ifndef HOTRAIL_SAMPLE_COUNTERS_INTERNAL_H
#define HOTRAIL_SAMPLE_COUNTERS_INTERNAL_H

#include "sample/counters.h"
#include "sample/event.h"

struct counter_event {
	enum counter_id id;
	struct event_spec spec;
};

/* In table order; the first entry of an id that fits the CPU is its event. */
int counters_open_events(struct target *t, const struct counter_event *events, size_t n,
			 struct counters **out, struct error *why);

/* value * enabled / running without overflow; false when the event never ran although it could
 * have. Pure. */
bool counters_scale(const uint64_t raw[3], uint64_t *value);

#endif
