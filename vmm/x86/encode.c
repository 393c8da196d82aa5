// SPDX-License-Identifier: GPL-2.0-only
/* The few instructions tracks are made of (Intel SDM vol. 2 for every opcode). */
#include "x86/encode.h"

#include <errno.h>
#include <string.h>

void x86_emit_bytes(struct x86_emit *e, const void *bytes, size_t n)
{
	if (e->failed || n > e->cap - e->len) {
		e->failed = true;
		return;
	}
	memcpy(e->buf + e->len, bytes, n);
	e->len += n;
}

bool x86_rel32(gva_t end, gva_t to, int32_t *rel)
{
	int64_t distance = (int64_t)(to - end);

	if (distance < INT32_MIN || distance > INT32_MAX)
		return false;
	*rel = (int32_t)distance;
	return true;
}

/* Opcode bytes followed by a rel32 that ends the instruction. */
static void emit_rel32(struct x86_emit *e, const uint8_t *opcode, size_t n, gva_t to)
{
	uint8_t insn[8];
	int32_t rel;

	if (!x86_rel32(e->at + e->len + n + sizeof(rel), to, &rel)) {
		e->failed = true;
		return;
	}
	memcpy(insn, opcode, n);
	memcpy(insn + n, &rel, sizeof(rel));
	x86_emit_bytes(e, insn, n + sizeof(rel));
}

void x86_emit_cmp_imm32(struct x86_emit *e, enum hotrail_reg reg, gva_t value)
{
	int32_t imm = (int32_t)(uint32_t)value;
	uint8_t insn[7] = {0x48, 0x81, 0xf8}; /* REX.W 81 /7 id */
	size_t n = 3;

	if ((unsigned)reg >= HOTRAIL_REGS || (gva_t)(int64_t)imm != value) {
		e->failed = true;
		return;
	}
	if (reg == HOTRAIL_RAX) { /* REX.W 3d id, one byte less */
		insn[1] = 0x3d;
		n = 2;
	} else {
		insn[0] |= reg >> 3; /* REX.B */
		insn[2] |= reg & 7;
	}
	memcpy(insn + n, &imm, sizeof(imm));
	x86_emit_bytes(e, insn, n + sizeof(imm));
}

void x86_emit_je(struct x86_emit *e, gva_t to)
{
	static const uint8_t opcode[] = {0x0f, 0x84};

	emit_rel32(e, opcode, sizeof(opcode), to);
}

void x86_emit_jmp(struct x86_emit *e, gva_t to)
{
	static const uint8_t opcode[] = {0xe9};

	emit_rel32(e, opcode, sizeof(opcode), to);
}

void x86_emit_inc_mem32(struct x86_emit *e, gva_t counter)
{
	static const uint8_t opcode[] = {0xff, 0x05}; /* ff /0, mod 0 rm 5: RIP + disp32 */

	emit_rel32(e, opcode, sizeof(opcode), counter);
}

void x86_emit_int3(struct x86_emit *e)
{
	static const uint8_t opcode[] = {0xcc};

	x86_emit_bytes(e, opcode, sizeof(opcode));
}

int x86_retarget(const uint8_t *insn, size_t len, gva_t at, gva_t to, uint8_t *out)
{
	size_t prefix = len == 6 ? 1 : 0;
	int32_t rel;

	if (len != 5 && len != 6)
		return -EINVAL;
	if (prefix && insn[0] != 0x2e)
		return -EINVAL;
	if (insn[prefix] != 0xe8 && insn[prefix] != 0xe9)
		return -EINVAL;
	if (!x86_rel32(at + len, to, &rel))
		return -ERANGE;
	memcpy(out, insn, prefix + 1);
	memcpy(out + prefix + 1, &rel, sizeof(rel));
	return 0;
}
