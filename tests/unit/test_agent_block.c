// SPDX-License-Identifier: GPL-2.0-only
/* The module's checker of tracks: takes what the host encodes, refuses whatever could go elsewhere.
 */
#include "suite.h"

#include <string.h>

#include "guest-agent/block.c" /* built for the kernel; here as it is */
#include "patch/track.h"

#define AT     0xffffffffc0200040ull
#define DATA   0xffffffffc0280000ull
#define COPY   0x10000u
#define END    (DATA + 2 * COPY + 0x1000)
#define MISS   (DATA + 2 * COPY)
#define THUNK  0xffffffff81e01000ull
#define GS     0x34000u
#define TARGET 0xffffffff81234560ull

static uint8_t bytes[TRACK_MAX_BYTES];
static struct block_view view;

/* As in a kernel: a thunk of 32 bytes for each register. */
static int thunk_register(unsigned long addr)
{
	if (addr < THUNK || addr >= THUNK + 16 * 32 || addr % 32)
		return -1;
	return (int)((addr - THUNK) / 32);
}

static const struct block_place place = {
	.at = AT,
	.data_start = DATA,
	.data_end = END,
	.copy_end = DATA + COPY,
	.cpu_disp = GS,
	.thunk_register = thunk_register,
};

static const char *check(int len)
{
	return block_check(&place, bytes, (uint32_t)len, &view);
}

static int track(enum hotrail_reg reg, unsigned n)
{
	struct track_spec s = {
		.reg = reg, .thunk = THUNK + 32 * (gva_t)reg, .ntargets = n, .miss = MISS + 60};
	unsigned i;

	for (i = 0; i < n; i++)
		s.targets[i] = TARGET + 64 * i;
	return track_encode(&s, AT, bytes, sizeof(bytes));
}

static int learn(enum hotrail_reg reg, uint32_t gs)
{
	return track_encode_learn(reg, THUNK + 32 * (gva_t)reg, DATA + 320, gs, AT, bytes,
				  sizeof(bytes));
}

static void test_tracks(void)
{
	int reg, len;
	unsigned n, i;

	for (reg = 0; reg < HOTRAIL_REGS; reg++)
		for (n = 1; n <= HOTRAIL_MAX_TARGETS && reg != HOTRAIL_RSP; n++) {
			len = track((enum hotrail_reg)reg, n);
			CU_ASSERT_FATAL(len > 0);
			CU_ASSERT_PTR_NULL(check(len));
			CU_ASSERT(view.reg == reg && view.ntargets == n);
			CU_ASSERT_EQUAL(view.thunk, THUNK + 32 * (gva_t)reg);
			for (i = 0; i < n; i++)
				CU_ASSERT_EQUAL(view.target[i], TARGET + 64 * i);
		}
}

static void test_learning(void)
{
	int reg, len, gs;

	for (reg = 0; reg < HOTRAIL_REGS; reg++)
		for (gs = 0; gs < 2 && reg != HOTRAIL_RSP; gs++) {
			len = learn((enum hotrail_reg)reg, gs ? GS : 0);
			CU_ASSERT_FATAL(len > 0);
			CU_ASSERT_PTR_NULL(check(len));
			CU_ASSERT(view.reg == reg && view.ntargets == 0);
		}
}

static void test_other_offset(void)
{
	int len = learn(HOTRAIL_RAX, GS + 8);

	CU_ASSERT_FATAL(len > 0);
	CU_ASSERT_STRING_EQUAL(check(len), "adds what is not this CPU's offset");
	/* In the second copy it would lead out of the data half. */
	len = track_encode_learn(HOTRAIL_RAX, THUNK, DATA + COPY, GS, AT, bytes, sizeof(bytes));
	CU_ASSERT_FATAL(len > 0);
	CU_ASSERT_STRING_EQUAL(check(len), "adds what is not this CPU's offset");
}

/* Law 1 on every single bit: what is still taken is a track, for the same register, whose targets
 * are what it compares; a flipped bit can at most name another target, counter or table. */
static void test_flipped_bits(void)
{
	int len = track(HOTRAIL_RBX, 2), i, taken = 0;

	for (i = 0; i < 8 * len; i++) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		if (!check(len)) {
			taken++;
			CU_ASSERT_EQUAL(view.thunk, THUNK + 32 * HOTRAIL_RBX);
			CU_ASSERT_EQUAL(view.reg, HOTRAIL_RBX);
			CU_ASSERT(view.target[0] == TARGET && view.target[1] == TARGET + 64);
		}
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	CU_ASSERT(taken > 0 && taken < 8 * 10); /* the counter's address and its mask */
}

static void test_cut_short(void)
{
	int len = track(HOTRAIL_R11, 4), i;

	for (i = 0; i < len; i++)
		CU_ASSERT_PTR_NOT_NULL(check(i));
	len = learn(HOTRAIL_RAX, GS);
	for (i = 0; i < len; i++)
		/* It has a whole ending in the middle, but jumps behind that. */
		CU_ASSERT_PTR_NOT_NULL(check(i));
	CU_ASSERT_PTR_NOT_NULL(block_check(&place, bytes, BLOCK_MAX_BYTES + 1, &view));
}

static void test_wrong_thunk(void)
{
	struct track_spec s = {.reg = HOTRAIL_RAX,
			       .thunk = THUNK,
			       .targets = {TARGET},
			       .ntargets = 1,
			       .miss = MISS};
	int len;

	s.thunk = THUNK + 32; /* another register's */
	len = track_encode(&s, AT, bytes, sizeof(bytes));
	CU_ASSERT_STRING_EQUAL(check(len), "compares another register than its thunk's");
	s.thunk = THUNK + 8;
	len = track_encode(&s, AT, bytes, sizeof(bytes));
	CU_ASSERT_STRING_EQUAL(check(len), "jumps to what is no retpoline thunk");
}

/* je anywhere but to what was compared. */
static void test_wrong_target(void)
{
	int len = track(HOTRAIL_RCX, 1);

	bytes[7 + 2]++;
	CU_ASSERT_STRING_EQUAL(check(len), "jumps to an address it has not just compared");
}

static void test_writes_elsewhere(void)
{
	struct track_spec s = {
		.reg = HOTRAIL_RAX, .thunk = THUNK, .targets = {TARGET}, .ntargets = 1};
	const gva_t wrong[] = {DATA - 4, END - 4, TARGET, END};
	unsigned i;
	int len;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		s.miss = wrong[i];
		len = track_encode(&s, AT, bytes, sizeof(bytes));
		CU_ASSERT_FATAL(len > 0);
		CU_ASSERT_STRING_EQUAL(check(len), "counts outside the data half");
	}
	for (i = 0; i < 2; i++) {
		len = track_encode_learn(HOTRAIL_RAX, THUNK, i ? TARGET & ~63ull : END - 64, 0, AT,
					 bytes, sizeof(bytes));
		CU_ASSERT_FATAL(len > 0);
		CU_ASSERT_STRING_EQUAL(check(len), "has a table outside the data half");
	}
}

struct raw {
	const char *wrong;
	uint8_t len, bytes[32];
};

/* Behind each stands `jmp thunk of rax; int3`. */
static const struct raw raws[] = {
	{NULL, 0, {0}},
	{"does not restore what it saves", 2, {0x41, 0x5b}},
	{"leaves with a register on the stack", 2, {0x41, 0x53}},
	{"has two scratch registers", 4, {0x41, 0x53, 0x41, 0x5a}},
	{"writes a register that is not its own", 3, {0x41, 0x89, 0xe4}},
	{"writes where no table is", 3, {0x41, 0x89, 0x03}}, /* mov %eax, (%r11) */
	{"writes where no table is", 7, {0x41, 0x53, 0x41, 0xff, 0x43, 0x04, 0xcc}},
	{"makes an address that is no slot's", 4, {0x49, 0x83, 0xf3, 0x08}},
	{"adds what is not this CPU's offset", 9, {0x65, 0x4c, 0x03, 0x1c, 0x25, 0, 0x40, 3, 0}},
	{"counts outside the data half", 6, {0xff, 0x05, 0, 0, 0, 0}},
	{"lacks the int3 behind a jump, or has one elsewhere", 1, {0xcc}},
	{"compares without jumping", 6, {0x48, 0x3d, 0x60, 0x45, 0x23, 0x81}},
	{"jumps to an address it has not just compared", 6, {0x0f, 0x84, 0, 0, 0, 0}},
	{"jumps out of itself", 2, {0x74, 0x7f}},
	{"jumps out of itself", 2, {0x75, 0xfe}}, /* to itself */
	{"jumps into an instruction", 2, {0x74, 0x01}},
	{"has an instruction that no track has", 1, {0xc3}},
	{"has an instruction that no track has", 2, {0xff, 0xe0}}, /* jmp *%rax */
	{"has an instruction that no track has", 2, {0x0f, 0x05}},
	{"has an instruction that no track has", 1, {0x90}},
};

static int raw(const struct raw *r)
{
	int32_t rel = (int32_t)(THUNK - (AT + r->len + 5));

	memcpy(bytes, r->bytes, r->len);
	bytes[r->len] = 0xe9;
	memcpy(bytes + r->len + 1, &rel, sizeof(rel));
	bytes[r->len + 5] = 0xcc;
	return r->len + 6;
}

static void test_raw(void)
{
	const char *wrong;
	unsigned i;

	for (i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		wrong = check(raw(&raws[i]));
		CU_ASSERT(raws[i].wrong ? wrong && !strcmp(wrong, raws[i].wrong) : !wrong);
	}
}

/* A short jump over the compare would reach the je with other flags. */
static void test_jump_to_je(void)
{
	static const struct raw over = {
		NULL, 14, {0x74, 0x06, 0x48, 0x3d, 0x60, 0x45, 0x23, 0x81, 0x0f, 0x84}};
	int32_t rel = (int32_t)(TARGET - (AT + 14));
	int len = raw(&over);

	memcpy(bytes + 10, &rel, sizeof(rel));
	CU_ASSERT_STRING_EQUAL(check(len), "jumps into an instruction");
	bytes[1] = 0x0c; /* behind it: fine */
	CU_ASSERT_PTR_NULL(check(len));
}

/* The scratch register would be lost where it is the site's own. */
static void test_own_register(void)
{
	static const struct raw load = {NULL, 3, {0x41, 0x89, 0xe3}}; /* mov %esp, %r11d */
	int32_t rel = (int32_t)(THUNK + 32 * 11 - (AT + 3 + 5));
	int len = raw(&load);

	CU_ASSERT_PTR_NULL(check(len));
	memcpy(bytes + 4, &rel, sizeof(rel));
	CU_ASSERT_STRING_EQUAL(check(len), "changes its own register");
}

static const struct suite_test tests[] = {
	{"tracks of every register", test_tracks},
	{"learning tracks of every register", test_learning},
	{"another offset than the CPU s", test_other_offset},
	{"no flipped bit leads elsewhere", test_flipped_bits},
	{"cut short anywhere", test_cut_short},
	{"a thunk of another register or none", test_wrong_thunk},
	{"a target that was not compared", test_wrong_target},
	{"counters and tables outside the data half", test_writes_elsewhere},
	{"instructions that no track has", test_raw},
	{"a jump between compare and je", test_jump_to_je},
	{"the own register as scratch", test_own_register},
};

SUITE_MAIN("agent_block", tests, 20)
