// SPDX-License-Identifier: GPL-2.0-only
/* target_ops over one of our own machines. */
#include "target/target.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/pagewalk.h"

#define LEVELS 4 /* machine/paging.c builds four */

#define SLOT_ALIGN 0x200000ull
#define SLOT_TRIES 8 /* as many as a machine has slots */

struct target_machine {
	struct target target;
	struct machine *m;
	gpa_t root; /* 0 = the machine's own */
	unsigned levels;
};

static struct target_machine *own(struct target *t)
{
	/* `target` is the first member, see the assertion in target_machine_create(). */
	return (struct target_machine *)(void *)t;
}

static struct machine *machine_of(struct target *t)
{
	return own(t)->m;
}

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	const void *p = machine_ram_range(ctx, gpa, sizeof(*entry));

	if (!p)
		return -EFAULT;
	memcpy(entry, p, sizeof(*entry));
	return 0;
}

static int op_translate(struct target *t, gva_t gva, gpa_t *gpa)
{
	struct target_machine *o = own(t);
	gpa_t root = o->root ? o->root : machine_page_table_root(o->m);
	struct pagewalk_result walk;

	if (pagewalk(root, o->root ? o->levels : LEVELS, gva, read_entry, o->m, &walk))
		return -EFAULT;
	*gpa = walk.gpa;
	return 0;
}

/* Host view of the part of [gva, gva+len) that lies in gva's page; *part = its length. */
static uint8_t *page_part(struct target *t, gva_t gva, size_t len, size_t *part)
{
	size_t left = 4096 - (gva & 4095);
	gpa_t gpa;

	*part = len < left ? len : left;
	if (op_translate(t, gva, &gpa))
		return NULL;
	return machine_ram_range(machine_of(t), gpa, *part);
}

/* Whole range or nothing: walk it all before the first byte is touched. */
static int check_range(struct target *t, gva_t gva, size_t len)
{
	size_t done, part;

	if (len && gva + (len - 1) < gva)
		return -EFAULT;
	for (done = 0; done < len; done += part)
		if (!page_part(t, gva + done, len - done, &part))
			return -EFAULT;
	return 0;
}

/* Counters are read and cleared while the guest runs: an aligned word goes in one access. */
static void copy_out(void *buf, const uint8_t *ram, size_t len)
{
	uint64_t v8;
	uint32_t v4;

	if (len == 8 && !((uintptr_t)ram & 7)) {
		v8 = __atomic_load_n((const uint64_t *)(const void *)ram, __ATOMIC_RELAXED);
		memcpy(buf, &v8, sizeof(v8));
	} else if (len == 4 && !((uintptr_t)ram & 3)) {
		v4 = __atomic_load_n((const uint32_t *)(const void *)ram, __ATOMIC_RELAXED);
		memcpy(buf, &v4, sizeof(v4));
	} else {
		memcpy(buf, ram, len);
	}
}

static void copy_in(uint8_t *ram, const void *buf, size_t len)
{
	uint64_t v8;
	uint32_t v4;

	if (len == 8 && !((uintptr_t)ram & 7)) {
		memcpy(&v8, buf, sizeof(v8));
		__atomic_store_n((uint64_t *)(void *)ram, v8, __ATOMIC_RELAXED);
	} else if (len == 4 && !((uintptr_t)ram & 3)) {
		memcpy(&v4, buf, sizeof(v4));
		__atomic_store_n((uint32_t *)(void *)ram, v4, __ATOMIC_RELAXED);
	} else {
		memcpy(ram, buf, len);
	}
}

static int op_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	size_t done, part;
	uint8_t *ram;

	if (check_range(t, gva, len))
		return -EFAULT;
	for (done = 0; done < len; done += part) {
		ram = page_part(t, gva + done, len - done, &part);
		if (!ram)
			return -EFAULT;
		copy_out((uint8_t *)buf + done, ram, part);
	}
	return 0;
}

static int op_write(struct target *t, gva_t gva, const void *buf, size_t len)
{
	size_t done, part;
	uint8_t *ram;

	if (check_range(t, gva, len))
		return -EFAULT;
	for (done = 0; done < len; done += part) {
		ram = page_part(t, gva + done, len - done, &part);
		if (!ram)
			return -EFAULT;
		copy_in(ram, (const uint8_t *)buf + done, part);
	}
	return 0;
}

static unsigned op_vcpus(struct target *t)
{
	return machine_vcpus(machine_of(t));
}

static int op_pause(struct target *t, uint32_t budget_us, struct machine_pause *p,
		    struct error *err)
{
	return machine_pause_begin(machine_of(t), budget_us, p, err);
}

static int64_t op_resume(struct target *t, struct machine_pause *p)
{
	return machine_pause_end(machine_of(t), p);
}

static int op_get_regs(struct target *t, unsigned vcpu, struct machine_regs *regs)
{
	return machine_get_regs(machine_of(t), vcpu, regs);
}

static void op_set_sample_hook(struct target *t, machine_sample_fn fn, void *ctx)
{
	machine_set_sample_hook(machine_of(t), fn, ctx);
}

static void op_kick(struct target *t, unsigned vcpu)
{
	machine_kick(machine_of(t), vcpu);
}

static pid_t op_vcpu_tid(struct target *t, unsigned vcpu)
{
	return machine_vcpu_tid(machine_of(t), vcpu);
}

static int op_kick_signal(struct target *t)
{
	return machine_kick_signal(machine_of(t));
}

static int op_step(struct target *t, unsigned vcpu, struct machine_regs *r, struct error *err)
{
	return machine_step(machine_of(t), vcpu, r, err);
}

static int op_step_while(struct target *t, unsigned vcpu, machine_step_fn more, void *ctx,
			 struct error *err)
{
	return machine_step_while(machine_of(t), vcpu, more, ctx, err);
}

static int op_breakpoint(struct target *t, unsigned vcpu, gva_t addr, struct error *err)
{
	return machine_set_breakpoint(machine_of(t), vcpu, addr, err);
}

static bool op_guest_counts_as_user(struct target *t)
{
	/* Level 3 is user mode for the counters whatever carries the guest; level 0 is kernel. */
	return machine_cpl(machine_of(t)) == 3;
}

static int op_get_paging(struct target *t, unsigned vcpu, struct machine_paging *p)
{
	return machine_get_paging(machine_of(t), vcpu, p);
}

static int op_get_msr(struct target *t, unsigned vcpu, uint32_t index, uint64_t *value)
{
	return machine_get_msr(machine_of(t), vcpu, index, value);
}

static void op_set_root(struct target *t, gpa_t root, unsigned levels)
{
	own(t)->root = root;
	own(t)->levels = levels;
}

static int op_read_phys(struct target *t, gpa_t gpa, void *buf, size_t len)
{
	const void *ram = machine_ram_range(machine_of(t), gpa, len);

	if (!ram)
		return -EFAULT;
	copy_out(buf, ram, len);
	return 0;
}

static int op_write_phys(struct target *t, gpa_t gpa, const void *buf, size_t len)
{
	void *ram = machine_ram_range(machine_of(t), gpa, len);

	if (!ram)
		return -EFAULT;
	copy_in(ram, buf, len);
	return 0;
}

/* The first address behind all RAM and the hole for devices. */
static gpa_t above_ram(const struct machine *m)
{
	uint64_t ram = machine_ram_bytes(m);
	gpa_t top = ram > PC_HOLE_START ? PC_HOLE_END + (ram - PC_HOLE_START) : PC_HOLE_END;

	return (top + SLOT_ALIGN - 1) & ~(SLOT_ALIGN - 1);
}

/* End of what a vCPU can address: its CPUID is the host's (Intel SDM vol. 2A, CPUID 80000008H). */
static gpa_t physical_end(void)
{
	unsigned a = 0, b, c, d;

	if (!__get_cpuid(0x80000008, &a, &b, &c, &d) || (a & 0xff) < 36)
		a = 36; /* every x86-64 CPU has that many */
	return 1ull << ((a & 0xff) > 52 ? 52 : (a & 0xff));
}

static int op_slot_add(struct target *t, uint64_t size, bool readonly, gpa_t *gpa,
		       struct error *err)
{
	gpa_t at = above_ram(machine_of(t));
	int ret = -ENOSPC, tries;
	void *host;

	for (tries = 0; tries < SLOT_TRIES; tries++) {
		if (size > physical_end() || at > physical_end() - size)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC,
					 "no room for a memory slot behind the guest's RAM");
		ret = machine_slot_add(machine_of(t), at, size, readonly, &host, err);
		if (ret != -EEXIST)
			break;
		at += (size + SLOT_ALIGN - 1) & ~(SLOT_ALIGN - 1);
	}
	*gpa = at;
	return ret;
}

static int op_slot_remove(struct target *t, gpa_t gpa)
{
	return machine_slot_remove(machine_of(t), gpa);
}

static const struct target_ops target_machine_ops = {
	.name = "machine",
	.vcpus = op_vcpus,
	.pause = op_pause,
	.resume = op_resume,
	.get_regs = op_get_regs,
	.read = op_read,
	.write = op_write,
	.translate = op_translate,
	.set_sample_hook = op_set_sample_hook,
	.kick = op_kick,
	.vcpu_tid = op_vcpu_tid,
	.kick_signal = op_kick_signal,
	.step = op_step,
	.step_while = op_step_while,
	.breakpoint = op_breakpoint,
	.guest_counts_as_user = op_guest_counts_as_user,
	.get_paging = op_get_paging,
	.get_msr = op_get_msr,
	.set_root = op_set_root,
	.read_phys = op_read_phys,
	.write_phys = op_write_phys,
	.slot_add = op_slot_add,
	.slot_remove = op_slot_remove,
};

struct target *target_machine_create(struct machine *m)
{
	struct target_machine *t = calloc(1, sizeof(*t));

	_Static_assert(offsetof(struct target_machine, target) == 0, "machine_of() casts");
	if (!t)
		return NULL;
	t->target.ops = &target_machine_ops;
	t->m = m;
	return &t->target;
}

void target_machine_destroy(struct target *t)
{
	free(t);
}
