/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two-site pokes, as BPF does for a direct tail call. In guest text, ascending:
 *
 *   bypass:  jmp slow | nop5      leads around what follows
 *            (the caller's stack is unwound)
 *   target:  jmp program | nop5
 *            (never executed)
 *   slow:    ...
 *
 * A CPU that passes `bypass` as a nop must find a jmp at `target`. So of the four states three may
 * be seen: EMPTY (jmp, nop), BYPASSED (jmp, jmp), DIRECT (nop, jmp); never BROKEN (nop, nop). A
 * slot always holds one 5-byte instruction, which is replaced by one of the same length (law 2).
 *
 * A pair without a bypass (0) is a single poke: `target` leads to `slow` or to the program.
 *
 * pair.c is pure: geometry, what bytes mean, and the steps from one state to another. pairs.c takes
 * the steps, through either way of writing (patch/applier.h).
 */
#ifndef HOTRAIL_PATCH_PAIR_H
#define HOTRAIL_PATCH_PAIR_H

#include "guest/guest.h"

#define PAIR_SLOT	   5 /* bytes of jmp rel32, and of the nop that takes its place */
#define PAIR_MAX_SPAN	   128 /* from the first slot to the end of the second: an unwind is shorter */
#define PAIR_PROGRAM_ALIGN 16 /* jump targets: a whole fetch window of the program is useful */
#define PAIR_MAX_STEPS	   3

extern const uint8_t pair_nop[PAIR_SLOT]; /* nopl 0(%rax,%rax,1), as Linux's 5-byte nop */

struct pair {
	gva_t bypass; /* 0 = none: a single poke */
	gva_t target, slow;
};

enum pair_state {
	PAIR_EMPTY,    /* no program: everybody takes the slow way */
	PAIR_BYPASSED, /* a program, and nobody comes to it: between the steps of a change */
	PAIR_DIRECT,   /* a program, and everybody comes to it */
	PAIR_BUSY,     /* an int3 lies in a slot: the guest is patching there itself */
	PAIR_BROKEN,   /* (nop, nop): a CPU may run into what is never executed */
	PAIR_FOREIGN,  /* other bytes than ever belong there */
};
const char *pair_state_text(enum pair_state s); /* words for users, constant */

/* 0, or -EINVAL with the reason: outside [text_start, text_end), order, span, slots that overlap,
 * a slow way that leads between the slots, or out of reach. */
int pair_check(const struct pair *p, gva_t text_start, gva_t text_end, struct error *err);
/* May `program` be led to? -EINVAL (not aligned, not in text, inside the pair), -ERANGE. */
int pair_check_program(const struct pair *p, gva_t program, gva_t text_start, gva_t text_end,
		       struct error *err);

/* What the bytes of both slots mean; `bypass` is not looked at for a single poke. *program is 0
 * where there is none. Bytes come from the guest: nothing is assumed of them. */
enum pair_state pair_classify(const struct pair *p, const uint8_t bypass[PAIR_SLOT],
			      const uint8_t target[PAIR_SLOT], gva_t *program);

enum pair_step_kind {
	PAIR_POKE_TARGET,
	PAIR_POKE_BYPASS,
	PAIR_GRACE, /* wait until nobody is left who passed the bypass as a nop */
};

struct pair_step {
	enum pair_step_kind kind;
	uint8_t old[PAIR_SLOT], new[PAIR_SLOT]; /* of a poke */
};

/*
 * Steps from (state, program) to `want`, 0 = none: at most PAIR_MAX_STEPS, 0 when it is so already.
 * Each must be seen by every CPU before the next begins; nobody else may change the pair
 * meanwhile. Only for EMPTY, BYPASSED and DIRECT, and programs that were checked.
 */
unsigned pair_plan(const struct pair *p, enum pair_state state, gva_t program, gva_t want,
		   struct pair_step steps[PAIR_MAX_STEPS]);

/* --- taking the steps --- */

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
 * -EBUSY: the guest patches there, or a CPU does not leave; -ETIMEDOUT: no pause short enough; try
 * either again. -EUCLEAN: memory and what we know
 * disagree, and the pair is left alone from now on; -EINVAL, -ERANGE: the program; else of the
 * applier or the journal. *done is added to; NULL is fine. Whoever frees a program's memory after
 * this must first wait a grace period: a CPU may still be inside the program.
 */
int pairs_set(struct pairs *p, size_t i, gva_t program, struct pair_done *done, struct error *err);

size_t pairs_count(const struct pairs *p);
/* What memory says now, and to which program it leads; FOREIGN also when it is unreadable. */
enum pair_state pairs_state(struct pairs *p, size_t i, gva_t *program);

#endif
