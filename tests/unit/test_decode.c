// SPDX-License-Identifier: GPL-2.0-only
/* The decoder wrapper on raw bytes: kinds, lengths, registers, targets, refusals. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "x86/decode.h"

#define AT 0xffffffff81000000ull

static struct x86_insn decoded(const uint8_t *bytes, size_t len)
{
	struct x86_insn in;

	memset(&in, 0xff, sizeof(in));
	CU_ASSERT_EQUAL_FATAL(x86_decode(bytes, len, AT, &in), 0);
	return in;
}

#define DECODE(...) decoded((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void check_rel(struct x86_insn in, unsigned kind, unsigned len, unsigned rel, gva_t target)
{
	CU_ASSERT_EQUAL(in.kind, kind);
	CU_ASSERT_EQUAL(in.len, len);
	CU_ASSERT_EQUAL(in.rel_offset, rel);
	CU_ASSERT_EQUAL(in.target, target);
}

static void test_rel32(void)
{
	check_rel(DECODE(0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 5, 1, AT + 5 + 0x10);
	check_rel(DECODE(0xe9, 0xfb, 0xff, 0xff, 0xff), X86_JMP_REL32, 5, 1, AT);
	check_rel(DECODE(0x0f, 0x84, 0, 1, 0, 0), X86_JCC_REL32, 6, 2, AT + 6 + 0x100);
	check_rel(DECODE(0x0f, 0x8f, 0, 1, 0, 0), X86_JCC_REL32, 6, 2, AT + 6 + 0x100);
	check_rel(DECODE(0xe8, 0, 0, 0, 0x80), X86_CALL_REL32, 5, 1, AT + 5 - 0x80000000ull);
}

static void test_prefixes(void)
{
	check_rel(DECODE(0x2e, 0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 6, 2, AT + 6 + 0x10);
	check_rel(DECODE(0x2e, 0xe9, 0x10, 0, 0, 0), X86_JMP_REL32, 6, 2, AT + 6 + 0x10);
	check_rel(DECODE(0x2e, 0x2e, 0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 7, 3, AT + 7 + 0x10);
	check_rel(DECODE(0x48, 0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 6, 2, AT + 6 + 0x10);
	check_rel(DECODE(0xf2, 0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 6, 2, AT + 6 + 0x10);
	/* data16 rex.W call: the padding GCC puts before __tls_get_addr */
	check_rel(DECODE(0x66, 0x48, 0xe8, 0x10, 0, 0, 0), X86_CALL_REL32, 7, 3, AT + 7 + 0x10);
}

static void test_operand_size_branch_is_ambiguous(void)
{
	CU_ASSERT_EQUAL(DECODE(0x66, 0xe8, 0x10, 0, 0, 0).kind, X86_OTHER);
	CU_ASSERT_EQUAL(DECODE(0x66, 0xe9, 0x10, 0, 0, 0).kind, X86_OTHER);
	CU_ASSERT_EQUAL(DECODE(0x66, 0x0f, 0x84, 0x10, 0, 0, 0).kind, X86_OTHER);
}

static void test_registers(void)
{
	unsigned reg;

	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		uint8_t call[] = {0x40 | reg >> 3, 0xff, 0xd0 | (reg & 7)};
		uint8_t jump[] = {0x40 | reg >> 3, 0xff, 0xe0 | (reg & 7)};
		struct x86_insn in = decoded(call, sizeof(call));

		CU_ASSERT_EQUAL(in.kind, X86_CALL_REG);
		CU_ASSERT_EQUAL(in.reg, reg);
		in = decoded(jump, sizeof(jump));
		CU_ASSERT_EQUAL(in.kind, X86_JMP_REG);
		CU_ASSERT_EQUAL(in.reg, reg);
	}
	/* a REX byte that is not the last prefix has no effect */
	CU_ASSERT_EQUAL(DECODE(0x41, 0x2e, 0xff, 0xd0).reg, HOTRAIL_RAX);
	/* notrack jmp *%rdx */
	CU_ASSERT_EQUAL(DECODE(0x3e, 0xff, 0xe2).kind, X86_JMP_REG);
	CU_ASSERT_EQUAL(DECODE(0x3e, 0xff, 0xe2).reg, HOTRAIL_RDX);
}

static void test_memory_forms(void)
{
	CU_ASSERT_EQUAL(DECODE(0xff, 0x10).kind, X86_CALL_MEM);
	CU_ASSERT_EQUAL(DECODE(0xff, 0x24, 0xc5, 0, 0, 0, 0).kind, X86_JMP_MEM);
	CU_ASSERT_EQUAL(DECODE(0xff, 0x15, 0, 0, 0, 0).kind, X86_CALL_MEM);
	CU_ASSERT_EQUAL(DECODE(0xff, 0x18).kind, X86_OTHER); /* lcall */
	CU_ASSERT_EQUAL(DECODE(0xff, 0x28).kind, X86_OTHER); /* ljmp */
	CU_ASSERT_EQUAL(DECODE(0xff, 0xc0).kind, X86_OTHER); /* inc eax */
}

static void test_others(void)
{
	CU_ASSERT_EQUAL(DECODE(0xc3).kind, X86_RET);
	CU_ASSERT_EQUAL(DECODE(0xf3, 0xc3).kind, X86_RET);
	CU_ASSERT_EQUAL(DECODE(0xc2, 8, 0).kind, X86_RET);
	CU_ASSERT_EQUAL(DECODE(0xcb).kind, X86_OTHER); /* far return */
	CU_ASSERT_EQUAL(DECODE(0xcc).kind, X86_INT3);
	CU_ASSERT_EQUAL(DECODE(0xcd, 3).kind, X86_OTHER);
	CU_ASSERT_EQUAL(DECODE(0xeb, 0).kind, X86_OTHER);
	CU_ASSERT_EQUAL(DECODE(0x66, 0x0f, 0x1f, 0x44, 0, 0).len, 6);
	CU_ASSERT_EQUAL(DECODE(0xf3, 0x0f, 0x1e, 0xfa).len, 4);	   /* endbr64 */
	CU_ASSERT_EQUAL(DECODE(0x0f, 0xc3, 0x07).kind, X86_OTHER); /* movnti, not ret */
	/* VEX map 1 opcode 84 must not look like je: vzeroupper is c5 f8 77 */
	CU_ASSERT_EQUAL(DECODE(0xc5, 0xf8, 0x77).kind, X86_OTHER);
	CU_ASSERT_EQUAL(DECODE(0xc5, 0xf8, 0x77).len, 3);
}

static void test_refusals(void)
{
	static const uint8_t call[] = {0x2e, 0xe8, 1, 2, 3, 4};
	static const uint8_t bad[] = {0x06, 0x90}; /* push es: not in long mode */
	static const uint8_t prefixes[16] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
					     0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90};
	struct x86_insn in;
	size_t len;

	for (len = 0; len < sizeof(call); len++)
		CU_ASSERT_EQUAL(x86_decode(call, len, AT, &in), -ENODATA);
	CU_ASSERT_EQUAL(x86_decode(call, sizeof(call), AT, &in), 0);
	CU_ASSERT_EQUAL(x86_decode(bad, sizeof(bad), AT, &in), -EILSEQ);
	CU_ASSERT_EQUAL(x86_decode(prefixes, sizeof(prefixes), AT, &in), -EILSEQ);
}

static const struct suite_test tests[] = {
	{"rel32 call jmp jcc", test_rel32},
	{"prefixed rel32", test_prefixes},
	{"operand-size prefix on a branch", test_operand_size_branch_is_ambiguous},
	{"indirect through each register", test_registers},
	{"indirect through memory", test_memory_forms},
	{"other instructions", test_others},
	{"truncated and invalid bytes", test_refusals},
};

SUITE_MAIN("decode", tests, 20)
