/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Samplers say which sites are hot. The vCPU threads put raw samples into one
 * bounded ring each; drain() attributes them on the caller's thread.
 */
#ifndef HOTRAIL_SAMPLE_SAMPLER_H
#define HOTRAIL_SAMPLE_SAMPLER_H

#include "guest/guest.h"

/* Always shown together (law 8). taken = attributed + elsewhere. */
struct sampler_stats {
	uint64_t taken, attributed, elsewhere; /* elsewhere: no site could be named */
	uint64_t lost;			       /* ring full, throttled or coalesced */
	uint64_t unmatched; /* of samples that hold whole calls: those seen in part only */
};

struct sampler_config {
	unsigned hz; /* samples per second per vCPU asked for */
};
#define SAMPLER_DEFAULT_HZ 250

/* target 0 = site is hot, target not known from this sample. */
typedef void (*sampler_edge_fn)(void *ctx, uint32_t site, gva_t target, uint32_t weight);

struct sampler;
struct sampler_ops {
	const char *name, *what; /* one line for doctor */
	/* 0, or negative errno with the reason in words. May start and stop a short trial. */
	int (*probe)(struct guest *g, struct error *err);
	int (*start)(struct guest *g, const struct sampler_config *c, struct sampler **out,
		     struct error *err);
	void (*drain)(struct sampler *s, sampler_edge_fn fn, void *ctx);
	void (*stats)(const struct sampler *s, struct sampler_stats *out);
	void (*stop)(struct sampler *s); /* frees; no sample hook runs afterwards */
};

extern const struct sampler_ops sampler_lbr, sampler_pmu, sampler_timer, sampler_hwbp, sampler_step;

/*
 * NULL-terminated, best first: what "auto" takes.
 *   lbr    names site and target of several calls a sample and stops nothing
 *   pmu    stops the vCPU at a call it makes
 *   timer  stops it anywhere: sees time, not calls, but disturbs no more than that
 *   hwbp   sees calls, but takes the debug registers from the guest's own debuggers and weighs
 *          thunks alike: only where a timer cannot interrupt, or when asked for
 *   step   exact, but all vCPUs stand still meanwhile and a second brings a few calls;
 *          timer and a learning track bring exact counts sooner. For guests that can be paused
 *          and stepped, and nothing else.
 */
extern const struct sampler_ops *const sampler_table[];
/* For a sampler's start(): may so many `what` a second be asked for? 0 or -EINVAL. */
int sampler_check_hz(const char *name, const char *what, unsigned hz, struct error *err);
/* "auto" or a name. NULL with the reasons of all that were tried in *err. */
const struct sampler_ops *sampler_choose(const char *name, struct guest *g, struct error *err);

#endif
