// SPDX-License-Identifier: GPL-2.0-only
/* The journal of pairs: what a crash at any write leaves, and what memory says about it. */
#include "pair_fixture.h"

#include "patch/journal.h"
#include "patch/patch.h"

static unsigned writes_left;

static int die(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	if (what != FAKE_WRITE)
		return 0;
	return writes_left ? (writes_left--, 0) : -EFAULT;
}

/* The monitor dies after `writes` writes of a change; another one comes. */
static enum pair_state crash(gva_t from, gva_t to, unsigned writes)
{
	enum pair_state s;

	setup();
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(0, from), 0);
	writes_left = writes;
	f.access = die;
	(void)set(0, to);
	f.access = NULL;
	pairs_drop(p);
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	s = state(0);
	CU_ASSERT_TRUE(s == PAIR_EMPTY || s == PAIR_BYPASSED || s == PAIR_DIRECT);
	CU_ASSERT_TRUE(program(0) == from || program(0) == to);
	CU_ASSERT_EQUAL(set(0, to), 0); /* it goes on from there */
	CU_ASSERT_EQUAL(program(0), to);
	CU_ASSERT_EQUAL(state(0), to ? PAIR_DIRECT : PAIR_EMPTY);
	CU_ASSERT_EQUAL(set(0, 0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end();
	return s;
}

static void test_a_crash_at_any_write(void)
{
	CU_ASSERT_EQUAL(crash(0, PROGRAM, 0), PAIR_EMPTY);
	CU_ASSERT_EQUAL(crash(0, PROGRAM, 1), PAIR_BYPASSED);
	CU_ASSERT_EQUAL(crash(0, PROGRAM, 2), PAIR_DIRECT);
	CU_ASSERT_EQUAL(crash(PROGRAM, PROGRAM_2, 0), PAIR_DIRECT);
	CU_ASSERT_EQUAL(crash(PROGRAM, PROGRAM_2, 1), PAIR_DIRECT);
	CU_ASSERT_EQUAL(crash(PROGRAM, 0, 0), PAIR_DIRECT);
	CU_ASSERT_EQUAL(crash(PROGRAM, 0, 1), PAIR_BYPASSED);
	CU_ASSERT_EQUAL(crash(PROGRAM, 0, 2), PAIR_EMPTY);
}

static void test_a_program_the_journal_never_named(void)
{
	setup();
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	CU_ASSERT_EQUAL(set(1, PROGRAM), 0);
	pairs_drop(p);
	put_jmp(TARGET, PROGRAM + 0x400);
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(0, 0), -EUCLEAN);
	CU_ASSERT_EQUAL(set(1, 0), 0);
	end();
}

static void test_a_guest_started_anew(void)
{
	setup();
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), 0); /* "old" of the last intent is not original text */
	pairs_drop(p);
	memcpy(f.memory, before, FAKE_TEXT);
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	CU_ASSERT_EQUAL(state(0), PAIR_DIRECT);
	end();
}

static void test_a_long_journal_is_replaced(void)
{
	struct journal_summary s;
	unsigned i;

	setup();
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(set(1, PROGRAM), 0);
	for (i = 0; i < 4200; i++) /* two records each */
		CU_ASSERT_EQUAL_FATAL(set(0, i % 2 ? PROGRAM : PROGRAM_2), 0);
	CU_ASSERT_EQUAL(journal_describe(journal, &s, &err), 0);
	CU_ASSERT_TRUE(s.records < 8000);
	pairs_drop(p);
	CU_ASSERT_EQUAL_FATAL(create(journal), 0);
	CU_ASSERT_EQUAL(program(0), PROGRAM);
	CU_ASSERT_EQUAL(program(1), PROGRAM);
	CU_ASSERT_EQUAL(set(0, 0), 0);
	CU_ASSERT_EQUAL(set(1, 0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end();
}

/* A journal that says "the opcode of this site changes": 0, or what became of it. */
static int adopt_site_intent(unsigned n, const char *new)
{
	const struct site *s = &f.guest.sites.sites[n];
	struct journal_identity id = {.build_id_len = f.guest.build_id_len,
				      .text_start = f.guest.text_start,
				      .text_end = f.guest.text_end};
	struct journal_intent in = {.site = s->addr, .len = s->len, .state = PATCH_ORIGINAL};
	struct journal_log log;
	struct patcher *patcher;
	struct journal *j;
	int rc;

	memcpy(id.build_id, f.guest.build_id, id.build_id_len);
	memcpy(in.old, s->bytes, s->len);
	memcpy(in.new, new, s->len);
	unlink(journal);
	CU_ASSERT_EQUAL_FATAL(journal_open(journal, &j, &log, &err), 0);
	journal_log_free(&log);
	CU_ASSERT_EQUAL_FATAL(journal_start(j, &id, &err), 0);
	CU_ASSERT_EQUAL_FATAL(journal_intend(j, &in, 1, &err), 0);
	journal_drop(j);
	rc = patcher_create(&f.guest, journal, &patcher, &err);
	patcher_destroy(patcher);
	return rc;
}

/* Only a slot's opcode may change; a site is none, whatever its journal says. */
static void test_a_site_is_no_slot(void)
{
	const struct site *jump, *call;

	setup();
	jump = &f.guest.sites.sites[SITES - 1];
	call = &f.guest.sites.sites[0];
	CU_ASSERT_TRUE_FATAL(jump->is_jump && jump->len == 5 && call->len == 5);
	CU_ASSERT_EQUAL(adopt_site_intent(SITES - 1, "\xe9\x01\x02\x03\x04"), 0);
	CU_ASSERT_EQUAL(adopt_site_intent(SITES - 1, NOP), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "other bytes"));
	CU_ASSERT_EQUAL(adopt_site_intent(0, NOP), -EBADMSG);
	CU_ASSERT_EQUAL(adopt_site_intent(0, "\xe9\x01\x02\x03\x04"), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "opcode"));
	end();
}

static const struct suite_test tests[] = {
	{"a crash at any write leaves a legal state", test_a_crash_at_any_write},
	{"a program the journal never named", test_a_program_the_journal_never_named},
	{"a guest started anew", test_a_guest_started_anew},
	{"a site is no slot", test_a_site_is_no_slot},
	{"a long journal is replaced", test_a_long_journal_is_replaced},
};

SUITE_MAIN("pair journal", tests, 60)
