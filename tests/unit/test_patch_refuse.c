// SPDX-License-Identifier: GPL-2.0-only
/* Patches that are refused for what is asked or found, and that nothing else changes then. */
#include "patcher_fixture.h"

static void senseless_requests_are_refused(void)
{
	struct patch_request r[2] = {promote(1), promote(1)};

	setup();
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL); /* the same site twice */
	r[1] = promote(SITES);
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL);
	r[1] = promote(2);
	r[1].ntargets = 0;
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL);
	r[1].ntargets = HOTRAIL_MAX_TARGETS + 1;
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL);
	r[1] = promote(2);
	r[1].to = PATCH_QUARANTINED;
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL);
	r[1].to = (enum patch_state) - 1;
	CU_ASSERT_EQUAL(apply(r, 2), -EINVAL);
	CU_ASSERT(text_untouched() && !f.pauses && !f.writes);
	CU_ASSERT_EQUAL(apply(r, 0), 0);
	CU_ASSERT_EQUAL(apply(r, 1), 0); /* the good one alone */
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_PTR_NULL(patch_site_state(p, SITES));
	CU_ASSERT_EQUAL(patch_count(p, (enum patch_state)9), 0);
	teardown();
}

static void a_guest_with_nothing_to_gain_is_left_alone(void)
{
	struct patch_request r = promote(1), back = {.site = 1};

	setup();
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	f.may_patch = -ENOTSUP;
	r = promote(2);
	CU_ASSERT_EQUAL(apply(&r, 1), -ENOTSUP);
	CU_ASSERT_STRING_EQUAL(err.text, "nothing to gain here");
	CU_ASSERT_EQUAL(apply(&back, 1), 0); /* but undoing is always allowed */
	CU_ASSERT(sum.applied == 1 && text_untouched());
	teardown();
}

static void same(void)
{
	struct patch_request r = promote(1);

	setup();
	apply(&r, 1);
	CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
	r.ntargets = 2; /* the same target twice is the same target */
	r.targets[1] = r.targets[0];
	apply(&r, 1);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_SAME));
	CU_ASSERT_EQUAL(o[0].track, state(1)->track);
	r = (struct patch_request){.site = 2};
	apply(&r, 1);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_SAME));
	CU_ASSERT_EQUAL(f.pauses, 1);
	teardown();
}

static void law_3_other_bytes_are_a_refusal(void)
{
	struct patch_request r[3] = {promote(1), promote(2), promote(3)};

	setup();
	site_bytes(2)[3] ^= 0x40;
	memcpy(text_before, f.memory, FAKE_TEXT);
	CU_ASSERT_EQUAL(apply(r, 3), 0);
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_MISMATCH));
	CU_ASSERT(sum.applied == 2 && sum.skipped == 1); /* the others are not held up */
	CU_ASSERT_EQUAL(state(2)->state, PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(
		memcmp(site_bytes(2), text_before + (f.guest.sites.sites[2].addr - FAKE_BASE), 6),
		0);

	site_bytes(1)[2] ^= 1; /* someone re-aimed what we had applied */
	r[0] = (struct patch_request){.site = 1};
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_MISMATCH));
	CU_ASSERT_EQUAL(state(1)->state, PATCH_QUARANTINED);
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_QUARANTINED));
	r[0] = promote(1);
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_QUARANTINED));
	teardown();
}

/* The change comes between the plan and the pause: only a compare in the pause can see it. */
static void change_site_4(struct fake_target *t)
{
	site_bytes(4)[2] ^= 8;
}

static void law_3_the_compare_is_in_the_pause(void)
{
	struct patch_request r = promote(4);

	setup();
	f.on_pause = change_site_4;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_MISMATCH));
	CU_ASSERT_EQUAL(f.text_writes, 0);
	teardown();
}

static void law_3_an_int3_means_busy(void)
{
	struct patch_request r[2] = {promote(1), promote(2)}; /* 5 bytes; 6 bytes with cs prefix */
	uint8_t opcode;

	setup();
	site_bytes(1)[0] = 0xcc;
	opcode = site_bytes(2)[1];
	site_bytes(2)[1] = 0xcc; /* text_poke of a cs call starts at its opcode */
	CU_ASSERT_EQUAL(apply(r, 2), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_BUSY));
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_BUSY));
	site_bytes(2)[0] = 0xcc;
	site_bytes(2)[1] = opcode;
	CU_ASSERT_EQUAL(apply(r, 2), 0);
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_BUSY));
	CU_ASSERT_EQUAL(f.text_writes, 0);
	site_bytes(1)[0] = text_before[f.guest.sites.sites[1].addr - FAKE_BASE];
	CU_ASSERT_EQUAL(apply(r, 1), 0); /* later it works */
	CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
	teardown();
}

static void law_2_no_saved_rip_may_point_inside(void)
{
	struct patch_request r[1] = {promote(2)}, back = {.site = 2};
	gva_t addr;
	unsigned k;

	setup();
	addr = f.guest.sites.sites[2].addr;
	for (k = 0; k <= 6; k++) {
		f.regs[1].rip = addr + k;
		CU_ASSERT_EQUAL(apply(r, 1), 0);
		if (k > 0 && k < 6) {
			CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_BUSY));
			CU_ASSERT(text_untouched());
		} else {
			CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
			CU_ASSERT_EQUAL(apply(&back, 1), 0);
		}
	}
	teardown();
}

static void targets_that_are_no_functions_are_refused(void)
{
	struct patch_request r[2] = {promote(1), promote(2)};

	setup();
	r[0].targets[0] += 4; /* in the middle of one */
	r[1].ntargets = 2;
	r[1].targets[1] = FAKE_BASE + FAKE_CODE; /* the arena is no target either */
	CU_ASSERT_EQUAL(apply(r, 2), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_TARGET));
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_TARGET));
	CU_ASSERT(!f.pauses && !f.writes);
	teardown();
}

static void a_full_arena_is_a_reason(void)
{
	struct patch_request r[SITES];
	unsigned i, full = 0;

	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	f.guest.arena.code_size = 128;
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, NULL, &p, NULL), 0);
	for (i = 0; i < SITES; i++)
		r[i] = promote(i);
	CU_ASSERT_EQUAL(apply(r, SITES), 0);
	for (i = 0; i < SITES; i++)
		full += outcome(i, PATCH_SKIPPED, PATCH_REASON_ARENA_FULL);
	CU_ASSERT_EQUAL(sum.applied, 2); /* 43 bytes each, one a line */
	CU_ASSERT_EQUAL(full, SITES - 2);
	teardown();
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	f.guest.arena.data_size = 64;
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, NULL, &p, NULL), 0);
	r[0].to = PATCH_LEARNING;
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_ARENA_FULL));
	teardown();
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	f.guest.arena = (struct guest_arena){0};
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, NULL, &p, NULL), 0);
	r[0] = promote(0);
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_ARENA_FULL));
	teardown();
}

static void out_of_reach_is_a_reason(void)
{
	struct patch_request r = promote(1);

	setup();
	f.guest.sites.sites[1].thunk =
		0xffff888000000000ull; /* a lying table: no jmp rel32 gets there */
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_RANGE));
	CU_ASSERT_EQUAL(f.pauses, 0);
	f.guest.sites.sites[1].addr = 0xffff888000000000ull; /* nor does the site reach its track */
	f.guest.sites.sites[1].thunk = FAKE_BASE + FAKE_THUNK;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_RANGE));
	CU_ASSERT(text_untouched() && !f.pauses);
	teardown();
}

static bool any_is_target(struct guest *g, gva_t addr)
{
	return true;
}

/* Its low half is that of a function, which a compare with 32 bits would take it for. */
static void law_1_a_target_beyond_32_bits_is_not_shortened(void)
{
	struct patch_request r = promote(1);
	struct guest_ops lying;

	setup();
	lying = *f.guest.ops;
	lying.is_target = any_is_target;
	f.guest.ops = &lying;
	r.targets[0] -= 1ull << 32;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_RANGE));
	CU_ASSERT(text_untouched() && !f.pauses);
	teardown();
}

static void every_reason_has_words(void)
{
	unsigned i, j;

	for (i = 0; i < PATCH_REASONS; i++)
		for (j = 0; j <= i; j++)
			CU_ASSERT_EQUAL(i == j, !strcmp(patch_reason_text((enum patch_reason)i),
							patch_reason_text((enum patch_reason)j)));
	CU_ASSERT_STRING_EQUAL(patch_reason_text((enum patch_reason)99), "unknown reason");
}

static void without_an_agent_nothing_goes_by_its_way(void)
{
	struct patch_request r = promote(1);

	setup();
	r.way = PATCH_WAY_AGENT;
	CU_ASSERT_EQUAL(apply(&r, 1), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT(text_untouched());
	r.way = PATCH_WAYS;
	CU_ASSERT_EQUAL(apply(&r, 1), -EINVAL);
	r.way = PATCH_WAY_HOST;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT_EQUAL(sum.by[PATCH_WAY_HOST], 1);
	CU_ASSERT_EQUAL(state(1)->way, PATCH_WAY_HOST);
	teardown();
}

static const struct suite_test tests[] = {
	{"without an agent nothing goes by its way", without_an_agent_nothing_goes_by_its_way},
	{"senseless requests are refused", senseless_requests_are_refused},
	{"a guest with nothing to gain is left alone", a_guest_with_nothing_to_gain_is_left_alone},
	{"same", same},
	{"law 3 - other bytes are a refusal", law_3_other_bytes_are_a_refusal},
	{"law 3 - the compare is in the pause", law_3_the_compare_is_in_the_pause},
	{"law 3 - an int3 means busy", law_3_an_int3_means_busy},
	{"law 2 - no saved rip may point inside", law_2_no_saved_rip_may_point_inside},
	{"law 1 - a target beyond 32 bits is not shortened",
	 law_1_a_target_beyond_32_bits_is_not_shortened},
	{"targets that are no functions are refused", targets_that_are_no_functions_are_refused},
	{"a full arena is a reason", a_full_arena_is_a_reason},
	{"out of reach is a reason", out_of_reach_is_a_reason},
	{"every reason has words", every_reason_has_words},
};

SUITE_MAIN("patch refuse", tests, 60)
