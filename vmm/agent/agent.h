/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's end of the talk with the in-guest agent (protocol/README.md). One thread reads; any
 * thread may ask, and sleeps until the answer is there or its time is over. Whatever arrives is
 * bounded, copied and checked before it is used; an agent can spoil its own promotions, no more.
 */
#ifndef HOTRAIL_AGENT_AGENT_H
#define HOTRAIL_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/agent.h"
#include "util/error.h"

struct agent;

enum agent_health {
	AGENT_ABSENT,	/* nobody has answered yet */
	AGENT_ALIVE,	/* said hello and answers */
	AGENT_REFUSING, /* said hello, and why it patches nothing: hello.refusals */
	AGENT_LOST,	/* answered once, does not any more */
};

struct agent_state {
	enum agent_health health;
	/* Another for each load of the module (and 0 before the first): what an earlier generation
	 * had in place it has undone itself. */
	uint64_t generation;
	struct agent_hello_reply hello; /* of that generation; text is terminated, arena bounded */
	struct agent_ping_reply ping;	/* the latest */
	/* Greetings answered. What a request that timed out did is settled when this grows: it is
	 * done or never will be. */
	uint64_t greetings;
	uint64_t sent, received, events; /* frames */
	uint64_t events_lost;		 /* by their numbers, since the last greeting */
	uint64_t bad;			 /* spoilt frames, answers nobody waited for, lies */
	char trouble[160];		 /* the latest in words; "" = none */
};

/* Called on the reading thread; may not call agent_ functions that ask. */
struct agent_events {
	void (*module)(void *ctx, const struct agent_module *m);
	void (*conflict)(void *ctx, const struct agent_conflict *c);
	/* Another generation, or the agent has taken its leave: arena and promotions are gone. Not
	 * for the first. Comes before the new generation can be asked anything. */
	void (*reborn)(void *ctx);
	/* The same generation answers again after it was lost: a time-out's outcome is settled, the
	 * lease may have led sites back. Compare memory; what the arena holds is as it was. */
	void (*back)(void *ctx);
	void *ctx;
};

struct agent_config {
	int fd;		   /* a connected stream socket to the guest's port; owned by the caller */
	unsigned lease_ms; /* 0 = 10 000 */
	/* How long an answer may take: 0 = 5 000, room for an emulated guest; twelve times that
	 * where a grace period is waited for. */
	unsigned patience_ms;
	enum agent_policy policy;   /* when the host is lost */
	struct agent_events events; /* functions may be NULL */
};

/* Starts the thread, which greets the agent again and again until it answers. */
int agent_open(const struct agent_config *c, struct agent **out, struct error *err);
/* When the last asker has returned. Leaves the guest as it is. NULL is fine. */
void agent_close(struct agent *a);
void agent_get_state(struct agent *a, struct agent_state *s);
const char *agent_health_text(enum agent_health h); /* "alive"; constant */
const char *agent_status_text(enum agent_status s); /* words for users; constant */
/* May it be asked to patch? 0; -ENOTCONN (absent, lost), -EPERM (refuses), with the reason. */
int agent_ready(struct agent *a, struct error *err);

/*
 * All that follow: 0 when the agent answered in full (look at the statuses); -ENOTCONN (not asked,
 * or it left in the middle), -ETIMEDOUT (lost: what it did is unknown until it is greeted again,
 * compare memory then), -EPROTO (it answered with an error or nonsense; *err says what), -ENOMEM.
 * Any n: they ask in as many messages as it takes; when one fails, the statuses of entries not
 * known to be done are AGENT_STATUSES.
 */
enum agent_poking { AGENT_POKE_ONLY, AGENT_POKE_LEARN_START, AGENT_POKE_LEARN_STOP };
struct agent_poked {
	uint64_t ns; /* in the guest, all messages */
	uint32_t rounds;
};
/* Ascending by site. */
int agent_poke(struct agent *a, enum agent_poking how, const struct agent_poke *pokes, size_t n,
	       uint8_t *status, struct agent_poked *done, struct error *err);
int agent_write_blocks(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		       struct error *err);
/* Waits for a grace period in the guest. */
int agent_reclaim(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		  struct error *err);
int agent_grace(struct agent *a, struct error *err);
int agent_read_tables(struct agent *a, const uint32_t *tables, size_t n, struct agent_counted *out,
		      struct error *err);
int agent_read_text(struct agent *a, uint64_t addr, void *buf, size_t len, struct error *err);
/* *n: in = room, out = filled. -ENOSPC: filled, and there is more. Modules: live ones, ascending by
 * id, names filtered. */
int agent_list_modules(struct agent *a, struct agent_module *out, size_t *n, struct error *err);
/* The functions of modules that these addresses are in; start 0: no name is known. Names are
 * filtered. */
int agent_name_functions(struct agent *a, const uint64_t *addr, size_t n,
			 struct agent_function *out, struct error *err);
int agent_list_protected(struct agent *a, struct agent_range *out, size_t *n, struct error *err);
/* Pairs that the guest's modules have declared, and what those of a declaration may lead to. These
 * lists are told anew when they change meanwhile; -EAGAIN: they never stood still. */
int agent_list_pairs(struct agent *a, struct agent_pair *out, size_t *n, struct error *err);
int agent_list_programs(struct agent *a, uint32_t set, uint64_t *out, size_t *n, struct error *err);
/* Ascending by target. The agent takes the steps itself, and waits for a grace period where one
 * leads nowhere any more. */
int agent_lead_pairs(struct agent *a, const struct agent_lead *leads, size_t n, uint8_t *status,
		     struct agent_poked *done, struct error *err);
int agent_unpatch_all(struct agent *a, struct agent_unpatch_reply *r, struct error *err);

#endif
