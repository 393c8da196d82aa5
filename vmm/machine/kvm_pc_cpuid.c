// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUID table of a PC's vCPU: what KVM supports, with a topology of one package and one
 * thread a core. Leaves: Intel SDM vol. 2A CPUID, AMD APM vol. 3 appendix E.
 */
#include "machine/kvm.h"

#include <string.h>

#define LEAF_VENDOR	  0x0
#define LEAF_FEATURES	  0x1
#define LEAF_CACHES	  0x4
#define LEAF_TOPOLOGY	  0xb
#define LEAF_TOPOLOGY_V2  0x1f
#define LEAF_AMD_FEATURES 0x80000001
#define LEAF_AMD_SIZES	  0x80000008
#define LEAF_AMD_CACHES	  0x8000001d
#define LEAF_AMD_TOPOLOGY 0x8000001e
#define LEAF_AMD_EXTENDED 0x80000026

#define ECX_VMX		 (1u << 5)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR	 (1u << 31)
#define EDX_HTT		 (1u << 28) /* more than one logical processor a package */
#define ECX_AMD_LEGACY	 (1u << 1)  /* ... which are cores, not threads */
#define ECX_AMD_SVM	 (1u << 2)

#define LEVEL_SMT  (1u << 8)
#define LEVEL_CORE (2u << 8)

/* Width of a field that numbers n things. */
static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *t, uint32_t leaf)
{
	unsigned i;

	for (i = 0; i < t->nent; i++)
		if (t->entries[i].function == leaf)
			return &t->entries[i];
	return NULL;
}

static bool is_amd(const struct kvm_cpuid2 *t)
{
	const struct kvm_cpuid_entry2 *e = find(t, LEAF_VENDOR);

	/* "Auth", "Hygo" */
	return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

static void drop(struct kvm_cpuid2 *t, uint32_t leaf)
{
	unsigned i, kept = 0;

	for (i = 0; i < t->nent; i++)
		if (t->entries[i].function != leaf)
			t->entries[kept++] = t->entries[i];
	t->nent = kept;
}

/* Leaf 0xb: level 0 one thread a core, level 1 all cores of the package. */
static void add_topology(struct kvm_cpuid2 *t, unsigned index, unsigned vcpus)
{
	const struct kvm_cpuid_entry2 *e = find(t, LEAF_VENDOR);
	unsigned level;

	drop(t, LEAF_TOPOLOGY);
	drop(t, LEAF_TOPOLOGY_V2); /* a kernel then falls back to 0xb */
	drop(t, LEAF_AMD_EXTENDED);
	if (!e || e->eax < LEAF_TOPOLOGY)
		return;
	for (level = 0; level < 2; level++)
		t->entries[t->nent++] = (struct kvm_cpuid_entry2){
			.function = LEAF_TOPOLOGY,
			.index = level,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = level ? bits_for(vcpus) : 0,
			.ebx = level ? vcpus : 1,
			.ecx = level | (level ? LEVEL_CORE : LEVEL_SMT),
			.edx = index,
		};
}

static void fix_features(struct kvm_cpuid_entry2 *e, unsigned index, unsigned vcpus,
			 bool tsc_deadline)
{
	e->ebx = (e->ebx & 0xffff) | (1u << bits_for(vcpus)) << 16 | index << 24;
	e->ecx |= ECX_HYPERVISOR | (tsc_deadline ? ECX_TSC_DEADLINE : 0);
	/* No guests in guests: a parked vCPU's registers shall be this kernel's. */
	e->ecx &= ~ECX_VMX;
	e->edx = vcpus > 1 ? e->edx | EDX_HTT : e->edx & ~EDX_HTT;
}

/* Intel's leaf 4 and AMD's 0x8000001d: who shares a cache. Level 3 is everybody's. */
static void fix_cache(struct kvm_cpuid_entry2 *e, unsigned vcpus)
{
	unsigned level = e->eax >> 5 & 7, ids = (1u << bits_for(vcpus)) - 1;

	if (!(e->eax & 31)) /* no more caches */
		return;
	e->eax &= ~(0xfffu << 14);
	if (level >= 3)
		e->eax |= ids << 14;
	if (e->function == LEAF_CACHES)
		e->eax = (e->eax & 0x03ffffff) | ids << 26;
}

static void fix_amd_features(struct kvm_cpuid_entry2 *e, unsigned vcpus, bool amd)
{
	e->ecx &= ~(ECX_AMD_SVM | ECX_AMD_LEGACY);
	if (amd && vcpus > 1)
		e->ecx |= ECX_AMD_LEGACY;
}

void kvm_pc_cpuid(struct kvm_cpuid2 *t, unsigned index, unsigned vcpus, bool tsc_deadline)
{
	bool amd = is_amd(t);
	unsigned i;

	for (i = 0; i < t->nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entries[i];

		switch (e->function) {
		case LEAF_FEATURES:
			fix_features(e, index, vcpus, tsc_deadline);
			break;
		case LEAF_CACHES:
		case LEAF_AMD_CACHES:
			fix_cache(e, vcpus);
			break;
		case LEAF_AMD_FEATURES:
			fix_amd_features(e, vcpus, amd);
			break;
		case LEAF_AMD_SIZES:
			if (amd) /* reserved on Intel */
				e->ecx = (e->ecx & ~0xf0ffu) | bits_for(vcpus) << 12 | (vcpus - 1);
			break;
		case LEAF_AMD_TOPOLOGY:
			e->eax = index;
			e->ebx = index; /* core number; threads a core - 1 = 0 */
			e->ecx = 0;	/* node 0 of 1 */
			break;
		default:
			break;
		}
	}
	add_topology(t, index, vcpus);
}
