/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of `bench agent` share. */
#ifndef HOTRAIL_CMD_BENCH_AGENT_H
#define HOTRAIL_CMD_BENCH_AGENT_H

#include "cmd/bench_linux.h"
#include "patch/patch.h"
#include "show/show.h"

#define AGENT_BENCH_SITES 256 /* at most, in a batch: what goes into one message and one pause */
#define AGENT_BENCH_METER 4
/* Windows: quiet, agent, quiet, host in each round, and a last quiet one. */
#define AGENT_BENCH_QUIET (2 * BENCH_MAX_ROUNDS + 1)

/*
 * The sites that are written again and again. In every state they are promoted: a batch leads all
 * of them from one track to another, of the same first target, so that only the writing differs
 * between a quiet window and another.
 */
struct agent_bench_sites {
	struct patch_request to[2][AGENT_BENCH_SITES];
	unsigned n;
	unsigned learned; /* of them: with a target that was counted */
	unsigned at;	  /* to[at] is where they are */
	/*
	 * How much work is done is told by other sites, the hottest of the workload, on tracks
	 * whose targets they never call: each call is counted as a miss, and read without a stop.
	 */
	struct patch_request meter[AGENT_BENCH_METER];
	unsigned meters;
};

/* bench_agent_sites.c: a learning track for every site of the kernel, by the host, while all
 * workloads run, and then the one; the sites back. The hottest `want`, then what nobody called. */
int agent_bench_learn(struct linux_bench_guest *g, struct patcher *p, const struct bench_options *o,
		      struct agent_bench_sites *out, struct progress *progress, struct error *err);
/* All of n requests, 256 at a time and again where a pause did not fit. What is refused does not
 * end it: see the state of the sites. */
int agent_bench_apply(struct patcher *p, const struct patch_request *requests, size_t n,
		      struct error *err);

/* Batches of one way. */
struct agent_bench_batches {
	unsigned count, late;		   /* late: no pause that fitted, no answer in time */
	unsigned not_written;		   /* sites, all batches */
	unsigned pauses;		   /* of all vCPUs, by the host */
	unsigned rounds;		   /* of text_poke_bp; most in one batch */
	double batch_ms[BENCH_MAX_ROUNDS]; /* `count`: from asking to the last site's conclusion */
	double write_ms[BENCH_MAX_ROUNDS]; /* in the guest, by the agent; or the pause */
};

/* All that was measured; bench_agent_doc.c makes the document of it. */
struct agent_bench_result {
	const char *kernel, *workload;
	char meter[AGENT_BENCH_METER][96];
	bool emulated;
	unsigned vcpus, rounds, rate, sites, learned, meters;
	/* Counted calls a second of each window. */
	double quiet[AGENT_BENCH_QUIET]; /* 2 * rounds + 1 */
	double under[PATCH_WAYS][BENCH_MAX_ROUNDS];
	struct agent_bench_batches batches[PATCH_WAYS];
	struct agent_bench_batches first; /* the agent's first batch: sites it did not know */
	uint64_t errors, complaints, differ;
};
json_t *agent_bench_document(const struct agent_bench_result *r);

#endif
