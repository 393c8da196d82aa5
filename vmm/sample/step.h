/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the step sampler: its limits, and the walk of one burst. */
#ifndef HOTRAIL_SAMPLE_STEP_H
#define HOTRAIL_SAMPLE_STEP_H

#include "sample/attribute.h"
#include "sample/sampler.h"

/* The guest is stopped for one burst, and then left alone for STEP_REST times as long: at most 1 %
 * of its time, whatever a step costs here. */
#define STEP_BURST_NS 4000000ull
#define STEP_REST     99
/* A burst that is inside a call may go on to its target, no longer than this (law 7). */
#define STEP_BURST_MAX_NS 6000000ull
/* Retpoline 3 instructions, learning track up to 20, a return thunk some more. */
#define STEP_CALL_MAX 48

enum step_seen { STEP_NOTHING, STEP_CALL, STEP_PAIR, STEP_GONE };

/* Watches the instruction pointer. Zero-initialised; step_walk_begin() with the first registers. */
struct step_walk {
	const struct attribute *attribute;
	gva_t rip;
	uint64_t gpr[HOTRAIL_REGS]; /* before the next step */
	bool inside;		    /* between a site and its target */
	uint32_t site;
	gva_t target; /* what the register held at the site */
	unsigned steps;
};

void step_walk_begin(struct step_walk *w, const struct attribute *a, const struct machine_regs *r);
/*
 * The registers after one more step. STEP_CALL: a site led to its thunk or track. STEP_PAIR: the
 * call arrived; (w->site, w->target) is exact. STEP_GONE: it arrived at no function, or went
 * astray.
 */
enum step_seen step_walk_next(struct step_walk *w, const struct machine_regs *r);

#endif
