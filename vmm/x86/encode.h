/* SPDX-License-Identifier: GPL-2.0-only */
/* The few instructions tracks are made of. Pure: bytes into a bounded buffer. */
#ifndef HOTRAIL_X86_ENCODE_H
#define HOTRAIL_X86_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <hotrail/types.h>

/* A cursor; `failed` latches on overflow of the buffer or an unreachable rel32, so
 * callers emit a whole block and check once. */
struct x86_emit {
	uint8_t *buf;
	size_t cap, len;
	gva_t at; /* guest address of buf[0] */
	bool failed;
};

void x86_emit_bytes(struct x86_emit *e, const void *bytes, size_t n);
/* Does `to` fit a rel32 of an instruction that ends at `end`? */
bool x86_rel32(gva_t end, gva_t to, int32_t *rel);
void x86_emit_cmp_imm32(struct x86_emit *e, enum hotrail_reg reg,
			gva_t value);			    /* value must sign-extend */
void x86_emit_je(struct x86_emit *e, gva_t to);		    /* 0f 84 rel32 */
void x86_emit_jmp(struct x86_emit *e, gva_t to);	    /* e9 rel32 */
void x86_emit_inc_mem32(struct x86_emit *e, gva_t counter); /* incl rel(%rip) */
void x86_emit_int3(struct x86_emit *e);
/* Rewrite the rel32 of a 5/6-byte call/jmp at `at` (copied into out) so that it leads to `to`. */
int x86_retarget(const uint8_t *insn, size_t len, gva_t at, gva_t to, uint8_t *out);

#endif
