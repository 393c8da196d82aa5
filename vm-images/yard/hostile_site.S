/* SPDX-License-Identifier: GPL-2.0-only */
/* The site that hostile.c rewrites. */
#ifdef YARD_HOSTILE
	.text
	.balign 64, 0xcc
	.globl yard_hostile_site, yard_hostile_calls
	.type yard_hostile_site, @function
	.type yard_hostile_calls, @function
yard_hostile_site:
	call __x86_indirect_thunk_rax
	add %rax, %rdx
	lea yard_micro_target_0(%rip), %rax
	dec %rdi
	jnz yard_hostile_site
	mov %rdx, %rax
	ret
	int3
	.size yard_hostile_site, . - yard_hostile_site

	.balign 16, 0xcc
yard_hostile_calls:
	xor %edx, %edx
	lea yard_micro_target_0(%rip), %rax
	jmp yard_hostile_site
	int3
	.size yard_hostile_calls, . - yard_hostile_calls
#endif
	.section .note.GNU-stack, "", @progbits
