// SPDX-License-Identifier: GPL-2.0-only
/* Two-site pokes in a running yard guest whose 2 vCPUs dissect packets meanwhile. */
#include "../unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/instance.h"
#include "patch/applier.h"
#include "patch/pair.h"
#include "util/clock.h"

#define CYCLES	10000 /* of install, update, remove; spread over all pairs */
#define ENOUGH	300   /* where an emulated CPU is too slow for all of them within LIMIT_S */
#define LIMIT_S 240

struct rig {
	struct instance *i;
	struct applier applier;
	struct pairs *pairs;
	uint32_t count;
};

static void start(struct rig *r, enum yard_micro kind)
{
	struct instance_config c = INSTANCE_DEFAULT;
	struct error err = {0};
	char path[256];
	int ret;

	memset(r, 0, sizeof(*r));
	ret = instance_backend(MACHINE_AUTO, &c.backend, &err);
	if (ret)
		SUITE_SKIP("%s", err.text);
	ret = instance_find_image("retpoline", c.backend, path, sizeof(path), &err);
	c.image = path;
	if (!ret)
		ret = instance_open(&c, &r->i, &err);
	if (!ret)
		ret = instance_start(r->i, &err);
	if (!ret) {
		applier_host_init(&r->applier, r->i->guest);
		ret = pairs_create_image(r->i->guest, &r->applier, r->i->image, NULL, &r->pairs,
					 &err);
	}
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	r->count = r->i->image->header.pairs_count;
	yard_flow_kind(r->i->yard, kind);
	yard_command(r->i->yard, YARD_CMD_FLOW);
}

/* Every test ends by asking whether one packet went astray. */
static void finish(struct rig *r)
{
	struct yard_check check = {0};
	struct machine_pause p;
	struct target *t = r->i->target;
	struct error err = {0};

	CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, &err), 0);
	CU_ASSERT_EQUAL(yard_check(r->i->yard, &check), 0);
	if (check.wrong)
		printf("    %s\n", check.text);
	CU_ASSERT_EQUAL(check.wrong, 0);
	CU_ASSERT_TRUE(check.packets > 0);
	t->ops->resume(t, &p);
	pairs_destroy(r->pairs);
	instance_close(r->i);
}

static int set(struct rig *r, size_t i, gva_t program, struct pair_done *done)
{
	struct error err = {0};
	unsigned tries = 0;
	int ret;

	do
		ret = pairs_set(r->pairs, i, program, done, &err);
	while ((ret == -ETIMEDOUT || ret == -EBUSY) && ++tries < 20); /* a busy host */
	if (ret)
		printf("    pair %zu: %s\n", i, err.text);
	CU_ASSERT_EQUAL(ret, 0);
	return ret;
}

static bool all_are(struct rig *r, enum pair_state state)
{
	uint32_t i, n = 0;

	for (i = 0; i < r->count; i++)
		n += pairs_state(r->pairs, i, NULL) == state;
	return n == r->count;
}

static uint64_t packets(struct rig *r)
{
	struct yard_stats s;
	uint64_t n = 0;
	unsigned v;

	for (v = 0; v < machine_vcpus(r->i->machine); v++)
		if (!yard_read_stats(r->i->yard, v, &s))
			n += s.flow_runs;
	return n;
}

/* Let some packets pass; false when the guest stands still. */
static bool packets_pass(struct rig *r)
{
	uint64_t before = packets(r);
	unsigned ms;

	for (ms = 0; ms < 20000; ms++) {
		if (packets(r) >= before + 4096)
			return true;
		clock_sleep_ms(1);
	}
	return false;
}

static void all_ways_give_one_digest(void)
{
	static const enum yard_micro kinds[] = {YARD_MICRO_FLOW_INDIRECT, YARD_MICRO_FLOW_POKE,
						YARD_MICRO_FLOW_POKE2};
	struct yard_micro_result result;
	struct hotrail_pair entry;
	struct rig r;
	unsigned k, filled;
	uint32_t i;

	start(&r, YARD_MICRO_FLOW_POKE2);
	CU_ASSERT_TRUE(r.count >= 10);
	for (filled = 0; filled < 3; filled++) {
		for (i = 0; i < r.count; i++) {
			image_pair(r.i->image, i, &entry);
			set(&r, i,
			    !filled	  ? 0
			    : filled == 1 ? entry.program
					  : entry.alternate,
			    NULL);
		}
		CU_ASSERT_TRUE(all_are(&r, filled ? PAIR_DIRECT : PAIR_EMPTY));
		for (k = 0; k < 3; k++) {
			yard_flow_kind(r.i->yard, kinds[k]);
			CU_ASSERT_TRUE(packets_pass(&r));
			CU_ASSERT_EQUAL(
				yard_micro(r.i->yard, kinds[k], 0, 1021, 20000, &result, NULL), 0);
			CU_ASSERT_TRUE(result.correct);
		}
	}
	finish(&r);
}

/* Install, update, remove: each pair in turn. How many rounds of the three there were. */
static unsigned change_under_load(struct rig *r, unsigned cycles, struct pair_done *done)
{
	struct hotrail_pair entry;
	unsigned n;

	for (n = 0; n < cycles; n++) {
		uint32_t i = n % r->count;

		image_pair(r->i->image, i, &entry);
		if (set(r, i, entry.program, done) || set(r, i, entry.alternate, done) ||
		    set(r, i, 0, done))
			break;
	}
	return n;
}

static void install_update_remove_under_load(void)
{
	struct pair_done done = {0};
	uint64_t before;
	struct rig r;
	unsigned n, cycles = getenv("HOTRAIL_RIG") ? CYCLES / 10 : CYCLES;

	start(&r, YARD_MICRO_FLOW_POKE2);
	CU_ASSERT_TRUE(packets_pass(&r));
	before = packets(&r);
	n = change_under_load(&r, cycles, &done);
	CU_ASSERT_EQUAL(n, cycles);
	CU_ASSERT_TRUE(all_are(&r, PAIR_EMPTY));
	CU_ASSERT_TRUE(packets(&r) > before);
	printf("    %u rounds, %u pokes, %u graces, %llu packets meanwhile\n", n, done.steps,
	       done.graces, (unsigned long long)(packets(&r) - before));
	finish(&r);
}

/* --- two updaters --- */

struct updater {
	struct rig *rig;
	unsigned changes;
};

static _Atomic unsigned refused;

static void *update(void *arg)
{
	struct updater *u = arg;
	struct hotrail_pair entry;
	struct error err;
	unsigned n;
	int ret;

	for (n = 0; n < u->changes; n++) {
		image_pair(u->rig->i->image, n / 8 % u->rig->count, &entry);
		ret = pairs_set(u->rig->pairs, n / 8 % u->rig->count,
				n % 3 == 0   ? entry.program
				: n % 3 == 1 ? 0
					     : entry.alternate,
				NULL, &err);
		if (ret && ret != -ETIMEDOUT && ret != -EBUSY)
			refused++;
	}
	return NULL;
}

/* They fight over the same pairs; whoever looks sees a legal state. */
static void two_updaters_at_once(void)
{
	struct updater u[2];
	pthread_t thread[2];
	struct rig r;
	unsigned k, looks;
	uint32_t i;

	refused = 0;
	start(&r, YARD_MICRO_FLOW_POKE2);
	for (k = 0; k < 2; k++) {
		u[k] = (struct updater){&r, 1000 + k};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[k], NULL, update, &u[k]), 0);
	}
	for (looks = 0; looks < 200; looks++) {
		struct machine_pause p;
		struct error err;

		/* Not while one of them is inside its pause: this one waits for its own. */
		if (r.i->target->ops->pause(r.i->target, 2000000, &p, &err))
			continue;
		for (i = 0; i < r.count; i++)
			CU_ASSERT_TRUE(pairs_state(r.pairs, i, NULL) <= PAIR_DIRECT);
		r.i->target->ops->resume(r.i->target, &p);
		clock_sleep_ms(1);
	}
	for (k = 0; k < 2; k++)
		pthread_join(thread[k], NULL);
	CU_ASSERT_EQUAL(refused, 0);
	for (i = 0; i < r.count; i++)
		set(&r, i, 0, NULL);
	CU_ASSERT_TRUE(all_are(&r, PAIR_EMPTY));
	finish(&r);
}

/* The check above would see it: a pair that is opened without its program. */
static void a_pair_broken_by_hand_is_seen(void)
{
	struct yard_check check = {0};
	struct hotrail_pair entry;
	struct machine_pause p;
	struct error err = {0};
	struct target *t;
	struct rig r;
	uint32_t i;

	start(&r, YARD_MICRO_FLOW_POKE2);
	t = r.i->target;
	for (i = 0; i < r.count; i++) {
		image_pair(r.i->image, i, &entry);
		if (entry.bypass)
			break;
	}
	CU_ASSERT_TRUE_FATAL(i < r.count);
	CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, &err), 0);
	CU_ASSERT_EQUAL(t->ops->write(t, entry.bypass, pair_nop, PAIR_SLOT), 0);
	t->ops->resume(t, &p);
	CU_ASSERT_EQUAL(pairs_state(r.pairs, i, NULL), PAIR_BROKEN);
	CU_ASSERT_TRUE(packets_pass(&r));
	CU_ASSERT_EQUAL(pairs_set(r.pairs, i, entry.program, NULL, &err), -EUCLEAN);
	CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, &err), 0);
	CU_ASSERT_EQUAL(yard_check(r.i->yard, &check), 0);
	CU_ASSERT_TRUE(check.wrong > 0);
	t->ops->resume(t, &p);
	pairs_destroy(r.pairs);
	instance_close(r.i);
}

static const struct suite_test tests[] = {
	{"all ways give one digest", all_ways_give_one_digest},
	{"10000 times install update remove under load", install_update_remove_under_load},
	{"two updaters at once", two_updaters_at_once},
	{"a pair broken by hand is seen", a_pair_broken_by_hand_is_seen},
};

SUITE_MAIN("pair", tests, 600)
