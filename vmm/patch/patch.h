/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patching: turns requests into a plan, a plan into bytes in the guest, and keeps
 * what is applied in step with the journal. One patcher a guest; every function
 * here is called by one thread at a time (the engine holds its lock) and may sleep.
 */
#ifndef HOTRAIL_PATCH_PATCH_H
#define HOTRAIL_PATCH_PATCH_H

#include "guest/guest.h"
#include "patch/track.h"

enum patch_state { PATCH_ORIGINAL, PATCH_LEARNING, PATCH_PROMOTED, PATCH_QUARANTINED };

/*
 * How the bytes get there. HOST: written while all vCPUs are parked, tracks in the arena of the
 * guest description. AGENT: an agent in the guest patches while it runs, tracks in its own arena.
 */
enum patch_way { PATCH_WAY_HOST, PATCH_WAY_AGENT, PATCH_WAYS };

/* Three outcomes, as users read them. */
enum patch_result { PATCH_PENDING, PATCH_APPLIED, PATCH_SKIPPED, PATCH_FAILED };

enum patch_reason {
	PATCH_REASON_NONE,
	PATCH_REASON_SAME,     /* already in the asked state */
	PATCH_REASON_MISMATCH, /* bytes in the guest are not the expected ones */
	PATCH_REASON_BUSY,     /* first byte 0xcc, or a vCPU inside the instruction */
	PATCH_REASON_TARGET,   /* a target is not a function in text */
	PATCH_REASON_ARENA_FULL,
	PATCH_REASON_RANGE,	  /* not reachable with rel32 */
	PATCH_REASON_UNREADABLE,  /* guest memory not mapped */
	PATCH_REASON_READBACK,	  /* wrote, read something else: failed */
	PATCH_REASON_QUARANTINED, /* memory and journal disagreed before */
	PATCH_REASON_PAUSE,	  /* the pause ran out of budget: failed, nothing written */
	PATCH_REASON_PROTECTED,	  /* the guest says that this site is to be left alone */
	PATCH_REASON_OWNER,	  /* neither core text nor text of a live module */
	PATCH_REASON_AGENT,	  /* the agent does not do it */
	PATCH_REASON_LOST,	  /* the agent did not answer: failed */
	PATCH_REASON_MODULE,	  /* in a module's text, where only an agent may write */
	PATCH_REASONS
};
const char *patch_way_text(enum patch_way w);	    /* "host", "agent"; constant */
const char *patch_reason_text(enum patch_reason r); /* words for users, constant */

struct patch_request {
	uint32_t site;	     /* index in guest->sites */
	enum patch_state to; /* PATCH_ORIGINAL, PATCH_LEARNING or PATCH_PROMOTED */
	enum patch_way way;  /* for a track; a site goes back by the way that it came */
	gva_t targets[HOTRAIL_MAX_TARGETS];
	unsigned ntargets; /* for PATCH_PROMOTED */
};

struct patch_outcome { /* one a request, same order */
	enum patch_result result;
	enum patch_reason reason;
	enum patch_way way; /* that applied it */
	gva_t track;
};

struct patch_summary {
	unsigned applied, skipped, failed;
	int64_t pause_us;	     /* 0 when nothing had to be written */
	uint64_t pause_ns, write_ns; /* parked until thawed; the writing part alone */
	unsigned by[PATCH_WAYS];     /* of the applied */
	uint64_t agent_ns; /* in the guest, by the agent: from its first byte to its last */
	unsigned rounds;   /* of text_poke_bp */
};

struct patch_site { /* what is applied at a site now */
	enum patch_state state;
	enum patch_way way; /* that made it so; means nothing when PATCH_ORIGINAL */
	gva_t track;
	gva_t counter; /* miss counter (promoted) or struct track_learn_table (learning) */
	gva_t targets[HOTRAIL_MAX_TARGETS];
	unsigned ntargets;
	uint64_t applied_ns; /* CLOCK_MONOTONIC */
};

struct patcher;

/* journal_path NULL = keep none (benchmarks). The journal file is created, locked, and must be new
 * or replayable; see journal.h. */
int patcher_create(struct guest *guest, const char *journal_path, struct patcher **out,
		   struct error *err);
/* Closes the journal; does not touch the guest. */
void patcher_destroy(struct patcher *p);

/*
 * Do n requests, those of the host's way in one pause. `outcomes` has n entries. 0 when the batch
 * ran (look at the outcomes), negative errno when nothing was touched: pause timeout, journal not
 * writable, guest gone, no such way; in a batch of both ways what the host did first stays. Order
 * inside: encode tracks -> write them into the arena (unreachable yet,
 * guest runs) -> intent records reach the journal -> pause -> compare, write, read back each site
 * -> thaw -> commit record. A track whose spec equals one already written for the site by that way
 * is used again. A site that has the asked targets by the other way keeps them; with other targets
 * it is led back by the way that made it first.
 */
int patch_apply(struct patcher *p, const struct patch_request *requests, size_t n,
		struct patch_outcome *outcomes, struct patch_summary *summary, struct error *err);

/* The kernel that was patched is gone: every site is booked as original, no track is known any
 * more, the journal ends in order. Nothing may be applied afterwards. */
void patch_forget(struct patcher *p);

/* --- ways (patch/ways.c, patch/reconcile.c) --- */

struct agent;
/* Let the agent patch, too. Before other threads know the patcher. -ENOMEM. The agent stays the
 * caller's, and must live longer. */
int patch_use_agent(struct patcher *p, struct agent *a, struct error *err);
/* May tracks be laid by this way now? 0; -ENOTCONN (nobody answers), -EPERM (it refuses), -EBUSY
 * (sites still lead to tracks of an earlier agent). */
int patch_ready(struct patcher *p, enum patch_way way, struct error *err);

struct patch_reconciled {
	unsigned undone;      /* led back by the agent itself: booked as original */
	unsigned arrived;     /* a promotion that nobody answered for is there after all */
	unsigned quarantined; /* hold other bytes */
	unsigned busy;	      /* an int3 there, or not readable: look again */
};
/*
 * Compare memory with the books for all that the agent made, or may have made without an answer:
 * it undoes promotions by itself when a module leaves, when somebody else patches there and when
 * it lost its host. Reads memory only.
 */
void patch_reconcile(struct patcher *p, struct patch_reconciled *r);
/*
 * Sites that come and go (slots of guest->sites). Only an agent writes there: it knows of a leaving
 * in time. A site that goes was led back, or its text is no more: the journal says so, its tracks
 * are given back at the next patch_reclaim(), and nothing is known of it any more. Before its slot
 * is emptied.
 */
void patch_site_came(struct patcher *p, uint32_t site);
void patch_sites_go(struct patcher *p, const uint32_t *sites, size_t n);
/* Is it led to a track, or may a request that nobody answered still lead it there? */
bool patch_site_led(const struct patcher *p, uint32_t site);

/* Give back blocks that no site leads to: only an agent can, which waits until nobody is inside.
 * How many. */
unsigned patch_reclaim(struct patcher *p, enum patch_way way);

const struct patch_site *patch_site_state(const struct patcher *p, uint32_t site);
unsigned patch_count(const struct patcher *p, enum patch_state state);
unsigned patch_count_by(const struct patcher *p, enum patch_state state, enum patch_way way);

/* Had this site a learning track of this way before? Then another round on it takes nothing from
 * the arena. */
bool patch_learned_before(const struct patcher *p, enum patch_way way, uint32_t site);

/* Counters, read without stopping anything; bounded copies. 0 or -EFAULT. */
int patch_read_miss(struct patcher *p, uint32_t site, uint32_t *miss);
int patch_read_learn(struct patcher *p, uint32_t site, struct track_learn_table *table);
/* Zero a learning table before use again; racing increments may be lost. */
int patch_clear_learn(struct patcher *p, uint32_t site);

struct patch_verify {
	unsigned sites, agree, differ, unreadable;
	unsigned by[PATCH_WAYS]; /* on a track, by whoever led there */
	unsigned busy;	    /* as they should be but for an int3: a probe, or the guest patches */
	unsigned first_bad; /* site index, valid when differ + unreadable > 0 */
	gva_t first_bad_addr;
};
/* Compare all sites and all written tracks with what should be there; differing sites are
 * quarantined, busy ones are not. */
int patch_verify(struct patcher *p, struct patch_verify *v, struct error *err);

/* Bytes of arena used / total, code half and counter half. */
void patch_arena_usage(const struct patcher *p, enum patch_way way, uint64_t used[2],
		       uint64_t total[2]);

#endif
