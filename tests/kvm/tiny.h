/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hand-assembled guests of a few instructions, run under every backend and level that
 * works here. One page of code at TINY_CODE, one page of data a vCPU from TINY_DATA on, whose
 * address the vCPU finds in RBX.
 */
#ifndef HOTRAIL_TESTS_TINY_H
#define HOTRAIL_TESTS_TINY_H

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "../unit/suite.h"
#include <hotrail/yard.h>
#include "machine/kvm.h"
#include "machine/machine.h"
#include "util/clock.h"

#define TINY_CODE      HOTRAIL_BASE_LOW
#define TINY_CODE_GPA  0x200000ull
#define TINY_DATA      (TINY_CODE + 0x1000)
#define TINY_DATA_GPA  (TINY_CODE_GPA + 0x1000)
#define TINY_RAM       0x400000ull
#define TINY_NOBODY    0x99 /* a port no device answers */
#define TINY_BUDGET_US 5000000

struct setup {
	enum machine_backend backend;
	enum machine_cpl cpl;
	const char *name;
};

struct tiny {
	struct machine *m;
	unsigned vcpus;
	uint8_t *code;				   /* host view of the code page */
	_Atomic uint64_t ports[HOTRAIL_MAX_VCPUS]; /* accesses seen */
	_Atomic uint32_t value[HOTRAIL_MAX_VCPUS]; /* last value */
	_Atomic uint16_t port[HOTRAIL_MAX_VCPUS];  /* last port */
	_Atomic unsigned odd; /* values that were not the one before plus one */
	_Atomic unsigned ended;
};

static const struct setup tiny_setups[] = {
	{MACHINE_KVM, MACHINE_CPL_0, "kvm level 0"},
	{MACHINE_KVM, MACHINE_CPL_3, "kvm level 3"},
	{MACHINE_PROCESS, MACHINE_CPL_3, "process level 3"},
};
#define TINY_SETUPS (sizeof(tiny_setups) / sizeof(tiny_setups[0]))

/* Where KVM emulates level 0 it lacks instructions, and no guest of ours runs there. */
static inline int tiny_probe(const struct setup *s, struct error *err)
{
	int ret = machine_probe(s->backend, err);

	return !ret && s->backend == MACHINE_KVM && s->cpl == MACHINE_CPL_0 ? kvm_cpl0_check(err)
									    : ret;
}

static inline unsigned tiny_usable(void)
{
	static bool told;
	struct error err;
	unsigned i, n = 0;

	for (i = 0; i < TINY_SETUPS; i++) {
		if (!tiny_probe(&tiny_setups[i], &err))
			n++;
		else if (!told)
			printf("not run: %s: %s\n", tiny_setups[i].name, err.text);
	}
	told = true;
	return n;
}

/* Run fn under each setup that works here. */
static inline void tiny_each(void (*fn)(const struct setup *s))
{
	unsigned i;

	for (i = 0; i < TINY_SETUPS; i++) {
		struct error err;

		if (tiny_probe(&tiny_setups[i], &err))
			continue;
		printf("[%s] ", tiny_setups[i].name);
		fn(&tiny_setups[i]);
	}
}

static inline int tiny_port(void *ctx, unsigned vcpu, uint16_t port, uint32_t value)
{
	struct tiny *t = ctx;

	if (port == TINY_NOBODY)
		return -ENODEV;
	if (value != atomic_load(&t->value[vcpu]) + 1)
		atomic_fetch_add(&t->odd, 1);
	atomic_store(&t->value[vcpu], value);
	atomic_store(&t->port[vcpu], port);
	atomic_fetch_add(&t->ports[vcpu], 1);
	return 0;
}

static inline void tiny_on_end(void *ctx)
{
	atomic_fetch_add(&((struct tiny *)ctx)->ended, 1);
}

static inline struct machine_regs tiny_entry(unsigned vcpu, const struct machine_regs *extra)
{
	struct machine_regs r = {.rflags = 2};

	if (extra)
		r = *extra;
	r.rip = TINY_CODE;
	r.gpr[HOTRAIL_RBX] = TINY_DATA + vcpu * 0x1000ull;
	r.gpr[HOTRAIL_RDI] = vcpu;
	r.gpr[HOTRAIL_RSP] = TINY_DATA + vcpu * 0x1000ull + 0xff8;
	return r;
}

/* Create and enter, not started. `extra` gives further start registers, or is NULL. */
static inline bool tiny_create(struct tiny *t, const struct setup *s, unsigned vcpus,
			       const void *code, size_t len, const struct machine_regs *extra)
{
	const struct machine_map maps[] = {
		{TINY_CODE, TINY_CODE_GPA, 0x1000, MACHINE_R | MACHINE_X},
		{TINY_DATA, TINY_DATA_GPA, HOTRAIL_MAX_VCPUS * 0x1000, MACHINE_R | MACHINE_W},
	};
	struct machine_config c = {
		.backend = s->backend,
		.cpl = s->cpl,
		.vcpus = vcpus,
		.ram_bytes = TINY_RAM,
		.maps = maps,
		.maps_count = 2,
		.port = tiny_port,
		.port_ctx = t,
	};
	struct error err = {0};
	unsigned i;
	int ret;

	memset(t, 0, sizeof(*t));
	t->vcpus = vcpus;
	ret = machine_create(&c, &t->m, &err);
	CU_ASSERT_EQUAL(ret, 0);
	if (ret) {
		printf("%s: %s\n", s->name, err.text);
		return false;
	}
	t->code = machine_ram_range(t->m, TINY_CODE_GPA, 0x1000);
	memcpy(t->code, code, len);
	machine_on_end(t->m, tiny_on_end, t);
	for (i = 0; i < vcpus; i++) {
		struct machine_regs r = tiny_entry(i, extra);

		ret = machine_set_entry(t->m, i, &r, &err);
		CU_ASSERT_EQUAL(ret, 0);
	}
	return true;
}

static inline bool tiny_run(struct tiny *t, const struct setup *s, unsigned vcpus, const void *code,
			    size_t len, const struct machine_regs *extra)
{
	struct error err = {0};
	int ret;

	if (!tiny_create(t, s, vcpus, code, len, extra))
		return false;
	ret = machine_start(t->m, &err);
	CU_ASSERT_EQUAL(ret, 0);
	if (ret)
		printf("%s: %s\n", s->name, err.text);
	return true;
}

static inline uint64_t tiny_word(const struct tiny *t, unsigned vcpu)
{
	const volatile uint64_t *p = machine_ram_range(t->m, TINY_DATA_GPA + vcpu * 0x1000ull, 8);

	return *p;
}

/* Wait until the word differs from `old`; false after ten seconds. */
static inline bool tiny_moves(const struct tiny *t, unsigned vcpu, uint64_t old)
{
	unsigned i;

	for (i = 0; i < 10000; i++) {
		if (tiny_word(t, vcpu) != old)
			return true;
		clock_sleep_ms(1);
	}
	return false;
}

#endif
