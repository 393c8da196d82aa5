// SPDX-License-Identifier: GPL-2.0-only
/* Every sampler that works here, on a running yard guest: what it names is true, and the guest goes
 * on unharmed. Those that do not work say why. */
#include "../unit/suite.h"

#include <errno.h>
#include <string.h>

#include "engine/instance.h"
#include "sample/step.h"
#include "util/clock.h"

static struct instance *guest;

struct seen {
	uint64_t edges, targets, wrong;
};

static void open_guest(void)
{
	struct instance_config c = INSTANCE_DEFAULT;
	struct error err = {0};
	char path[256];
	int ret;

	ret = instance_backend(MACHINE_AUTO, &c.backend, &err);
	if (ret)
		SUITE_SKIP("%s", err.text);
	ret = instance_find_image("retpoline", c.backend, path, sizeof(path), &err);
	c.image = path;
	if (!ret)
		ret = instance_open(&c, &guest, &err);
	if (!ret)
		ret = instance_start(guest, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

/* Not one call went wrong, and it still works. */
static void close_guest(void)
{
	uint64_t ops = yard_ops(guest->yard);
	struct target *t = guest->target;
	struct yard_check check = {0};
	struct machine_pause p;
	unsigned i;

	for (i = 0; i < 500 && yard_ops(guest->yard) == ops; i++)
		clock_sleep_ms(10);
	CU_ASSERT_TRUE(yard_ops(guest->yard) > ops);
	CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, NULL), 0);
	CU_ASSERT_EQUAL(yard_check(guest->yard, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 0);
	t->ops->resume(t, &p);
	instance_close(guest);
}

static void on_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	struct seen *s = ctx;

	s->edges += weight;
	s->targets += target != 0;
	s->wrong += site >= guest->guest->sites.count ||
		    (target && !guest->guest->ops->is_target(guest->guest, target));
}

/* step may see no call for seconds; the others must. */
static void try_sampler(const struct sampler_ops *ops, bool must_see)
{
	const struct sampler_config config = {.hz = SAMPLER_DEFAULT_HZ};
	struct sampler_stats st = {0};
	struct error err = {0};
	struct seen seen = {0};
	struct sampler *s;
	unsigned i;
	int ret = ops->start(guest->guest, &config, &s, &err);

	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	for (i = 0; i < (must_see ? 200 : 15) && seen.targets < 5; i++) {
		clock_sleep_ms(100);
		ops->drain(s, on_edge, &seen);
	}
	ops->stats(s, &st);
	printf("    %s: taken %llu, attributed %llu, elsewhere %llu, lost %llu, unmatched %llu; "
	       "%llu edges, %llu with target\n",
	       ops->name, (unsigned long long)st.taken, (unsigned long long)st.attributed,
	       (unsigned long long)st.elsewhere, (unsigned long long)st.lost,
	       (unsigned long long)st.unmatched, (unsigned long long)seen.edges,
	       (unsigned long long)seen.targets);
	CU_ASSERT_EQUAL(seen.wrong, 0);
	CU_ASSERT_EQUAL(st.taken, st.attributed + st.elsewhere);
	CU_ASSERT_TRUE(!must_see || seen.edges >= 1);
	ops->stop(s);
}

static void all_that_work(void)
{
	unsigned i, tried = 0;

	open_guest();
	for (i = 0; sampler_table[i]; i++) {
		struct error err = {0};

		if (sampler_table[i]->probe(guest->guest, &err)) {
			printf("    %s\n", err.text);
			CU_ASSERT_EQUAL(strncmp(err.text, sampler_table[i]->name,
						strlen(sampler_table[i]->name)),
					0);
			continue;
		}
		try_sampler(sampler_table[i], sampler_table[i] != &sampler_step);
		tried++;
	}
	CU_ASSERT_TRUE(tried > 0);
	close_guest();
}

/* --- stepping on until calls were seen --- */

struct burst {
	struct step_walk walk;
	unsigned calls, pairs, steps, wrong;
	uint64_t until_ns;
};

static bool more(void *ctx, const struct machine_regs *r)
{
	const struct site_table *sites = &guest->guest->sites;
	struct burst *b = ctx;
	enum step_seen s = step_walk_next(&b->walk, r);

	b->steps++;
	b->calls += s == STEP_CALL;
	b->pairs += s == STEP_PAIR;
	/* The callee returns to the site: the stack says whether the pair is true. */
	if (s == STEP_PAIR && !sites->sites[b->walk.site].is_jump) {
		uint64_t ret = 0;

		guest->target->ops->read(guest->target, r->gpr[HOTRAIL_RSP], &ret, sizeof(ret));
		b->wrong += site_find_return(sites, ret) != (long)b->walk.site ||
			    r->rip != b->walk.target;
	}
	return b->pairs < 3 && b->steps < 5000 && clock_ns() < b->until_ns;
}

static bool is_target(void *ctx, gva_t addr)
{
	return guest->guest->ops->is_target(guest->guest, addr);
}

static void steps_tell_the_truth(void)
{
	struct guest *g;
	struct target *t;
	struct attribute a;
	struct machine_pause p;
	struct machine_regs r;
	struct error err = {0};
	struct burst b = {.pairs = 0};
	unsigned i;

	open_guest();
	g = guest->guest;
	t = guest->target;
	if (sampler_step.probe(g, &err)) {
		printf("    %s\n", err.text);
		close_guest();
		return;
	}
	CU_ASSERT_EQUAL_FATAL(attribute_init(&a, &g->sites, g->arena.code,
					     g->arena.code + g->arena.code_size, is_target, NULL),
			      0);
	for (i = 0; i < 20 && b.pairs < 3; i++) {
		CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, NULL), 0);
		CU_ASSERT_EQUAL(t->ops->get_regs(t, i % 2, &r), 0);
		step_walk_begin(&b.walk, &a, &r);
		b.steps = 0;
		b.until_ns = clock_ns() + 1000000000ull;
		t->ops->step_while(t, i % 2, more, &b, NULL); /* a port write ends it early */
		t->ops->resume(t, &p);
	}
	printf("    %u calls, %u pairs\n", b.calls, b.pairs);
	CU_ASSERT_TRUE(b.pairs >= 3);
	CU_ASSERT_TRUE(b.calls >= b.pairs);
	CU_ASSERT_EQUAL(b.wrong, 0);
	attribute_free(&a);
	close_guest();
}

/* --- breakpoints --- */

static gva_t watched;
static _Atomic unsigned hits;

static void on_hit(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	hits += regs->rip == watched;
}

static void breakpoints_fire_once_or_say_why(void)
{
	struct machine *m;
	struct error err = {0};
	unsigned i;
	int ret;

	open_guest();
	m = guest->machine;
	watched = guest->guest->sites.sites[0].thunk;
	CU_ASSERT_EQUAL(machine_set_breakpoint(m, HOTRAIL_MAX_VCPUS, 0, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no vCPU"));
	ret = machine_set_breakpoint(m, 0, 0, &err);
	if (ret) {
		printf("    %s\n", err.text);
		CU_ASSERT_EQUAL(ret, -ENOTSUP);
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
		CU_ASSERT_EQUAL(machine_set_breakpoint(m, 0, watched, NULL), -ENOTSUP);
		close_guest();
		return;
	}
	hits = 0;
	machine_set_sample_hook(m, on_hit, NULL);
	CU_ASSERT_EQUAL(machine_set_breakpoint(m, 0, watched, NULL), 0);
	for (i = 0; i < 500 && !hits; i++)
		clock_sleep_ms(10);
	clock_sleep_ms(100);
	CU_ASSERT_EQUAL(hits, 1);
	machine_set_sample_hook(m, NULL, NULL);
	close_guest();
}

static const struct suite_test tests[] = {
	{"all that work here", all_that_work},
	{"steps tell the truth", steps_tell_the_truth},
	{"breakpoints fire once or say why", breakpoints_fire_once_or_say_why},
};

SUITE_MAIN("samplers", tests, 120)
