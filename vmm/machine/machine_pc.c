// SPDX-License-Identifier: GPL-2.0-only
/* A PC's part of the machine: interrupts, slots, what a running kernel's vCPUs hold. */
#include "machine/machine_state.h"

#include <errno.h>
#include <string.h>

int machine_pc_check(const struct machine_config *c, struct error *err)
{
	if (c->backend == MACHINE_PROCESS)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "a Linux guest needs /dev/kvm: the process backend runs only "
				 "images made for Hotrail");
	if (c->cpl == MACHINE_CPL_3)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "a Linux guest starts at privilege level 0: leave out --cpl");
	if (!c->pc->access)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "a PC without access handler");
	return 0;
}

/* --- interrupts and doorbells --- */

static int unsupported(struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP, "this machine is not a PC");
}

int machine_irq(struct machine *m, unsigned gsi, bool level)
{
	return m->config.pc ? m->ops->irq(m->state, gsi, level) : -ENOTSUP;
}

int machine_irqfd(struct machine *m, unsigned gsi, int fd, bool on, struct error *err)
{
	int ret;

	if (!m->config.pc)
		return unsupported(err);
	ret = m->ops->irqfd(m->state, gsi, fd, on);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "interrupt %u: KVM_IRQFD failed: %s", gsi, strerror(-ret));
	return 0;
}

int machine_ioeventfd(struct machine *m, gpa_t gpa, uint32_t value, int fd, bool on,
		      struct error *err)
{
	int ret;

	if (!m->config.pc)
		return unsupported(err);
	ret = m->ops->ioeventfd(m->state, gpa, value, fd, on);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "doorbell at %#llx: KVM_IOEVENTFD failed: %s",
				 (unsigned long long)gpa, strerror(-ret));
	return 0;
}

/* --- a parked vCPU's system registers --- */

struct ask {
	uint32_t msr;
	void *out;
};

static int ask_paging(struct machine *m, unsigned vcpu, void *arg)
{
	return m->ops->get_paging(m->vcpu[vcpu].bv, ((struct ask *)arg)->out);
}

static int ask_msr(struct machine *m, unsigned vcpu, void *arg)
{
	struct ask *a = arg;

	return m->ops->get_msr(m->vcpu[vcpu].bv, a->msr, a->out);
}

static int ask_cpl(struct machine *m, unsigned vcpu, void *arg)
{
	return m->ops->get_cpl(m->vcpu[vcpu].bv);
}

int machine_get_paging(struct machine *m, unsigned vcpu, struct machine_paging *p)
{
	struct ask a = {.out = p};

	return m->config.pc ? machine_vcpu_task(m, vcpu, ask_paging, &a) : -ENOTSUP;
}

int machine_get_msr(struct machine *m, unsigned vcpu, uint32_t index, uint64_t *value)
{
	struct ask a = {.msr = index, .out = value};

	return m->config.pc ? machine_vcpu_task(m, vcpu, ask_msr, &a) : -ENOTSUP;
}

int machine_get_cpl(struct machine *m, unsigned vcpu)
{
	return m->config.pc ? machine_vcpu_task(m, vcpu, ask_cpl, NULL) : -ENOTSUP;
}

/* --- memory slots outside RAM --- */

static bool overlap(gpa_t a, uint64_t a_len, gpa_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static int check_slot(const struct machine *m, gpa_t gpa, uint64_t size, struct error *err)
{
	uint64_t rest = m->mem.size - m->mem.low, used;
	unsigned i;

	if (!size || (gpa | size) % 4096 || gpa + size < gpa)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "a memory slot of %#llx bytes at %#llx is not made of pages",
				 (unsigned long long)size, (unsigned long long)gpa);
	if (overlap(gpa, size, 0, m->mem.low) || (rest && overlap(gpa, size, m->mem.high, rest)) ||
	    overlap(gpa, size, PC_MMIO_BASE, PC_HOLE_END - PC_MMIO_BASE))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EEXIST,
				 "a memory slot at %#llx would lie over RAM or devices",
				 (unsigned long long)gpa);
	for (i = 0; i < MACHINE_SLOTS; i++) {
		used = m->slot[i].size;
		if (used && overlap(gpa, size, m->slot[i].gpa, used))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EEXIST,
					 "a memory slot at %#llx would lie over another",
					 (unsigned long long)gpa);
	}
	return 0;
}

static int add_locked(struct machine *m, gpa_t gpa, uint64_t size, bool readonly, void **host,
		      struct error *err)
{
	struct machine_slot *s = m->slot;
	int ret = check_slot(m, gpa, size, err);

	if (ret)
		return ret;
	while (s < m->slot + MACHINE_SLOTS && s->size)
		s++;
	if (s == m->slot + MACHINE_SLOTS)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC,
				 "all %d memory slots are in use", MACHINE_SLOTS);
	ret = memory_create(&s->mem, size, MEMORY_HUGE_NONE, err);
	if (ret)
		return ret;
	ret = m->ops->slot(m->state, (unsigned)(s - m->slot), gpa, s->mem.base, size, readonly);
	if (ret) {
		memory_destroy(&s->mem);
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "KVM does not take a memory slot at %#llx: %s",
				 (unsigned long long)gpa, strerror(-ret));
	}
	s->gpa = gpa;
	*host = s->mem.base;
	atomic_store(&s->size, size);
	return 0;
}

int machine_slot_add(struct machine *m, gpa_t gpa, uint64_t size, bool readonly, void **host,
		     struct error *err)
{
	int ret;

	if (!m->config.pc)
		return unsupported(err);
	pthread_mutex_lock(&m->slot_lock);
	ret = add_locked(m, gpa, size, readonly, host, err);
	pthread_mutex_unlock(&m->slot_lock);
	return ret;
}

int machine_slot_remove(struct machine *m, gpa_t gpa)
{
	int ret = -ENOENT;
	unsigned i;

	pthread_mutex_lock(&m->slot_lock);
	for (i = 0; i < MACHINE_SLOTS; i++) {
		struct machine_slot *s = &m->slot[i];

		if (!s->size || s->gpa != gpa)
			continue;
		ret = m->ops->slot(m->state, i, gpa, s->mem.base, 0, false);
		if (ret)
			break;
		atomic_store(&s->size, 0);
		memory_destroy(&s->mem);
		break;
	}
	pthread_mutex_unlock(&m->slot_lock);
	return ret;
}

void *machine_slot_range(const struct machine *m, gpa_t gpa, uint64_t len)
{
	unsigned i;

	if (!len)
		return NULL;
	for (i = 0; i < MACHINE_SLOTS; i++) {
		const struct machine_slot *s = &m->slot[i];
		uint64_t size = atomic_load(&s->size); /* first: the rest was stored before it */

		if (!size || gpa < s->gpa || gpa - s->gpa >= size || len > size - (gpa - s->gpa))
			continue;
		return s->mem.base + (gpa - s->gpa);
	}
	return NULL;
}

void machine_slot_free_all(struct machine *m)
{
	unsigned i;

	for (i = 0; i < MACHINE_SLOTS; i++)
		memory_destroy(&m->slot[i].mem);
}

/* --- the end --- */

void machine_guest_end(struct machine *m, enum machine_end end, const char *text)
{
	struct machine_vcpu *v = NULL;
	unsigned i;

	for (i = 0; pause_on_vcpu(&m->pause) && i < m->threads; i++)
		if (pthread_equal(m->vcpu[i].thread, pthread_self()))
			v = &m->vcpu[i];
	machine_record_end(m, v, end, text);
	pause_stop(&m->pause); /* a vCPU thread finds it at the top of its loop */
}
