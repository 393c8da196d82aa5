/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The classic retpoline, one for each register, as in Linux arch/x86/lib/retpoline.S:
 * the inner call makes the return predictor point at the pause loop, the ret goes to
 * the register's value.
 */
#ifdef YARD_RETPOLINE
	.macro THUNK reg
	.balign 32, 0xcc
	.globl __x86_indirect_thunk_\reg
	.type __x86_indirect_thunk_\reg, @function
__x86_indirect_thunk_\reg:
	call .Ldo_rop_\reg
.Lspec_trap_\reg:
	pause
	lfence
	jmp .Lspec_trap_\reg
.Ldo_rop_\reg:
	mov %\reg, (%rsp)
	ret
	int3
	.size __x86_indirect_thunk_\reg, . - __x86_indirect_thunk_\reg
	.endm

	.section .text.thunks, "ax", @progbits
	.irp reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	THUNK \reg
	.endr
	.balign 32, 0xcc
#endif

	.section .note.GNU-stack, "", @progbits
