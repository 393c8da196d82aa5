/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The micro measurement: one call in a loop, in four kinds. All loops are alike but
 * for the call, start on a cache line and are entered with rax = r13 = target,
 * rbx = iterations, r12 = 0; they leave the sum of the results in r12.
 */
#include "function.h"
#include "layout.h"

	.macro LOOP_TAIL name
	add %rax, %r12
	mov %r13, %rax
	dec %rbx
	jnz \name
	ret
	int3
	END \name
	.endm

	.text
/* The only indirect branch of its loop, and the first instruction of the function. */
FUNCTION yard_micro_site
#ifdef YARD_RETPOLINE
	call __x86_indirect_thunk_rax
#else
	call *%rax
#endif
	LOOP_TAIL yard_micro_site

FUNCTION yard_micro_plain
	call *%rax
	LOOP_TAIL yard_micro_plain

FUNCTION yard_micro_empty
	xor %eax, %eax
	LOOP_TAIL yard_micro_empty

	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
FUNCTION yard_micro_target_\n
	mov $YARD_MICRO_VALUE(\n), %eax
	ret
	int3
	END yard_micro_target_\n

FUNCTION yard_micro_direct_\n
	call yard_micro_target_\n
	LOOP_TAIL yard_micro_direct_\n
	.endr

/* uint64_t micro_loop(kind, index, iterations, uint64_t *ticks): sum of the results. */
FUNCTION micro_loop
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rdx, %rbx
	mov %rcx, %r15
	lea micro_targets(, %rsi, 8), %rax
	mov (%rax), %r13
	lea micro_directs(, %rsi, 8), %rax
	mov (%rax), %r11
	xor %r12d, %r12d
	lfence
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	mov %rax, %r14
	mov %r13, %rax
	test %rbx, %rbx
	jz 4f
	cmp $1, %edi
	jb 1f
	je 2f
	cmp $3, %edi
	jb 3f
	call yard_micro_empty
	jmp 4f
1:	call yard_micro_site
	jmp 4f
2:	call *%r11
	jmp 4f
3:	call yard_micro_plain
4:	lfence
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	sub %r14, %rax
	mov %rax, (%r15)
	mov %r12, %rax
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	ret
	int3
	END micro_loop

	.section .rodata
	.balign 8
micro_targets:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	.quad yard_micro_target_\n
	.endr
micro_directs:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	.quad yard_micro_direct_\n
	.endr

	.section .note.GNU-stack, "", @progbits
