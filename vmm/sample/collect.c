// SPDX-License-Identifier: GPL-2.0-only
/* Rings, the sample hook and the drain that all interrupting samplers share. */
#include "sample/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_target(void *ctx, gva_t addr)
{
	struct guest *g = ctx;

	return g->ops->is_target(g, addr);
}

int collect_init(struct collect *c, struct guest *g, struct error *err)
{
	memset(c, 0, sizeof(*c));
	c->guest = g;
	c->vcpus = g->target->ops->vcpus(g->target);
	if (!c->vcpus || c->vcpus > HOTRAIL_MAX_VCPUS)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "the guest has %u vCPUs; samplers serve 1 to %d", c->vcpus,
				 HOTRAIL_MAX_VCPUS);
	c->vcpu = calloc(c->vcpus, sizeof(*c->vcpu));
	if (!c->vcpu || attribute_init(&c->attribute, &g->sites, g->arena.code,
				       g->arena.code + g->arena.code_size, is_target, g)) {
		free(c->vcpu);
		c->vcpu = NULL;
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the sample rings of %u vCPUs", c->vcpus);
	}
	return 0;
}

void collect_free(struct collect *c)
{
	attribute_free(&c->attribute);
	free(c->vcpu);
	memset(c, 0, sizeof(*c));
}

/* As many words from [rsp] upwards as are there: all, or those up to the end of rsp's page. */
static uint32_t read_stack(struct target *t, gva_t rsp, uint64_t *stack)
{
	uint32_t in_page = (uint32_t)((4096 - (rsp & 4095)) / sizeof(*stack));

	if (rsp <= UINT64_MAX - RAW_STACK_WORDS * sizeof(*stack) &&
	    !t->ops->read(t, rsp, stack, RAW_STACK_WORDS * sizeof(*stack)))
		return RAW_STACK_WORDS;
	if (!in_page || in_page >= RAW_STACK_WORDS ||
	    t->ops->read(t, rsp, stack, in_page * sizeof(*stack)))
		return 0;
	return in_page;
}

void collect_sample(struct collect *c, unsigned vcpu, const struct machine_regs *regs)
{
	struct collect_vcpu *v;
	struct raw_sample *s;

	if (vcpu >= c->vcpus)
		return;
	v = &c->vcpu[vcpu];
	atomic_fetch_add_explicit(&v->seen, 1, memory_order_relaxed);
	s = ring_reserve(&v->ring);
	if (!s) {
		atomic_fetch_add_explicit(&v->full, 1, memory_order_relaxed);
		return;
	}
	s->rip = regs->rip;
	memcpy(s->gpr, regs->gpr, sizeof(s->gpr));
	s->words = read_stack(c->guest->target, regs->gpr[HOTRAIL_RSP], s->stack);
	ring_push(&v->ring);
}

void collect_drain(struct collect *c, sampler_edge_fn fn, void *ctx)
{
	const struct raw_sample *s;
	unsigned i, n;
	gva_t target;
	long site;

	for (i = 0; i < c->vcpus; i++) {
		/* Bounded, so that a drain ends however fast samples come. */
		for (n = 0; n < RING_SLOTS && (s = ring_peek(&c->vcpu[i].ring)); n++) {
			site = attribute_sample(&c->attribute, s, &target);
			ring_pop(&c->vcpu[i].ring);
			if (site >= 0) {
				atomic_fetch_add_explicit(&c->attributed, 1, memory_order_relaxed);
				fn(ctx, (uint32_t)site, target, 1);
			}
			atomic_fetch_add_explicit(&c->taken, 1, memory_order_relaxed);
		}
	}
}

void collect_stats(const struct collect *c, struct sampler_stats *out)
{
	unsigned i;

	out->attributed = atomic_load(&c->attributed);
	out->taken = atomic_load(&c->taken);
	if (out->taken < out->attributed) /* a drain is between its two additions */
		out->taken = out->attributed;
	out->elsewhere = out->taken - out->attributed;
	out->lost = out->unmatched = 0;
	for (i = 0; i < c->vcpus; i++)
		out->lost += atomic_load(&c->vcpu[i].full) + atomic_load(&c->vcpu[i].lost);
}
