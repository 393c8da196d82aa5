// SPDX-License-Identifier: GPL-2.0-only
/* KVM as a PC: in-kernel interrupt controllers and timer, vCPUs in the state boot code expects. */
#include "machine/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Intel SDM vol. 3A 2.5 and 2.2.1. The 64-bit boot protocol wants paging on and interrupts off
 * (kernel: arch/x86/boot.rst, "64-bit Boot Protocol"). */
#define CR0_PE	 (1u << 0)
#define CR0_ET	 (1u << 4)
#define CR0_NE	 (1u << 5)
#define CR0_PG	 (1u << 31)
#define CR4_PAE	 (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

#define GDT_LIMIT 0x1f /* four descriptors */

/* What firmware leaves behind. SDM vol. 4 table 2-2; vol. 3A 11.11.2.1 and table 11-1 */
#define MSR_MISC_ENABLE	     0x1a0
#define MISC_ENABLE_FAST_STR 0x1
#define MSR_MTRR_DEF_TYPE    0x2ff
#define MTRR_ON_WRITE_BACK   0x806 /* enabled, all memory write-back */

/* Local APIC: SDM vol. 3A 10.5.1. ISA interrupts come through pin 0, NMIs through pin 1. */
#define APIC_LVT_LINT0	0x350
#define APIC_LVT_LINT1	0x360
#define APIC_MODE_NMI	0x400
#define APIC_MODE_EXINT 0x700

#define SLOT_HIGH  1 /* RAM behind the hole; slot 0 is the RAM before it */
#define SLOT_FIRST 2 /* machine_slot_add() */
#define GSI_COUNT  24

static int check_capabilities(struct kvm_vm *vm, struct error *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
		{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
		{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
		{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
		{KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
	};
	size_t i;

	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(vm->fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
					 "this KVM lacks %s, which a Linux guest needs",
					 needed[i].name);
	return 0;
}

static int set_slot(struct kvm_vm *vm, unsigned slot, gpa_t gpa, void *host, uint64_t size,
		    bool readonly)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

int kvm_pc_create(struct kvm_vm *vm, const struct machine_config *config, struct error *err)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY}; /* port 0x61 too */
	int ret;

	vm->cpl = 0;
	vm->is_pc = true;
	vm->pc = *config->pc;
	vm->vcpus = config->vcpus;
	ret = config->cpl == MACHINE_CPL_0 ? 0 : kvm_cpl0_check(err);
	if (!ret)
		ret = check_capabilities(vm, err);
	if (ret)
		return ret;
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP))
		return error_errno(err, "KVM_CREATE_IRQCHIP failed");
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return error_errno(err, "KVM_CREATE_PIT2 failed");
	if (config->ram_bytes <= PC_HOLE_START)
		return 0;
	ret = set_slot(vm, SLOT_HIGH, PC_HOLE_END, vm->ram + PC_HOLE_START,
		       config->ram_bytes - PC_HOLE_START, false);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "KVM does not take guest memory above 4 GiB: %s", strerror(-ret));
	return 0;
}

/* --- a vCPU --- */

static int set_cpuid(struct backend_vcpu *v, struct error *err)
{
	const struct kvm_cpuid2 *from = v->vm->cpuid;
	unsigned room = from->nent + KVM_PC_CPUID_MORE;
	struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + room * sizeof(t->entries[0]));
	int ret = 0;

	if (!t)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the CPUID table");
	memcpy(t, from, sizeof(*t) + from->nent * sizeof(t->entries[0]));
	kvm_pc_cpuid(t, v->index, v->vm->vcpus,
		     ioctl(v->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0);
	if (ioctl(v->fd, KVM_SET_CPUID2, t))
		ret = error_errno(err, "vCPU %u: KVM_SET_CPUID2 failed", v->index);
	free(t);
	return ret;
}

static int set_msrs(struct backend_vcpu *v, struct error *err)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = {
		.head.nmsrs = 2,
		.entry = {{.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STR},
			  {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ON_WRITE_BACK}},
	};

	/* Fewer than asked is fine: they spare the kernel a warning, no more. */
	if (ioctl(v->fd, KVM_SET_MSRS, &msrs) < 0)
		return error_errno(err, "vCPU %u: KVM_SET_MSRS failed", v->index);
	return 0;
}

static int set_lapic(struct backend_vcpu *v, struct error *err)
{
	static const uint32_t lint0 = APIC_MODE_EXINT, lint1 = APIC_MODE_NMI;
	struct kvm_lapic_state lapic;

	if (ioctl(v->fd, KVM_GET_LAPIC, &lapic))
		return error_errno(err, "vCPU %u: KVM_GET_LAPIC failed", v->index);
	memcpy(lapic.regs + APIC_LVT_LINT0, &lint0, sizeof(lint0));
	memcpy(lapic.regs + APIC_LVT_LINT1, &lint1, sizeof(lint1));
	if (ioctl(v->fd, KVM_SET_LAPIC, &lapic))
		return error_errno(err, "vCPU %u: KVM_SET_LAPIC failed", v->index);
	return 0;
}

/* vCPU 0 at the kernel's 64-bit entry; the others stay as KVM made them, waiting for INIT. */
static int set_boot_state(struct backend_vcpu *v, struct error *err)
{
	const struct machine_pc *pc = &v->vm->pc;
	struct machine_regs regs = {.rip = pc->entry_rip};
	struct kvm_sregs s;
	int ret;

	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return error_errno(err, "vCPU %u: KVM_GET_SREGS failed", v->index);
	kvm_cpu_segments(&s, 0);
	s.gdt.base = pc->gdt;
	s.gdt.limit = GDT_LIMIT;
	s.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	s.cr3 = pc->entry_cr3;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(v->fd, KVM_SET_SREGS, &s))
		return error_errno(err, "vCPU %u: KVM refuses 64-bit mode", v->index);
	regs.gpr[HOTRAIL_RSI] = pc->entry_rsi;
	regs.gpr[HOTRAIL_RSP] = pc->entry_rsp;
	ret = kvm_vcpu_set_regs(v, &regs);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "vCPU %u: KVM refuses its start registers: %s", v->index,
				 strerror(-ret));
	return 0;
}

int kvm_pc_vcpu_setup(struct backend_vcpu *v, struct error *err)
{
	int ret = set_cpuid(v, err); /* first: KVM checks all else against it */

	if (!ret)
		ret = set_msrs(v, err);
	if (!ret)
		ret = set_lapic(v, err);
	if (!ret && v->index == 0)
		ret = set_boot_state(v, err);
	return ret;
}

int kvm_pc_get_paging(struct backend_vcpu *v, struct machine_paging *paging)
{
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return -errno;
	*paging = (struct machine_paging){s.cr0, s.cr3, s.cr4, s.efer};
	return 0;
}

int kvm_pc_get_msr(struct backend_vcpu *v, uint32_t index, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = {.head.nmsrs = 1, .entry.index = index};
	int n = ioctl(v->fd, KVM_GET_MSRS, &msr);

	if (n < 0)
		return -errno;
	if (n != 1)
		return -ENOENT; /* no such register */
	*value = msr.entry.data;
	return 0;
}

int kvm_pc_get_cpl(struct backend_vcpu *v)
{
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s))
		return -errno;
	return s.ss.dpl; /* where KVM keeps the current level */
}

/* --- the machine --- */

int kvm_pc_irq(void *state, unsigned gsi, bool level)
{
	struct kvm_vm *vm = state;
	struct kvm_irq_level irq = {.irq = gsi, .level = level};

	if (gsi >= GSI_COUNT)
		return -EINVAL;
	return ioctl(vm->fd, KVM_IRQ_LINE, &irq) ? -errno : 0;
}

int kvm_pc_irqfd(void *state, unsigned gsi, int fd, bool on)
{
	struct kvm_vm *vm = state;
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	if (gsi >= GSI_COUNT)
		return -EINVAL;
	return ioctl(vm->fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}

int kvm_pc_ioeventfd(void *state, gpa_t gpa, uint32_t value, int fd, bool on)
{
	struct kvm_vm *vm = state;
	struct kvm_ioeventfd bell = {
		.datamatch = value,
		.addr = gpa,
		.len = sizeof(value),
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &bell) ? -errno : 0;
}

int kvm_pc_slot(void *state, unsigned slot, gpa_t gpa, void *host, uint64_t size, bool readonly)
{
	return set_slot(state, SLOT_FIRST + slot, gpa, host, size, readonly);
}
