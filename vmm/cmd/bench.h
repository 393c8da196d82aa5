/* SPDX-License-Identifier: GPL-2.0-only */
/* What the benchmarks share: guests that run one at a time, rates, and the document they fill. */
#ifndef HOTRAIL_CMD_BENCH_H
#define HOTRAIL_CMD_BENCH_H

#include "engine/engine.h"
#include "engine/instance.h"
#include "sample/counters.h"
#include "show/show.h"
#include "util/json.h"

#define BENCH_MAX_ROUNDS 50

struct bench_options {
	enum machine_backend backend;
	enum machine_cpl cpl;
	unsigned rounds, vcpus, window_ms;
	/* linux and agent only */
	const char *kernel, *initrd;
	unsigned seconds, boots;
	enum engine_via via;  /* linux: HOST or AGENT */
	const char *workload; /* agent: one of guest-init's */
	unsigned sites, rate; /* agent: in a batch; batches a second */
};

/*
 * Several guests exist at once, but only one runs at a time: with as many vCPUs as
 * cores, two running guests would measure each other.
 */
struct bench_guest {
	struct instance *instance;
	struct engine *engine;	 /* NULL: nobody optimises this guest */
	struct patcher *patcher; /* for guests without an engine; NULL else */
	struct counters *counters;
	struct machine_pause pause;
	bool paused;
};

/* `variant` as in instance_find_image(). Started, working on phase A, then held. */
int bench_open(struct bench_guest *g, const char *variant, const struct bench_options *o,
	       struct error *err);
void bench_close(struct bench_guest *g);
int bench_hold(struct bench_guest *g, struct error *err); /* park; idempotent */
void bench_release(struct bench_guest *g);
/* Operations per second of the clock over `ms`, guest running. */
double bench_rate(struct bench_guest *g, unsigned ms);
/*
 * Let a held guest run for `ms` and hold it again. *rate: operations per second of vCPU time, times
 * the number of vCPUs: what the clock would show on a machine that does nothing else. Counters of
 * the turn into *cv, operations into *ops, where not NULL.
 */
int bench_turn(struct bench_guest *g, unsigned ms, double *rate, struct counter_values *cv,
	       uint64_t *ops, struct error *err);
/* Slots whose digest is wrong plus calls the guest saw go wrong. */
int bench_wrong(struct bench_guest *g, uint64_t *wrong, struct error *err);
/* Ticks of the time stamp counter a second, measured for 50 ms. */
double bench_tsc_hz(void);
/* Site number of `name` (a symbol); -ENOENT. */
long bench_site(const struct guest *g, const char *symbol);
json_t *bench_new(const char *name, const struct bench_guest *g);

int bench_micro(const struct bench_options *o, json_t **doc, struct error *err);
int bench_tailcall(const struct bench_options *o, json_t **doc, struct error *err);
int bench_agent(const struct bench_options *o, json_t **doc, struct error *err);
int bench_linux(const struct bench_options *o, json_t **doc, struct error *err);
int bench_yard(const struct bench_options *o, json_t **doc, struct error *err);

/* bench_share.c: indirect calls among executed instructions of a plain guest, by single-stepping
 * vCPU 0. -ENOTSUP where the machine cannot step. */
int bench_indirect_share(struct bench_guest *plain, double *share, struct error *err);
/* bench_follow.c: one guest under a following engine, from its start on. */
int bench_follow(const struct bench_options *o, json_t *doc, uint64_t *wrong, struct error *err);
/* bench_cost.c: what finding, learning and pausing cost, on an unoptimised guest. */
int bench_costs(struct bench_guest *base, struct bench_guest *promoted, json_t *doc,
		struct progress *progress, struct error *err);

#endif
