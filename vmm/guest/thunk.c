// SPDX-License-Identifier: GPL-2.0-only
/* Recognising a retpoline by decoding it. */
#include "guest/thunk.h"

#include <string.h>

#include "x86/decode.h"

/* Advances *pos when bytes[*pos..] starts with the given instruction. */
static bool take(const uint8_t *bytes, size_t len, size_t *pos, const void *insn, size_t n)
{
	if (n > len - *pos || memcmp(bytes + *pos, insn, n))
		return false;
	*pos += n;
	return true;
}

/* `jmp` to bytes[to], short or near. */
static bool take_jump_back(const uint8_t *bytes, size_t len, size_t *pos, size_t to, gva_t at)
{
	struct x86_insn in;

	if (x86_decode(bytes + *pos, len - *pos, at + *pos, &in))
		return false;
	if (in.kind == X86_JMP_REL32) {
		if (in.target != at + to)
			return false;
	} else if (in.len != 2 || bytes[*pos] != 0xeb ||
		   (long)*pos + 2 + (int8_t)bytes[*pos + 1] != (long)to) {
		return false;
	}
	*pos += in.len;
	return true;
}

/* The speculation trap between the call and the place it calls. */
static bool take_trap(const uint8_t *bytes, size_t len, size_t *pos, gva_t at)
{
	size_t loop = *pos;

	if (take(bytes, len, pos, "\xcc", 1))
		return true;
	return take(bytes, len, pos, "\xf3\x90", 2) && take(bytes, len, pos, "\x0f\xae\xe8", 3) &&
	       take_jump_back(bytes, len, pos, loop, at);
}

/* The end of a retpoline: `ret`, or a jump to a return thunk where the caller takes those. */
static bool take_return(const uint8_t *bytes, size_t len, size_t pos, gva_t at, gva_t *returns)
{
	struct x86_insn in;

	if (x86_decode(bytes + pos, len - pos, at + pos, &in))
		return false;
	if (in.kind == X86_RET)
		return bytes[pos] == 0xc3;
	if (in.kind != X86_JMP_REL32 || in.len != 5 || !returns)
		return false;
	*returns = in.target;
	return true;
}

static bool is_retpoline(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg,
			 gva_t *returns)
{
	/* REX.W (and REX.R for r8 to r15) 89 /r with mod 0, rm 4, SIB 24: mov %reg,(%rsp) */
	const uint8_t store[] = {0x48 | (reg >= HOTRAIL_R8 ? 4 : 0), 0x89, 0x04 | (reg & 7) << 3,
				 0x24};
	struct x86_insn in;
	size_t pos;

	if (x86_decode(bytes, len, at, &in) || in.kind != X86_CALL_REL32)
		return false;
	pos = in.len;
	if (!take_trap(bytes, len, &pos, at))
		return false;
	/* Between the trap and the called place only alignment that nothing executes. */
	if (in.target - at < pos || in.target - at >= len)
		return false;
	pos = in.target - at;
	return take(bytes, len, &pos, store, sizeof(store)) &&
	       take_return(bytes, len, pos, at, returns);
}

enum thunk_kind thunk_classify(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg,
			       gva_t *returns)
{
	struct x86_insn in;
	size_t pos = 0;
	bool fence;

	if (returns)
		*returns = 0;
	if (reg == HOTRAIL_RSP)
		return THUNK_UNKNOWN;
	if (is_retpoline(bytes, len, at, reg, returns))
		return THUNK_RETPOLINE;
	fence = take(bytes, len, &pos, "\x0f\xae\xe8", 3);
	if (x86_decode(bytes + pos, len - pos, at + pos, &in) || in.kind != X86_JMP_REG ||
	    in.reg != reg)
		return THUNK_UNKNOWN;
	return fence ? THUNK_FENCE : THUNK_JUMP;
}

bool thunk_is_retpoline(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg)
{
	return thunk_classify(bytes, len, at, reg, NULL) == THUNK_RETPOLINE;
}
