// SPDX-License-Identifier: GPL-2.0-only
/* target_ops over one of our own machines. */
#include "target/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/pagewalk.h"

#define LEVELS 4 /* machine/paging.c builds four */

struct target_machine {
	struct target target;
	struct machine *m;
};

static struct machine *machine_of(struct target *t)
{
	/* `target` is the first member, see the assertion in target_machine_create(). */
	return ((struct target_machine *)(void *)t)->m;
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
	struct machine *m = machine_of(t);
	struct pagewalk_result walk;

	if (pagewalk(machine_page_table_root(m), LEVELS, gva, read_entry, m, &walk))
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
