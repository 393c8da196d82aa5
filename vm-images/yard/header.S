/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct hotrail_image_header of this image. In assembly because a 32-bit field
 * (sites_count) is a link-time value; main.c asserts size and order. A thunk
 * that is not linked in is a weak 0.
 */
#include "layout.h"

	.section .hotrail, "a", @progbits
	.balign 8
	.quad 0x31304c4941525448	/* magic "HTRAIL01" */
	.long 2				/* abi */
	.long YARD_HEADER_SIZE		/* size */
#ifdef YARD_RETPOLINE
	.long 1				/* kind */
#else
	.long 0
#endif
	.long YARD_VCPUS		/* max_vcpus */
	.quad yard_text_start, yard_text_end
	.irp reg, rax, rcx, rdx, rbx, none, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	.weak __x86_indirect_thunk_\reg
	.quad __x86_indirect_thunk_\reg
	.endr
	.quad yard_arena_code, yard_arena_size
	.quad yard_arena_data, yard_arena_size
	.quad yard_control
	.quad yard_stats
	.quad yard_stacks, YARD_STACK_SIZE
	.quad yard_sites
	.long yard_sites_count, yard_pairs_count
	.quad yard_pairs

	.section .note.GNU-stack, "", @progbits
