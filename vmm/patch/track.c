// SPDX-License-Identifier: GPL-2.0-only
/* The bytes of tracks and learning tracks. */
#include "patch/track.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "x86/encode.h"

/* Kernel text lies in the top 2 GiB, ours in the process backend below 2 GiB:
 * both are what an imm32 or disp32 sign-extends to (Intel SDM vol. 1, 3.3.7). */
static bool sign_extends(gva_t addr)
{
	return addr == (gva_t)(int64_t)(int32_t)addr;
}

static bool usable_register(enum hotrail_reg reg)
{
	return (unsigned)reg < HOTRAIL_REGS && reg != HOTRAIL_RSP;
}

/* The block was built in a buffer that is large enough, so `failed` means out of reach. */
static int finish(const struct x86_emit *e, uint8_t *buf, size_t cap)
{
	if (e->failed)
		return -ERANGE;
	if (e->len > cap)
		return -ENOSPC;
	memcpy(buf, e->buf, e->len);
	return (int)e->len;
}

/* incl miss + ((rsp >> 14) % TRACK_MISS_WORDS) * TRACK_MISS_STRIDE. All registers as they were (law
 * 1). */
static void emit_count_miss(struct x86_emit *e, gva_t miss)
{
	const uint32_t mask = TRACK_MISS_SPAN - TRACK_MISS_STRIDE;
	const uint8_t choose[] = {
		0x41, 0x53,		  /* push %r11 */
		0x41, 0x89, 0xe3,	  /* mov %esp, %r11d */
		0x41, 0xc1, 0xeb, 14 - 6, /* shr: bit 14 to that of the stride */
		0x41, 0x81, 0xe3, (uint8_t)mask, (uint8_t)(mask >> 8), 0, 0, /* and */
	};
	const uint8_t count[] = {0x41,
				 0xff,
				 0x83,
				 (uint8_t)miss,
				 (uint8_t)(miss >> 8),
				 (uint8_t)(miss >> 16),
				 (uint8_t)(miss >> 24)}; /* incl miss(%r11) */
	static const uint8_t restore[] = {0x41, 0x5b};	 /* pop %r11 */

	x86_emit_bytes(e, choose, sizeof(choose));
	x86_emit_bytes(e, count, sizeof(count));
	x86_emit_bytes(e, restore, sizeof(restore));
}

int track_encode(const struct track_spec *spec, gva_t at, uint8_t *buf, size_t cap)
{
	uint8_t bytes[TRACK_MAX_BYTES];
	struct x86_emit e = {.buf = bytes, .cap = sizeof(bytes), .at = at};
	unsigned i;

	if (!usable_register(spec->reg) || !spec->ntargets ||
	    spec->ntargets > HOTRAIL_MAX_TARGETS || !spec->thunk || at % TRACK_ALIGN ||
	    spec->miss % sizeof(uint32_t))
		return -EINVAL;
	for (i = 0; i < spec->ntargets; i++) {
		if (!sign_extends(spec->targets[i]))
			return -ERANGE;
		x86_emit_cmp_imm32(&e, spec->reg, spec->targets[i]);
		x86_emit_je(&e, spec->targets[i]);
	}
	if (!sign_extends(spec->miss) || !sign_extends(spec->miss + TRACK_MISS_SPAN))
		return -ERANGE;
	emit_count_miss(&e, spec->miss);
	x86_emit_jmp(&e, spec->thunk);
	x86_emit_int3(&e); /* straight-line speculation */
	return finish(&e, buf, cap);
}

/* Instructions of the learning track: R is the site's register, S the scratch
 * register, r10 or r11. Opcodes from Intel SDM vol. 2; REX.W = 8, .R = 4, .X = 2, .B = 1. */
struct learn {
	struct x86_emit e;
	uint8_t r, s;
};

static void emit_rr(struct learn *l, uint8_t rex, uint8_t opcode, uint8_t reg, uint8_t rm)
{
	uint8_t b[3] = {(uint8_t)(0x40 | rex | (reg >> 3) << 2 | rm >> 3), opcode,
			(uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7))};

	x86_emit_bytes(&l->e, b, sizeof(b));
}

static void emit_imm32(struct learn *l, uint32_t imm)
{
	uint8_t b[4] = {(uint8_t)imm, (uint8_t)(imm >> 8), (uint8_t)(imm >> 16),
			(uint8_t)(imm >> 24)};

	x86_emit_bytes(&l->e, b, sizeof(b));
}

/* op %R32, (%S) for 39 = cmp and 89 = mov. r10 and r11 need neither SIB nor displacement. */
static void emit_slot(struct learn *l, uint8_t opcode)
{
	uint8_t b[3] = {(uint8_t)(0x41 | (l->r >> 3) << 2), opcode,
			(uint8_t)((l->r & 7) << 3 | (l->s & 7))};

	x86_emit_bytes(&l->e, b, sizeof(b));
}

/* A short jump whose target is not known yet: returns where its rel8 is. */
static size_t emit_short(struct learn *l, uint8_t opcode)
{
	uint8_t b[2] = {opcode, 0};

	x86_emit_bytes(&l->e, b, sizeof(b));
	return l->e.len - 1;
}

static void land(struct learn *l, size_t rel8)
{
	if (!l->e.failed) /* a block is shorter than 128 bytes: always in reach */
		l->e.buf[rel8] = (uint8_t)(l->e.len - rel8 - 1);
}

#define JE  0x74
#define JNE 0x75

/* %S = address of the slot that the hash of %R names; with gs, in this CPU's copy: add %gs:gs, %S.
 * A task that moves in between counts in another CPU's, which is as lossy as all of it. */
static void emit_hash(struct learn *l, gva_t table, uint32_t gs)
{
	uint8_t s = l->s & 7;
	const uint8_t add[] = {0x65, 0x4c, 0x03, (uint8_t)(0x04 | s << 3), 0x25};
	const uint8_t shr[] = {0x41, 0xc1, (uint8_t)(0xe8 | s), TRACK_LEARN_SHIFT};
	const uint8_t lea[] = {0x4e, 0x8d, (uint8_t)(0x04 | s << 3), (uint8_t)(0xc5 | s << 3)};

	emit_rr(l, 0, 0x69, l->s, l->r); /* imul $imm32, %R32, %S32 */
	emit_imm32(l, 0x9e3779b1);	 /* 2^32 / golden ratio, odd (Knuth vol. 3, 6.4) */
	x86_emit_bytes(&l->e, shr, sizeof(shr));
	x86_emit_bytes(&l->e, lea, sizeof(lea)); /* lea table(,%S,8), %S */
	emit_imm32(l, (uint32_t)table);
	if (gs) {
		x86_emit_bytes(&l->e, add, sizeof(add));
		emit_imm32(l, gs);
	}
}

/* cmp $0, (%S): is the slot free? */
static void emit_is_free(struct learn *l)
{
	const uint8_t b[] = {0x41, 0x83, (uint8_t)(0x38 | (l->s & 7)), 0};

	x86_emit_bytes(&l->e, b, sizeof(b));
}

/*
 * Two vCPUs may claim one slot at once: the later store wins the name, and the claim
 * zeroes the count, so a count earned by one target is lost rather than lent to
 * another for longer than the few instructions of the race. Only values that
 * %R held are ever stored as targets.
 */
int track_encode_learn(enum hotrail_reg reg, gva_t thunk, gva_t table, uint32_t gs, gva_t at,
		       uint8_t *buf, size_t cap)
{
	uint8_t bytes[TRACK_MAX_BYTES];
	struct learn l = {.e = {.buf = bytes, .cap = sizeof(bytes), .at = at},
			  .r = (uint8_t)reg,
			  .s = reg == HOTRAIL_R11 ? HOTRAIL_R10 : HOTRAIL_R11};
	uint8_t s = l.s & 7;
	const uint8_t flip[] = {0x49, 0x83, (uint8_t)(0xf0 | s), 8};	/* xor $8, %S */
	const uint8_t zero[] = {0x41, 0x83, (uint8_t)(0x60 | s), 4, 0}; /* andl $0, 4(%S) */
	const uint8_t count[] = {0x41, 0xff, (uint8_t)(0x40 | s), 4};	/* incl 4(%S) */
	size_t hit1, hit2, claim, full, wide;

	_Static_assert(1u << (32 - TRACK_LEARN_SHIFT) == TRACK_LEARN_SLOTS,
		       "the shift in emit_hash() yields a slot number");
	/* Aligned, so that the second slot is the first's address ^ 8. */
	if (!usable_register(reg) || !thunk || at % TRACK_ALIGN || table % 64)
		return -EINVAL;
	if (!sign_extends(table) || !sign_extends(table + sizeof(struct track_learn_table)))
		return -ERANGE;

	emit_rr(&l, 8, 0x63, l.s, l.r); /* movslq %R32, %S */
	emit_rr(&l, 8, 0x39, l.r, l.s); /* cmp %R, %S */
	wide = emit_short(&l, JNE);	/* 32 bits do not say which address: only counted */
	emit_hash(&l, table, gs);
	emit_slot(&l, 0x39);
	hit1 = emit_short(&l, JE);
	emit_is_free(&l);
	claim = emit_short(&l, JE);
	x86_emit_bytes(&l.e, flip, sizeof(flip));
	emit_slot(&l, 0x39);
	hit2 = emit_short(&l, JE);
	emit_is_free(&l);
	full = emit_short(&l, JNE);
	land(&l, claim);
	emit_slot(&l, 0x89);
	x86_emit_bytes(&l.e, zero, sizeof(zero));
	land(&l, hit1);
	land(&l, hit2);
	x86_emit_bytes(&l.e, count, sizeof(count));
	x86_emit_jmp(&l.e, thunk);
	x86_emit_int3(&l.e);
	land(&l, full);
	land(&l, wide);
	x86_emit_inc_mem32(&l.e, table + offsetof(struct track_learn_table, other));
	x86_emit_jmp(&l.e, thunk);
	x86_emit_int3(&l.e);
	return finish(&l.e, buf, cap);
}

static uint32_t add_counts(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

void track_learn_add(struct track_learn_table *sum, const struct track_learn_table *one)
{
	unsigned i, j;

	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		if (!one->slot[i].target)
			continue;
		for (j = 0; j < TRACK_LEARN_SLOTS && sum->slot[j].target &&
			    sum->slot[j].target != one->slot[i].target;
		     j++)
			;
		if (j == TRACK_LEARN_SLOTS) {
			sum->other = add_counts(sum->other, one->slot[i].count);
			continue;
		}
		sum->slot[j].target = one->slot[i].target;
		sum->slot[j].count = add_counts(sum->slot[j].count, one->slot[i].count);
	}
	sum->other = add_counts(sum->other, one->other);
}
