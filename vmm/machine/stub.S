/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The program a vCPU process starts as: throws away its own address space, maps guest
 * RAM, gives up all system calls and traps to its tracer, which then sets the guest's
 * registers. Uses no stack: that is among the first things to go.
 */
#include <asm/unistd_64.h>
#include "machine/stub.h"

#define MAP_SHARED 0x01
#define MAP_FIXED_NOREPLACE 0x100000
#define PR_SET_NO_NEW_PRIVS 38
#define SECCOMP_SET_MODE_FILTER 1
#define SECCOMP_RET_KILL_PROCESS 0x80000000
#define BPF_RET_K 0x06

	.section .text, "ax", @progbits
	.globl _start
_start:
	/* All above the stub: stack, vdso, vvar. A kernel that seals its own mappings refuses;
	 * what stays is harmless without system calls, and NOREPLACE below finds any clash. */
	mov	$__NR_munmap, %eax
	mov	$STUB_END, %edi
	movabs	$STUB_TOP - STUB_END, %rsi
	syscall

	mov	$STUB_CONFIG, %ebx
	mov	0(%rbx), %r14		/* ram_fd */
	mov	8(%rbx), %r13		/* count */
	add	$16, %rbx		/* map[0] */
	mov	$STUB_STEP_MAP, %r12d
1:	test	%r13, %r13
	jz	2f
	mov	$__NR_mmap, %eax
	mov	0(%rbx), %rdi
	mov	8(%rbx), %rsi
	mov	16(%rbx), %rdx
	mov	$(MAP_SHARED | MAP_FIXED_NOREPLACE), %r10d
	mov	%r14, %r8
	mov	24(%rbx), %r9
	syscall
	cmp	0(%rbx), %rax		/* kernels before 4.17 take the address as a hint */
	jne	9f
	add	$32, %rbx
	dec	%r13
	jmp	1b

2:	mov	$__NR_close, %eax
	mov	%r14, %rdi
	syscall
	mov	$__NR_munmap, %eax
	mov	$STUB_CONFIG, %edi
	mov	$(STUB_END - STUB_CONFIG), %esi
	syscall

	mov	$STUB_STEP_PRIVS, %r12d	/* lets seccomp() work without privilege */
	mov	$__NR_prctl, %eax
	mov	$PR_SET_NO_NEW_PRIVS, %edi
	mov	$1, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	test	%rax, %rax
	jnz	9f

	mov	$STUB_STEP_SECCOMP, %r12d
	mov	$__NR_seccomp, %eax
	mov	$SECCOMP_SET_MODE_FILTER, %edi
	xor	%esi, %esi
	mov	$program, %edx
	syscall
	test	%rax, %rax
	jnz	9f
	mov	$STUB_STEP_DONE, %r12d
9:	int3
	jmp	9b

	/* struct sock_fprog and its one struct sock_filter: every system call kills. The tracer
	 * catches them before they get here; this is for when there is no tracer any more. */
	.balign	8
program:
	.word	1
	.balign	8
	.quad	filter
filter:
	.word	BPF_RET_K
	.byte	0, 0
	.long	SECCOMP_RET_KILL_PROCESS

	.section .config, "aw", @progbits
	.fill	STUB_END - STUB_CONFIG, 1, 0

	.section .note.GNU-stack, "", @progbits
