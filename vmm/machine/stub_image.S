/* SPDX-License-Identifier: GPL-2.0-only */
/* The linked stub, carried inside the monitor. */
	.section .rodata
	.globl stub_image, stub_image_end
	.balign 8
stub_image:
	.incbin "stub.elf"
stub_image_end:
	.section .note.GNU-stack, "", @progbits
