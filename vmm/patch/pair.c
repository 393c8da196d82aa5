// SPDX-License-Identifier: GPL-2.0-only
/* A pair's geometry, what its bytes mean, and the order in which they may change. Pure. */
#include "patch/pair.h"

#include <errno.h>
#include <string.h>

#include "x86/encode.h"

#define JMP_REL32 0xe9
#define INT3	  0xcc

const uint8_t pair_nop[PAIR_SLOT] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

const char *pair_state_text(enum pair_state s)
{
	static const char *const text[] = {
		[PAIR_EMPTY] = "empty",
		[PAIR_BYPASSED] = "bypassed",
		[PAIR_DIRECT] = "direct",
		[PAIR_BUSY] = "being patched by the guest",
		[PAIR_BROKEN] = "broken: both slots are empty",
		[PAIR_FOREIGN] = "not ours: other bytes than ever belong there",
	};

	return (unsigned)s < sizeof(text) / sizeof(text[0]) ? text[s] : "unknown";
}

static gva_t first_byte(const struct pair *p)
{
	return p->bypass ? p->bypass : p->target;
}

static gva_t end(const struct pair *p)
{
	return p->target + PAIR_SLOT;
}

static bool in_pair(const struct pair *p, gva_t addr)
{
	return addr >= first_byte(p) && addr < end(p);
}

static int refuse(const struct pair *p, int ret, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, ret, "the pair at 0x%llx: %s",
			 (unsigned long long)first_byte(p), what);
}

static bool in_text(gva_t addr, uint64_t len, gva_t text_start, gva_t text_end)
{
	return addr >= text_start && addr < text_end && text_end - addr >= len;
}

static bool reaches(gva_t slot, gva_t to)
{
	int32_t rel;

	return x86_rel32(slot + PAIR_SLOT, to, &rel);
}

int pair_check(const struct pair *p, gva_t text_start, gva_t text_end, struct error *err)
{
	if (!in_text(p->target, PAIR_SLOT, text_start, text_end) ||
	    (p->bypass && !in_text(p->bypass, PAIR_SLOT, text_start, text_end)) ||
	    !in_text(p->slow, 1, text_start, text_end))
		return refuse(p, -EINVAL, err, "not inside the text");
	if (p->bypass && (p->bypass >= p->target || p->target - p->bypass < PAIR_SLOT))
		return refuse(p, -EINVAL, err, "the bypass does not end before the target begins");
	if (end(p) - first_byte(p) > PAIR_MAX_SPAN)
		return refuse(p, -EINVAL, err, "the slots are too far apart");
	if (in_pair(p, p->slow))
		return refuse(p, -EINVAL, err, "its slow way leads into itself");
	if (!reaches(first_byte(p), p->slow))
		return refuse(p, -EINVAL, err, "its slow way is out of reach");
	return 0;
}

int pair_check_program(const struct pair *p, gva_t program, gva_t text_start, gva_t text_end,
		       struct error *err)
{
	if (program % PAIR_PROGRAM_ALIGN)
		return refuse(p, -EINVAL, err, "the program does not start on a 16-byte boundary");
	if (!in_text(program, 1, text_start, text_end))
		return refuse(p, -EINVAL, err, "the program is not inside the text");
	if (in_pair(p, program) || program == p->slow)
		return refuse(p, -EINVAL, err, "the program is the pair itself");
	if (!reaches(p->target, program))
		return refuse(p, -ERANGE, err, "the program is out of reach");
	return 0;
}

/* What stands in one slot: the address a jmp leads to, 0 for the nop. */
static enum pair_state read_slot(gva_t slot, const uint8_t bytes[PAIR_SLOT], gva_t *to)
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
				       gva_t *program)
{
	gva_t to;
	enum pair_state s = read_slot(p->target, target, &to);

	if (s == PAIR_EMPTY) /* a nop: nothing holds the CPU back */
		return PAIR_BROKEN;
	if (s != PAIR_DIRECT || to == p->slow)
		return s == PAIR_DIRECT ? PAIR_EMPTY : s;
	*program = to;
	return PAIR_DIRECT;
}

enum pair_state pair_classify(const struct pair *p, const uint8_t bypass[PAIR_SLOT],
			      const uint8_t target[PAIR_SLOT], gva_t *program)
{
	enum pair_state b, t;
	gva_t around, to;

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
static void slot_bytes(gva_t slot, gva_t to, uint8_t bytes[PAIR_SLOT])
{
	struct x86_emit e = {.buf = bytes, .cap = PAIR_SLOT, .at = slot};

	if (to)
		x86_emit_jmp(&e, to);
	else
		memcpy(bytes, pair_nop, PAIR_SLOT);
}

static void poke(struct pair_step *s, enum pair_step_kind kind, gva_t slot, gva_t from, gva_t to)
{
	s->kind = kind;
	slot_bytes(slot, from, s->old);
	slot_bytes(slot, to, s->new);
}

unsigned pair_plan(const struct pair *p, enum pair_state state, gva_t program, gva_t want,
		   struct pair_step steps[PAIR_MAX_STEPS])
{
	unsigned n = 0;
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
	 * there.
	 */
	if (state == PAIR_DIRECT)
		poke(&steps[n++], PAIR_POKE_BYPASS, p->bypass, 0, p->slow);
	steps[n++].kind = PAIR_GRACE;
	poke(&steps[n++], PAIR_POKE_TARGET, p->target, program, 0);
	return n;
}
