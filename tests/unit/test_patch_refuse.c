// SPDX-License-Identifier: GPL-2.0-only
/* Every way a patch is refused or fails, and that nothing else changes then. */
#include "suite.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fake_target.h"
#include "patch/journal.h"
#include "patch/patch.h"

#define SITES 40

static struct fake_target f;
static struct patcher *p;
static struct patch_outcome o[SITES];
static struct patch_summary sum;
static struct error err;
static uint8_t text_before[FAKE_TEXT];
static char journal[64];

static void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	snprintf(journal, sizeof(journal), "/tmp/hotrail-refuse-%d.journal", (int)getpid());
	unlink(journal);
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, journal, &p, &err), 0);
	memcpy(text_before, f.memory, FAKE_TEXT);
}

static void teardown(void)
{
	patcher_destroy(p);
	fake_free(&f);
	unlink(journal);
}

static struct patch_request promote(uint32_t site)
{
	return (struct patch_request){.site = site,
				      .to = PATCH_PROMOTED,
				      .ntargets = 1,
				      .targets = {fake_function(site)}};
}

static int apply(const struct patch_request *r, size_t n)
{
	int rc;

	memset(&err, 0, sizeof(err));
	memset(o, 0, sizeof(o));
	rc = patch_apply(p, r, n, o, &sum, &err);
	CU_ASSERT_EQUAL(rc != 0, err.text[0] != 0);
	CU_ASSERT_EQUAL(f.paused, false);
	return rc;
}

static bool outcome(size_t i, enum patch_result result, enum patch_reason reason)
{
	return o[i].result == result && o[i].reason == reason;
}

static bool text_untouched(void)
{
	return !memcmp(text_before, f.memory, FAKE_TEXT);
}

static uint8_t *site_bytes(unsigned n)
{
	return fake_bytes(&f, f.guest.sites.sites[n].addr);
}

static const struct patch_site *state(unsigned n)
{
	return patch_site_state(p, n);
}

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
	CU_ASSERT_EQUAL(sum.applied, 4); /* 24 bytes each, two a line */
	CU_ASSERT_EQUAL(full, SITES - 4);
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

static void every_reason_has_words(void)
{
	unsigned i, j;

	for (i = 0; i < PATCH_REASONS; i++)
		for (j = 0; j <= i; j++)
			CU_ASSERT_EQUAL(i == j, !strcmp(patch_reason_text((enum patch_reason)i),
							patch_reason_text((enum patch_reason)j)));
	CU_ASSERT_STRING_EQUAL(patch_reason_text((enum patch_reason)99), "unknown reason");
}

static const struct suite_test tests[] = {
	{"senseless requests are refused", senseless_requests_are_refused},
	{"a guest with nothing to gain is left alone", a_guest_with_nothing_to_gain_is_left_alone},
	{"same", same},
	{"law 3 - other bytes are a refusal", law_3_other_bytes_are_a_refusal},
	{"law 3 - the compare is in the pause", law_3_the_compare_is_in_the_pause},
	{"law 3 - an int3 means busy", law_3_an_int3_means_busy},
	{"law 2 - no saved rip may point inside", law_2_no_saved_rip_may_point_inside},
	{"targets that are no functions are refused", targets_that_are_no_functions_are_refused},
	{"a full arena is a reason", a_full_arena_is_a_reason},
	{"out of reach is a reason", out_of_reach_is_a_reason},
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
	{"every reason has words", every_reason_has_words},
};
SUITE_MAIN("patch refuse", tests, 60)
