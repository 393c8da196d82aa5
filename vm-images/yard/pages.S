/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that is only reserved: the control page and the arena, none of it in the file. */
	.section .control, "a", @nobits
	.balign 4096
	.globl yard_control
	.type yard_control, @object
yard_control:
	.skip 4096
	.size yard_control, 4096

	.section .arena_code, "ax", @nobits
	.balign 4096
	.skip 0x40000

	.section .arena_data, "aw", @nobits
	.balign 4096
	.skip 0x40000

	.section .note.GNU-stack, "", @progbits
