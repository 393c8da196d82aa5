// SPDX-License-Identifier: GPL-2.0-only
/* The guest starts another kernel (kexec) under promotions: everything is forgotten, in words. The
 * guest is a yard one that says so. */
#include "../unit/suite.h"

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/instance.h"
#include "util/clock.h"

static struct instance *instance;
static struct engine *engine;
static struct guest_ops ops;
static unsigned lies; /* how often `still_there` says no from now on */

static int still_there(struct guest *g, struct error *err)
{
	if (!lies)
		return 0;
	lies--;
	return error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE, "another kernel; run the guest anew");
}

static void start(bool follow)
{
	struct instance_config c = INSTANCE_DEFAULT;
	struct engine_config ec = {.policy = POLICY_DEFAULT, .follow = follow};
	struct error err = {0};
	int ret = instance_backend(MACHINE_AUTO, &c.backend, &err);

	if (ret)
		SUITE_SKIP("%s", err.text);
	ret = instance_open(&c, &instance, &err);
	if (!ret)
		ret = instance_start(instance, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	lies = 0;
	ops = *instance->guest->ops;
	ops.still_there = still_there;
	instance->guest->ops = &ops;
	CU_ASSERT_EQUAL_FATAL(engine_create(instance->guest, &ec, &engine, &err), 0);
}

static void finish(void)
{
	struct yard_check check = {0};

	clock_sleep_ms(50);
	CU_ASSERT_EQUAL(yard_check(instance->yard, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 0);
	engine_destroy(engine);
	instance_close(instance);
}

static int promote(struct error *err)
{
	struct engine_promote p = {0};
	struct engine_result r;
	unsigned tries;
	int ret = 0;

	for (tries = 0; tries < 20; tries++) {
		ret = engine_promote(engine, &p, &r, err);
		engine_result_free(&r);
		if (ret != -ETIMEDOUT)
			break;
	}
	return ret;
}

static unsigned promoted(void)
{
	struct engine_status s;

	engine_get_status(engine, &s);
	return s.promoted;
}

static void promote_some(void)
{
	unsigned tries;

	for (tries = 0; tries < 50 && !promoted(); tries++) {
		clock_sleep_ms(100);
		CU_ASSERT_EQUAL_FATAL(promote(NULL), 0);
	}
	CU_ASSERT_FATAL(promoted() > 0);
}

static unsigned changed_sites(void)
{
	const struct site_table *sites = &instance->guest->sites;
	struct target *t = instance->guest->target;
	uint8_t bytes[SITE_MAX_LEN];
	unsigned changed = 0;
	size_t i;

	for (i = 0; i < sites->count; i++) {
		CU_ASSERT_EQUAL(t->ops->read(t, sites->sites[i].addr, bytes, sites->sites[i].len),
				0);
		changed += memcmp(bytes, sites->sites[i].bytes, sites->sites[i].len) != 0;
	}
	return changed;
}

static void check_forgotten(unsigned changed)
{
	struct engine_status s;
	struct engine_result r;
	struct error err = {0};
	struct patch_verify v;
	struct engine_row *rows;
	size_t n;

	engine_get_status(engine, &s);
	CU_ASSERT_EQUAL(s.gone.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.gone.text, "run the guest anew"));
	CU_ASSERT_EQUAL(s.promoted + s.learning + s.quarantined, 0);
	CU_ASSERT_FALSE(s.follow);
	CU_ASSERT_FALSE(s.arena_stays);
	CU_ASSERT_STRING_EQUAL(s.sampler, "off");
	lies = 0; /* it is remembered, not asked again */
	CU_ASSERT_EQUAL(promote(&err), -ESTALE);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_EQUAL(engine_may_promote(engine, &err), -ESTALE);
	CU_ASSERT_EQUAL(engine_verify(engine, &v, &err), -ESTALE);
	CU_ASSERT_EQUAL(engine_demote(engine, NULL, 0, 0, &r, &err), 0);
	CU_ASSERT_EQUAL(r.applied, 0);
	engine_result_free(&r);
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(engine, &rows, &n, &err), 0);
	CU_ASSERT_EQUAL(n ? rows[0].calls : 0, 0);
	free(rows);
	CU_ASSERT_EQUAL(changed_sites(), changed); /* nothing is touched */
}

static void found_by_promoting(void)
{
	struct error err = {0};
	unsigned changed;

	start(false);
	promote_some();
	changed = changed_sites();
	lies = 1000;
	CU_ASSERT_EQUAL(promote(&err), -ESTALE);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	check_forgotten(changed);
	finish();
}

static void found_by_verifying(void)
{
	struct error err = {0};
	struct patch_verify v;
	unsigned changed;

	start(false);
	promote_some();
	changed = changed_sites();
	lies = 1000;
	CU_ASSERT_EQUAL(engine_verify(engine, &v, &err), -ESTALE);
	check_forgotten(changed);
	finish();
}

static void found_by_following(void)
{
	struct engine_status s = {0};
	unsigned waited;

	start(true);
	lies = 1000000;
	for (waited = 0; waited < 30000 && !s.gone.exit_code; waited += 100) {
		clock_sleep_ms(100);
		engine_get_status(engine, &s);
	}
	check_forgotten(changed_sites());
	finish();
}

/* Forgetting by mistake would leave promotions that nobody can undo. */
static void one_look_is_not_enough(void)
{
	struct engine_result r;
	struct error err = {0};
	struct patch_verify v;
	unsigned before, tries = 0;

	start(false);
	promote_some();
	before = promoted();
	lies = 1;
	CU_ASSERT_EQUAL(engine_verify(engine, &v, &err), 0);
	CU_ASSERT_EQUAL(v.differ, 0);
	CU_ASSERT_EQUAL(promoted(), before);
	do {
		CU_ASSERT_EQUAL(engine_demote(engine, NULL, 0, 0, &r, &err), 0);
		engine_result_free(&r);
	} while (promoted() && ++tries < 20);
	CU_ASSERT_EQUAL(changed_sites(), 0);
	finish();
}

static const struct suite_test tests[] = {
	{"found by promoting", found_by_promoting},
	{"found by verifying", found_by_verifying},
	{"found by following", found_by_following},
	{"one look is not enough", one_look_is_not_enough},
};

SUITE_MAIN("gone", tests, 240)
