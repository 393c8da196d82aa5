/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The code half of the arena: part of the module's text, so that it is executable, never writable
 * there, and freed with the module. Full of int3 until blocks are written.
 */
#include <linux/objtool.h>

#include "sizes.h"

	.section .text.hotrail_arena, "ax"
	.balign 4096
	.globl hotrail_arena
	.type hotrail_arena, @object
hotrail_arena:
	ANNOTATE_NOENDBR /* reached by direct jumps only */
	.fill ARENA_CODE_BYTES, 1, 0xcc
	.size hotrail_arena, ARENA_CODE_BYTES

	.section .note.GNU-stack, "", @progbits
