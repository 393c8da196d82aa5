// SPDX-License-Identifier: GPL-2.0-only
/* The encoder against hand-assembled bytes and against the decoder; its refusals. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "x86/decode.h"
#include "x86/encode.h"

#define AT 0xffffffff81000000ull

static uint8_t buf[64];

static struct x86_emit emitter(size_t cap)
{
	memset(buf, 0xee, sizeof(buf));
	return (struct x86_emit){.buf = buf, .cap = cap, .at = AT};
}

static void check_bytes(const struct x86_emit *e, const char *expected, size_t n)
{
	CU_ASSERT_FALSE(e->failed);
	CU_ASSERT_EQUAL(e->len, n);
	CU_ASSERT_EQUAL(memcmp(buf, expected, n), 0);
	CU_ASSERT_EQUAL(buf[n], 0xee);
}

static void test_cmp(void)
{
	struct x86_emit e = emitter(sizeof(buf));

	x86_emit_cmp_imm32(&e, HOTRAIL_RAX, 0xffffffff81234567);
	check_bytes(&e, "\x48\x3d\x67\x45\x23\x81", 6);
	e = emitter(sizeof(buf));
	x86_emit_cmp_imm32(&e, HOTRAIL_RDI, 0x40001000);
	check_bytes(&e, "\x48\x81\xff\x00\x10\x00\x40", 7);
	e = emitter(sizeof(buf));
	x86_emit_cmp_imm32(&e, HOTRAIL_R13, 0xffffffff81234567);
	check_bytes(&e, "\x49\x81\xfd\x67\x45\x23\x81", 7);
}

static void test_cmp_refuses_what_does_not_sign_extend(void)
{
	static const gva_t bad[] = {0x80000000, 0xffffffff, 0x100000000, 0xffffffff7fffffff,
				    0x8000000000000000};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct x86_emit e = emitter(sizeof(buf));

		x86_emit_cmp_imm32(&e, HOTRAIL_RCX, bad[i]);
		CU_ASSERT_TRUE(e.failed);
		CU_ASSERT_EQUAL(e.len, 0);
	}
}

static void test_branches(void)
{
	struct x86_emit e = emitter(sizeof(buf));

	x86_emit_je(&e, AT + 0x100);
	x86_emit_jmp(&e, AT);
	x86_emit_inc_mem32(&e, AT + 0x1000);
	x86_emit_int3(&e);
	check_bytes(&e,
		    "\x0f\x84\xfa\x00\x00\x00"
		    "\xe9\xf5\xff\xff\xff"
		    "\xff\x05\xef\x0f\x00\x00"
		    "\xcc",
		    18);
}

static void test_decoder_agrees(void)
{
	struct x86_emit e = emitter(sizeof(buf));
	struct x86_insn in;

	x86_emit_je(&e, AT - 0x1234);
	x86_emit_jmp(&e, AT + 0x7ffffff0);
	CU_ASSERT_EQUAL_FATAL(x86_decode(buf, e.len, AT, &in), 0);
	CU_ASSERT_EQUAL(in.kind, X86_JCC_REL32);
	CU_ASSERT_EQUAL(in.target, AT - 0x1234);
	CU_ASSERT_EQUAL_FATAL(x86_decode(buf + in.len, e.len - in.len, AT + in.len, &in), 0);
	CU_ASSERT_EQUAL(in.kind, X86_JMP_REL32);
	CU_ASSERT_EQUAL(in.target, AT + 0x7ffffff0);
}

static void test_rel32_limits(void)
{
	int32_t rel = 0;

	CU_ASSERT_TRUE(x86_rel32(AT, AT + 0x7fffffff, &rel));
	CU_ASSERT_EQUAL(rel, INT32_MAX);
	CU_ASSERT_FALSE(x86_rel32(AT, AT + 0x80000000ull, &rel));
	CU_ASSERT_TRUE(x86_rel32(AT, AT - 0x80000000ull, &rel));
	CU_ASSERT_EQUAL(rel, INT32_MIN);
	CU_ASSERT_FALSE(x86_rel32(AT, AT - 0x80000001ull, &rel));
	CU_ASSERT_FALSE(x86_rel32(0, 1ull << 63, &rel));
}

static void test_failure_latches(void)
{
	struct x86_emit e = emitter(7);

	x86_emit_jmp(&e, AT);
	CU_ASSERT_FALSE(e.failed);
	x86_emit_jmp(&e, AT); /* 5 more do not fit in 7 */
	CU_ASSERT_TRUE(e.failed);
	x86_emit_int3(&e); /* would fit, must not be written */
	CU_ASSERT_TRUE(e.failed);
	CU_ASSERT_EQUAL(e.len, 5);
	CU_ASSERT_EQUAL(buf[5], 0xee);
	e = emitter(sizeof(buf));
	x86_emit_jmp(&e, AT + 0x100000000ull);
	CU_ASSERT_TRUE(e.failed);
	CU_ASSERT_EQUAL(e.len, 0);
}

static void test_retarget(void)
{
	static const uint8_t call[] = {0xe8, 1, 2, 3, 4};
	static const uint8_t cs_jmp[] = {0x2e, 0xe9, 1, 2, 3, 4};
	uint8_t out[6];
	struct x86_insn in;

	CU_ASSERT_EQUAL(x86_retarget(call, 5, AT, AT + 0x1000, out), 0);
	CU_ASSERT_EQUAL(memcmp(out, "\xe8\xfb\x0f\x00\x00", 5), 0);
	CU_ASSERT_EQUAL(x86_retarget(cs_jmp, 6, AT, AT - 0x1000, out), 0);
	CU_ASSERT_EQUAL_FATAL(x86_decode(out, 6, AT, &in), 0);
	CU_ASSERT_EQUAL(in.kind, X86_JMP_REL32);
	CU_ASSERT_EQUAL(in.target, AT - 0x1000);
	CU_ASSERT_EQUAL(out[0], 0x2e);
}

static void test_retarget_refusals(void)
{
	static const uint8_t call[] = {0xe8, 1, 2, 3, 4, 5};
	static const uint8_t je[] = {0x0f, 0x84, 1, 2, 3, 4};
	static const uint8_t rex[] = {0x48, 0xe8, 1, 2, 3, 4};
	static const uint8_t nop[] = {0x0f, 0x1f, 0x44, 0, 0};
	uint8_t out[6];

	CU_ASSERT_EQUAL(x86_retarget(call, 4, AT, AT, out), -EINVAL);
	CU_ASSERT_EQUAL(x86_retarget(call, 6, AT, AT, out), -EINVAL);
	CU_ASSERT_EQUAL(x86_retarget(je, 6, AT, AT, out), -EINVAL);
	CU_ASSERT_EQUAL(x86_retarget(rex, 6, AT, AT, out), -EINVAL);
	CU_ASSERT_EQUAL(x86_retarget(nop, 5, AT, AT, out), -EINVAL);
	CU_ASSERT_EQUAL(x86_retarget(call, 5, AT, AT + (1ull << 32), out), -ERANGE);
}

static const struct suite_test tests[] = {
	{"cmp imm32", test_cmp},
	{"cmp refuses a value that does not sign-extend",
	 test_cmp_refuses_what_does_not_sign_extend},
	{"je jmp inc int3 bytes", test_branches},
	{"decoder reads back the same", test_decoder_agrees},
	{"rel32 limits", test_rel32_limits},
	{"failure latches", test_failure_latches},
	{"retarget", test_retarget},
	{"retarget refusals", test_retarget_refusals},
};

SUITE_MAIN("encode", tests, 20)
