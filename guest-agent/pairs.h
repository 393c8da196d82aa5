/* SPDX-License-Identifier: GPL-2.0-only */
/* Pairs that other modules have declared. All locked; what changes pairs lets go of the lock while
 * it waits for a grace period. */
#ifndef HOTRAIL_GUEST_AGENT_PAIRS_STATE_H
#define HOTRAIL_GUEST_AGENT_PAIRS_STATE_H

#include "hotrail.h"
#include "protocol/pair.h"

#define PAIRS_IN_SET 256

struct hotrail_pairs;

struct pair_declared {
	struct pair pair;
	u64 program;   /* where we led it; 0 = nowhere */
	bool changing; /* between two steps: hotrail_lock may be let go of */
	bool undo;     /* to be led back once the probe there is gone */
	bool lost;     /* holds what we did not put there: left alone */
};

struct pair_set {
	struct list_head list;
	const struct hotrail_pairs *by;
	struct module *owner;
	u32 id, npairs, nprograms;
	bool leaving; /* led nowhere any more */
	u64 *program; /* 0 = gone with its module */
	struct pair_declared pair[];
};

extern struct list_head pair_sets;

/* --- pairs.c --- */
/* What memory says; FOREIGN also when it is not mapped. */
enum pair_state pairs_look(const struct pair_declared *d, u64 *program);
u32 pairs_led(void); /* how many lead to a program */
/* From the `first` on; they return how many there are in all. */
u32 pairs_list(u32 first, struct agent_pair *out, u32 room, u32 *filled);
u32 pairs_programs(u32 set, u32 first, u64 *out, u32 room, u32 *filled);
/* What the host asks for: enum agent_status for each. 0 or -ENOMEM. */
int pairs_lead(const struct agent_lead *leads, u32 n, u8 *status, u32 *rounds, u64 *ns);
/* Lead back; return how many were. *left: how many wait for a probe to go. */
typedef bool (*pairs_chooser)(const struct pair_set *s, const struct pair_declared *d,
			      const void *ctx);
u32 pairs_restore_some(pairs_chooser which, const void *ctx, u32 *left);
u32 pairs_restore(u32 *left); /* all */
void pairs_grace(void);	      /* lets go of the lock */
void pairs_retry(void);	      /* those that waited for a probe to go */
/* Nothing else will do: what they lead to is about to go. Lets go of the lock between two tries;
 * afterwards nobody is in a program that they led to. */
void pairs_restore_surely(pairs_chooser which, const void *ctx, const char *name);

/* --- declare.c --- */
/* Before its memory goes: nothing leads to it any more, and what it declared is forgotten. */
void pairs_module_leaves(const struct module *mod);

#endif
