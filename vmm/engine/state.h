/* SPDX-License-Identifier: GPL-2.0-only */
/* The engine's inside, shared by the files of this folder only. Everything is guarded by `lock`. */
#ifndef HOTRAIL_ENGINE_STATE_H
#define HOTRAIL_ENGINE_STATE_H

#include <pthread.h>

#include "engine/engine.h"

/* Rates are kept per second whatever the length of the round they were counted in. Packed: a
 * kernel has thousands of sites. */
struct site_info {
	uint32_t samples;   /* attributed so far; stays at its end */
	uint32_t learned;   /* engine_tick(); 0 = never, UINT32_MAX = never again */
	uint32_t retry;	    /* not learned again before this engine_tick() */
	uint32_t heat;	    /* attributed since the site was last learned */
	uint32_t miss_base; /* counter at the start of the present watch window */
	float rate;	    /* calls/s in its last learning round, 0 = none seen or never learned */
	float miss_share;   /* expected of its track: 1 - hit of the decision */
	/* What it was promoted to before this round: the low halves, which sign-extend to the
	 * address as they do in the track's compare. Read them by learn_kept(). */
	int32_t kept[HOTRAIL_MAX_TARGETS];
	uint8_t nkept;
	uint8_t backoff;   /* rounds in a row that changed nothing */
	bool has_base : 1; /* miss_base belongs to the track in place */
	bool chosen : 1;   /* in the round being learned */
	bool by_agent : 1; /* last promoted by it */
};

#define ENGINE_PAUSES 1024 /* latest pause times kept for the percentiles */

struct engine_agent {	 /* as last looked at */
	unsigned health; /* enum agent_health */
	uint64_t generation, greetings, events, looked_ns;
	uint32_t undone_there;		       /* by its own count */
	uint64_t undone, arrived, quarantined; /* as memory had it, since the start */
	bool again;			       /* a site was busy */
};

#define ENGINE_MODULES 1024
#define ENGINE_SLOTS   16384 /* sites in modules: as many as the agent follows */

struct engine_modules {
	uint64_t generation, events, greetings; /* of the agent, as last asked */
	struct engine_module {
		uint32_t id;
		uint32_t left;	 /* sites in it that were not taken */
		bool left_alone; /* not looked through */
	} * known;		 /* ascending by id */
	size_t count;
	bool led;	   /* the agent was lost while it led sites in modules */
	bool due;	   /* something came or went since the last look */
	uint64_t decoded;  /* bytes of text, ever */
	uint64_t rest_ns;  /* until then nobody looks who is not asked to */
	char trouble[160]; /* the latest, in words; "" = none */
};

struct engine {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool thread_started, stop, follow;
	bool gone;	/* the guest runs another kernel: see gone.c */
	bool withdrawn; /* did not pay: nothing is to stay promoted until somebody promotes again */

	struct guest *guest;
	struct engine_config config;
	struct patcher *patcher;
	enum engine_via via; /* of the operation in progress */
	struct engine_agent agent;
	struct engine_modules modules;
	struct error refusal; /* why this guest is left alone, when `refused` */
	int refused;	      /* 0 or negative errno of may_patch */

	const struct sampler_ops *sampler_ops; /* NULL = off */
	struct sampler *sampler;

	struct site_info *info; /* one a site */
	size_t sites;
	struct edge_table learned; /* calls per second, site -> target; target 0 = more than the
				      table holds */
	struct edge_table sampled; /* what samples said, decayed */
	uint32_t sweep;		   /* next site a sweep looks at */

	enum engine_phase phase;
	uint64_t start_ns, first_gain_ns, watch_ns, decay_ns;
	uint64_t relearned, rolled_back, lies; /* lies: learned targets that are no functions */
	unsigned applied, skipped, failed, skipped_by[PATCH_REASONS];
	uint32_t pause_ns[ENGINE_PAUSES];
	unsigned pauses;
	double coverage, fast_share;
};

/* engine.c: engine_demote() under the lock; following stays as it is. */
int engine_demote_locked(struct engine *e, const uint32_t *sites, size_t n, struct engine_result *r,
			 struct error *err);

/* engine.c: tenths of a second since the engine's start, from 1; 32 bits hold 13 years. */
#define ENGINE_TICK_NS 100000000ull
uint32_t engine_tick(const struct engine *e);
/* engine.c: why this guest is left alone, or 0. */
int engine_refused_locked(const struct engine *e, struct error *err);

/* via.c */
/* May promotions go by that way now? Errors of patch_ready(). */
int via_check(struct engine *e, enum engine_via via, struct error *err);
/* Does the very agent answer that did when memory was last compared? Then the kernel it lives in is
 * there, too; what the host writes is preceded by a look of its own. */
bool via_vouched(struct engine *e);
/* The way for a change of so many sites. */
enum patch_way via_way(struct engine *e, size_t sites);
/* The way of one of them, when that is the way of the others. */
enum patch_way via_site(const struct engine *e, uint32_t site, enum patch_way way);
/* Books what the agent did by itself. Cheap when nothing happened. */
void via_watch(struct engine *e);
/* The same, and nothing that has happened by now is left for later. */
void via_look(struct engine *e);
void via_status(struct engine *e, struct engine_status *s);

/* modules.c */
int modules_init(struct engine *e, struct error *err);
void modules_free(struct engine *e);
/* Sites in modules come and go as the agent says. Cheap when nothing happened, unless `ask`. */
void modules_watch(struct engine *e, bool ask);
/* All of them go: nobody says any more when they are no longer there. */
void modules_forget(struct engine *e);
bool modules_has(const struct engine *e, uint32_t site); /* is it in a module? */
void modules_status(const struct engine *e, struct engine_status *s);

/* find.c */
/* A site needs this many samples before a learning track is spent on it outside a sweep. */
#define FIND_MIN_HEAT 2
void find_drain(struct engine *e);
/* Mark info[].chosen for a round: sites that were sampled, plus up to `sweep` never learned ones.
 * Returns how many. */
size_t find_choose(struct engine *e, size_t sweep);
void find_choose_drifted(struct engine *e, const uint32_t *sites, size_t n);
/* All sites whose counts are older than half a second or that have none: for a user who asks now
 * and means now. */
size_t find_choose_stale(struct engine *e);

/* learn.c */
/* Put learning tracks on all chosen sites, count for config.learn_ms, fold into `learned`. The
 * sites stay in PATCH_LEARNING until settle_round(); on error nothing stays changed. */
int learn_round(struct engine *e, struct error *err);
/* Remember in info[].kept what the site has now, before a learning track takes its place. */
void learn_keep(struct engine *e, uint32_t site);
/* What learn_keep() remembered; returns how many. */
unsigned learn_kept(const struct site_info *info, gva_t targets[HOTRAIL_MAX_TARGETS]);

/* settle.c */
/* Decide by policy over `learned` and bring every site where it belongs; with `named`
 * only the chosen sites move, whatever share they carry. `r` may be NULL. */
int settle_round(struct engine *e, double coverage, bool named, struct engine_result *r,
		 struct error *err);
/* What settle_round would do, from learned or else sampled edges. Touches nothing. */
int settle_plan(struct engine *e, double coverage, bool named, struct engine_result *r,
		struct error *err);
/* settle_write.c: do what the requests ask, in pauses of a bounded number of sites, each tried
 * again when it did not fit. sum->pause_us is the longest pause. On error the pauses before it have
 * had their effect. */
int settle_write(struct engine *e, const struct patch_request *requests, size_t n,
		 struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err);
/* The same, and keep the books: counts, first gain. */
int settle_apply(struct engine *e, const struct patch_request *requests, size_t n,
		 struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err);
/* The request that brings a site back to what it had before the round. */
void settle_request_kept(const struct engine *e, uint32_t site, struct patch_request *r);
/* Give every site in PATCH_LEARNING back what it had before the round. */
void settle_restore(struct engine *e);
void settle_result_add(struct engine *e, struct engine_result *r, const struct policy_decision *d,
		       const struct patch_outcome *o);
/* Pauses and rounds of one settle_apply(). */
void settle_result_sum(struct engine_result *r, const struct patch_summary *sum);

/* gone.c. Pauses. -ESTALE: the guest runs another kernel, everything is forgotten; else 0, also
 * when nobody can tell now. */
int gone_check(struct engine *e, struct error *err);

/* watch.c */
void watch_restart(struct engine *e); /* new window: bases are the present counters */
/* Close the window: updates fast_share; fills `drifted` (room for e->sites), returns how many sites
 * missed too often. */
size_t watch_window(struct engine *e, uint32_t *drifted);

/* pays.c: 1 = the promotions cost more than they gain (measured by switching them off and on), 0 =
 * they pay or cannot be judged. Sleeps about PAYS_ROUNDS * 2 * PAYS_WINDOW_MS. */
int pays_not(struct engine *e);

#endif
