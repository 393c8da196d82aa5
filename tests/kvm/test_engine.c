// SPDX-License-Identifier: GPL-2.0-only
/* The whole loop on a running yard guest with 2 vCPUs, whichever backend works here. */
#include "../unit/suite.h"

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/state.h"
#include "util/clock.h"

#define CYCLES 10000 /* promotions and demotions under load */

struct rig {
	struct instance *i;
	struct engine *e;
};

static uint64_t guest_ops(void *yard)
{
	return yard_ops(yard);
}

static void open_guest(struct rig *r, const char *variant)
{
	struct instance_config c = INSTANCE_DEFAULT;
	struct error err = {0};
	char path[256];
	int ret;

	memset(r, 0, sizeof(*r));
	ret = instance_backend(MACHINE_AUTO, &c.backend, &err);
	if (ret)
		SUITE_SKIP("%s", err.text);
	ret = instance_find_image(variant, c.backend, path, sizeof(path), &err);
	c.image = path;
	if (!ret)
		ret = instance_open(&c, &r->i, &err);
	if (!ret)
		ret = instance_start(r->i, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

static void start(struct rig *r, const struct engine_config *c)
{
	struct error err = {0};
	int ret;

	open_guest(r, "retpoline");
	ret = engine_create(r->i->guest, c, &r->e, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

/* Every test ends by asking whether one call went wrong. */
static void finish(struct rig *r)
{
	struct yard_check check = {0};
	struct machine_pause p;
	struct target *t = r->i->target;
	struct error err = {0};
	unsigned waited;

	engine_destroy(r->e);
	/* A slow host may not have let it finish one batch yet. */
	for (waited = 0; waited < 20000 && !yard_ops(r->i->yard); waited += 100)
		clock_sleep_ms(100);
	CU_ASSERT_EQUAL_FATAL(t->ops->pause(t, 5000000, &p, &err), 0);
	CU_ASSERT_EQUAL(yard_check(r->i->yard, &check), 0);
	if (check.wrong)
		printf("    %s\n", check.text);
	CU_ASSERT_EQUAL(check.wrong, 0);
	CU_ASSERT_TRUE(check.batches > 0);
	t->ops->resume(t, &p);
	instance_close(r->i);
}

/* Sites whose bytes in guest memory are not the image's. */
static unsigned changed_sites(struct rig *r)
{
	const struct site_table *sites = &r->i->guest->sites;
	struct target *t = r->i->target;
	uint8_t bytes[SITE_MAX_LEN];
	unsigned changed = 0;
	size_t s;

	for (s = 0; s < sites->count; s++) {
		const struct site *site = &sites->sites[s];

		CU_ASSERT_EQUAL_FATAL(t->ops->read(t, site->addr, bytes, site->len), 0);
		changed += memcmp(bytes, site->bytes, site->len) != 0;
	}
	return changed;
}

static void promote(struct rig *r, struct engine_result *result)
{
	struct engine_promote p = {0};
	struct error err = {0};
	unsigned tries = 0;
	int ret;

	do
		ret = engine_promote(r->e, &p, result, &err);
	while (ret == -ETIMEDOUT && ++tries < 20); /* a busy host: said as busy, tried again */
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

static void promote_then_demote(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_result result;
	struct patch_verify v;
	struct engine_status s;
	struct rig r;

	start(&r, &c);
	clock_sleep_ms(200);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);
	promote(&r, &result);
	CU_ASSERT_TRUE(result.applied >= 20);
	CU_ASSERT_EQUAL(result.failed, 0);
	CU_ASSERT_TRUE(result.coverage > 0.9);
	engine_result_free(&result);
	engine_get_status(r.e, &s);
	CU_ASSERT_EQUAL(s.learning, 0);
	CU_ASSERT_EQUAL(changed_sites(&r), s.promoted);
	CU_ASSERT_EQUAL(engine_verify(r.e, &v, NULL), 0);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0);

	CU_ASSERT_EQUAL(engine_demote(r.e, NULL, 0, 0, &result, NULL), 0);
	CU_ASSERT_EQUAL(result.failed + result.skipped, 0);
	engine_result_free(&result);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);
	/* Again: nothing left to do is no error. */
	CU_ASSERT_EQUAL(engine_demote(r.e, NULL, 0, 0, &result, NULL), 0);
	CU_ASSERT_EQUAL(result.count, 0);
	engine_result_free(&result);
	finish(&r);
}

static void measure(struct rig *r, struct engine_measure *m)
{
	unsigned tries = 0;
	int ret;

	do
		ret = engine_measure(r->e, 200, m, NULL);
	while (ret == -ETIMEDOUT && ++tries < 20);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	CU_ASSERT_EQUAL(m->counted + m->uncounted, r->i->guest->sites.count);
	CU_ASSERT_TRUE(m->calls > 0);
	CU_ASSERT_TRUE(m->hits <= m->promoted_calls && m->promoted_calls <= m->calls);
}

static void coverage_is_counted(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_result result;
	struct engine_measure m;
	struct engine_status s;
	struct rig r;
	double by_misses;
	unsigned waited;

	start(&r, &c);
	clock_sleep_ms(200);
	measure(&r, &m);
	CU_ASSERT_EQUAL(m.promoted_calls + m.hits + m.misses, 0);
	/* When no pause fitted, the engine's own thread restores the rest. */
	for (waited = 0; waited < 10000 && changed_sites(&r); waited += 100)
		clock_sleep_ms(100);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);
	promote(&r, &result);
	engine_result_free(&result);
	measure(&r, &m);
	/* Not all: a 64-way dispatch of the yard keeps missing. */
	CU_ASSERT_TRUE(m.hits > 0.9 * m.calls);
	CU_ASSERT_TRUE(m.misses > 0);
	/* The same by the other counters, in another window. */
	by_misses = 1 - m.misses / m.miss_s / (m.promoted_calls / m.learn_s);
	CU_ASSERT_DOUBLE_EQUAL(by_misses, (double)m.hits / m.promoted_calls, 0.05);
	engine_get_status(r.e, &s);
	CU_ASSERT_EQUAL(s.learning, 0);
	CU_ASSERT_EQUAL(changed_sites(&r), s.promoted);
	finish(&r);
}

static void dry_run_touches_nothing(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_promote p = {.dry_run = true};
	struct engine_result result;
	struct rig r;

	start(&r, &c);
	clock_sleep_ms(300);
	CU_ASSERT_EQUAL(engine_promote(r.e, &p, &result, NULL), 0);
	CU_ASSERT_TRUE(result.dry_run);
	engine_result_free(&result);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);
	finish(&r);
}

static void one_named_site(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_result result;
	struct engine_row *rows;
	struct engine_promote p = {.nsites = 1};
	uint32_t site;
	struct rig r;
	size_t n;

	start(&r, &c);
	clock_sleep_ms(200);
	promote(&r, &result);
	engine_result_free(&result);
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(r.e, &rows, &n, NULL), 0);
	site = rows[0].index;
	CU_ASSERT_EQUAL(rows[0].patch.state, PATCH_PROMOTED);
	free(rows);
	CU_ASSERT_EQUAL(engine_demote(r.e, NULL, 0, 0, &result, NULL), 0);
	engine_result_free(&result);

	p.sites = &site;
	CU_ASSERT_EQUAL(engine_promote(r.e, &p, &result, NULL), 0);
	CU_ASSERT_EQUAL(result.applied, 1);
	engine_result_free(&result);
	CU_ASSERT_EQUAL(changed_sites(&r), 1);
	CU_ASSERT_EQUAL(engine_demote(r.e, &site, 1, 0, &result, NULL), 0);
	engine_result_free(&result);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);

	site = UINT32_MAX;
	CU_ASSERT_EQUAL(engine_promote(r.e, &p, &result, NULL), -EINVAL);
	CU_ASSERT_EQUAL(engine_demote(r.e, &site, 1, 0, &result, NULL), -EINVAL);
	finish(&r);
}

static bool wait_fast_share(struct engine *e, double at_least, unsigned ms)
{
	struct engine_status s;
	unsigned waited;

	for (waited = 0; waited < ms; waited += 50) {
		clock_sleep_ms(50);
		engine_get_status(e, &s);
		if (s.promoted && s.fast_share >= at_least)
			return true;
	}
	printf("    promoted %u, fast share %.3f\n", s.promoted, s.fast_share);
	return false;
}

static void follows_a_phase_change(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true};
	struct engine_status before, after;
	struct rig r;

	start(&r, &c);
	CU_ASSERT_TRUE(wait_fast_share(r.e, 0.9, 20000));
	engine_get_status(r.e, &before);
	yard_phase(r.i->yard, 1);
	clock_sleep_ms(500);
	CU_ASSERT_TRUE(wait_fast_share(r.e, 0.9, 20000));
	engine_get_status(r.e, &after);
	CU_ASSERT_TRUE(after.relearned > before.relearned);
	CU_ASSERT_EQUAL(after.failed, 0);
	finish(&r);
}

/* Applied; a pause that ran out of its budget on a busy host is tried again, and nothing else is.
 */
static bool applied(struct patcher *p, const struct patch_request *request)
{
	struct patch_outcome o = {0};
	struct patch_summary s;
	struct error err = {0};
	unsigned tries;
	int ret;

	for (tries = 0; tries < 50; tries++) {
		ret = patch_apply(p, request, 1, &o, &s, &err);
		if (ret != -ETIMEDOUT && o.reason != PATCH_REASON_PAUSE)
			break;
	}
	if (ret || o.result != PATCH_APPLIED)
		printf("    site %u: %s %s\n", request->site, patch_reason_text(o.reason),
		       err.text);
	return !ret && o.result == PATCH_APPLIED;
}

static void ten_thousand_under_load(void)
{
	struct patch_request request = {.to = PATCH_PROMOTED};
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_result result;
	struct engine_row *rows;
	struct patcher *p;
	unsigned i, bad = 0, cycles = getenv("HOTRAIL_RIG") ? CYCLES / 10 : CYCLES;
	struct rig r;
	size_t n, hot;

	start(&r, &c);
	clock_sleep_ms(200);
	promote(&r, &result);
	engine_result_free(&result);
	CU_ASSERT_EQUAL(engine_demote(r.e, NULL, 0, 0, &result, NULL), 0);
	engine_result_free(&result);
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(r.e, &rows, &n, NULL), 0);
	engine_destroy(r.e);
	r.e = NULL;
	for (hot = 0; hot < n && rows[hot].nedges; hot++)
		;
	CU_ASSERT_TRUE_FATAL(hot >= 20);

	/* A patcher of its own, hottest sites in turn, every second change undone by the next. */
	CU_ASSERT_EQUAL_FATAL(patcher_create(r.i->guest, NULL, &p, NULL), 0);
	for (i = 0; i < cycles && bad < 10; i++) {
		const struct engine_row *row = &rows[(i / 2) % hot];

		request.site = row->index;
		request.to = i % 2 ? PATCH_ORIGINAL : PATCH_PROMOTED;
		request.targets[0] = row->edges[0].target;
		request.ntargets = 1;
		bad += !applied(p, &request);
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(changed_sites(&r), 0);
	patcher_destroy(p);
	free(rows);
	finish(&r);
}

static void plain_guest_has_nothing_to_gain(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true};
	struct engine_promote p = {0};
	struct engine_result result;
	struct error err = {0};
	struct rig r;

	open_guest(&r, "plain");
	CU_ASSERT_EQUAL_FATAL(engine_create(r.i->guest, &c, &r.e, &err), 0);
	CU_ASSERT_EQUAL(engine_promote(r.e, &p, &result, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nothing to gain"));
	clock_sleep_ms(300); /* long enough for the first gain */
	finish(&r);
}

/* A guest that is ten times slower with any promotion. */
struct slow_guest {
	struct rig r;
	uint64_t counted, last;
};

static uint64_t slow_work(void *ctx)
{
	struct slow_guest *g = ctx;
	uint64_t now = yard_ops(g->r.i->yard);

	g->counted += (now - g->last) / (changed_sites(&g->r) ? 10 : 1);
	g->last = now;
	return g->counted;
}

/* Once the engine has given up, the guest cannot be paused for longer than one attempt lasts. */
#define DENIED 6
static struct {
	struct target_ops ops;
	const struct target_ops *real;
	struct engine *engine;
	unsigned denied;
} denying;

static int pause_or_deny(struct target *t, uint32_t budget_us, struct machine_pause *p,
			 struct error *err)
{
	struct engine *e = __atomic_load_n(&denying.engine, __ATOMIC_ACQUIRE);

	/* The engine's own thread holds its lock while it pauses. */
	if (e && e->withdrawn && denying.denied < DENIED) {
		denying.denied++;
		return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT, "denied by the test");
	}
	return denying.real->pause(t, budget_us, p, err);
}

static void deny_pauses(struct rig *r)
{
	denying.real = r->i->target->ops;
	denying.ops = *denying.real;
	denying.ops.pause = pause_or_deny;
	r->i->target->ops = &denying.ops;
	__atomic_store_n(&denying.engine, r->e, __ATOMIC_RELEASE);
}

static void what_does_not_pay_is_undone(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true, .work = slow_work};
	struct engine_status s = {0};
	static struct slow_guest g;
	unsigned waited;

	memset(&g, 0, sizeof(g));
	c.work_ctx = &g;
	start(&g.r, &c);
	deny_pauses(&g.r);
	for (waited = 0; waited < 30000 && !s.rolled_back; waited += 100) {
		clock_sleep_ms(100);
		engine_get_status(g.r.e, &s);
	}
	CU_ASSERT_EQUAL(s.rolled_back, 1);
	for (waited = 0; waited < 20000 && s.promoted; waited += 100) {
		clock_sleep_ms(100);
		engine_get_status(g.r.e, &s);
	}
	CU_ASSERT_EQUAL(denying.denied, DENIED);
	__atomic_store_n(&denying.engine, NULL, __ATOMIC_RELEASE);
	CU_ASSERT_EQUAL(s.promoted, 0);
	CU_ASSERT_FALSE(s.follow);
	CU_ASSERT_EQUAL(changed_sites(&g.r), 0);
	finish(&g.r);
}

static void what_pays_stays(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true, .work = guest_ops};
	struct engine_status s;
	struct rig r;

	if (getenv("HOTRAIL_RIG")) {
		printf("    not tried: an emulated CPU has no mispredicted returns to save\n");
		return;
	}
	open_guest(&r, "retpoline");
	c.work_ctx = r.i->yard;
	CU_ASSERT_EQUAL_FATAL(engine_create(r.i->guest, &c, &r.e, NULL), 0);
	CU_ASSERT_TRUE(wait_fast_share(r.e, 0.9, 20000));
	clock_sleep_ms(3000);
	engine_get_status(r.e, &s);
	CU_ASSERT_EQUAL(s.rolled_back, 0);
	CU_ASSERT_TRUE(s.promoted > 0);
	finish(&r);
}

static void a_profile_starts_another_guest_warm(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_result result;
	struct profile *profile;
	struct error err = {0};
	struct rig r;
	unsigned applied;

	start(&r, &c);
	clock_sleep_ms(200);
	promote(&r, &result);
	applied = result.applied;
	engine_result_free(&result);
	CU_ASSERT_EQUAL_FATAL(engine_profile(r.e, &profile, NULL), 0);
	finish(&r);

	c.sampler = "off";
	start(&r, &c);
	CU_ASSERT_EQUAL(engine_warm(r.e, profile, ENGINE_VIA_DEFAULT, &result, &err), 0);
	/* Nearly the same: calls to targets that no table could hold are not in a profile. */
	CU_ASSERT_TRUE(result.applied * 10 >= applied * 9);
	CU_ASSERT_EQUAL(result.failed, 0);
	engine_result_free(&result);
	profile->build_id[0] ^= 1;
	CU_ASSERT_EQUAL(engine_warm(r.e, profile, ENGINE_VIA_DEFAULT, &result, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	profile_free(profile);
	finish(&r);
}

static const struct suite_test tests[] = {
	{"promote and demote a running guest", promote_then_demote},
	{"coverage is counted and nothing stays", coverage_is_counted},
	{"a dry run touches nothing", dry_run_touches_nothing},
	{"a named promotion moves one site", one_named_site},
	{"a phase change is followed", follows_a_phase_change},
	{"ten thousand changes under load", ten_thousand_under_load},
	{"a plain guest has nothing to gain", plain_guest_has_nothing_to_gain},
	{"what does not pay is undone", what_does_not_pay_is_undone},
	{"what pays stays", what_pays_stays},
	{"a profile starts another guest warm", a_profile_starts_another_guest_warm},
};

SUITE_MAIN("engine", tests, 300)
