/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
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
 * Geometry, what bytes mean, and the steps from one state to another: the same for the host that
 * writes by itself and for the module that is asked to. Pure; bytes are not believed.
 */
#ifndef HOTRAIL_PROTOCOL_PAIR_H
#define HOTRAIL_PROTOCOL_PAIR_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
#endif

#define PAIR_SLOT	   5 /* bytes of jmp rel32, and of the nop that takes its place */
#define PAIR_MAX_SPAN	   128 /* from the first slot to the end of the second: an unwind is shorter */
#define PAIR_PROGRAM_ALIGN 16 /* jump targets: a whole fetch window of the program is useful */
#define PAIR_MAX_STEPS	   3

extern const uint8_t pair_nop[PAIR_SLOT]; /* nopl 0(%rax,%rax,1), as Linux's 5-byte nop */

struct pair {
	uint64_t bypass; /* 0 = none: a single poke */
	uint64_t target, slow;
};

enum pair_state {
	PAIR_EMPTY,    /* no program: everybody takes the slow way */
	PAIR_BYPASSED, /* a program, and nobody comes to it: between the steps of a change */
	PAIR_DIRECT,   /* a program, and everybody comes to it */
	PAIR_BUSY,     /* an int3 lies in a slot: the guest is patching there itself */
	PAIR_BROKEN,   /* (nop, nop): a CPU may run into what is never executed */
	PAIR_FOREIGN,  /* other bytes than ever belong there */
};

/* NULL, or what is wrong: order, span, slots that overlap, a slow way that leads between the
 * slots, or out of reach. Whose text it is the caller knows. */
const char *pair_wrong(const struct pair *p);
/* May `program` be led to? NULL, or what is wrong: not aligned, inside the pair, out of reach. */
const char *pair_wrong_program(const struct pair *p, uint64_t program);
bool pair_reaches(uint64_t slot, uint64_t to); /* is a jmp rel32 long enough? */

/* What the bytes of both slots mean; `bypass` is not looked at for a single poke. *program is 0
 * where there is none. */
enum pair_state pair_classify(const struct pair *p, const uint8_t bypass[PAIR_SLOT],
			      const uint8_t target[PAIR_SLOT], uint64_t *program);

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
unsigned int pair_plan(const struct pair *p, enum pair_state state, uint64_t program, uint64_t want,
		       struct pair_step steps[PAIR_MAX_STEPS]);

#endif
