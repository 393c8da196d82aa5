// SPDX-License-Identifier: GPL-2.0-only
/* The journal: what a crash at any byte leaves, what memory says about it, and what is refused. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "patch/journal.h"
#include "patch/record.h"
#include "protocol/crc32c.h"

#define TEXT  0xffffffff81000000ull
#define SITES 6

static char path[64];
static uint8_t file[128 * 64]; /* the journal under test, in memory */
static size_t file_len;
static uint8_t memory[SITES][SITE_MAX_LEN]; /* guest text at TEXT + 16 * n */
static unsigned unreadable = SITES;
static const struct journal_identity id = {
	.build_id = {1, 2, 3}, .build_id_len = 20, .text_start = TEXT, .text_end = TEXT + 0x1000};

static void site_bytes(unsigned site, unsigned version, uint8_t *bytes)
{
	const uint8_t b[SITE_MAX_LEN] = {0xe8, (uint8_t)(site + 1), (uint8_t)version, 0x11, 0x22,
					 0};

	memcpy(bytes, b, sizeof(b));
}

static int read_memory(void *ctx, gva_t gva, void *buf, size_t len)
{
	size_t n = (gva - TEXT) / 16;

	if (n >= SITES || n == unreadable || len > SITE_MAX_LEN)
		return -EFAULT;
	memcpy(buf, memory[n], len);
	return 0;
}

static struct journal_intent intent(unsigned site, unsigned from, unsigned to,
				    enum patch_state state)
{
	struct journal_intent in = {.site = TEXT + site * 16ull, .len = 5, .state = (uint8_t)state};

	site_bytes(site, from, in.old);
	site_bytes(site, to, in.new);
	if (state == PATCH_ORIGINAL)
		return in;
	in.track = TEXT + 0x100000 + to * 64ull;
	in.counter = TEXT + 0x200000;
	in.ntargets = state == PATCH_PROMOTED;
	in.targets[0] = TEXT + 0x800;
	return in;
}

static struct journal *open_new(void)
{
	struct journal_log log;
	struct journal *j = NULL;

	snprintf(path, sizeof(path), "/tmp/hotrail-journal-%d", (int)getpid());
	unlink(path);
	CU_ASSERT_EQUAL_FATAL(journal_open(path, &j, &log, NULL), 0);
	CU_ASSERT_EQUAL(log.records, 0);
	journal_log_free(&log);
	CU_ASSERT_EQUAL(journal_start(j, &id, NULL), 0);
	return j;
}

static void load(void)
{
	FILE *in = fopen(path, "rb");

	file_len = fread(file, 1, sizeof(file), in);
	fclose(in);
}

/*
 * Three batches: sites 0-2 promoted (0->1); site 1 to other targets (1->2) and site 3
 * learning, of which site 3 failed; site 0 back to the original (1->0), aborted.
 */
static void write_story(bool close_it)
{
	struct journal *j = open_new();
	struct journal_intent a[3] = {intent(0, 0, 1, PATCH_PROMOTED),
				      intent(1, 0, 1, PATCH_PROMOTED),
				      intent(2, 0, 1, PATCH_PROMOTED)};
	struct journal_intent b[2] = {intent(1, 1, 2, PATCH_PROMOTED),
				      intent(3, 0, 1, PATCH_LEARNING)};
	struct journal_intent c = intent(0, 1, 0, PATCH_ORIGINAL);
	struct journal_result r = {.result = PATCH_SKIPPED, .reason = PATCH_REASON_BUSY};

	CU_ASSERT_EQUAL(journal_intend(j, a, 3, NULL), 0);
	CU_ASSERT_EQUAL(a[2].seq, 3);
	CU_ASSERT_EQUAL(journal_commit(j, NULL, 0, 3, 0, 0, NULL), 0);
	CU_ASSERT_EQUAL(journal_intend(j, b, 2, NULL), 0);
	r.seq = b[1].seq;
	CU_ASSERT_EQUAL(journal_commit(j, &r, 1, 1, 1, 0, NULL), 0);
	CU_ASSERT_EQUAL(journal_intend(j, &c, 1, NULL), 0);
	CU_ASSERT_EQUAL(journal_abort(j, NULL), 0);
	if (close_it)
		journal_close(j);
	else
		journal_drop(j);
	load();
	unlink(path);
}

static void set_memory(unsigned site, unsigned version)
{
	site_bytes(site, version, memory[site]);
}

static void set_all(void)
{
	unsigned i;

	unreadable = SITES;
	for (i = 0; i < SITES; i++)
		set_memory(i, 0);
	set_memory(0, 1);
	set_memory(1, 2);
	set_memory(2, 1);
}

static const struct journal_site *at(const struct journal_site *s, size_t n, unsigned site)
{
	while (n--)
		if (s[n].addr == TEXT + site * 16ull)
			return &s[n];
	return NULL;
}

static void checksum_of_the_standard(void)
{
	uint8_t zeros[32] = {0};

	CU_ASSERT_EQUAL(hotrail_crc32c(0, "123456789", 9),
			0xe3069283); /* RFC 3720 appendix B.4 and others */
	CU_ASSERT_EQUAL(hotrail_crc32c(0, zeros, 32), 0x8a9136aa);
	CU_ASSERT_EQUAL(hotrail_crc32c(hotrail_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	CU_ASSERT_EQUAL(hotrail_crc32c(0, NULL, 0), 0);
}

static void a_whole_story_is_read_back(void)
{
	struct journal_log log;

	write_story(true);
	CU_ASSERT_EQUAL(file_len, 12 * 128);
	CU_ASSERT_EQUAL_FATAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT(log.records == 12 && log.count == 6 && log.closed && !log.torn_bytes);
	CU_ASSERT(log.batches == 3 && log.committed == 2 && log.aborted == 1);
	CU_ASSERT_EQUAL(memcmp(log.identity.build_id, id.build_id, 20), 0);
	CU_ASSERT_EQUAL(log.identity.text_start, TEXT);
	CU_ASSERT(log.created_ns > 1600000000ull * 1000000000ull);
	CU_ASSERT(log.intents[4].failed && log.intents[5].failed && !log.intents[3].failed);
	CU_ASSERT_EQUAL(log.intents[3].track, TEXT + 0x100000 + 128);
	journal_log_free(&log);
}

static void law_5_memory_decides(void)
{
	struct journal_log log;
	struct journal_site *s;
	size_t n;

	write_story(false);
	CU_ASSERT_EQUAL_FATAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT_FALSE(log.closed);
	set_all();
	CU_ASSERT_EQUAL(journal_replay(&log, read_memory, NULL, &s, &n), 0);
	CU_ASSERT_EQUAL_FATAL(n, 4);
	CU_ASSERT(at(s, n, 0)->state == PATCH_PROMOTED && at(s, n, 0)->intent == &log.intents[0]);
	CU_ASSERT(at(s, n, 1)->verdict == JOURNAL_APPLIED &&
		  at(s, n, 1)->intent == &log.intents[3]);
	CU_ASSERT(at(s, n, 3)->verdict == JOURNAL_NOT_APPLIED &&
		  at(s, n, 3)->state == PATCH_ORIGINAL);
	CU_ASSERT_EQUAL(at(s, n, 1)->original[2], 0);
	free(s);

	set_memory(1, 1);  /* the older track: not applied, still promoted by the first batch */
	set_memory(2, 0);  /* the original: not applied */
	memory[0][4] ^= 1; /* neither */
	unreadable = 3;
	CU_ASSERT_EQUAL(journal_replay(&log, read_memory, NULL, &s, &n), 0);
	CU_ASSERT(at(s, n, 1)->verdict == JOURNAL_NOT_APPLIED &&
		  at(s, n, 1)->state == PATCH_PROMOTED);
	CU_ASSERT_EQUAL(at(s, n, 1)->intent, &log.intents[1]);
	CU_ASSERT(at(s, n, 2)->verdict == JOURNAL_NOT_APPLIED &&
		  at(s, n, 2)->state == PATCH_ORIGINAL);
	CU_ASSERT(at(s, n, 0)->verdict == JOURNAL_QUARANTINED &&
		  at(s, n, 0)->state == PATCH_QUARANTINED);
	CU_ASSERT_EQUAL(at(s, n, 3)->verdict, JOURNAL_QUARANTINED);
	free(s);
	journal_log_free(&log);
}

/* A crash at any byte: the rest replays, and whatever memory a crash there can leave is understood.
 */
static void law_5_a_crash_at_any_byte_is_survived(void)
{
	struct journal_site *s;
	struct journal_log log;
	size_t cut, n, i, quarantined = 0;
	int rc;

	write_story(true);
	for (cut = 0; cut <= file_len; cut++) {
		rc = journal_parse(file, cut, &log, NULL);
		if (cut < 128) {
			CU_ASSERT_EQUAL(rc, -ENODATA);
			continue;
		}
		CU_ASSERT_EQUAL_FATAL(rc, 0);
		CU_ASSERT_EQUAL(log.good_bytes, cut / 128 * 128);
		CU_ASSERT_EQUAL(log.torn_bytes, cut % 128);
		CU_ASSERT_EQUAL(log.closed, cut == file_len);
		/* An intent still unfinished on disk means that the guest was not yet touched. */
		set_all();
		if (cut < 4 * 128)
			set_memory(0, 0), set_memory(1, 0), set_memory(2, 0);
		else if (cut < 7 * 128)
			set_memory(1, 1);
		CU_ASSERT_EQUAL(journal_replay(&log, read_memory, NULL, &s, &n), 0);
		for (i = 0; i < n; i++)
			quarantined += s[i].verdict == JOURNAL_QUARANTINED;
		free(s);
		journal_log_free(&log);
	}
	CU_ASSERT_EQUAL(quarantined, 0);
}

static void law_5_a_torn_end_is_cut_off_and_work_goes_on(void)
{
	struct journal_intent in = intent(5, 0, 1, PATCH_PROMOTED);
	struct journal_log log;
	struct journal *j;
	size_t cut;
	FILE *out;

	for (cut = 100; cut < 12 * 128; cut += 61) {
		write_story(true);
		out = fopen(path, "wb");
		fwrite(file, 1, cut, out);
		fclose(out);
		CU_ASSERT_EQUAL_FATAL(journal_open(path, &j, &log, NULL), 0);
		CU_ASSERT_EQUAL(log.torn_bytes, cut % 128);
		if (!log.records)
			CU_ASSERT_EQUAL(journal_start(j, &id, NULL), 0);
		journal_log_free(&log);
		CU_ASSERT_EQUAL(journal_intend(j, &in, 1, NULL), 0);
		CU_ASSERT_EQUAL(journal_commit(j, NULL, 0, 1, 0, 0, NULL), 0);
		journal_close(j);
		load();
		CU_ASSERT_EQUAL_FATAL(journal_parse(file, file_len, &log, NULL), 0);
		CU_ASSERT(log.closed && !log.torn_bytes && log.count >= 1);
		CU_ASSERT_EQUAL(log.intents[log.count - 1].site, TEXT + 5 * 16);
		journal_log_free(&log);
		unlink(path);
	}
}

static void blocks_that_never_came_are_torn_not_corrupt(void)
{
	struct journal_log log;

	write_story(false);
	memset(file + 8 * 128, 0, 3 * 128); /* the file grew, its last three records are zeros */
	CU_ASSERT_EQUAL_FATAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT(log.torn_bytes == 3 * 128 && log.records == 8);
	journal_log_free(&log);
}

static void refuse(const char *why)
{
	struct error err = {0};
	struct journal_log log;

	CU_ASSERT_EQUAL(journal_parse(file, file_len, &log, &err), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, why));
	if (!strstr(err.text, why))
		printf("got: %s\n", err.text);
}

static void any_flipped_bit_in_the_middle_is_refused_by_name(void)
{
	struct journal_log log;
	struct error err;
	char want[80];
	size_t bit, accepted = 0, named = 0;

	write_story(true);
	for (bit = 0; bit < (file_len - 128) * 8; bit += 3) {
		file[bit / 8] ^= 1 << bit % 8;
		if (!journal_parse(file, file_len, &log, &err)) {
			accepted++;
			journal_log_free(&log);
		}
		snprintf(want, sizeof(want), "record %zu at byte %zu", bit / 1024,
			 bit / 1024 * 128);
		named += strstr(err.text, want) != NULL;
		file[bit / 8] ^= 1 << bit % 8;
	}
	CU_ASSERT_EQUAL(accepted, 0);
	CU_ASSERT_EQUAL(named, (bit + 2) / 3);
	file[file_len - 50] ^= 4; /* the last record is a torn one */
	CU_ASSERT_EQUAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT(log.torn_bytes == 128 && !log.closed);
	journal_log_free(&log);
}

static struct record *record(unsigned n)
{
	return (struct record *)(file + n * 128);
}

static void seal(unsigned n)
{
	record(n)->crc = record_crc(record(n));
}

/* Checksums are right, what they cover is not: a file made by someone hostile. */
static void sealed_nonsense_is_refused_by_name(void)
{
#define LIE(n, field, value, why)                                                                  \
	do {                                                                                       \
		write_story(true);                                                                 \
		record(n)->field = value;                                                          \
		seal(n);                                                                           \
		refuse(why);                                                                       \
	} while (0)
	LIE(0, type, RECORD_COMMIT, "record 0 at byte 0 is not a header");
	LIE(0, header.build_id_len, 21, "overlong build id");
	LIE(0, version, 3, "unknown version");
	LIE(1, seq, 5, "out of sequence");
	LIE(2, intent.len, 4, "wrong length");
	LIE(2, intent.len, 7, "wrong length");
	LIE(2, intent.new[0], 0xe9, "would change an opcode");
	LIE(2, intent.state, PATCH_QUARANTINED, "no known kind");
	LIE(2, intent.ntargets, 5, "no known kind");
	LIE(2, intent.way, PATCH_WAYS, "no known way");
	LIE(2, intent.site, TEXT - 16, "outside text");
	LIE(2, intent.site, TEXT + 0xffe, "outside text");
	LIE(3, batch, 7, "skips a batch");
	LIE(7, failed.seq, 4, "an intent that is not there");
	LIE(7, failed.seq, ~0ull, "an intent that is not there");
	LIE(4, batch, 0, "a batch that was not begun");
	LIE(5, type, 77, "unknown type");
	LIE(3, type, RECORD_HEADER, "unknown type");
	write_story(true);
	*record(5) = *record(4); /* commit of batch 1 once more */
	record(5)->seq = 5;
	seal(5);
	refuse("ends a batch twice");
	file_len = 0;
}

static void a_guest_that_died_is_described(void)
{
	struct journal_summary s = {0};
	struct journal_log log;
	char text[200];

	write_story(false);
	CU_ASSERT_EQUAL(journal_parse(file, file_len - 128 * 6 - 3, &log, NULL), 0);
	CU_ASSERT_EQUAL(journal_summarise(&log, &s), 0);
	journal_log_free(&log);
	CU_ASSERT(s.sites == 3 && s.promoted == 3 && s.open == 1 && s.torn_bytes == 125);
	journal_summary_text(&s, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "the monitor died; its guest is gone with it; 3 sites were "
				     "promoted; it stopped in the middle of a batch");
	memset(&s, 0, sizeof(s));
	CU_ASSERT_EQUAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT_EQUAL(journal_summarise(&log, &s), 0);
	journal_log_free(&log);
	CU_ASSERT(s.sites == 3 && s.promoted == 3 && !s.learning && !s.open && s.aborted == 1);
	journal_summary_text(&s, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(
		text, "the monitor died; its guest is gone with it; 3 sites were promoted");
	memset(&s, 0, sizeof(s));
	journal_summary_text(&s, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "the journal is empty: nothing was ever changed");
}

static void one_monitor_at_a_time(void)
{
	struct journal *j = open_new(), *other = NULL;
	struct journal_summary s;
	struct journal_log log;
	struct error err;

	CU_ASSERT_EQUAL(journal_open(path, &other, &log, &err), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_EQUAL(journal_describe(path, &s, NULL), 0);
	CU_ASSERT_TRUE(s.in_use);
	journal_close(j);
	CU_ASSERT_EQUAL(journal_describe(path, &s, NULL), 0);
	CU_ASSERT(!s.in_use && s.closed);
	CU_ASSERT_EQUAL(journal_open(path, &other, &log, &err), 0);
	journal_log_free(&log);
	journal_drop(other);
	unlink(path);
}

static void odd_files_are_refused(void)
{
	struct journal *j;
	struct journal_log log;
	struct error err;
	char link[80];
	int fd;

	snprintf(path, sizeof(path), "/tmp/hotrail-journal-%d", (int)getpid());
	snprintf(link, sizeof(link), "%s.link", path);
	unlink(link);
	CU_ASSERT_EQUAL(symlink(path, link), 0);
	CU_ASSERT_EQUAL(journal_open(link, &j, &log, &err), -ELOOP);
	unlink(link);
	unlink(path);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)JOURNAL_MAX_BYTES + 1), 0);
	close(fd);
	CU_ASSERT_EQUAL(journal_open(path, &j, &log, &err), -EFBIG);
	CU_ASSERT_EQUAL(truncate(path, 4096), 0); /* zeros are no header */
	CU_ASSERT_EQUAL(journal_open(path, &j, &log, &err), -EBADMSG);
	unlink(path);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL(journal_open(path, &j, &log, &err), -EINVAL);
	unlink(path);
}

/* A journal of a version before the agent: all of it was the host's. */
static void a_journal_without_ways_is_still_read(void)
{
	struct journal_log log;
	unsigned n;

	write_story(true);
	for (n = 0; n < file_len / 128; n++) {
		record(n)->version = 1;
		seal(n);
	}
	CU_ASSERT_EQUAL_FATAL(journal_parse(file, file_len, &log, NULL), 0);
	CU_ASSERT_EQUAL(log.records, file_len / 128);
	for (n = 0; n < log.count; n++)
		CU_ASSERT_EQUAL(log.intents[n].way, PATCH_WAY_HOST);
	journal_log_free(&log);
	record(2)->intent.way = PATCH_WAY_AGENT; /* which version 1 does not know */
	seal(2);
	refuse("no known way");
}

static void what_an_agent_undid_is_no_reason_for_quarantine(void)
{
	struct journal_log log = {.count = 2};
	struct journal_intent both[2];
	struct journal_site *sites;
	unsigned by;
	size_t n;

	for (by = 0; by < PATCH_WAYS; by++) {
		both[0] = intent(0, 0, 1, PATCH_PROMOTED);
		both[1] = intent(0, 1, 2, PATCH_PROMOTED);
		both[0].way = both[1].way = (uint8_t)by;
		log.intents = both;
		set_memory(0, 0);
		CU_ASSERT_EQUAL_FATAL(journal_replay(&log, read_memory, NULL, &sites, &n), 0);
		CU_ASSERT_EQUAL(n, 1);
		CU_ASSERT_EQUAL(sites[0].state,
				by == PATCH_WAY_AGENT ? PATCH_ORIGINAL : PATCH_QUARANTINED);
		free(sites);
	}
}

static const struct suite_test tests[] = {
	{"checksum of the standard", checksum_of_the_standard},
	{"a whole story is read back", a_whole_story_is_read_back},
	{"law 5 - memory decides", law_5_memory_decides},
	{"law 5 - a crash at any byte is survived", law_5_a_crash_at_any_byte_is_survived},
	{"law 5 - a torn end is cut off and work goes on",
	 law_5_a_torn_end_is_cut_off_and_work_goes_on},
	{"blocks that never came are torn not corrupt",
	 blocks_that_never_came_are_torn_not_corrupt},
	{"any flipped bit in the middle is refused by name",
	 any_flipped_bit_in_the_middle_is_refused_by_name},
	{"sealed nonsense is refused by name", sealed_nonsense_is_refused_by_name},
	{"a guest that died is described", a_guest_that_died_is_described},
	{"a journal without ways is still read", a_journal_without_ways_is_still_read},
	{"what an agent undid is no reason for quarantine",
	 what_an_agent_undid_is_no_reason_for_quarantine},
	{"one monitor at a time", one_monitor_at_a_time},
	{"odd files are refused", odd_files_are_refused},
};
SUITE_MAIN("journal", tests, 60)
