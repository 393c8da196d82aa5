// SPDX-License-Identifier: GPL-2.0-only
/* Guests that lie: in the counters that the host reads, in their statistics, in their results. */
#include "guest_rig.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- a guest that writes what it likes where it may write --- */

static atomic_bool scribbling;
static pthread_t scribbler;

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Counts, counters and targets; now and then an address that would be taken for one. */
static void *scribble_arena(void *unused)
{
	const struct hotrail_image_header *h = &r.i->image->header;
	uint32_t *words = memory(h->arena_data, h->arena_data_size);
	uint64_t n = h->arena_data_size / 4, x = 88172645463325252ull;
	unsigned burst;

	while (atomic_load(&scribbling)) {
		for (burst = 0; burst < 2000; burst++) {
			uint64_t v = next_random(&x);
			uint32_t word = v % 5 == 0   ? UINT32_MAX
					: v % 5 == 1 ? (uint32_t)h->text_start + (v >> 32) % 65536
						     : (uint32_t)(v >> 32);

			/* The first pages are those in use. */
			__atomic_store_n(&words[(v >> 8) % (burst % 2 ? n : n / 16)], word,
					 __ATOMIC_RELAXED);
		}
		clock_sleep_ms(1);
	}
	return NULL;
}

static void *scribble_stats(void *unused)
{
	struct yard_stats *s = stats(0);
	uint64_t x = 2463534242ull;

	while (atomic_load(&scribbling)) {
		__atomic_store_n(&s->ops, next_random(&x), __ATOMIC_RELAXED);
		__atomic_store_n(&s->cmd, next_random(&x), __ATOMIC_RELAXED);
		__atomic_store_n(&s->phase, next_random(&x), __ATOMIC_RELAXED);
		clock_sleep_ms(2);
		__atomic_store_n(&s->ops, 0, __ATOMIC_RELAXED); /* backwards */
		clock_sleep_ms(2);
	}
	return NULL;
}

static void scribble(void *(*how)(void *))
{
	atomic_store(&scribbling, true);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&scribbler, NULL, how, NULL), 0);
}

static void stop_scribbling(void)
{
	atomic_store(&scribbling, false);
	pthread_join(scribbler, NULL);
}

static void scribbles_over_counters(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .learn_ms = 50};
	struct engine_promote p = {0};
	struct engine_result result;
	struct engine *e;
	unsigned n, applied = 0;

	start("retpoline");
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	scribble(scribble_arena);
	for (n = 0; n < 6; n++) {
		CU_ASSERT_EQUAL(engine_promote(e, &p, &result, NULL), 0);
		applied += result.applied;
		CU_ASSERT(is_share(result.coverage));
		engine_result_free(&result);
		state_is_sane(e);
		if (n % 2 == 0)
			continue;
		CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &result, NULL), 0);
		engine_result_free(&result);
	}
	engine_follow(e, true);
	clock_sleep_ms(1500);
	state_is_sane(e);
	CU_ASSERT(applied > 0); /* lies are slow, never wrong: something was believed */
	stop_scribbling();
	engine_destroy(e);
	ends_well();
}

static uint64_t claimed_ops(void *yard)
{
	return yard_ops(yard);
}

static void statistics_that_lie(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true, .work = claimed_ops};
	uint64_t last = 0, now;
	struct engine *e;
	unsigned n;

	start("retpoline");
	c.work_ctx = r.i->yard;
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	scribble(scribble_stats);
	for (n = 0; n < 200; n++) {
		now = yard_ops(r.i->yard);
		CU_ASSERT(now >= last); /* saturated, never backwards */
		last = now;
		clock_sleep_ms(10);
	}
	state_is_sane(e);
	stop_scribbling();
	engine_destroy(e);
	stats(0)->ops = 0;
	instance_close(r.i);
}

static void statistics_never_still(void)
{
	struct yard_micro_result m;
	struct yard_check check;
	struct yard_stats copy;
	struct error err = {0};
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine *e;
	unsigned n;

	start("retpoline");
	yard_command(r.i->yard, YARD_CMD_IDLE);
	for (n = 0; n < patience(500) && stats(0)->cmd != YARD_CMD_IDLE; n++)
		clock_sleep_ms(10);
	clock_sleep_ms(20);
	stats(0)->sequence |= 1;
	CU_ASSERT_EQUAL(yard_read_stats(r.i->yard, 0, &copy), -EAGAIN);
	CU_ASSERT_EQUAL(copy.ops, 0); /* nothing torn gets out */
	CU_ASSERT_EQUAL(yard_read_stats(r.i->yard, 1, &copy), 0);
	CU_ASSERT_EQUAL(yard_check(r.i->yard, &check), -EAGAIN);
	CU_ASSERT_PTR_NOT_NULL(strstr(check.text, "vCPU 0"));
	/* A micro run's end would be read there as well: bounded, and said. */
	CU_ASSERT_EQUAL(yard_micro(r.i->yard, YARD_MICRO_DIRECT, 0, 1000, 300, &m, &err) < 0, 1);
	CU_ASSERT(err.text[0] != 0);
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	state_is_sane(e);
	engine_destroy(e);
	instance_close(r.i);
}

static void digests_that_differ(void)
{
	struct yard_check check = {0};
	unsigned n;

	start("retpoline");
	stats(1)->slots[1][7].digest_sum = 0x1234; /* phase B is not worked on: it stays */
	for (n = 0; n < 100 && yard_check(r.i->yard, &check); n++)
		clock_sleep_ms(10);
	CU_ASSERT_EQUAL(check.wrong, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(check.text, "vCPU 1, phase B, slot 7"));
	stats(1)->slots[1][7].digest_sum = 0;
	ends_well();
}

static const struct suite_test tests[] = {
	{"counters scribbled over", scribbles_over_counters},
	{"statistics that lie", statistics_that_lie},
	{"statistics that never stand still", statistics_never_still},
	{"digests that differ", digests_that_differ},
};

int main(void)
{
	return suite_run("hostile-guest-lies", tests, sizeof(tests) / sizeof(tests[0]),
			 patience(240));
}
