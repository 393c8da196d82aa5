// SPDX-License-Identifier: GPL-2.0-only
/* x86-64 decoding: lengths and branch kinds, from Zydis' raw fields only. */
#include "x86/decode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <Zydis/Zydis.h>

/* Opcodes of the one- and two-byte maps (Intel SDM vol. 2, appendix A). */
enum {
	OP_RET_IMM = 0xc2,
	OP_RET = 0xc3,
	OP_INT3 = 0xcc,
	OP_CALL_REL32 = 0xe8,
	OP_JMP_REL32 = 0xe9,
	OP_GROUP5 = 0xff, /* /2 call, /4 jmp; /3 and /5 are the far forms */
	OP2_JCC_FIRST = 0x80,
	OP2_JCC_LAST = 0x8f,
};

static bool has_prefix(const ZydisDecodedInstruction *in, uint8_t value)
{
	unsigned i;

	for (i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == value)
			return true;
	return false;
}

static enum x86_kind classify_rel32(const ZydisDecodedInstruction *in)
{
	if (in->raw.imm[0].size != 32)
		return X86_OTHER;
	/*
	 * 66 without REX.W: AMD takes a rel16 and clears the upper half of RIP,
	 * Intel ignores the prefix (AMD APM vol. 3, "near branches"; SDM vol. 2,
	 * CALL). Where it leads depends on the CPU, so it is no REL32.
	 */
	if (has_prefix(in, 0x66) && !in->raw.rex.W)
		return X86_OTHER;
	if (in->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return X86_JCC_REL32;
	return in->opcode == OP_CALL_REL32 ? X86_CALL_REL32 : X86_JMP_REL32;
}

static enum x86_kind classify_group5(const ZydisDecodedInstruction *in)
{
	bool reg = in->raw.modrm.mod == 3;

	if (in->raw.modrm.reg == 2)
		return reg ? X86_CALL_REG : X86_CALL_MEM;
	if (in->raw.modrm.reg == 4)
		return reg ? X86_JMP_REG : X86_JMP_MEM;
	return X86_OTHER;
}

static enum x86_kind classify(const ZydisDecodedInstruction *in)
{
	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return X86_OTHER;
	if (in->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return in->opcode >= OP2_JCC_FIRST && in->opcode <= OP2_JCC_LAST
			       ? classify_rel32(in)
			       : X86_OTHER;
	if (in->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return X86_OTHER;
	switch (in->opcode) {
	case OP_CALL_REL32:
	case OP_JMP_REL32:
		return classify_rel32(in);
	case OP_GROUP5:
		return classify_group5(in);
	case OP_RET:
	case OP_RET_IMM:
		return X86_RET;
	case OP_INT3:
		return X86_INT3;
	default:
		return X86_OTHER;
	}
}

int x86_decode(const uint8_t *bytes, size_t len, gva_t at, struct x86_insn *out)
{
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;
	ZyanStatus status;

	if (ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE)))
		return -EILSEQ;
	status = ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, len, &in);
	if (status == ZYDIS_STATUS_NO_MORE_DATA || !len)
		return -ENODATA;
	if (ZYAN_FAILED(status))
		return -EILSEQ;
	memset(out, 0, sizeof(*out));
	out->len = in.length;
	out->kind = classify(&in);
	switch (out->kind) {
	case X86_CALL_REL32:
	case X86_JMP_REL32:
	case X86_JCC_REL32:
		out->rel_offset = in.raw.imm[0].offset;
		out->target = at + in.length + (uint64_t)in.raw.imm[0].value.s;
		break;
	case X86_CALL_REG:
	case X86_JMP_REG:
		out->reg = in.raw.modrm.rm | (in.raw.rex.B ? 8 : 0);
		break;
	default:
		break;
	}
	return 0;
}
