/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loop: find, learn, promote, watch. The only place that knows all of it.
 * All functions are thread-safe (one engine lock) and may sleep for the length of
 * a learning round; none may be called on a vCPU thread.
 */
#ifndef HOTRAIL_ENGINE_ENGINE_H
#define HOTRAIL_ENGINE_ENGINE_H

#include "patch/patch.h"
#include "profile/policy.h"
#include "profile/store.h"
#include "sample/sampler.h"

struct agent;

/* How bytes get into the guest; patch/patch.h. */
enum engine_via {
	ENGINE_VIA_DEFAULT, /* of a promotion: as the engine was told; of an engine: AUTO */
	ENGINE_VIA_AUTO,    /* the agent for more than ENGINE_AUTO_SITES sites, if it may be used */
	ENGINE_VIA_HOST,
	ENGINE_VIA_AGENT,
};
/* A pause for so few sites is shorter than a talk with the agent, and a guest that runs without one
 * is promoted the same. */
#define ENGINE_AUTO_SITES 16

struct engine_config {
	struct policy_config policy;
	const char *sampler; /* "auto", "off" or a name */
	unsigned hz, learn_ms, find_ms;
	const char *journal; /* path or NULL */
	bool follow;	     /* promote by itself and watch */
	struct agent *agent; /* NULL: this guest has no port for one. Outlives the engine. */
	enum engine_via via;
	/* Operations done so far by the guest (any unit), for "did it pay"; NULL = judged by no
	 * one. */
	uint64_t (*work)(void *ctx);
	void *work_ctx;
};

enum engine_phase { ENGINE_IDLE, ENGINE_FIND, ENGINE_LEARN, ENGINE_PROMOTE, ENGINE_WATCH };

struct engine_status {
	enum engine_phase phase;
	bool follow;
	const char *sampler; /* in use, or "off" */
	struct sampler_stats samples;
	unsigned sites, promoted, learning, quarantined;
	unsigned applied, skipped, failed; /* since start */
	unsigned skipped_by[PATCH_REASONS];
	unsigned pauses;
	double pause_p50_us, pause_p99_us;
	double coverage;   /* of counted calls, that promoted targets take: estimate from the last
			      learning */
	double fast_share; /* 1 - misses / estimated calls since promotion; negative when unknown */
	uint64_t relearned, rolled_back;
	double first_gain_s; /* start to first promotion; negative when none yet */
	uint64_t arena_used[2], arena_total[2]; /* the host's */
	bool arena_stays; /* it held tracks, and the host cannot know when nobody is inside any more
			   */
	struct error gone; /* exit_code 0, or: the guest runs another kernel, all is forgotten */
	enum engine_via via;
	unsigned promoted_by[PATCH_WAYS];
	struct {
		bool port; /* false: there is none, nor anything below */
		const char *health;
		char why[256]; /* why it cannot be used now; "" = it can */
		char release[64];
		uint64_t generation, conflicts; /* as it says itself, since its load */
		uint64_t undone, quarantined;	/* seen in memory: led back by it; spoilt */
		uint64_t arena_used[2], arena_total[2];
		/* Modules that it tells of; of these left alone (why: the latest); sites in them,
		 * and those that there was no room for. */
		unsigned modules, modules_left_alone, module_sites, module_sites_left;
		char module_trouble[160];
	} agent;
};

struct engine_row { /* one site */
	uint32_t index;
	struct site site;
	char name[96], thunk[40];
	const char *subsystem; /* NULL = the guest knows no parts */
	struct patch_site patch;
	uint64_t calls; /* counted in the last learning or sampled */
	double share;
	struct {
		gva_t target;
		char name[96];
		uint64_t count;
		double share;
	} edges[8];
	unsigned nedges;
	uint32_t miss;
	uint64_t samples;
};

struct engine_change { /* one line of "promote"/"demote" output */
	uint32_t site;
	gva_t addr;
	enum patch_result result;
	enum patch_reason reason;
	enum patch_way way; /* when applied */
	struct policy_decision decision;
	char name[96];
};

struct engine_result {
	struct engine_change *changes;
	size_t count;
	unsigned applied, skipped, failed;
	int64_t pause_us;	 /* the longest */
	unsigned by[PATCH_WAYS]; /* of the applied */
	uint64_t agent_ns;	 /* in the guest, by the agent, all together */
	unsigned rounds;	 /* of text_poke_bp */
	double coverage;	 /* expected, of counted calls */
	bool dry_run;
};
void engine_result_free(struct engine_result *r);

struct engine_promote {
	const uint32_t *sites; /* NULL = by policy */
	size_t nsites;
	/* What site_table.changes was when they were chosen; 0: any. -EAGAIN when one is in a
	 * module and it has changed. */
	uint64_t as_of;
	double coverage; /* <= 0: the engine's default */
	bool dry_run;
	enum engine_via via;
};

/*
 * What the guest's calls do, counted on all sites at once; each site is in `counted` or
 *`uncounted`.
 *
 *   1. For one window the promoted sites keep their tracks: `misses` of their counters.
 *   2. For another every site has a learning track in place of what it had: `calls` is the sum of
 *	all tables, `promoted_calls` that of the sites that were promoted, and `hits` the calls
 *among these whose target is one of the track's. Afterwards every site has what it had.
 *
 * hits / calls is the coverage: both numbers are from one window, so it does not matter whether the
 * load is the same in the other. A table that is full counts calls without their target: no hits.
 * Calls of sites that may not be patched cannot be counted. Increments that race are lost, for
 * hits and others alike.
 */
struct engine_measure {
	unsigned counted, uncounted;
	uint64_t calls, promoted_calls, hits, misses;
	double learn_s, miss_s; /* lengths of the windows */
};

struct engine;
int engine_create(struct guest *g, const struct engine_config *c, struct engine **out,
		  struct error *err);
void engine_destroy(struct engine *e); /* stops the loop; leaves the guest as it is */
int engine_promote(struct engine *e, const struct engine_promote *p, struct engine_result *r,
		   struct error *err);
/* Between these two the guest's sites stay what they are; nothing else of the engine may be called.
 */
void engine_hold_sites(struct engine *e);
void engine_release_sites(struct engine *e);
/* sites NULL = all; `as_of` as in struct engine_promote. Turns following off, so that what was
 * undone stays undone. */
int engine_demote(struct engine *e, const uint32_t *sites, size_t n, uint64_t as_of,
		  struct engine_result *r, struct error *err);
/* 0, or why engine_promote() would refuse this guest. */
int engine_may_promote(struct engine *e, struct error *err);
void engine_follow(struct engine *e, bool on);
void engine_get_status(struct engine *e, struct engine_status *s);
/* Hottest first; caller frees. */
int engine_get_rows(struct engine *e, struct engine_row **rows, size_t *n, struct error *err);
/* Two windows of `ms` and the pauses around them. */
int engine_measure(struct engine *e, unsigned ms, struct engine_measure *m, struct error *err);
/* -ESTALE (REFUSED): the guest runs another kernel. */
int engine_verify(struct engine *e, struct patch_verify *v, struct error *err);
int engine_profile(struct engine *e, struct profile **out, struct error *err);
/* Start warm: promote from a profile of the same build without learning. */
int engine_warm(struct engine *e, const struct profile *p, enum engine_via via,
		struct engine_result *r, struct error *err);

#endif
