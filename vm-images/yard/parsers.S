/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flow dissector's parsers: six programs, linked by tail jumps as BPF links
 * programs (arch/x86/net/bpf_jit_comp.c), in three variants that differ in the tail
 * jump alone:
 *
 *   indirect  load from the program array, unwind, jump through the retpoline
 *   poke      unwind, one slot: a jmp to the program
 *   poke2     bypass slot, unwind, target slot: the pair that BPF patches
 *
 * Without its program a slot leads to the indirect way, so all give the same digest.
 *
 * A program gets struct flow_context in rdi and the number of tail jumps so far in
 * eax, and keeps rbx, rbp, r12 and r13. Inside: rbx is what is parsed, r13 the end of
 * the packet, r12 the digest, r10 its factor.
 */
#include "function.h"
#include "layout.h"

#define TAILS -4(%rbp)

	.macro PROGRAM v, name
FUNCTION flow_\v\()_\name
	push %rbp
	mov %rsp, %rbp
	sub $16, %rsp
	mov %eax, TAILS
	push %rbx
	push %r12
	push %r13
	mov FLOW_AT(%rdi), %rbx
	mov FLOW_END(%rdi), %r13
	mov FLOW_DIGEST(%rdi), %r12
	movabs $FLOW_FOLD, %r10
	.endm

	.macro UNWIND
	mov TAILS, %eax
	pop %r13
	pop %r12
	pop %rbx
	add $16, %rsp
	pop %rbp
	.endm

	.macro FOLD reg
	rol $23, %r12
	xor \reg, %r12
	imul %r10, %r12
	.endm

	/* At least n more bytes, or the packet is too short. */
	.macro NEED n, short
	lea \n(%rbx), %rax
	cmp %r13, %rax
	ja \short
	.endm

	.macro ADVANCE n
	add $\n, %rbx
	mov %rbx, FLOW_AT(%rdi)
	.endm

	.macro FINISH
	mov %r12, FLOW_DIGEST(%rdi)
	UNWIND
	ret
	int3
	.endm

	.macro FINISH_WITH what
	mov $\what, %eax
	FOLD %rax
	FINISH
	.endm

	/* The ends that are no parser's own. */
	.macro ENDS v, name
.Lshort_\v\()_\name:
	FINISH_WITH FLOW_SHORT
.Lunknown_\v\()_\name:
	FINISH_WITH FLOW_UNKNOWN
.Lmany_\v\()_\name:
	FINISH_WITH FLOW_MANY
	END flow_\v\()_\name
	.endm

	/* rcx = program of the array, which has room for it and holds one. */
	.macro LOAD v, index, missing
	mov $\index, %edx
	mov $flow_array_\v, %rsi
	cmp %edx, (%rsi)
	jbe \missing
	mov 8(%rsi, %rdx, 8), %rcx
	test %rcx, %rcx
	jz \missing
	.endm

	.macro JUMP_RCX
#ifdef YARD_RETPOLINE
	jmp __x86_indirect_thunk_rcx
#else
	jmp *%rcx
#endif
	int3
	.endm

	/* jmp rel32 in its 5-byte form, whatever the distance. */
	.macro SLOT_JMP to
	.byte 0xe9
	.long \to - . - 4
	.endm

	.macro SLOT_NOP
	.byte 0x0f, 0x1f, 0x44, 0, 0
	.endm

	.macro PAIR bypass, target, slow, v, to
	.pushsection .hotrail_pairs, "a", @progbits
	.balign 8
	.quad \bypass, \target, \slow, flow_\v\()_\to, flow_indirect_\to
	.popsection
	.endm

	.macro TAIL v, from, to, index
	mov %r12, FLOW_DIGEST(%rdi)
	cmpl $FLOW_MAX_TAILS, TAILS
	jae .Lmany_\v\()_\from
	addl $1, TAILS
	.ifc \v, indirect
	LOAD \v, \index, .Lunknown_\v\()_\from
	UNWIND
	JUMP_RCX
	.endif
	.ifc \v, poke
	UNWIND
.Ltarget_\v\()_\from\()_\to:
	SLOT_JMP .Lslow_\v\()_\from\()_\to
	int3
	.subsection 1
	.balign 16, 0xcc
.Lslow_\v\()_\from\()_\to:
	LOAD \v, \index, flow_fault
	JUMP_RCX
	.previous
	PAIR 0, .Ltarget_\v\()_\from\()_\to, .Lslow_\v\()_\from\()_\to, \v, \to
	.endif
	.ifc \v, poke2
.Lbypass_\v\()_\from\()_\to:
	SLOT_JMP .Lslow_\v\()_\from\()_\to
	UNWIND
.Ltarget_\v\()_\from\()_\to:
	SLOT_NOP
	jmp flow_fault
	int3
	.subsection 1
	.balign 16, 0xcc
.Lslow_\v\()_\from\()_\to:
	LOAD \v, \index, .Lunknown_\v\()_\from
	UNWIND
	JUMP_RCX
	.previous
	PAIR .Lbypass_\v\()_\from\()_\to, .Ltarget_\v\()_\from\()_\to, .Lslow_\v\()_\from\()_\to, \v, \to
	.endif
	.endm

	.macro DISSECTOR v
FUNCTION flow_\v
	xor %eax, %eax
	jmp flow_\v\()_eth
	int3
	END flow_\v

PROGRAM \v, eth
	NEED 14, .Lshort_\v\()_eth
	mov (%rbx), %rax
	FOLD %rax
	movzwl 12(%rbx), %ecx
	rol $8, %cx
	FOLD %rcx
	ADVANCE 14
	cmp $0x8100, %ecx
	je 1f
	cmp $0x0800, %ecx
	je 2f
	cmp $0x86dd, %ecx
	jne .Lunknown_\v\()_eth
	TAIL \v, eth, ipv6, FLOW_IPV6
1:	TAIL \v, eth, vlan, FLOW_VLAN
2:	TAIL \v, eth, ipv4, FLOW_IPV4
	ENDS \v, eth

PROGRAM \v, vlan
	NEED 4, .Lshort_\v\()_vlan
	movzwl (%rbx), %eax
	FOLD %rax
	movzwl 2(%rbx), %ecx
	rol $8, %cx
	FOLD %rcx
	ADVANCE 4
	cmp $0x0800, %ecx
	je 1f
	cmp $0x86dd, %ecx
	jne .Lunknown_\v\()_vlan
	TAIL \v, vlan, ipv6, FLOW_IPV6
1:	TAIL \v, vlan, ipv4, FLOW_IPV4
	ENDS \v, vlan

PROGRAM \v, ipv4
	NEED 20, .Lshort_\v\()_ipv4
	movzbl (%rbx), %eax
	and $15, %eax
	shl $2, %eax
	cmp $20, %eax
	jb .Lshort_\v\()_ipv4
	add %rbx, %rax
	cmp %r13, %rax
	ja .Lshort_\v\()_ipv4
	mov 12(%rbx), %rdx
	FOLD %rdx
	movzbl 9(%rbx), %ecx
	FOLD %rcx
	mov %rax, FLOW_AT(%rdi)
	cmp $6, %ecx
	je 1f
	cmp $17, %ecx
	jne .Lunknown_\v\()_ipv4
	TAIL \v, ipv4, udp, FLOW_UDP
1:	TAIL \v, ipv4, tcp, FLOW_TCP
	ENDS \v, ipv4

PROGRAM \v, ipv6
	NEED 40, .Lshort_\v\()_ipv6
	.irp at, 8, 16, 24, 32
	mov \at\()(%rbx), %rax
	FOLD %rax
	.endr
	movzbl 6(%rbx), %ecx
	FOLD %rcx
	ADVANCE 40
	cmp $6, %ecx
	je 1f
	cmp $17, %ecx
	jne .Lunknown_\v\()_ipv6
	TAIL \v, ipv6, udp, FLOW_UDP
1:	TAIL \v, ipv6, tcp, FLOW_TCP
	ENDS \v, ipv6

PROGRAM \v, tcp
	NEED 20, .Lshort_\v\()_tcp
	mov (%rbx), %eax
	FOLD %rax
	movzbl 12(%rbx), %eax
	shr $4, %eax
	shl $2, %eax
	cmp $20, %eax
	jb .Lshort_\v\()_tcp
	lea (%rbx, %rax), %rdx
	cmp %r13, %rdx
	ja .Lshort_\v\()_tcp
	FOLD %rax
	FINISH
	ENDS \v, tcp

PROGRAM \v, udp
	NEED 8, .Lshort_\v\()_udp
	mov (%rbx), %rax
	FOLD %rax
	FINISH
	ENDS \v, udp

	/* As struct bpf_array: how many, then the programs. */
	.pushsection .rodata
	.balign 8
flow_array_\v:
	.long 6, 0
	.quad flow_\v\()_eth, flow_\v\()_vlan, flow_\v\()_ipv4
	.quad flow_\v\()_ipv6, flow_\v\()_tcp, flow_\v\()_udp
	.popsection
	.endm

	.text
	DISSECTOR indirect
	DISSECTOR poke
	DISSECTOR poke2

/* What lies behind an empty target slot, and is never executed: the stack is unwound already. */
FUNCTION flow_fault
	movq $FLOW_FAULT, FLOW_DIGEST(%rdi)
	incq FLOW_WRONG(%rdi)
	ret
	int3
	END flow_fault

	.section .note.GNU-stack, "", @progbits
