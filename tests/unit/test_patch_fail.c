// SPDX-License-Identifier: GPL-2.0-only
/* Patches that fail: memory, read-back, the pause, the journal; nothing else changes then. */
#include "patcher_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Accesses of one kind to one range fail. */
static struct {
	enum fake_access what;
	gva_t from, to;
	unsigned hits;
} refuse;
static int refuse_access(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	bool hit = what == refuse.what && gva < refuse.to && gva + len > refuse.from;

	refuse.hits += hit;
	return hit;
}

static void refuse_at(enum fake_access what, gva_t from, gva_t to)
{
	refuse.what = what;
	refuse.from = from;
	refuse.to = to;
	refuse.hits = 0;
	f.access = refuse_access;
}

static void unmapped_memory_is_a_reason(void)
{
	struct patch_request r[2] = {promote(1), promote(2)};
	struct patch_verify v;
	gva_t addr;

	setup();
	addr = f.guest.sites.sites[1].addr;
	refuse_at(FAKE_READ, addr, addr + 5);
	CU_ASSERT_EQUAL(apply(r, 2), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_UNREADABLE));
	CU_ASSERT(outcome(1, PATCH_APPLIED, PATCH_REASON_NONE));
	CU_ASSERT_EQUAL(patch_verify(p, &v, NULL), 0);
	CU_ASSERT(v.unreadable == 1 && v.first_bad == 1 && !v.differ);
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL);
	refuse_at(FAKE_WRITE, addr, addr + 5); /* readable, but not writable: failed, old state */
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_UNREADABLE));
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL);
	refuse_at(FAKE_WRITE, FAKE_BASE + FAKE_CODE, FAKE_BASE + FAKE_CODE + FAKE_HALF);
	r[0] = promote(5);
	CU_ASSERT_EQUAL(apply(r, 1), 0); /* the arena itself */
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_UNREADABLE));
	refuse_at(FAKE_WRITE, FAKE_BASE + FAKE_DATA, FAKE_BASE + FAKE_DATA + FAKE_HALF);
	r[0] = promote(6);
	CU_ASSERT_EQUAL(apply(r, 1), 0); /* its counters */
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_UNREADABLE));
	f.access = NULL;
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
	teardown();
}

/* Any read of site 1 or of the arena after a write shows a flipped bit. */
static bool flip_code, keep_flipping;
static int flip_after_write(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	static bool written;
	gva_t lo = flip_code ? FAKE_BASE + FAKE_CODE : f.guest.sites.sites[1].addr;
	gva_t hi = flip_code ? FAKE_BASE + FAKE_DATA : lo + 5;

	if (gva < lo || gva >= hi)
		return 0;
	if (what == FAKE_READ && written)
		*fake_bytes(t, gva + len - 1) ^= 0x10;
	written = what == FAKE_WRITE;
	if (what == FAKE_READ && !keep_flipping)
		t->access = NULL;
	return 0;
}

static void law_3_what_does_not_read_back_is_taken_back(void)
{
	struct patch_request r[2] = {promote(2), promote(1)};

	setup();
	flip_code = keep_flipping = false;
	f.on_pause = NULL;
	f.access = NULL;
	CU_ASSERT_EQUAL(apply(r, 1), 0);
	f.drop_text_writes = true; /* the write is accepted and lost */
	CU_ASSERT_EQUAL(apply(r + 1, 1), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_READBACK));
	CU_ASSERT_EQUAL(state(1)->state, PATCH_ORIGINAL); /* the old bytes are there */
	CU_ASSERT_EQUAL(sum.failed, 1);
	f.drop_text_writes = false;
	keep_flipping = true; /* and when even the old bytes do not come back */
	f.access = flip_after_write;
	CU_ASSERT_EQUAL(apply(r + 1, 1), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_READBACK));
	CU_ASSERT_EQUAL(state(1)->state, PATCH_QUARANTINED);
	f.access = NULL;
	CU_ASSERT_EQUAL(apply(r + 1, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_QUARANTINED));
	CU_ASSERT_EQUAL(state(2)->state, PATCH_PROMOTED); /* a partial failure leaves the others */
	teardown();
}

static void a_track_that_does_not_read_back_is_never_used(void)
{
	struct patch_request r = promote(7);

	setup();
	flip_code = true;
	keep_flipping = true;
	f.access = flip_after_write;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_READBACK));
	CU_ASSERT(text_untouched() && !f.pauses);
	f.access = NULL;
	CU_ASSERT_EQUAL(apply(&r, 1), 0);
	CU_ASSERT(outcome(0, PATCH_APPLIED, PATCH_REASON_NONE));
	CU_ASSERT_NOT_EQUAL(o[0].track, FAKE_BASE + FAKE_CODE);
	teardown();
}

static void law_7_a_pause_over_budget_changes_nothing(void)
{
	struct patch_request r[3] = {promote(1), {.site = 2}, {.site = 3, .to = PATCH_LEARNING}};
	struct journal_summary s;

	setup();
	f.fail_pause = -ETIMEDOUT;
	CU_ASSERT_EQUAL(apply(r, 3), -ETIMEDOUT);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_PAUSE));
	CU_ASSERT(outcome(1, PATCH_SKIPPED, PATCH_REASON_SAME));
	CU_ASSERT(outcome(2, PATCH_FAILED, PATCH_REASON_PAUSE));
	CU_ASSERT(sum.failed == 2 && sum.skipped == 1 && !sum.pause_us);
	CU_ASSERT(text_untouched() && patch_count(p, PATCH_ORIGINAL) == SITES);
	CU_ASSERT_EQUAL(journal_describe(journal, &s, NULL), 0);
	CU_ASSERT(s.batches == 1 && s.aborted == 1 && !s.committed && !s.open && !s.promoted);
	f.fail_pause = 0;
	f.fail_regs = -EIO; /* nor does one in which no vCPU's place is known */
	CU_ASSERT_EQUAL(apply(r, 3), -EIO);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_PAUSE) && text_untouched());
	f.fail_regs = 0;
	f.vcpus = HOTRAIL_MAX_VCPUS + 1;
	CU_ASSERT_EQUAL(apply(r, 3), -E2BIG);
	CU_ASSERT(text_untouched());
	f.vcpus = 2;
	CU_ASSERT_EQUAL(apply(r, 3), 0);
	CU_ASSERT_EQUAL(sum.applied, 2);
	teardown();
}

static void sleep_past_the_budget(struct fake_target *t)
{
	clock_sleep_ms(TARGET_PAUSE_BUDGET_US / 1000 + 20);
}

static void law_7_the_budget_ends_the_writing_too(void)
{
	struct patch_request r[2] = {promote(1), promote(2)};

	setup();
	f.on_pause = sleep_past_the_budget;
	CU_ASSERT_EQUAL(apply(r, 2), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_PAUSE));
	CU_ASSERT(outcome(1, PATCH_FAILED, PATCH_REASON_PAUSE));
	CU_ASSERT(text_untouched() && sum.failed == 2);
	CU_ASSERT_EQUAL(patch_count(p, PATCH_ORIGINAL), SITES);
	teardown();
}

/* In a child, so that the limit ends with it. */
static int promote_on_a_full_disk(void)
{
	struct rlimit limit = {128 + 64, 128 + 64}; /* the header fits, an intent does not */
	struct patch_request r[2] = {promote(1), promote(2)};
	struct journal_summary s;
	unsigned bad;

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 100;
	bad = apply(r, 2) != -EFBIG;
	bad |= 2u * !strstr(err.text, journal);
	bad |= 4u * !text_untouched();
	bad |= 8u * (f.pauses != 0 || sum.failed != 2);
	bad |= 16u * (patch_count(p, PATCH_ORIGINAL) != SITES);
	bad |= 32u * (journal_describe(journal, &s, NULL) || s.torn_bytes || s.batches);
	return (int)bad;
}

static void law_5_no_journal_no_change(void)
{
	struct patch_request r = promote(1);
	int status = -1;
	pid_t pid;

	setup();
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(promote_on_a_full_disk());
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	CU_ASSERT_EQUAL(apply(&r, 1), 0); /* with room again it works, on the same file */
	CU_ASSERT_EQUAL(sum.applied, 1);
	teardown();
}

static int create(const char *path)
{
	struct patcher *other = NULL;
	int rc;

	memset(&err, 0, sizeof(err));
	rc = patcher_create(&f.guest, path, &other, &err);
	CU_ASSERT_EQUAL(rc != 0, err.text[0] != 0);
	CU_ASSERT_EQUAL(rc != 0, other == NULL);
	patcher_destroy(other);
	return rc;
}

static void journals_that_cannot_be_kept_are_refused(void)
{
	struct journal_summary s;

	setup();
	CU_ASSERT_EQUAL(create(journal), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(create("/nonexistent/journal"), -ENOENT);
	CU_ASSERT_EQUAL(create("/dev/full"), -EINVAL);
	CU_ASSERT_EQUAL(create("/tmp"), -EISDIR);
	CU_ASSERT_EQUAL(journal_describe("/nonexistent/journal", &s, &err), -ENOENT);
	teardown();
}

/* A monitor that died: its file has no closing record. */
static void leave_open_journal(void)
{
	struct patch_request r = promote(1);
	uint8_t bytes[128 * 8];
	FILE *file;
	size_t n;

	apply(&r, 1);
	patcher_destroy(p);
	p = NULL;
	file = fopen(journal, "rb");
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	CU_ASSERT_EQUAL(truncate(journal, (off_t)n - 128), 0);
}

static void a_journal_of_another_guest_is_refused(void)
{
	struct journal_summary s;
	char text[200];

	setup();
	leave_open_journal();
	CU_ASSERT_EQUAL(journal_describe(journal, &s, NULL), 0);
	journal_summary_text(&s, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text,
			       "the monitor died; its guest is gone with it; 1 site was promoted");
	f.guest.build_id[0] ^= 1;
	CU_ASSERT_EQUAL(create(journal), -ESTALE);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	f.guest.build_id[0] ^= 1;
	f.guest.text_end += 64;
	f.guest.arena.code += 64;
	f.guest.arena.code_size -= 64;
	CU_ASSERT_EQUAL(create(journal), -ESTALE);
	f.guest.text_end -= 64;
	f.guest.sites.count = 1; /* the same build, but the site is not there */
	CU_ASSERT_EQUAL(create(journal), -EBADMSG);
	f.guest.sites.count = SITES;
	CU_ASSERT_EQUAL(create(journal), -EBADMSG); /* the arena starts after the track */
	f.guest.arena.code -= 64;
	f.guest.arena.code_size += 64;
	CU_ASSERT_EQUAL(create(journal), 0);
	teardown();
}

static void a_broken_arena_is_refused(void)
{
	setup();
	f.guest.arena.code = FAKE_BASE;
	CU_ASSERT_EQUAL(create(NULL), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	teardown();
}

static const struct suite_test tests[] = {
	{"unmapped memory is a reason", unmapped_memory_is_a_reason},
	{"law 3 - what does not read back is taken back",
	 law_3_what_does_not_read_back_is_taken_back},
	{"a track that does not read back is never used",
	 a_track_that_does_not_read_back_is_never_used},
	{"law 7 - a pause over budget changes nothing", law_7_a_pause_over_budget_changes_nothing},
	{"law 7 - the budget ends the writing too", law_7_the_budget_ends_the_writing_too},
	{"law 5 - no journal no change", law_5_no_journal_no_change},
	{"journals that cannot be kept are refused", journals_that_cannot_be_kept_are_refused},
	{"a journal of another guest is refused", a_journal_of_another_guest_is_refused},
	{"a broken arena is refused", a_broken_arena_is_refused},
};

SUITE_MAIN("patch fail", tests, 60)
