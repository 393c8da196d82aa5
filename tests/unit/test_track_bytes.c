// SPDX-License-Identifier: GPL-2.0-only
/* Tracks by decoding them, and the specifications that are refused. */
#include "suite.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "patch/track.h"
#include "x86/decode.h"

/* Walk a block: every instruction decodes, every jmp is followed by int3, branches lead where
 * meant. */
static void decode_block(const uint8_t *bytes, int len, gva_t at, const struct track_spec *spec)
{
	unsigned jcc = 0, jmp = 0, int3 = 0;
	bool after_jmp = false;
	struct x86_insn in;
	int i;

	for (i = 0; i < len; i += in.len) {
		CU_ASSERT_EQUAL_FATAL(x86_decode(bytes + i, (size_t)(len - i), at + (gva_t)i, &in),
				      0);
		CU_ASSERT_EQUAL(after_jmp, in.kind == X86_INT3);
		after_jmp = in.kind == X86_JMP_REL32;
		if (in.kind == X86_JCC_REL32 && spec)
			CU_ASSERT_EQUAL(in.target, spec->targets[jcc]);
		if (in.kind == X86_JMP_REL32 && spec)
			CU_ASSERT_EQUAL(in.target, spec->thunk);
		jcc += in.kind == X86_JCC_REL32;
		jmp += in.kind == X86_JMP_REL32;
		int3 += in.kind == X86_INT3;
		CU_ASSERT(in.kind == X86_OTHER || in.kind == X86_JCC_REL32 ||
			  in.kind == X86_JMP_REL32 || in.kind == X86_INT3);
	}
	CU_ASSERT_EQUAL(i, len);
	CU_ASSERT_EQUAL(jmp, int3);
	CU_ASSERT_EQUAL(jcc, spec ? spec->ntargets : 0);
	CU_ASSERT_EQUAL(jmp, spec ? 1 : 2);
}

static const struct track_spec high = {
	.reg = HOTRAIL_R12,
	.thunk = 0xffffffff81e00c00,
	.ntargets = 4,
	.miss = 0xffffffff82010004,
	.targets = {0xffffffff81000000, 0xffffffff81200000, 0xffffffff81300040, 0xffffffff817fffff},
};

static void blocks_decode_back(void)
{
	const gva_t at = 0xffffffff82000040, tab = 0xffffffff82010040;
	struct track_spec s = high;
	uint8_t buf[TRACK_MAX_BYTES];
	int len, reg;

	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		if (reg == HOTRAIL_RSP)
			continue;
		s.reg = (enum hotrail_reg)reg;
		for (s.ntargets = 1; s.ntargets <= 4; s.ntargets++) {
			len = track_encode(&s, at, buf, sizeof(buf));
			CU_ASSERT(len > 0 && len <= (s.ntargets == 1 ? 64 : TRACK_MAX_BYTES));
			decode_block(buf, len, at, &s);
		}
		len = track_encode_learn(s.reg, s.thunk, tab, 0, at, buf, sizeof(buf));
		CU_ASSERT(len > 0 && len <= TRACK_MAX_BYTES);
		decode_block(buf, len, at, NULL);
		len = track_encode_learn(s.reg, s.thunk, tab, 0x1f040, at, buf, sizeof(buf));
		CU_ASSERT(len > 0 && len <= TRACK_MAX_BYTES);
		decode_block(buf, len, at, NULL);
	}
}

/* Where each CPU has a copy of the table, the offset to it is added right after the hash. */
static void a_table_for_each_cpu_is_one_instruction_more(void)
{
	const gva_t at = 0xffffffff82000040, tab = 0xffffffff82010040;
	const uint8_t r11[] = {0x65, 0x4c, 0x03, 0x1c, 0x25, 0x40, 0xf0, 0x01, 0x80};
	const uint8_t r10[] = {0x65, 0x4c, 0x03, 0x14, 0x25, 0x40, 0xf0, 0x01, 0x80};
	uint8_t one[TRACK_MAX_BYTES], each[TRACK_MAX_BYTES];
	int reg, len, more;

	for (reg = HOTRAIL_R11; reg <= HOTRAIL_R12; reg++) {
		len = track_encode_learn((enum hotrail_reg)reg, high.thunk, tab, 0, at, one,
					 sizeof(one));
		more = track_encode_learn((enum hotrail_reg)reg, high.thunk, tab, 0x8001f040, at,
					  each, sizeof(each));
		CU_ASSERT_EQUAL(more, len + 9);
		/* movslq, cmp, jne, imul, shr, lea; the jne leads farther */
		CU_ASSERT_EQUAL(memcmp(one, each, 7), 0);
		CU_ASSERT_EQUAL(each[7], one[7] + 9);
		CU_ASSERT_EQUAL(memcmp(one + 8, each + 8, 19), 0);
		/* add %gs:0x8001f040, %r11 or %r10 */
		CU_ASSERT_EQUAL(memcmp(each + 27, reg == HOTRAIL_R11 ? r10 : r11, 9), 0);
		CU_ASSERT_EQUAL(memcmp(one + 27, each + 36, 20), 0);
	}
}

static void a_one_target_track_byte_for_byte(void)
{
	static const uint8_t want[] = {
		0x48, 0x3d, 0x00, 0x10, 0x00, 0x81,	  /* cmp $0xffffffff81001000, %rax */
		0x0f, 0x84, 0xf4, 0x0f, 0x00, 0xff,	  /* je there */
		0x41, 0x53,				  /* push %r11 */
		0x41, 0x89, 0xe3,			  /* mov %esp, %r11d */
		0x41, 0xc1, 0xeb, 0x08,			  /* shr $8, %r11d */
		0x41, 0x81, 0xe3, 0xc0, 0x01, 0x00, 0x00, /* and $0x1c0, %r11d */
		0x41, 0xff, 0x83, 0x00, 0x00, 0x01, 0x82, /* incl 0xffffffff82010000(%r11) */
		0x41, 0x5b,				  /* pop %r11 */
		0xe9, 0xd6, 0x1f, 0x00, 0xff,		  /* jmp thunk at 0xffffffff81002000 */
		0xcc,
	};
	const struct track_spec s = {.reg = HOTRAIL_RAX,
				     .thunk = 0xffffffff81002000,
				     .targets = {0xffffffff81001000},
				     .ntargets = 1,
				     .miss = 0xffffffff82010000};
	uint8_t buf[TRACK_MAX_BYTES];

	CU_ASSERT_EQUAL(track_encode(&s, 0xffffffff82000000, buf, sizeof(buf)), (int)sizeof(want));
	CU_ASSERT_EQUAL(memcmp(buf, want, sizeof(want)), 0);
}

static int with(struct track_spec s, gva_t at, size_t cap)
{
	uint8_t buf[TRACK_MAX_BYTES];

	return track_encode(&s, at, buf, cap);
}

static void bad_specs_are_refused(void)
{
	const gva_t at = 0xffffffff82000000, tab = 0xffffffff82010000, far = 0x100000;
	uint8_t buf[TRACK_MAX_BYTES];
	struct track_spec s = high;

	CU_ASSERT(with(s, at, TRACK_MAX_BYTES) > 0);
	CU_ASSERT_EQUAL(with(s, at, 63), -ENOSPC);
	CU_ASSERT_EQUAL(with(s, at + 8, 96), -EINVAL);
	s.reg = HOTRAIL_RSP;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s.reg = HOTRAIL_REGS;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s = high;
	s.ntargets = 0;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s.ntargets = 5;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s = high;
	s.thunk = 0;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s = high;
	s.miss += 2;
	CU_ASSERT_EQUAL(with(s, at, 96), -EINVAL);
	s = high;
	s.targets[2] = 0xffff888000000000;
	CU_ASSERT_EQUAL(with(s, at, 96), -ERANGE);
	s.targets[2] = 0x80000000;
	CU_ASSERT_EQUAL(with(s, at, 96), -ERANGE);
	s = high;
	s.thunk = 0xfffffffeffffff00;
	CU_ASSERT_EQUAL(with(s, at, 96), -ERANGE);
	s = high;
	s.miss = 0xffff888000000000;
	CU_ASSERT_EQUAL(with(s, at, 96), -ERANGE);

	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RSP, high.thunk, tab, 0, at, buf, 96), -EINVAL);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, 0, tab, 0, at, buf, 96), -EINVAL);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, high.thunk, tab + 8, 0, at, buf, 96),
			-EINVAL);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, high.thunk, tab, 0, at + 1, buf, 96),
			-EINVAL);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, high.thunk, 0x80000000, 0, at, buf, 96),
			-ERANGE);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, high.thunk, 0x7fffffc0, 0, at, buf, 96),
			-ERANGE);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, far, tab, 0, 0xffff888000000000, buf, 96),
			-ERANGE);
	CU_ASSERT_EQUAL(track_encode_learn(HOTRAIL_RAX, high.thunk, tab, 0, at, buf, 40), -ENOSPC);
}

static const struct suite_test tests[] = {
	{"blocks decode back", blocks_decode_back},
	{"a table for each cpu is one instruction more",
	 a_table_for_each_cpu_is_one_instruction_more},
	{"a one target track byte for byte", a_one_target_track_byte_for_byte},
	{"bad specs are refused", bad_specs_are_refused},
};

SUITE_MAIN("track bytes", tests, 60)
