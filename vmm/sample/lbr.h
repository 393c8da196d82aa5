/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside the lbr sampler: its event table, and a start over any source of rings (tests use memory
 * files). */
#ifndef HOTRAIL_SAMPLE_LBR_H
#define HOTRAIL_SAMPLE_LBR_H

#include "sample/event.h"
#include "sample/sampler.h"

/* What triggers a branch stack: mispredicted returns, as every retpoline is one; then what a PMU
 * with another branch stack can do (AMD BRS works with taken branches alone). */
extern const struct event_spec lbr_events[];
extern const size_t lbr_events_count;

struct lbr_source {
	/* Disabled; one stack every `period` events of vCPU `vcpu`'s thread. `any`: of the last
	 * event of the table, which a guest that makes no indirect call has too. fd, or negative
	 * errno and *err. */
	int (*open)(struct target *t, unsigned vcpu, bool any, uint64_t period, struct error *err);
	/* Events so far; false when that is not known. */
	bool (*count)(int fd, uint64_t *count);
};

extern const struct lbr_source lbr_perf; /* the real one */

int lbr_probe_source(struct guest *g, const struct lbr_source *source, struct error *err);
/* Without a trial: the caller has probed. */
int lbr_start_source(struct guest *g, const struct lbr_source *source,
		     const struct sampler_config *c, struct sampler **out, struct error *err);
/* What a failed opening means; `ret` is of the event `what`. Returns `ret`. */
int lbr_explain(const char *what, bool guest_is_user, int ret, struct error *err);

#endif
