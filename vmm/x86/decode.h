/* SPDX-License-Identifier: GPL-2.0-only */
/* x86-64 decoding through Zydis; the only user of it. Pure, reentrant, no allocation. */
#ifndef HOTRAIL_X86_DECODE_H
#define HOTRAIL_X86_DECODE_H

#include <stddef.h>
#include <hotrail/types.h>

enum x86_kind {
	X86_OTHER,
	X86_CALL_REL32, /* e8, with or without prefixes */
	X86_JMP_REL32,	/* e9 */
	X86_JCC_REL32,	/* 0f 8x */
	X86_CALL_REG,
	X86_JMP_REG, /* ff /2, ff /4 with a register operand */
	X86_CALL_MEM,
	X86_JMP_MEM,
	X86_RET,
	X86_INT3,
};

struct x86_insn {
	uint8_t len;
	uint8_t kind;	    /* enum x86_kind */
	uint8_t reg;	    /* for *_REG: enum hotrail_reg */
	uint8_t rel_offset; /* for REL32: index of the displacement's first byte */
	gva_t target;	    /* for REL32: absolute */
};

/* Decode the instruction at bytes[0..len) that sits at address `at`. 0, or -EILSEQ, or -ENODATA
 * (truncated). */
int x86_decode(const uint8_t *bytes, size_t len, gva_t at, struct x86_insn *out);

#endif
