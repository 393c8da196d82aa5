// SPDX-License-Identifier: GPL-2.0-only
/* The state a vCPU starts in: 64-bit mode with paging, set from outside, no boot code. */
#include "machine/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * Control register bits: Intel SDM vol. 3A 2.5, AMD APM vol. 2 3.1.
 * CR0.EM and TS stay 0 (SSE would raise #UD or #NM), WP makes read-only pages hold at
 * level 0 too: the arena's code is read-only for the guest at either level.
 * CR4 lacks SMEP and SMAP, since one set of pages with the user bit serves both levels;
 * it lacks PCIDE, which kvm_pvm refuses; it lacks OSXSAVE: our guests use no AVX.
 */
#define CR0_PE	       (1u << 0) /* protected mode */
#define CR0_MP	       (1u << 1) /* with TS clear: no effect, but what an OS sets with a native FPU */
#define CR0_ET	       (1u << 4) /* reads as 1 on every CPU in long mode */
#define CR0_NE	       (1u << 5) /* VMX operation demands it: SDM vol. 3C 24.8, appendix A.7 */
#define CR0_WP	       (1u << 16)
#define CR0_PG	       (1u << 31)
#define CR4_PAE	       (1u << 5)  /* long mode demands it */
#define CR4_OSFXSR     (1u << 9)  /* without it SSE instructions raise #UD */
#define CR4_OSXMMEXCPT (1u << 10) /* SSE errors are #XM, not #UD */

/* EFER: SDM vol. 3A 2.2.1, APM vol. 2 3.1.7. SCE as kernels have it: kvm_pvm runs level 3 with it.
 */
#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11) /* data pages carry the no-execute bit */

/* Segment types: SDM vol. 3A 3.4.5.1 and 3.5. VMX entry wants the accessed bits set (vol.
 * 3C 27.3.1.2). */
#define TYPE_CODE_RX_ACCESSED 0xb
#define TYPE_DATA_RW_ACCESSED 0x3
#define TYPE_TSS64_BUSY	      0xb /* an available TSS in TR fails VM entry */

/* Selectors: Linux' numbers, so that dumps look familiar. RPL equals the level. */
#define SELECTOR_CS0 0x10
#define SELECTOR_SS0 0x18
#define SELECTOR_SS3 (0x28 | 3)
#define SELECTOR_CS3 (0x30 | 3)
#define SELECTOR_TR  0x40

#define CPUID_LEAF_FEATURES    1   /* EBX[31:24] initial APIC id */
#define CPUID_LEAF_TOPOLOGY    0xb /* EDX x2APIC id */
#define CPUID_LEAF_TOPOLOGY_V2 0x1f
#define CPUID_ENTRIES_FIRST    128
#define CPUID_ENTRIES_MAX      4096

int kvm_cpuid_load(struct kvm_vm *vm, struct error *err)
{
	unsigned n;

	for (n = CPUID_ENTRIES_FIRST; n <= CPUID_ENTRIES_MAX; n *= 2) {
		struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + n * sizeof(t->entries[0]));

		if (!t)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
					 "no memory for the CPUID table");
		t->nent = n;
		if (!ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, t)) {
			if (t->nent > n)
				t->nent = n;
			vm->cpuid = t;
			return 0;
		}
		free(t);
		if (errno != E2BIG)
			return error_errno(err, "KVM_GET_SUPPORTED_CPUID failed");
	}
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -E2BIG,
			 "KVM's CPUID table has more than %d entries", CPUID_ENTRIES_MAX);
}

static int set_cpuid(struct backend_vcpu *v, struct error *err)
{
	size_t bytes =
		sizeof(*v->vm->cpuid) + v->vm->cpuid->nent * sizeof(v->vm->cpuid->entries[0]);
	struct kvm_cpuid2 *t = malloc(bytes);
	unsigned i;
	int ret = 0;

	if (!t)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the CPUID table");
	memcpy(t, v->vm->cpuid, bytes);
	for (i = 0; i < t->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entries[i];

		if (e->function == CPUID_LEAF_FEATURES)
			e->ebx = (e->ebx & 0x00ffffff) | v->index << 24;
		else if (e->function == CPUID_LEAF_TOPOLOGY ||
			 e->function == CPUID_LEAF_TOPOLOGY_V2)
			e->edx = v->index;
	}
	if (ioctl(v->fd, KVM_SET_CPUID2, t))
		ret = error_errno(err, "vCPU %u: KVM_SET_CPUID2 failed", v->index);
	free(t);
	return ret;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, int cpl)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.dpl = (uint8_t)cpl, /* KVM takes the privilege level from SS.DPL */
		.s = 1,
		.g = 1, /* a limit above 1 MiB needs page granularity */
	};
}

void kvm_cpu_segments(struct kvm_sregs *s, int cpl)
{
	struct kvm_segment data =
		flat_segment(cpl ? SELECTOR_SS3 : SELECTOR_SS0, TYPE_DATA_RW_ACCESSED, cpl);

	data.db = 1;
	s->cs = flat_segment(cpl ? SELECTOR_CS3 : SELECTOR_CS0, TYPE_CODE_RX_ACCESSED, cpl);
	s->cs.l = 1; /* 64-bit code; then D must be 0 */
	s->ss = s->ds = s->es = s->fs = s->gs = data;
	s->tr = (struct kvm_segment){
		.limit = 0x67, /* a TSS without I/O bitmap; only the fault catcher has one in memory
				*/
		.selector = SELECTOR_TR,
		.type = TYPE_TSS64_BUSY,
		.present = 1,
	};
	s->ldt = (struct kvm_segment){.unusable = 1};
	/* No IDT: an exception becomes a shutdown exit, unless the fault catcher sets one. */
	memset(&s->idt, 0, sizeof(s->idt));
	memset(&s->gdt, 0, sizeof(s->gdt));
}

int kvm_cpu_setup(struct backend_vcpu *v, struct error *err)
{
	struct kvm_sregs s;
	int ret;

	/* CPUID first: KVM checks CR4 and EFER against it. */
	ret = set_cpuid(v, err);
	if (ret)
		return ret;
	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return error_errno(err, "vCPU %u: KVM_GET_SREGS failed", v->index);
	kvm_cpu_segments(&s, v->vm->cpl);
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr2 = 0;
	s.cr3 = v->vm->root;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_LME | EFER_LMA | EFER_NXE | (v->vm->catch_faults ? 0 : EFER_SCE);
	if (v->vm->catch_faults)
		kvm_fault_sregs(&s, v->index);
	if (ioctl(v->fd, KVM_SET_SREGS, &s))
		return error_errno(err, "vCPU %u: KVM refuses 64-bit mode at level %d", v->index,
				   v->vm->cpl);
	return 0;
}
