// SPDX-License-Identifier: GPL-2.0-only
/* An unmodified Linux kernel, promoted and demoted by the real engine while it works. */
#include "guest.h"

#include <errno.h>

#include "engine/engine.h"

#define BOOT_MS	      240000
#define ROUNDS	      40 /* of learning: a sweep of all sites */
#define CYCLES	      30
#define TRIES	      20
#define BATCH	      200 /* sites in one pause */
#define GUEST_CMDLINE "console=ttyS0 panic=-1 quiet spectre_v2=retpoline"

static struct lg lg;
static struct guest *guest;

static unsigned changed_sites(void)
{
	const struct site_table *sites = &guest->sites;
	uint8_t bytes[SITE_MAX_LEN];
	unsigned changed = 0;
	size_t s;

	for (s = 0; s < sites->count; s++) {
		const struct site *site = &sites->sites[s];

		CU_ASSERT_EQUAL_FATAL(
			guest->target->ops->read(guest->target, site->addr, bytes, site->len), 0);
		changed += memcmp(bytes, site->bytes, site->len) != 0;
	}
	return changed;
}

static void show_census(void)
{
	const struct linux_info *i = linux_guest_info(guest);
	const struct linux_census *c = &i->census;
	unsigned k;

	printf("    %s: offset %#llx, %u levels, mitigation %s, %u modules\n", lg.kernel->release,
	       (unsigned long long)i->offset, i->levels, i->mitigation, i->modules);
	printf("    sites: %zu, kept %zu, init %zu, indirect %zu, fence %zu, depth %zu, its %zu, "
	       "busy "
	       "%zu, differ %zu, unreadable %zu\n",
	       c->total, c->kept, c->init, c->indirect, c->fence, c->depth, c->its, c->busy,
	       c->differ, c->unreadable);
	for (k = 0; k < KERNEL_RANGES; k++)
		if (c->protected[k])
			printf("    protected: %zu in %s\n", c->protected[k],
			       kernel_range_text((enum kernel_range_kind)k));
}

/* Too early is an answer; then, once it works, it is recognised. */
static void recognised(void)
{
	struct error err = {0};
	uint64_t begin;
	int ret;

	lg_open(&lg, GUEST_CMDLINE);
	ret = linux_guest_create(lg.kernel, lg.target, &guest, &err);
	CU_ASSERT_EQUAL(ret, -EAGAIN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_TRUE_FATAL(lg_wait(&lg, "LOAD-BEGIN", BOOT_MS));
	begin = clock_ns();
	ret = linux_guest_create(lg.kernel, lg.target, &guest, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	printf("    recognised in %.1f ms\n", (clock_ns() - begin) / 1e6);
	show_census();
	ret = guest->ops->may_patch(guest, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	CU_ASSERT_EQUAL(linux_guest_check(guest, &err), 0);
	CU_ASSERT_TRUE(guest->sites.count > 1000);
	CU_ASSERT_EQUAL(changed_sites(), 0);
}

/* An image of another build is told from this one although nearly all is alike. */
static void another_image_refused(void)
{
	struct error err = {0};
	struct guest *other;

	lg.kernel->build_id[0] ^= 1;
	CU_ASSERT_EQUAL(linux_guest_create(lg.kernel, lg.target, &other, &err), -ESTALE);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_PTR_NULL(other);
	lg.kernel->build_id[0] ^= 1;
	/* A failed attempt gives the target's view back; the guest in use has its own. */
	lg.target->ops->set_root(lg.target, linux_guest_info(guest)->root,
				 linux_guest_info(guest)->levels);
}

static void show_status(const struct engine_status *s)
{
	unsigned i;

	printf("    promoted %u, coverage %.1f %%, fast share %.1f %%, applied %u, skipped %u, "
	       "failed "
	       "%u, pauses %u, p50 %.0f us, p99 %.0f us, arena %llu+%llu KiB\n",
	       s->promoted, 100 * s->coverage, 100 * s->fast_share, s->applied, s->skipped,
	       s->failed, s->pauses, s->pause_p50_us, s->pause_p99_us,
	       (unsigned long long)s->arena_used[0] >> 10,
	       (unsigned long long)s->arena_used[1] >> 10);
	for (i = 0; i < PATCH_REASONS; i++)
		if (s->skipped_by[i])
			printf("    skipped %u: %s\n", s->skipped_by[i],
			       patch_reason_text((enum patch_reason)i));
}

static void show_rows(struct engine *e)
{
	struct engine_row *rows;
	size_t n, i;

	if (engine_get_rows(e, &rows, &n, NULL))
		return;
	for (i = 0; i < n && i < 25; i++)
		printf("    %5.1f %% %-40s -> %s (%.0f %%) state %d targets %u\n",
		       100 * rows[i].share, rows[i].name,
		       rows[i].nedges ? rows[i].edges[0].name : "?",
		       rows[i].nedges ? 100 * rows[i].edges[0].share : 0.0, rows[i].patch.state,
		       rows[i].patch.ntargets);
	free(rows);
}

/* A pause that does not fit its budget changes nothing; where CPUs are emulated it happens. */
static unsigned timeouts;

static int again(int ret, const struct error *err, unsigned *tries)
{
	if (ret == -ETIMEDOUT && ++*tries < TRIES) {
		timeouts++;
		return 1;
	}
	if (ret)
		printf("    %s\n", err->text);
	CU_ASSERT_EQUAL(ret, 0);
	return 0;
}

static void promote(struct engine *e, struct engine_result *r)
{
	struct engine_promote p = {0};
	struct error err = {0};
	unsigned tries = 0;

	while (again(engine_promote(e, &p, r, &err), &err, &tries))
		;
}

/* Until nothing is left: sites whose turn did not fit into a pause are failed, not lost. */
static void demote_all(struct engine *e)
{
	struct engine_result r;
	struct error err = {0};
	struct patch_verify v;
	unsigned tries = 0, failed;

	do {
		while (again(engine_demote(e, NULL, 0, 0, &r, &err), &err, &tries))
			;
		failed = r.failed;
		CU_ASSERT_EQUAL(r.skipped, 0);
		engine_result_free(&r);
	} while (failed && ++tries < TRIES);
	CU_ASSERT_EQUAL(failed, 0);
	CU_ASSERT_EQUAL(engine_verify(e, &v, NULL), 0);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0);
}

/* A window that held tracks stays (law 4): the next owner finds another place. */
static void open_again(void)
{
	gva_t code = guest->arena.code;
	struct error err = {0};
	int ret;

	linux_guest_destroy(guest);
	ret = linux_guest_create(lg.kernel, lg.target, &guest, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	CU_ASSERT_NOT_EQUAL(guest->arena.code, code);
}

/* Every site of the kernel with a learned target, however cold; takes a fresh window. */
static void cycles(const struct profile *profile)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .sampler = "off"};
	unsigned i, tries, promoted = 0, most = 0;
	uint64_t begin = clock_ns();
	struct engine_status s;
	struct engine_result r;
	struct error err = {0};
	struct engine *e;

	open_again();
	c.policy.coverage = 1;
	c.policy.min_calls = 1;
	CU_ASSERT_EQUAL_FATAL(engine_create(guest, &c, &e, &err), 0);
	for (i = 0; i < CYCLES; i++) {
		tries = 0;
		while (again(engine_warm(e, profile, ENGINE_VIA_HOST, &r, &err), &err, &tries))
			;
		promoted += r.applied;
		most = r.applied > most ? r.applied : most;
		engine_result_free(&r);
		demote_all(e);
		if (i % 50 == 49)
			printf("    cycle %u: %u promotions in %.1f s\n", i + 1, promoted,
			       (clock_ns() - begin) / 1e9);
	}
	CU_ASSERT_EQUAL(changed_sites(), 0);
	CU_ASSERT_TRUE(most >= 100);
	CU_ASSERT_TRUE(promoted >= most / 2 * CYCLES); /* some pauses are too late */
	printf("    %u cycles of up to %u sites, %u promotions in %.1f s, %u pauses did not fit\n",
	       CYCLES, most, promoted, (clock_ns() - begin) / 1e9, timeouts);
	engine_get_status(e, &s);
	show_status(&s);
	CU_ASSERT_EQUAL(s.quarantined, 0);
	engine_destroy(e);
}

/* What this round learned, on top of what all before it did: a site that rests is forgotten. */
static void remember(struct engine *e, struct profile **all)
{
	struct error err = {0};
	struct profile *now;

	CU_ASSERT_EQUAL_FATAL(engine_profile(e, &now, &err), 0);
	if (!*all) {
		*all = now;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(profile_merge(*all, now, &err), 0);
	profile_free(now);
}

static void promoted_under_load(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .sampler = "timer"};
	struct engine_result r;
	struct engine_status s;
	struct profile *profile = NULL;
	struct patch_verify v;
	struct error err = {0};
	struct engine *e;
	unsigned i;
	int ret;

	ret = engine_create(guest, &c, &e, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	for (i = 0; i < ROUNDS; i++) {
		promote(e, &r);
		remember(e, &profile);
		if (i % 8 == 7)
			printf("    round %u: applied %u skipped %u failed %u coverage %.3f pause "
			       "%lld us\n",
			       i, r.applied, r.skipped, r.failed, r.coverage,
			       (long long)r.pause_us);
		engine_result_free(&r);
	}
	clock_sleep_ms(3000); /* watch windows close */
	engine_get_status(e, &s);
	show_status(&s);
	show_rows(e);
	CU_ASSERT_TRUE(s.promoted >= 20);
	CU_ASSERT_TRUE(s.coverage > 0.9);
	CU_ASSERT_TRUE(s.fast_share > 0.6); /* the load has phases of its own */
	CU_ASSERT_EQUAL(s.quarantined, 0);
	CU_ASSERT_EQUAL(changed_sites(), s.promoted + s.learning);
	CU_ASSERT_EQUAL(engine_verify(e, &v, NULL), 0);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0);
	demote_all(e);
	engine_destroy(e);
	cycles(profile);
	profile_free(profile);
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The patch layer alone: BATCH sites put on learning tracks and back, TRIES times. */
static void large_pause(void)
{
	static struct patch_request r[BATCH];
	static struct patch_outcome o[BATCH];
	struct patch_summary sum;
	int64_t us[2 * TRIES], write_us[2 * TRIES];
	struct error err = {0};
	struct patcher *p;
	unsigned n = 0, i, good = 0;
	uint32_t s;

	open_again();
	CU_ASSERT_EQUAL_FATAL(patcher_create(guest, NULL, &p, &err), 0);
	for (s = 1; n < BATCH && s < guest->sites.count; s += 7)
		if (!guest->ops->site_protected(guest, s))
			r[n++].site = s;
	for (i = 0; i < 2 * TRIES; i++) {
		for (s = 0; s < n; s++)
			r[s].to = i & 1 ? PATCH_ORIGINAL : PATCH_LEARNING;
		if (patch_apply(p, r, n, o, &sum, &err) || sum.applied < n)
			continue; /* did not fit */
		us[good] = sum.pause_us;
		write_us[good++] = (int64_t)(sum.write_ns / 1000);
	}
	for (s = 0; s < n; s++)
		r[s].to = PATCH_ORIGINAL;
	for (i = 0; i < TRIES && patch_count(p, PATCH_LEARNING); i++)
		patch_apply(p, r, n, o, &sum, &err);
	CU_ASSERT_EQUAL(changed_sites(), 0);
	CU_ASSERT_TRUE_FATAL(good > 0);
	qsort(us, good, sizeof(us[0]), compare);
	qsort(write_us, good, sizeof(us[0]), compare);
	printf("    %u sites in a pause: %lld us, writing %lld us (medians of %u)\n", n,
	       (long long)us[good / 2], (long long)write_us[good / 2], good);
	CU_ASSERT_TRUE(us[0] <= 10000);
	patcher_destroy(p);
}

/* The guest found no difference, its kernel has nothing to complain of, and it ends by itself. */
static void nothing_noticed(void)
{
	static const char *const bad[] = {"LOAD-BAD", "WARNING:",	   "BUG:", "Oops", "lockup",
					  "stall",    "general protection"};
	struct machine_report report;
	size_t i;

	serial_put(lg.pc->serial, "stop\n", 5);
	CU_ASSERT_TRUE(lg_wait(&lg, "LOAD-END", 60000));
	CU_ASSERT_TRUE(machine_wait_end(lg.pc->machine, 60000, &report));
	CU_ASSERT_EQUAL(report.end, MACHINE_END_POWEROFF);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(lg_said(&lg, bad[i]));
	CU_ASSERT_TRUE(lg_said(&lg, "LOAD-DONE worker 1") && lg_said(&lg, "LOAD-DONE worker 2"));
	linux_guest_destroy(guest);
	lg_close(&lg);
}

static const struct suite_test tests[] = {
	{"recognised once booted", recognised},
	{"another image is refused", another_image_refused},
	{"promoted and demoted under load", promoted_under_load},
	{"a pause that applies 200 sites", large_pause},
	{"the guest noticed nothing", nothing_noticed},
};

int main(void)
{
	return suite_run("linux promote", tests, sizeof(tests) / sizeof(tests[0]), 960);
}
