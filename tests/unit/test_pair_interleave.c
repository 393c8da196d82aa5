// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every interleaving of two updaters and two executing CPUs over one pair. An updater may ask for
 * any program or none at any time, so all sequences of changes of any length are covered; it may
 * give up between two steps, as one whose pause fails. The steps and their order are those of
 * pair_plan(). Explored until no new state of the whole system is found.
 *
 * Writing is modelled in both ways. The agent's: text_poke_bp puts an int3 over the first byte,
 * which a CPU that has fetched the old bytes may not see yet; once all are synchronised, whoever
 * hits it gets the new instruction emulated; then the bytes are replaced. The host's: one step
 * while every CPU stands still.
 */
#include "suite.h"

#include <string.h>

#include "patch/pair.h"

#define CPUS	 2
#define UPDATERS 2
#define TEXT	 0x40000000ull

enum { BYPASS, TARGET, SLOTS };
enum { NOP, SLOW, PROGRAM_1, PROGRAM_2, VALUES }; /* what a slot holds */
enum { STABLE, SOME_SEE, ALL_SEE };		  /* of a poke by int3 */
enum { AT_BYPASS, UNWINDING, AT_TARGET };	  /* where a CPU is */
enum { IDLE, POKING, WAITING };			  /* what an updater does */
enum { WAY_AGENT, WAY_HOST, WAYS };
enum mutation {
	FAITHFUL,
	NO_GRACE,
	NO_GRACE_FROM_BYPASSED, /* trusts that a removal left half done had waited */
	BYPASS_OPENED_FIRST,
	TARGET_CLEARED_FIRST,
	NO_LOCK,
	MUTATIONS
};

static const struct pair pair = {
	.bypass = TEXT + 0x100, .target = TEXT + 0x110, .slow = TEXT + 0x140};
static const gva_t programs[] = {[NOP] = 0, [PROGRAM_1] = TEXT + 0x400, [PROGRAM_2] = TEXT + 0x800};
static uint8_t bytes[SLOTS][VALUES][PAIR_SLOT];

struct updater {
	uint8_t doing, step, want, from_state, from_program, waits_for; /* a bit a CPU */
};

struct system {
	struct {
		uint8_t old, new, stage;
	} slot[SLOTS];
	uint8_t cpu[CPUS];
	struct updater updater[UPDATERS];
	uint8_t locked;
};

static struct explorer {
	enum mutation mutation;
	int way;
	struct system *seen;
	uint8_t *used;
	size_t mask, count;
	unsigned broken, faults;
	bool state_seen[PAIR_FOREIGN + 1], ran[VALUES];
} x;

static void make_bytes(void)
{
	const gva_t at[SLOTS] = {pair.bypass, pair.target};
	const gva_t to[VALUES] = {0, pair.slow, programs[PROGRAM_1], programs[PROGRAM_2]};
	int slot, v;

	for (slot = 0; slot < SLOTS; slot++)
		for (v = 0; v < VALUES; v++) {
			int32_t rel = (int32_t)(to[v] - (at[slot] + PAIR_SLOT));

			memcpy(bytes[slot][v], pair_nop, PAIR_SLOT);
			if (v == NOP)
				continue;
			bytes[slot][v][0] = 0xe9;
			memcpy(bytes[slot][v] + 1, &rel, sizeof(rel));
		}
}

static uint8_t value_of(int slot, const uint8_t b[PAIR_SLOT])
{
	uint8_t v;

	for (v = 0; v < VALUES; v++)
		if (!memcmp(bytes[slot][v], b, PAIR_SLOT))
			return v;
	CU_FAIL_FATAL("the plan wrote something that never belongs there");
	return 0;
}

/* --- the set of systems seen --- */

static size_t place(const struct system *s)
{
	const uint8_t *p = (const uint8_t *)s;
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < sizeof(*s); i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	for (i = (h ^ h >> 29) & x.mask; x.used[i] && memcmp(&x.seen[i], s, sizeof(*s));
	     i = (i + 1) & x.mask)
		;
	return i;
}

static void allocate(size_t size)
{
	x.mask = size - 1;
	x.seen = calloc(size, sizeof(*x.seen));
	x.used = calloc(size, 1);
	CU_ASSERT_FATAL(x.seen && x.used);
}

static void grow(void)
{
	struct system *seen = x.seen;
	uint8_t *used = x.used;
	size_t i, size = x.mask + 1;

	allocate(size * 2);
	for (i = 0; i < size; i++)
		if (used[i]) {
			size_t at = place(&seen[i]);

			x.seen[at] = seen[i];
			x.used[at] = used[i];
		}
	free(seen);
	free(used);
}

enum { SEEN = 1, EXPANDED = 2 }; /* of x.used */

static void reach(const struct system *s)
{
	size_t at = place(s);

	if (x.used[at])
		return;
	x.seen[at] = *s;
	x.used[at] = SEEN;
	if (++x.count * 2 > x.mask)
		grow();
}

/* --- what may happen next --- */

/* Can some CPU see `v` in this slot now? */
static bool visible(const struct system *s, int slot, uint8_t v)
{
	return s->slot[slot].new == v ||
	       (s->slot[slot].stage == SOME_SEE && s->slot[slot].old == v);
}

static void cpu_goes(const struct system *s, int cpu, uint8_t to)
{
	struct system next = *s;
	int u;

	next.cpu[cpu] = to;
	for (u = 0; u < UPDATERS && to == AT_BYPASS; u++)
		next.updater[u].waits_for &= (uint8_t) ~(1u << cpu);
	reach(&next);
}

static void cpu_executes(const struct system *s, int cpu)
{
	uint8_t v;

	if (s->cpu[cpu] == UNWINDING)
		cpu_goes(s, cpu, AT_TARGET);
	for (v = 0; v < VALUES; v++) {
		if (s->cpu[cpu] == AT_BYPASS && visible(s, BYPASS, v))
			cpu_goes(s, cpu, v == NOP ? UNWINDING : AT_BYPASS);
		if (s->cpu[cpu] == AT_TARGET && visible(s, TARGET, v)) {
			x.faults += v == NOP;
			x.ran[v] = true;
			cpu_goes(s, cpu, AT_BYPASS);
		}
	}
}

static unsigned mutate(struct pair_step steps[PAIR_MAX_STEPS], unsigned n, enum pair_state from)
{
	struct pair_step t;
	unsigned i, kept = 0;
	bool removes = false;

	for (i = 0; i < n; i++)
		removes |= steps[i].kind == PAIR_GRACE;
	if (x.mutation == NO_GRACE ||
	    (x.mutation == NO_GRACE_FROM_BYPASSED && from == PAIR_BYPASSED)) {
		for (i = 0; i < n; i++)
			if (steps[i].kind != PAIR_GRACE)
				steps[kept++] = steps[i];
		return kept;
	}
	if (n > 1 && ((x.mutation == BYPASS_OPENED_FIRST && !removes) ||
		      (x.mutation == TARGET_CLEARED_FIRST && removes))) {
		t = steps[0];
		steps[0] = steps[n - 1];
		steps[n - 1] = t;
	}
	return n;
}

static enum pair_state state_of(const struct system *s, gva_t *program)
{
	return pair_classify(&pair, bytes[BYPASS][s->slot[BYPASS].new],
			     bytes[TARGET][s->slot[TARGET].new], program);
}

static unsigned plan_of(const struct updater *u, struct pair_step steps[PAIR_MAX_STEPS])
{
	unsigned n = pair_plan(&pair, u->from_state, programs[u->from_program], programs[u->want],
			       steps);

	return mutate(steps, n, u->from_state);
}

static void finish(struct system *s, int u)
{
	s->updater[u] = (struct updater){.doing = IDLE};
	s->locked = 0;
	reach(s);
}

static void begin(const struct system *s, int u, uint8_t want)
{
	struct pair_step steps[PAIR_MAX_STEPS];
	struct system next = *s;
	gva_t program;
	enum pair_state state = state_of(s, &program);

	if (state > PAIR_DIRECT) /* refused */
		return;
	next.updater[u] = (struct updater){.doing = POKING, .want = want, .from_state = state};
	while (programs[next.updater[u].from_program] != program ||
	       next.updater[u].from_program == SLOW)
		next.updater[u].from_program++;
	if (!plan_of(&next.updater[u], steps))
		return;
	next.locked = 1;
	reach(&next);
}

static void step_done(struct system *s, int u, unsigned n)
{
	s->updater[u].doing = POKING;
	if (++s->updater[u].step == n)
		finish(s, u);
	else
		reach(s);
}

/* Nobody pokes text while another does: text_mutex, or the pause. */
static bool text_free(const struct system *s)
{
	return s->slot[BYPASS].stage == STABLE && s->slot[TARGET].stage == STABLE;
}

static void poke(const struct system *s, int u, const struct pair_step *step, unsigned n)
{
	int slot = step->kind == PAIR_POKE_TARGET ? TARGET : BYPASS;
	struct system next = *s;

	if (s->updater[u].doing == POKING) {
		if (!text_free(s))
			return;
		if (value_of(slot, step->old) != s->slot[slot].new) { /* law 3: compared first */
			finish(&next, u);
			return;
		}
		next.slot[slot].old = s->slot[slot].new;
		next.slot[slot].new = value_of(slot, step->new);
		next.slot[slot].stage = x.way == WAY_AGENT ? SOME_SEE : STABLE;
		if (x.way == WAY_HOST) {
			next.slot[slot].old = 0;
			step_done(&next, u, n);
			return;
		}
		next.updater[u].doing = WAITING;
		reach(&next);
	} else if (s->slot[slot].stage == SOME_SEE) {
		next.slot[slot].stage = ALL_SEE;
		reach(&next);
	} else {
		next.slot[slot].stage = STABLE;
		next.slot[slot].old = 0;
		step_done(&next, u, n);
	}
}

static void grace(const struct system *s, int u, unsigned n)
{
	struct system next = *s;
	int cpu;

	if (s->updater[u].doing == POKING) {
		for (cpu = 0; cpu < CPUS; cpu++)
			if (s->cpu[cpu] != AT_BYPASS)
				next.updater[u].waits_for |= (uint8_t)(1u << cpu);
		/* The host looks again and again until nobody is there at one and the same time. */
		if (x.way == WAY_HOST && next.updater[u].waits_for)
			return;
		next.updater[u].doing = WAITING;
		reach(&next);
	} else if (!s->updater[u].waits_for) {
		step_done(&next, u, n);
	}
}

static void updater_acts(const struct system *s, int u)
{
	static const uint8_t wants[] = {NOP, PROGRAM_1, PROGRAM_2};
	const struct updater *me = &s->updater[u];
	struct pair_step steps[PAIR_MAX_STEPS];
	struct system next = *s;
	unsigned n, i;

	if (me->doing == IDLE) {
		for (i = 0; i < 3 && (!s->locked || x.mutation == NO_LOCK); i++)
			if (text_free(s))
				begin(s, u, wants[i]);
		return;
	}
	n = plan_of(me, steps);
	if (me->doing == POKING) /* it may give up here */
		finish(&next, u);
	if (steps[me->step].kind == PAIR_GRACE)
		grace(s, u, n);
	else
		poke(s, u, &steps[me->step], n);
}

static void judge(const struct system *s)
{
	gva_t program;

	x.broken += visible(s, BYPASS, NOP) && visible(s, TARGET, NOP);
	if (text_free(s))
		x.state_seen[state_of(s, &program)] = true;
}

static void explore(int way, enum mutation mutation)
{
	struct system start = {0};
	bool more = true;
	size_t i;
	int n;

	make_bytes();
	memset(&x, 0, sizeof(x));
	x.way = way;
	x.mutation = mutation;
	allocate(1 << 12);
	start.slot[BYPASS].new = SLOW;
	reach(&start);
	while (more) {
		more = false;
		for (i = 0; i <= x.mask; i++) {
			struct system s = x.seen[i];

			if (x.used[i] != SEEN)
				continue;
			x.used[i] = EXPANDED;
			more = true;
			judge(&s);
			for (n = 0; n < CPUS; n++)
				cpu_executes(&s, n);
			for (n = 0; n < UPDATERS; n++)
				updater_acts(&s, n);
		}
	}
	printf("    %s way, %s%u: %zu states, %u show (nop, nop), %u faults\n",
	       way == WAY_HOST ? "host" : "agent", mutation ? "mutation " : "faithful ",
	       (unsigned)mutation, x.count, x.broken, x.faults);
	free(x.seen);
	free(x.used);
}

static void test_no_interleaving_shows_two_nops(void)
{
	int way;

	for (way = 0; way < WAYS; way++) {
		explore(way, FAITHFUL);
		CU_ASSERT_EQUAL(x.broken, 0);
		CU_ASSERT_EQUAL(x.faults, 0);
		CU_ASSERT_FALSE(x.state_seen[PAIR_BROKEN] || x.state_seen[PAIR_FOREIGN]);
		/* It did explore: all three states, both programs reached, nothing trivial. */
		CU_ASSERT_TRUE(x.state_seen[PAIR_EMPTY] && x.state_seen[PAIR_BYPASSED] &&
			       x.state_seen[PAIR_DIRECT]);
		CU_ASSERT_TRUE(x.ran[PROGRAM_1] && x.ran[PROGRAM_2]);
		CU_ASSERT_FALSE(x.ran[SLOW]);
		CU_ASSERT_TRUE(x.count > 300);
	}
}

/* The grace period is there for the CPU that has passed the bypass already. */
static void test_without_grace_a_cpu_runs_into_the_nop(void)
{
	int way;

	for (way = 0; way < WAYS; way++) {
		explore(way, NO_GRACE);
		CU_ASSERT_EQUAL(x.broken, 0); /* no observer sees it; the CPU in between does */
		CU_ASSERT_TRUE(x.faults > 0);
		explore(way, NO_GRACE_FROM_BYPASSED);
		CU_ASSERT_TRUE(x.faults > 0);
	}
}

static void test_the_order_of_steps_matters(void)
{
	int way;

	for (way = 0; way < WAYS; way++) {
		explore(way, BYPASS_OPENED_FIRST);
		CU_ASSERT_TRUE(x.broken > 0 && x.faults > 0);
		explore(way, TARGET_CLEARED_FIRST);
		CU_ASSERT_TRUE(x.broken > 0 && x.faults > 0);
	}
}

/* Comparing before writing is not enough: the other slot may have changed. */
static void test_without_the_lock_two_updaters_make_two_nops(void)
{
	int way;

	for (way = 0; way < WAYS; way++) {
		explore(way, NO_LOCK);
		CU_ASSERT_TRUE(x.broken > 0 && x.faults > 0);
	}
}

static const struct suite_test tests[] = {
	{"no interleaving shows two nops or runs into one", test_no_interleaving_shows_two_nops},
	{"without a grace period a CPU runs into the nop",
	 test_without_grace_a_cpu_runs_into_the_nop},
	{"the order of the steps matters", test_the_order_of_steps_matters},
	{"without the lock two updaters make two nops",
	 test_without_the_lock_two_updaters_make_two_nops},
};

SUITE_MAIN("pair interleave", tests, 60)
