// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A pair's geometry, what its bytes mean, and the order in which they may change. */
#include "pair.h"

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#define JMP_REL32 0xe9
#define INT3	  0xcc

const uint8_t pair_nop[PAIR_SLOT] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

static uint64_t first_byte(const struct pair *p)
{
	return p->bypass ? p->bypass : p->target;
}

static bool in_pair(const struct pair *p, uint64_t addr)
{
	return addr >= first_byte(p) && addr < p->target + PAIR_SLOT;
}

bool pair_reaches(uint64_t slot, uint64_t to)
{
	int64_t distance = (int64_t)(to - (slot + PAIR_SLOT));

	return distance == (int32_t)distance;
}

const char *pair_wrong(const struct pair *p)
{
	if (p->bypass && (p->bypass >= p->target || p->target - p->bypass < PAIR_SLOT))
		return "the bypass does not end before the target begins";
	if (p->target + PAIR_SLOT - first_byte(p) > PAIR_MAX_SPAN)
		return "the slots are too far apart";
	if (in_pair(p, p->slow))
		return "its slow way leads into itself";
	if (!pair_reaches(first_byte(p), p->slow))
		return "its slow way is out of reach";
	return NULL;
}

const char *pair_wrong_program(const struct pair *p, uint64_t program)
{
	if (program % PAIR_PROGRAM_ALIGN)
		return "the program does not start on a 16-byte boundary";
	if (in_pair(p, program) || program == p->slow)
		return "the program is the pair itself";
	if (!pair_reaches(p->target, program))
		return "the program is out of reach";
	return NULL;
}

/* What stands in one slot: the address a jmp leads to, 0 for the nop. */
static enum pair_state read_slot(uint64_t slot, const uint8_t bytes[PAIR_SLOT], uint64_t *to)
{
	int32_t rel;

	*to = 0;
	if (bytes[0] == INT3)
		return PAIR_BUSY;
	if (!memcmp(bytes, pair_nop, PAIR_SLOT))
		return PAIR_EMPTY;
	if (bytes[0] != JMP_REL32)
		return PAIR_FOREIGN;
	memcpy(&rel, bytes + 1, sizeof(rel));
	*to = slot + PAIR_SLOT + (uint64_t)(int64_t)rel;
	return PAIR_DIRECT;
}

static enum pair_state classify_single(const struct pair *p, const uint8_t target[PAIR_SLOT],
				       uint64_t *program)
{
	uint64_t to;
	enum pair_state s = read_slot(p->target, target, &to);

	if (s == PAIR_EMPTY) /* a nop: nothing holds the CPU back */
		return PAIR_BROKEN;
	if (s != PAIR_DIRECT || to == p->slow)
		return s == PAIR_DIRECT ? PAIR_EMPTY : s;
	*program = to;
	return PAIR_DIRECT;
}

enum pair_state pair_classify(const struct pair *p, const uint8_t bypass[PAIR_SLOT],
			      const uint8_t target[PAIR_SLOT], uint64_t *program)
{
	enum pair_state b, t;
	uint64_t around, to;

	*program = 0;
	if (!p->bypass)
		return classify_single(p, target, program);
	b = read_slot(p->bypass, bypass, &around);
	t = read_slot(p->target, target, &to);
	if (b == PAIR_BUSY || t == PAIR_BUSY)
		return PAIR_BUSY;
	if (b == PAIR_FOREIGN || t == PAIR_FOREIGN || (b == PAIR_DIRECT && around != p->slow))
		return PAIR_FOREIGN;
	*program = to;
	if (b == PAIR_DIRECT)
		return to ? PAIR_BYPASSED : PAIR_EMPTY;
	return to ? PAIR_DIRECT : PAIR_BROKEN;
}

/* The instruction for a slot that is to lead to `to`; 0 = the nop. The reach was checked. */
static void slot_bytes(uint64_t slot, uint64_t to, uint8_t bytes[PAIR_SLOT])
{
	int32_t rel = (int32_t)(to - (slot + PAIR_SLOT));

	memcpy(bytes, pair_nop, PAIR_SLOT);
	if (!to)
		return;
	bytes[0] = JMP_REL32;
	memcpy(bytes + 1, &rel, sizeof(rel));
}

static void poke(struct pair_step *s, enum pair_step_kind kind, uint64_t slot, uint64_t from,
		 uint64_t to)
{
	s->kind = kind;
	slot_bytes(slot, from, s->old);
	slot_bytes(slot, to, s->new);
}

unsigned int pair_plan(const struct pair *p, enum pair_state state, uint64_t program, uint64_t want,
		       struct pair_step steps[PAIR_MAX_STEPS])
{
	unsigned int n = 0;
	bool single = !p->bypass;

	if (!want && state == PAIR_EMPTY)
		return 0;
	if (single) {
		if (program != want)
			poke(&steps[n++], PAIR_POKE_TARGET, p->target, program ? program : p->slow,
			     want ? want : p->slow);
		return n;
	}
	if (want) { /* first where it leads, then that it is led there */
		if (program != want)
			poke(&steps[n++], PAIR_POKE_TARGET, p->target, program, want);
		if (state != PAIR_DIRECT)
			poke(&steps[n++], PAIR_POKE_BYPASS, p->bypass, p->slow, 0);
		return n;
	}
	/* BYPASSED may be what a removal left half done: those who passed before may still be
	 * there. */
	if (state == PAIR_DIRECT)
		poke(&steps[n++], PAIR_POKE_BYPASS, p->bypass, 0, p->slow);
	steps[n++].kind = PAIR_GRACE;
	poke(&steps[n++], PAIR_POKE_TARGET, p->target, program, 0);
	return n;
}
