/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pairs of slots in a running guest; protocol/pair.h says what they are and in which order they
 * may change. pairs.c takes the steps, through either way of writing (patch/applier.h).
 */
#ifndef HOTRAIL_PATCH_PAIR_H
#define HOTRAIL_PATCH_PAIR_H

#include "guest/guest.h"
#include "protocol/pair.h"

const char *pair_state_text(enum pair_state s); /* words for users, constant */

/* 0, or -EINVAL with the reason: outside [text_start, text_end), order, span, slots that overlap,
 * a slow way that leads between the slots, or out of reach. */
int pair_check(const struct pair *p, gva_t text_start, gva_t text_end, struct error *err);
/* May `program` be led to? -EINVAL (not aligned, not in text, inside the pair), -ERANGE. */
int pair_check_program(const struct pair *p, gva_t program, gva_t text_start, gva_t text_end,
		       struct error *err);

/* --- taking the steps --- */

struct agent;
struct agent_pair;
struct applier;
struct image;
struct pairs;

/*
 * The pairs of one guest; list[0..n) is copied and checked. `journal_path` NULL = keep none; else a
 * file of its own, as in journal.h: what a monitor that died left half done is found in memory, in
 * one of the three states, and the next change goes on from there. The applier is used, not owned.
 * -EINVAL: a pair is wrong or two share a byte, or a site's; -EUCLEAN: memory holds something that
 * this pair never does; errors of journal_open().
 */
int pairs_create(struct guest *g, struct applier *a, const struct pair *list, size_t n,
		 const char *journal_path, struct pairs **out, struct error *err);
/* The same for all pairs that an image names, in its order. */
int pairs_create_image(struct guest *g, struct applier *a, const struct image *img,
		       const char *journal_path, struct pairs **out, struct error *err);
/*
 * Those that modules of a Linux guest have declared to its agent (agent_list_pairs()), in the order
 * given. The agent writes, and keeps the order of the steps itself. The agent stays the caller's.
 */
int pairs_create_declared(struct guest *g, struct agent *agent, const struct agent_pair *list,
			  size_t n, const char *journal_path, struct pairs **out,
			  struct error *err);
/* Leaves the guest as it is. NULL is fine. */
void pairs_destroy(struct pairs *p);
/* The same without the closing record, as a monitor that dies. */
void pairs_drop(struct pairs *p);

struct pair_done { /* of one change, or a sum of many */
	unsigned steps, graces;
	int64_t pause_us; /* how long the guest stood, all steps together */
};

/*
 * Lead pair `i` to `program`; 0 = remove. Any thread, changes take turns; may sleep. 0 also when it
 * was so already. On error the pair is in a legal state, which may be BYPASSED: repeat the call.
 * -EBUSY: the guest patches there (where an agent writes: or may have a probe there), or a CPU does
 * not leave; -ETIMEDOUT: no pause short enough; try either again. -EUCLEAN: memory and what we know
 * disagree, and the pair is left alone from now on; -EINVAL, -ERANGE: the program; -ENOENT: no
 * longer declared; -ENOTCONN: no agent, repeat the call when one is there; -EFAULT: a slot cannot
 * be read; else of the applier or the journal. *done is added to; NULL is fine. Whoever frees a
 * program's memory after this must first wait a grace period: a CPU may still be inside the
 * program.
 */
int pairs_set(struct pairs *p, size_t i, gva_t program, struct pair_done *done, struct error *err);

size_t pairs_count(const struct pairs *p);
/* What memory says now, and to which program it leads; FOREIGN also when it is unreadable. */
enum pair_state pairs_state(struct pairs *p, size_t i, gva_t *program);

#endif
