// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks the bytes of a track: a list of the instructions a track may be made of, and rules for
 * how they follow each other. Opcodes: Intel SDM vol. 2; REX.W = 8, .R = 4, .X = 2, .B = 1.
 */
#include "block.h"

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

enum kind {
	COMPARE,     /* of the site's register with an address: JUMP_TARGET follows */
	JUMP_TARGET, /* je: to the very address that was compared */
	JUMP_THUNK,
	JUMP_SHORT, /* forward, within the block */
	STOP,	    /* int3 */
	SAVE,
	RESTORE,
	TEST,	 /* changes flags only */
	LOAD,	 /* S = anything */
	LOAD4,	 /* S = anything of 32 bits */
	SHIFT,	 /* S >>= imm */
	MASK,	 /* S &= imm */
	TABLE,	 /* S = an address in the data half + 8 * S */
	CPU,	 /* S += this CPU's offset */
	OTHER,	 /* S ^= 8: the other slot */
	SLOT,	 /* reads or writes the slot at S */
	COUNT,	 /* incl disp32(S) */
	COUNT_IP /* incl disp32(%rip) */
};

/*
 * Bytes with masks; what the masks leave open is a register, of which S, the scratch register,
 * must be r10 or r11. The last `imm` bytes are a number.
 */
static const struct form {
	__u8 kind, n, imm;
	__s8 scratch; /* index of the byte that holds the low three bits of S; -1 = none */
	__u8 shift;   /* where in that byte */
	__u8 byte[5], mask[5];
} forms[] = {
	{COMPARE, 3, 4, -1, 0, {0x48, 0x81, 0xf8}, {0xfe, 0xff, 0xf8}},
	{COMPARE, 2, 4, -1, 0, {0x48, 0x3d}, {0xff, 0xff}},
	{JUMP_TARGET, 2, 4, -1, 0, {0x0f, 0x84}, {0xff, 0xff}},
	{JUMP_THUNK, 1, 4, -1, 0, {0xe9}, {0xff}},
	{JUMP_SHORT, 1, 1, -1, 0, {0x74}, {0xfe}},
	{STOP, 1, 0, -1, 0, {0xcc}, {0xff}},
	{SAVE, 2, 0, 1, 0, {0x41, 0x50}, {0xff, 0xf8}},
	{RESTORE, 2, 0, 1, 0, {0x41, 0x58}, {0xff, 0xf8}},
	{LOAD4, 3, 0, 2, 0, {0x41, 0x89, 0xe0}, {0xff, 0xff, 0xf8}}, /* mov %esp, S */
	{SHIFT, 3, 1, 2, 0, {0x41, 0xc1, 0xe8}, {0xff, 0xff, 0xf8}},
	{MASK, 3, 4, 2, 0, {0x41, 0x81, 0xe0}, {0xff, 0xff, 0xf8}},
	{OTHER, 3, 1, 2, 0, {0x49, 0x83, 0xf0}, {0xff, 0xff, 0xf8}},
	{LOAD, 3, 0, 2, 3, {0x4c, 0x63, 0xc0}, {0xfe, 0xff, 0xc0}},		/* movslq R, S */
	{TEST, 3, 0, 2, 0, {0x49, 0x39, 0xc0}, {0xfb, 0xff, 0xc0}},		/* cmp R, S */
	{LOAD4, 3, 4, 2, 3, {0x44, 0x69, 0xc0}, {0xfe, 0xff, 0xc0}},		/* imul imm, R, S */
	{SLOT, 3, 0, 2, 0, {0x41, 0x39, 0x00}, {0xfb, 0xff, 0xc0}},		/* cmp R, (S) */
	{SLOT, 3, 0, 2, 0, {0x41, 0x89, 0x00}, {0xfb, 0xff, 0xc0}},		/* mov R, (S) */
	{SLOT, 3, 1, 2, 0, {0x41, 0x83, 0x38}, {0xff, 0xff, 0xf8}},		/* cmp imm, (S) */
	{SLOT, 4, 1, 2, 0, {0x41, 0x83, 0x60, 0x04}, {0xff, 0xff, 0xf8, 0xff}}, /* and, 4(S) */
	{SLOT, 4, 0, 2, 0, {0x41, 0xff, 0x40, 0x04}, {0xff, 0xff, 0xf8, 0xff}}, /* inc, 4(S) */
	{TABLE, 4, 4, 2, 3, {0x4e, 0x8d, 0x04, 0xc5}, {0xff, 0xff, 0xc7, 0xc7}},
	{CPU, 5, 4, 3, 3, {0x65, 0x4c, 0x03, 0x04, 0x25}, {0xff, 0xff, 0xff, 0xc7, 0xff}},
	{COUNT, 3, 4, 2, 0, {0x41, 0xff, 0x80}, {0xff, 0xff, 0xf8}},
	{COUNT_IP, 2, 4, -1, 0, {0xff, 0x05}, {0xff, 0xff}},
};

#define UNKNOWN	       (~0ull)
#define BLOCK_MAX_SLOT 31 /* of a table; AGENT_LEARN_SLOTS */
#define MAX32	       0xffffffffull

struct scan {
	const struct block_place *place;
	struct block_view *view;
	const __u8 *bytes;
	__u32 len, at;
	__u8 last;	    /* kind of the instruction before */
	__u64 compared;	    /* the address */
	int compared_reg;   /* -1: nothing compared yet */
	int scratch;	    /* the one scratch register; 0 = none used yet */
	int saved, dirtied; /* it is on the stack now; was changed without being saved */
	int slot;	    /* S points into a table */
	__u64 bound;	    /* S is no more than this, where it is no pointer */
	__u64 table_end;
	__u8 starts[BLOCK_MAX_BYTES]; /* a jump may lead here */
	__u8 landed[BLOCK_MAX_BYTES]; /* one does: LANDED_ANY, LANDED_SLOT */
};
#define LANDED_ANY  1
#define LANDED_SLOT 2 /* and wherever it came from, S points into a table */

static const struct form *match(const __u8 *b, __u32 room)
{
	const struct form *f;
	__u32 i;

	for (f = forms; f < forms + sizeof(forms) / sizeof(forms[0]); f++) {
		if ((__u32)f->n + f->imm > room)
			continue;
		for (i = 0; i < f->n && (b[i] & f->mask[i]) == f->byte[i]; i++)
			;
		if (i == f->n)
			return f;
	}
	return NULL;
}

static __s64 number(const __u8 *b, __u8 n)
{
	__s32 v;

	if (n == 1)
		return (__s8)b[0];
	if (n != sizeof(v))
		return 0;
	memcpy(&v, b, sizeof(v));
	return v;
}

static int in_data(const struct block_place *p, __u64 addr, __u32 size)
{
	return addr >= p->data_start && addr <= p->data_end && p->data_end - addr >= size;
}

static const char *compare(struct scan *s, const __u8 *b, __s64 n)
{
	int reg = b[1] == 0x3d ? 0 : (b[2] & 7) | (b[0] & 1) << 3;

	if (s->compared_reg >= 0 && s->compared_reg != reg)
		return "compares two registers";
	s->compared_reg = reg;
	s->compared = (__u64)n;
	return NULL;
}

static const char *jump_target(struct scan *s, __u64 to)
{
	if (s->last != COMPARE || to != s->compared)
		return "jumps to an address it has not just compared";
	if (s->view->ntargets == BLOCK_MAX_TARGETS)
		return "has too many targets";
	s->view->target[s->view->ntargets++] = to;
	return NULL;
}

static const char *jump_thunk(struct scan *s, __u64 to)
{
	if (s->view->thunk && s->view->thunk != to)
		return "jumps to two thunks";
	s->view->reg = s->place->thunk_register((unsigned long)to);
	if (s->view->reg < 0)
		return "jumps to what is no retpoline thunk";
	s->view->thunk = to;
	return NULL;
}

static const char *jump_short(struct scan *s, __u32 end, __s64 n)
{
	__u8 *landed;

	if (n < 0 || end + n >= s->len)
		return "jumps out of itself";
	landed = &s->landed[end + n];
	*landed = s->slot && *landed != LANDED_ANY ? LANDED_SLOT : LANDED_ANY;
	return NULL;
}

/* Between save and restore the stack is not the caller's: no way out may be there. */
static const char *stack(struct scan *s, const struct form *f)
{
	if (f->kind == SAVE || f->kind == RESTORE) {
		if (s->saved == (f->kind == SAVE))
			return "does not restore what it saves";
		s->saved = f->kind == SAVE;
	} else if (s->saved && f->scratch < 0) {
		return "leaves with a register on the stack";
	} else if (!s->saved && f->scratch >= 0) {
		s->dirtied = 1;
	}
	return NULL;
}

/* What S holds from here on; law: nothing outside the data half is written. */
static const char *scratch_value(struct scan *s, const struct form *f, __s64 n)
{
	switch (f->kind) {
	case LOAD:
	case LOAD4:
	case RESTORE:
		s->slot = 0;
		s->bound = f->kind == LOAD4 ? MAX32 : UNKNOWN;
		break;
	case SHIFT:
	case MASK:
		if (s->bound > MAX32)
			s->bound = MAX32;
		if (f->kind == SHIFT)
			s->bound >>= n & 31;
		else if (s->bound > (__u32)n)
			s->bound = (__u32)n;
		s->slot = 0;
		break;
	case TABLE:
		if (s->slot || s->bound > BLOCK_MAX_SLOT || n % 16 ||
		    !in_data(s->place, (__u64)n, 8 * ((__u32)s->bound + 1)))
			return "has a table outside the data half";
		s->table_end = (__u64)n + 8 * (s->bound + 1);
		s->slot = 1;
		break;
	case CPU:
		if (!s->slot || !s->place->cpu_disp || n != (__s32)s->place->cpu_disp ||
		    s->table_end > s->place->copy_end)
			return "adds what is not this CPU's offset";
		break;
	case OTHER:
		if (!s->slot || n != 8)
			return "makes an address that is no slot's";
		break;
	case SLOT:
		if (!s->slot)
			return "writes where no table is";
		break;
	case COUNT:
		if (s->slot || s->bound > MAX32 || !in_data(s->place, (__u64)n, (__u32)s->bound) ||
		    !in_data(s->place, (__u64)n + s->bound, 4))
			return "counts outside the data half";
		break;
	}
	return NULL;
}

static const char *use_scratch(struct scan *s, const struct form *f, const __u8 *b, __s64 n)
{
	int reg = 8 | (b[f->scratch] >> f->shift & 7);

	if (reg != 10 && reg != 11)
		return "writes a register that is not its own";
	if (s->scratch && s->scratch != reg)
		return "has two scratch registers";
	if (f->kind == TABLE && (b[3] >> 3 & 7) != (reg & 7))
		return "has two scratch registers";
	s->scratch = reg;
	return scratch_value(s, f, n);
}

static const char *step(struct scan *s, const struct form *f)
{
	const __u8 *b = s->bytes + s->at;
	__u32 end = s->at + f->n + f->imm;
	__s64 n = number(b + f->n, f->imm);
	__u64 to = s->place->at + end + (__u64)n;
	const char *wrong = stack(s, f);

	if (wrong)
		return wrong;
	if (s->last == COMPARE && f->kind != JUMP_TARGET)
		return "compares without jumping";
	if ((s->last == JUMP_THUNK) != (f->kind == STOP))
		return "lacks the int3 behind a jump, or has one elsewhere";
	if (f->scratch >= 0)
		return use_scratch(s, f, b, n);
	switch (f->kind) {
	case COMPARE:
		return compare(s, b, n);
	case JUMP_TARGET:
		return jump_target(s, to);
	case JUMP_THUNK:
		return jump_thunk(s, to);
	case JUMP_SHORT:
		return jump_short(s, end, n);
	case COUNT_IP:
		return in_data(s->place, to, 4) ? NULL : "counts outside the data half";
	}
	return NULL;
}

/* Here paths may join: only what holds on all of them is still known. */
static void join(struct scan *s)
{
	if (s->last == STOP)
		s->slot = s->landed[s->at] == LANDED_SLOT;
	else if (s->landed[s->at] == LANDED_ANY)
		s->slot = 0;
	if (s->last == STOP || s->landed[s->at])
		s->bound = UNKNOWN;
}

/* What can only be said at the end. */
static const char *whole(const struct scan *s)
{
	__u32 i;

	if (s->last != STOP || !s->view->thunk)
		return "does not end in a jump to a thunk";
	if (s->compared_reg >= 0 && s->compared_reg != s->view->reg)
		return "compares another register than its thunk's";
	if (s->dirtied && s->scratch == s->view->reg)
		return "changes its own register";
	for (i = 0; i < s->len; i++)
		if (s->landed[i] && !s->starts[i])
			return "jumps into an instruction";
	return NULL;
}

const char *block_check(const struct block_place *p, const __u8 *bytes, __u32 len,
			struct block_view *view)
{
	struct scan s = {.place = p,
			 .view = view,
			 .bytes = bytes,
			 .len = len,
			 .last = TEST,
			 .compared_reg = -1,
			 .bound = UNKNOWN};
	const struct form *f;
	const char *wrong;

	memset(view, 0, sizeof(*view));
	view->reg = -1;
	if (!len || len > BLOCK_MAX_BYTES)
		return "is empty or too long";
	for (; s.at < len; s.at += f->n + f->imm) {
		f = match(bytes + s.at, len - s.at);
		if (!f)
			return "has an instruction that no track has";
		s.starts[s.at] = f->kind != JUMP_TARGET && f->kind != STOP && !s.saved;
		join(&s);
		wrong = step(&s, f);
		if (wrong)
			return wrong;
		s.last = f->kind;
	}
	return whole(&s);
}
