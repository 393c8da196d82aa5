/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of pairs in a running guest share. Private to vmm/patch. */
#ifndef HOTRAIL_PATCH_PAIRS_H
#define HOTRAIL_PATCH_PAIRS_H

#include <pthread.h>

#include "patch/journal.h"
#include "patch/pair.h"

struct pairs {
	struct guest *guest;
	struct applier *applier;
	struct applier *own;	 /* the same, where it is ours to destroy */
	gva_t start, end;	 /* of the text that slots and programs lie in */
	struct journal *journal; /* NULL = none kept */
	pthread_mutex_t lock;	 /* one change at a time: between two steps nobody else may step */
	size_t count;
	struct pair *list;
	bool *quarantined;
};

/* What memory says; FOREIGN also when it is unreadable. */
enum pair_state pairs_look(struct pairs *p, size_t i, gva_t *program);

/* pairs_agent.c: applier_ops.lead of the agent's way. */
int pairs_agent_lead(struct applier *a, const struct pair *p, gva_t from, gva_t to,
		     struct error *err);

/* pairs_journal.c: "this slot will hold that". */
struct journal_intent pairs_intent(const struct pair *pair, const struct pair_step *s, gva_t want);
/* Opens and replays; pairs that memory and journal disagree about are quarantined. */
int pairs_open_journal(struct pairs *p, const char *path, struct error *err);
/* Shorten a journal that has grown. It may fail: the long one is as good. */
void pairs_shorten_journal(struct pairs *p);

#endif
