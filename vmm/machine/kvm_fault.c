// SPDX-License-Identifier: GPL-2.0-only
/* The fault catcher: exceptions of the guest end in a halt that tells which instruction it was. */
#include "machine/kvm.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Guest-physical pages, all below PAGING_FIRST. */
#define GPA_PDPT   0x1000
#define GPA_PD	   0x2000
#define GPA_PT	   0x3000
#define GPA_IDT	   0x4000
#define GPA_GDT	   0x5000
#define GPA_CODE   0x6000 /* byte n is the handler of vector n: one hlt */
#define GPA_TSS	   0x7000 /* one every TSS_STRIDE bytes */
#define GPA_STACKS 0x8000 /* one page a vCPU */
#define PAGE	   0x1000

/* Where the same pages are in the guest: PML4 slot 510, which neither link base uses. */
#define SLOT	510
#define BASE	0xffffff0000000000ull
#define AT(gpa) (BASE + (gpa))

/* Intel SDM vol. 3A, tables 4-15 to 4-20. No user bit: level 3 cannot see these pages. Accessed and
 * dirty are set so that the CPU never writes the tables. */
#define PTE_TABLE 0x23ull
#define PTE_READ  0x61ull
#define PTE_WRITE 0x63ull
#define PTE_NX	  (1ull << 63)

#define VECTORS		  256
#define HLT		  0xf4
#define GATE_SELECTOR	  0x10
#define GATE_FLAGS	  0x8e01 /* present, level 0, 64-bit interrupt gate, stack IST1: SDM 6.14.1 */
#define GATE_LEVEL3	  0x6000 /* int3 and into are instructions that level 3 may use */
#define CODE64_DESCRIPTOR 0x00af9b000000ffffull /* present, level 0, accessed, L: SDM 3.4.5 */
#define GDT_BYTES	  0x18
#define TSS_STRIDE	  0x80
#define TSS_IST1	  0x24 /* SDM vol. 3A 8.7 */
#define TSS_LIMIT	  0x67
#define FRAME_BYTES	  40 /* RIP CS RFLAGS RSP SS: SDM 6.14.2 */

#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_PF 14
/* SDM vol. 3A table 6-1, with 21 (control protection) and AMD's 29 and 30. */
#define VECTORS_WITH_ERROR                                                                         \
	(1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21 |    \
	 1u << 29 | 1u << 30)

_Static_assert(GPA_STACKS + HOTRAIL_MAX_VCPUS * PAGE <= KVM_FAULT_BYTES, "stacks fit");
_Static_assert(HOTRAIL_MAX_VCPUS *TSS_STRIDE <= PAGE, "TSSs fit");

static void put64(uint8_t *ram, gpa_t at, uint64_t value)
{
	memcpy(ram + at, &value, sizeof(value));
}

static uint64_t get64(const uint8_t *ram, gpa_t at)
{
	uint64_t value;

	memcpy(&value, ram + at, sizeof(value));
	return value;
}

static gpa_t stack_top(unsigned index)
{
	return GPA_STACKS + (gpa_t)(index + 1) * PAGE;
}

static void write_tables(uint8_t *ram, gpa_t root)
{
	gpa_t page;

	put64(ram, GPA_PDPT, GPA_PD | PTE_TABLE);
	put64(ram, GPA_PD, GPA_PT | PTE_TABLE);
	for (page = GPA_IDT; page < KVM_FAULT_BYTES; page += PAGE) {
		uint64_t flags = page >= GPA_STACKS ? PTE_WRITE | PTE_NX
				 : page == GPA_CODE ? PTE_READ
						    : PTE_READ | PTE_NX;

		put64(ram, GPA_PT + page / PAGE * 8, page | flags);
	}
	put64(ram, root + SLOT * 8, GPA_PDPT | PTE_TABLE);
}

bool kvm_fault_install(uint8_t *ram, uint64_t ram_bytes, gpa_t root)
{
	unsigned i;

	if (ram_bytes < KVM_FAULT_BYTES || root < KVM_FAULT_BYTES || root > ram_bytes - PAGE ||
	    get64(ram, root + SLOT * 8))
		return false;
	memset(ram, 0, KVM_FAULT_BYTES);
	for (i = 0; i < VECTORS; i++) {
		uint64_t handler = AT(GPA_CODE) + i;
		uint64_t flags = GATE_FLAGS | (i == VECTOR_BP || i == VECTOR_OF ? GATE_LEVEL3 : 0);

		put64(ram, GPA_IDT + i * 16,
		      (handler & 0xffff) | GATE_SELECTOR << 16 | flags << 32 |
			      (handler >> 16 & 0xffff) << 48);
		put64(ram, GPA_IDT + i * 16 + 8, handler >> 32);
	}
	put64(ram, GPA_GDT + GATE_SELECTOR, CODE64_DESCRIPTOR);
	memset(ram + GPA_CODE, HLT, VECTORS);
	for (i = 0; i < HOTRAIL_MAX_VCPUS; i++)
		put64(ram, GPA_TSS + i * TSS_STRIDE + TSS_IST1, AT(stack_top(i)));
	write_tables(ram, root);
	return true;
}

void kvm_fault_sregs(struct kvm_sregs *s, unsigned index)
{
	s->idt.base = AT(GPA_IDT);
	s->idt.limit = VECTORS * 16 - 1;
	s->gdt.base = AT(GPA_GDT);
	s->gdt.limit = GDT_BYTES - 1;
	s->tr.base = AT(GPA_TSS) + index * TSS_STRIDE;
	s->tr.limit = TSS_LIMIT;
}

bool kvm_fault_frame(const uint8_t *ram, unsigned index, uint64_t rip, uint64_t rsp,
		     struct kvm_fault_frame *f)
{
	gpa_t top = stack_top(index), at;
	bool has_error;

	/* A halted vCPU has its RIP behind the hlt. */
	if (index >= HOTRAIL_MAX_VCPUS || rip <= AT(GPA_CODE) || rip > AT(GPA_CODE) + VECTORS)
		return false;
	*f = (struct kvm_fault_frame){.vector = (unsigned)(rip - AT(GPA_CODE) - 1)};
	has_error = f->vector < 32 && VECTORS_WITH_ERROR >> f->vector & 1;
	at = top - FRAME_BYTES;
	/* A guest at level 0 can jump here by itself; then the stack is not ours. */
	if (rsp != AT(at - (has_error ? 8 : 0)))
		return false;
	if (has_error)
		f->error_code = get64(ram, at - 8);
	f->rip = get64(ram, at);
	f->rflags = get64(ram, at + 16);
	f->rsp = get64(ram, at + 24);
	return true;
}

static const char *vector_name(unsigned vector)
{
	static const char *const names[] = {
		"divide error",
		"debug exception",
		"NMI",
		"breakpoint (int3)",
		"overflow",
		"bound range exceeded",
		"invalid instruction",
		"no FPU",
		"double fault",
		"coprocessor overrun",
		"invalid TSS",
		"segment not present",
		"stack segment fault",
		"general protection fault",
		"page fault",
		"reserved vector 15",
		"x87 error",
		"alignment check",
		"machine check",
		"SSE error",
		"virtualization exception",
		"control protection exception",
	};

	return vector < sizeof(names) / sizeof(names[0]) ? names[vector] : "unexpected interrupt";
}

static void describe(struct vcpu_exit_info *exit, const struct kvm_fault_frame *f, uint64_t cr2)
{
	/* Page fault error code: SDM vol. 3A 4.7. */
	const char *did = f->error_code & 16 ? "execute" : f->error_code & 2 ? "write" : "read";
	const char *why =
		f->error_code & 1 ? "is not allowed to" : "has not mapped what it tried to";

	exit->end = MACHINE_END_FAULT;
	if (f->vector == VECTOR_PF)
		snprintf(exit->text, sizeof(exit->text),
			 "page fault: the guest %s %s at 0x%llx (error code 0x%llx)", why, did,
			 (unsigned long long)cr2, (unsigned long long)f->error_code);
	else
		snprintf(exit->text, sizeof(exit->text), "%s, vector %u, error code 0x%llx",
			 vector_name(f->vector), f->vector, (unsigned long long)f->error_code);
}

bool kvm_fault_explain(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	struct machine_regs regs;
	struct kvm_fault_frame f;
	struct kvm_sregs s;

	if (v->run->exit_reason != KVM_EXIT_HLT || kvm_vcpu_get_regs(v, &regs) ||
	    !kvm_fault_frame(v->vm->ram, v->index, regs.rip, regs.gpr[HOTRAIL_RSP], &f) ||
	    ioctl(v->fd, KVM_GET_SREGS, &s))
		return false;
	describe(exit, &f, s.cr2);
	regs.rip = f.rip;
	regs.rflags = f.rflags;
	regs.gpr[HOTRAIL_RSP] = f.rsp;
	return !kvm_vcpu_set_regs(v, &regs);
}
