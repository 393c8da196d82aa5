// SPDX-License-Identifier: GPL-2.0-only
/* An agent that dies, comes back, is slow, or undoes things by itself: memory decides. */
#include "suite.h"

#include "patch_agent_fixture.h"

static struct patch_reconciled r;

static void lost_in_the_middle_memory_decides(void)
{
	struct patch_verify v;
	unsigned i, promoted = 0;

	begin();
	agent.lose = true;
	agent.lose_after = 3;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 10), 0);
	CU_ASSERT_EQUAL(sum.applied, 3);
	CU_ASSERT_EQUAL(sum.failed, 7);
	for (i = 0; i < 10; i++)
		if (i < 3)
			CU_ASSERT(in_agents(leads_to(i)) && state(i)->state == PATCH_PROMOTED);
	CU_ASSERT(outcome(5, PATCH_FAILED, PATCH_REASON_LOST));
	patch_reconcile(p, &r); /* nothing new */
	CU_ASSERT_EQUAL(r.undone + r.arrived + r.quarantined + r.busy, 0);
	fake_agent_late(); /* the rest was only slow */
	patch_reconcile(p, &r);
	CU_ASSERT_EQUAL(r.arrived, 7);
	for (i = 0; i < 10; i++)
		promoted += state(i)->state == PATCH_PROMOTED && state(i)->track == leads_to(i);
	CU_ASSERT_EQUAL(promoted, 10);
	CU_ASSERT(clean());
	CU_ASSERT_EQUAL(demote_all(0, 10), 0);
	CU_ASSERT_EQUAL(sum.applied, 10);
	CU_ASSERT(text_untouched());
	CU_ASSERT_EQUAL(patch_verify(p, &v, NULL), 0);
	teardown();
}

static void a_doubt_ends_when_the_agent_is_greeted_again(void)
{
	struct patch_request q;

	begin();
	agent.lose = true;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 2), 0);
	CU_ASSERT_EQUAL(sum.failed, 2);
	CU_ASSERT(p->slots[0].doubt != 0);
	agent.nlate = 0; /* it never got there */
	patch_reconcile(p, &r);
	CU_ASSERT(p->slots[0].doubt != 0);
	fake_agent_late();
	patch_reconcile(p, &r);
	CU_ASSERT_EQUAL(r.arrived, 0);
	CU_ASSERT_EQUAL(p->slots[0].doubt, 0);
	q = by(PATCH_WAY_AGENT, 0);
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	teardown();
}

static void the_host_leads_back_what_a_lost_agent_left(void)
{
	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 6), 0);
	agent.s.health = AGENT_LOST;
	memcpy(site_bytes(1), f.guest.sites.sites[1].bytes, 5); /* this one it led back itself */
	site_bytes(2)[f.guest.sites.sites[2].len - 1] ^= 0x40;	/* and here is somebody else */
	CU_ASSERT_EQUAL(demote_all(0, 6), 0);
	CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_SAME));
	CU_ASSERT_EQUAL(o[2].result, PATCH_SKIPPED);
	CU_ASSERT_EQUAL(state(2)->state, PATCH_QUARANTINED);
	CU_ASSERT_EQUAL(sum.applied, 4);
	CU_ASSERT_EQUAL(f.pauses, 1);
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(patch_count(p, PATCH_PROMOTED), 0);
	CU_ASSERT_EQUAL(leads_to(0), f.guest.sites.sites[0].thunk);
	teardown();
}

static void what_the_agent_undid_is_booked(void)
{
	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), 0);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_HOST, 4, 4), 0);
	memcpy(site_bytes(1), f.guest.sites.sites[1].bytes, 5);
	site_bytes(2)[0] = 0xcc; /* a probe on a promoted site */
	site_bytes(3)[f.guest.sites.sites[3].len - 1] ^= 0x40;
	patch_reconcile(p, &r);
	CU_ASSERT_EQUAL(r.undone, 1);
	CU_ASSERT_EQUAL(r.busy, 1);
	CU_ASSERT_EQUAL(r.quarantined, 1);
	CU_ASSERT_EQUAL(state(0)->state, PATCH_PROMOTED);
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(state(2)->state, PATCH_PROMOTED);
	CU_ASSERT_EQUAL(state(3)->state, PATCH_QUARANTINED);
	CU_ASSERT_EQUAL(patch_count_by(p, PATCH_PROMOTED, PATCH_WAY_HOST), 4);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 1, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	teardown();
}

static void a_reborn_agent_begins_with_nothing(void)
{
	uint64_t used[2], total[2];

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 10), 0);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_HOST, 10, 2), 0);
	memcpy(text_before + (f.guest.sites.sites[10].addr - FAKE_BASE), site_bytes(10), 6);
	fake_agent_reborn();
	memset(fake_bytes(&f, AGENT_CODE), 0xcc, AGENT_CODE_SIZE);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 3, 2), 0);
	CU_ASSERT_EQUAL(sum.applied, 2);
	CU_ASSERT_EQUAL(patch_count_by(p, PATCH_PROMOTED, PATCH_WAY_AGENT), 2);
	patch_arena_usage(p, PATCH_WAY_AGENT, used, total);
	CU_ASSERT(used[0] <= 2 * 64);
	CU_ASSERT(clean() || patch_count(p, PATCH_QUARANTINED) == 2);
	teardown();
}

static void what_a_dead_agent_left_is_led_back_before_another_is_used(void)
{
	unsigned pauses;

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 5), 0);
	pauses = f.pauses;
	agent.s.generation++; /* gone without a word: the sites still lead into its arena */
	memset(agent.taken, 0, sizeof(agent.taken));
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 20, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_EQUAL(f.pauses, pauses + 1);
	CU_ASSERT_EQUAL(patch_count(p, PATCH_PROMOTED), 1);
	CU_ASSERT_EQUAL(leads_to(0), f.guest.sites.sites[0].thunk);
	site_bytes(20)[0] =
		0xcc; /* and what cannot be led back keeps the arena from being reused */
	agent.s.generation++;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 21, 1), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	teardown();
}

static void take_over(void)
{
	patcher_destroy(p);
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, journal, &p, &err), 0);
	CU_ASSERT_EQUAL_FATAL(patch_use_agent(p, &agent, &err), 0);
}

static void promotions_of_an_agent_are_adopted(void)
{
	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), 0);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_HOST, 4, 2), 0);
	memcpy(site_bytes(1), f.guest.sites.sites[1].bytes, 5); /* led back by the agent */
	take_over();
	CU_ASSERT_EQUAL(state(0)->state, PATCH_PROMOTED);
	CU_ASSERT_EQUAL(state(0)->way, PATCH_WAY_AGENT);
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(state(4)->way, PATCH_WAY_HOST);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 10, 1), 0); /* clears what is left */
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_EQUAL(state(0)->state, PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(patch_count(p, PATCH_PROMOTED), 3);
	CU_ASSERT_EQUAL(patch_count(p, PATCH_QUARANTINED), 0);
	teardown();
}

static const struct suite_test tests[] = {
	{"lost in the middle memory decides", lost_in_the_middle_memory_decides},
	{"a doubt ends when the agent is greeted again",
	 a_doubt_ends_when_the_agent_is_greeted_again},
	{"the host leads back what a lost agent left", the_host_leads_back_what_a_lost_agent_left},
	{"what the agent undid is booked", what_the_agent_undid_is_booked},
	{"a reborn agent begins with nothing", a_reborn_agent_begins_with_nothing},
	{"what a dead agent left is led back before another is used",
	 what_a_dead_agent_left_is_led_back_before_another_is_used},
	{"promotions of an agent are adopted", promotions_of_an_agent_are_adopted},
};

SUITE_MAIN("patch agent lost", tests, 60)
