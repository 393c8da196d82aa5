// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that misbehave, whichever backend works here: law 6 says that one may spoil its own
 * promotions and nothing else. Here: what a guest does to its own text.
 */
#include "guest_rig.h"

#include <stdatomic.h>

#define PAUSE_US 5000000 /* a loaded host with one core is no failure */

/* --- a guest that rewrites one of its own sites --- */

struct blinking {
	unsigned applied, mismatch, busy, other, caught;
};

/* One patcher's life: promote the site until that is done, then see the guest undo it. */
static void fight(uint32_t site, gva_t target, struct blinking *b)
{
	struct patch_request request = {
		.site = site, .to = PATCH_PROMOTED, .targets = {target}, .ntargets = 1};
	uint64_t limit = clock_ns() + patience(10) * 1000000000ull;
	struct patch_verify v = {0};
	struct patch_outcome o;
	struct patch_summary s;
	struct patcher *p;

	CU_ASSERT_EQUAL_FATAL(patcher_create(r.g, NULL, &p, NULL), 0);
	do {
		memset(&o, 0, sizeof(o));
		if (patch_apply(p, &request, 1, &o, &s, NULL))
			continue;
		b->applied += o.result == PATCH_APPLIED;
		b->mismatch += o.reason == PATCH_REASON_MISMATCH;
		b->busy += o.reason == PATCH_REASON_BUSY;
		/* A host so busy that the pause ran out of its budget is no fault of the guest. */
		b->other += o.result == PATCH_FAILED && o.reason != PATCH_REASON_PAUSE;
	} while (o.result != PATCH_APPLIED && clock_ns() < limit);
	while (o.result == PATCH_APPLIED && !v.differ && clock_ns() < limit)
		CU_ASSERT_EQUAL(patch_verify(p, &v, NULL), 0);
	if (v.differ) {
		b->caught++;
		CU_ASSERT_EQUAL(v.differ, 1);
		CU_ASSERT_EQUAL(v.first_bad, site);
		CU_ASSERT_EQUAL(patch_site_state(p, site)->state, PATCH_QUARANTINED);
		/* It stays alone now, even when the bytes happen to be the old ones. */
		CU_ASSERT_EQUAL(patch_apply(p, &request, 1, &o, &s, NULL), 0);
		CU_ASSERT_EQUAL(o.result, PATCH_SKIPPED);
		CU_ASSERT(o.reason == PATCH_REASON_QUARANTINED || o.reason == PATCH_REASON_BUSY);
	}
	patcher_destroy(p);
}

static void rewrites_its_own_site(void)
{
	uint64_t limit = clock_ns() + patience(3) * 1000000000ull;
	struct blinking b = {0};
	gva_t addr, target;
	long site;

	start("hostile");
	addr = r.g->ops->lookup(r.g, "yard_hostile_site");
	target = r.g->ops->lookup(r.g, "yard_micro_target_0");
	site = site_find(&r.g->sites, addr);
	CU_ASSERT_FATAL(site >= 0 && target);
	yard_command(r.i->yard, YARD_CMD_PATCH_SELF);
	while (clock_ns() < limit && (b.mismatch < 3 || b.caught < 3))
		fight((uint32_t)site, target, &b);
	printf("    applied %u, mismatch %u, busy %u, caught by verify %u\n", b.applied, b.mismatch,
	       b.busy, b.caught);
	CU_ASSERT(b.mismatch + b.caught > 0);
	CU_ASSERT_EQUAL(b.other, 0);
	CU_ASSERT(b.caught <= b.applied);
	CU_ASSERT_EQUAL(machine_wait_end(r.i->machine, 0, &(struct machine_report){0}), 0);
	yard_command(r.i->yard, YARD_CMD_WORK);
	ends_well();
}

/* The engine meets the same guest: whatever it finds is in its counts, and nothing breaks. */
static void engine_meets_it(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_promote p = {.nsites = 1};
	struct engine_result result;
	struct engine_status s;
	struct patch_verify v;
	struct engine *e;
	uint32_t site;
	unsigned n;

	start("hostile");
	site = (uint32_t)site_find(&r.g->sites, r.g->ops->lookup(r.g, "yard_hostile_site"));
	yard_command(r.i->yard, YARD_CMD_PATCH_SELF);
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	p.sites = &site;
	for (n = 0; n < 5; n++) {
		CU_ASSERT_EQUAL(engine_promote(e, &p, &result, NULL), 0);
		CU_ASSERT(result.applied <= 1);
		engine_result_free(&result);
		CU_ASSERT_EQUAL(engine_verify(e, &v, NULL), 0);
		CU_ASSERT(v.differ <= 1);
		CU_ASSERT(!v.differ || v.first_bad == site);
	}
	engine_get_status(e, &s);
	CU_ASSERT(s.promoted + s.learning + s.quarantined <= 1);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &result, NULL), 0);
	engine_result_free(&result);
	engine_destroy(e);
	yard_command(r.i->yard, YARD_CMD_WORK);
	ends_well();
}

/* --- targets that are none --- */

static void targets_outside_text(void)
{
	const struct hotrail_image_header *h;
	struct patch_request request = {.site = 0, .to = PATCH_PROMOTED, .ntargets = 2};
	uint8_t bytes[SITE_MAX_LEN];
	struct patch_outcome o;
	struct patch_summary s;
	struct patcher *p;
	gva_t good;
	unsigned i;

	start("retpoline");
	h = &r.i->image->header;
	good = r.g->ops->lookup(r.g, "yard_micro_target_0");
	CU_ASSERT_FATAL(good != 0);
	CU_ASSERT_EQUAL_FATAL(patcher_create(r.g, NULL, &p, NULL), 0);
	{
		const gva_t bad[] = {0,
				     1,
				     h->text_start - 1,
				     h->text_end,
				     h->arena_code,
				     h->arena_data,
				     h->control,
				     h->stats,
				     good + 1,
				     good ^ (1ull << 32),
				     ~0ull,
				     1ull << 63,
				     r.g->sites.sites[0].addr};

		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			request.targets[0] = i % 2 ? good : bad[i];
			request.targets[1] = i % 2 ? bad[i] : good;
			CU_ASSERT_EQUAL(patch_apply(p, &request, 1, &o, &s, NULL), 0);
			CU_ASSERT_EQUAL(o.result, PATCH_SKIPPED);
			CU_ASSERT_EQUAL(o.reason, PATCH_REASON_TARGET);
			CU_ASSERT_EQUAL(s.pause_us, 0);
		}
	}
	request.site = UINT32_MAX;
	CU_ASSERT_EQUAL(patch_apply(p, &request, 1, &o, &s, NULL), -EINVAL);
	CU_ASSERT_EQUAL(
		r.t->ops->read(r.t, r.g->sites.sites[0].addr, bytes, r.g->sites.sites[0].len), 0);
	CU_ASSERT_EQUAL(memcmp(bytes, r.g->sites.sites[0].bytes, r.g->sites.sites[0].len), 0);
	patcher_destroy(p);
	ends_well();
}

/* --- guests that go nowhere --- */

static const uint8_t jump_to_zero[] = {0x31, 0xc0, 0xff, 0xe0}; /* xor %eax,%eax; jmp *%rax */
static const uint8_t undefined[] = {0x0f, 0x0b};		/* ud2 */
static const uint8_t loop_forever[] = {0xeb, 0xfe};		/* jmp . */
static const uint8_t system_call[] = {0x0f, 0x05};

/* The guest's first instructions become these. */
static int start_with(const uint8_t *code, size_t len, unsigned start_ms, struct error *err)
{
	int ret;

	memset(err, 0, sizeof(*err));
	open_guest("retpoline", start_ms);
	memcpy(memory(r.i->image->entry, len), code, len);
	ret = instance_start(r.i, err);
	instance_close(r.i);
	return ret;
}

static void never_ready(void)
{
	uint64_t began = clock_ns();
	struct error err;

	CU_ASSERT_EQUAL(start_with(loop_forever, 2, 400, &err), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did not reach its main loop within 0.4 s"));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_FAILED);
	CU_ASSERT(clock_ns() - began > 300000000);
	CU_ASSERT_EQUAL(start_with(jump_to_zero, 4, 0, &err), -EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ended before it was ready"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "at 0:"));
	CU_ASSERT_EQUAL(start_with(undefined, 2, 0, &err), -EIO);
	CU_ASSERT_EQUAL(start_with(system_call, 2, 0, &err), -EIO);
}

/* Put code where vCPU 0 is about to go on. */
static gva_t derail(const uint8_t *code, size_t len)
{
	struct machine_pause p;
	struct machine_regs regs;

	CU_ASSERT_EQUAL_FATAL(r.t->ops->pause(r.t, PAUSE_US, &p, NULL), 0);
	CU_ASSERT_EQUAL(r.t->ops->get_regs(r.t, 0, &regs), 0);
	CU_ASSERT_EQUAL(r.t->ops->write(r.t, regs.rip, code, len), 0);
	CU_ASSERT(r.t->ops->resume(r.t, &p) >= 0);
	return regs.rip;
}

static void derailed(const uint8_t *code, size_t len, bool at_zero)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .follow = true};
	struct machine_report report;
	struct engine_promote p = {0};
	struct engine_result result;
	struct error err = {0};
	struct patch_verify v;
	struct engine *e;
	gva_t rip;

	start("retpoline");
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	clock_sleep_ms(100);
	rip = derail(code, len);
	CU_ASSERT_EQUAL(machine_wait_end(r.i->machine, (int)patience(20000), &report), 1);
	CU_ASSERT(report.end == MACHINE_END_FAULT || report.end == MACHINE_END_SHUTDOWN);
	CU_ASSERT(strlen(report.text) > 10);
	/* Another vCPU runs the same text and may have been the first to get there. */
	CU_ASSERT_EQUAL(report.regs.rip, at_zero ? 0 : rip);
	CU_ASSERT(at_zero ? report.bytes_len == 0
			  : report.bytes_len >= len && !memcmp(report.bytes, code, len));
	/* What is asked of a dead guest gets an answer. */
	if (!engine_promote(e, &p, &result, &err))
		CU_ASSERT_EQUAL(result.applied, 0);
	engine_result_free(&result);
	(void)engine_verify(e, &v, &err);
	engine_destroy(e);
	instance_close(r.i);
}

static void goes_nowhere(void)
{
	derailed(undefined, sizeof(undefined), false);
	derailed(jump_to_zero, sizeof(jump_to_zero), true);
}

/* It only stops working: it is still paused, patched and closed like any other. */
static void hangs(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_promote p = {0};
	struct engine_result result;
	struct engine *e;

	start("retpoline");
	derail(loop_forever, sizeof(loop_forever));
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	CU_ASSERT_EQUAL(engine_promote(e, &p, &result, NULL), 0);
	engine_result_free(&result);
	state_is_sane(e);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &result, NULL), 0);
	engine_result_free(&result);
	engine_destroy(e);
	CU_ASSERT_EQUAL(machine_wait_end(r.i->machine, 0, &(struct machine_report){0}), 0);
	instance_close(r.i);
}

/* --- a guest that does not stop in time --- */

static const struct target_ops *real;
static atomic_bool late;
static atomic_uint pauses;

/* The first pause of a round works, the one that should end it does not. */
static int late_pause(struct target *t, uint32_t budget_us, struct machine_pause *p,
		      struct error *err)
{
	if (atomic_load(&late) && atomic_fetch_add(&pauses, 1))
		return error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT, "late");
	return real->pause(t, budget_us, p, err);
}

static void late_guest_is_given_back(void)
{
	uint64_t limit = clock_ns() + patience(20) * 1000000000ull;
	struct engine_config c = {.policy = POLICY_DEFAULT};
	struct engine_promote p = {0};
	struct engine_result result;
	struct engine_status s;
	struct target_ops ops;
	struct error err = {0};
	struct engine *e;

	start("retpoline");
	real = r.t->ops;
	ops = *real;
	ops.pause = late_pause;
	r.t->ops = &ops;
	CU_ASSERT_EQUAL_FATAL(engine_create(r.g, &c, &e, NULL), 0);
	atomic_store(&late, true);
	CU_ASSERT_EQUAL(engine_promote(e, &p, &result, &err), -ETIMEDOUT);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	engine_result_free(&result);
	engine_get_status(e, &s);
	CU_ASSERT(s.learning > 0 || atomic_load(&pauses) < 2);
	CU_ASSERT_EQUAL(s.promoted, 0);
	atomic_store(&late, false);
	do {
		clock_sleep_ms(20);
		engine_get_status(e, &s);
	} while (s.learning && clock_ns() < limit);
	CU_ASSERT_EQUAL(s.learning, 0); /* nobody had to ask */
	CU_ASSERT_EQUAL(s.promoted, 0);
	engine_destroy(e);
	r.t->ops = real;
	ends_well();
}

static const struct suite_test tests[] = {
	{"a site that its guest rewrites", rewrites_its_own_site},
	{"the engine meets that guest", engine_meets_it},
	{"targets outside text", targets_outside_text},
	{"a guest that is never ready", never_ready},
	{"a guest that goes nowhere", goes_nowhere},
	{"a guest that hangs", hangs},
	{"a guest that does not stop in time", late_guest_is_given_back},
};

int main(void)
{
	return suite_run("hostile-guest", tests, sizeof(tests) / sizeof(tests[0]), patience(240));
}
