/* SPDX-License-Identifier: GPL-2.0-only */
/* A target that goes through a scripted trace. */
#ifndef HOTRAIL_TESTS_STEP_FIXTURE_H
#define HOTRAIL_TESTS_STEP_FIXTURE_H

#include "fake_target.h"
#include "sample/step.h"
#include "suite.h"

#define SITES 40
#define INNER 12
#define RET   16

/* One step of the script: where the vCPU is then, or a negative errno. */
struct script {
	gva_t rip;
	gva_t rax; /* written to every register: a site's is among them */
	int ret;
};

static struct fake_target f;
static struct attribute attribute;
static struct script script[512];
static unsigned length, at; /* under nobody: the ticker's once it runs */
static _Atomic unsigned steps, bursts, unpaused;
static unsigned step_ns;
static struct target_ops ops;
static unsigned stepped_vcpu[HOTRAIL_MAX_VCPUS];

static inline bool is_target(void *ctx, gva_t addr)
{
	return f.guest_ops.is_target(&f.guest, addr);
}

static inline void set_regs(struct machine_regs *r, const struct script *s)
{
	unsigned i;

	for (i = 0; i < HOTRAIL_REGS; i++)
		r->gpr[i] = s->rax;
	r->rip = s->rip;
}

static inline int script_regs(struct target *t, unsigned vcpu, struct machine_regs *regs)
{
	bursts++;
	unpaused += !f.paused;
	set_regs(regs, &script[at % length]);
	return 0;
}

static inline int script_step(struct target *t, unsigned vcpu, struct machine_regs *r,
			      struct error *err)
{
	const struct script *s;
	uint64_t until = clock_ns() + step_ns;

	while (clock_ns() < until)
		;
	steps++;
	stepped_vcpu[vcpu]++;
	unpaused += !f.paused;
	at = (at + 1) % length;
	s = &script[at];
	if (s->ret)
		return error_set(err, HOTRAIL_EXIT_BUSY, s->ret, "scripted");
	set_regs(r, s);
	return 0;
}

static const struct site *site(unsigned n)
{
	return &f.guest.sites.sites[n];
}

static inline void add(gva_t rip, gva_t value)
{
	script[length++] = (struct script){.rip = rip, .rax = value};
}

/* Before the site, at it, through the thunk, at the target and back. */
static inline void add_call(unsigned n, gva_t target)
{
	add(site(n)->addr - 3, 0);
	add(site(n)->addr, target);
	add(site(n)->thunk, target);
	add(site(n)->thunk + INNER, target);
	add(site(n)->thunk + RET, target);
	add(target, target);
	add(target + 4, 1);
	add(site(n)->addr + site(n)->len, 1);
}

static inline void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	ops = fake_target_ops;
	ops.get_regs = script_regs;
	ops.step = script_step;
	f.target.ops = &ops;
	attribute_init(&attribute, &f.guest.sites, f.guest.arena.code,
		       f.guest.arena.code + f.guest.arena.code_size, is_target, NULL);
	length = at = 0;
	steps = bursts = unpaused = 0;
	step_ns = 0;
	memset(script, 0, sizeof(script));
	memset(stepped_vcpu, 0, sizeof(stepped_vcpu));
}

static inline void end(void)
{
	attribute_free(&attribute);
	fake_free(&f);
}

struct seen {
	unsigned edges, wrong;
};

static inline void on_edge(void *ctx, uint32_t n, gva_t target, uint32_t weight)
{
	struct seen *s = ctx;

	s->edges++;
	s->wrong += n >= SITES || target != fake_function(n) || weight != 1;
}

#endif
