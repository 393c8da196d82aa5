// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames of the agent protocol on raw bytes. tests/data/wire holds one frame of each message, by
 * its number, as it was when version 1 was fixed; WIRE_GOLDEN=write makes them anew, for a new
 * version only.
 */
#include <stdbool.h>
#include <stddef.h>

#include "protocol/crc32c.h"
#include "suite.h"
#include "wire_fixture.h"

#define DATA "tests/data/wire/"

enum { Q, R, E };
static const struct kind {
	const char *name;
	uint16_t type;
	unsigned direction;
	uint32_t least, most;
} kinds[] = {
#define MESSAGE(number, name, dir, least, most)                                                    \
	{#name, number | (dir == R ? AGENT_REPLY : 0), dir, least, most},
	AGENT_MESSAGES(MESSAGE)
#undef MESSAGE
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint8_t frame[WIRE_MAX + 8];

static enum wire_side reader(const struct kind *k)
{
	return k->direction == Q ? WIRE_AGENT : WIRE_HOST;
}

static enum wire_verdict check(const struct kind *k, const uint8_t *bytes, uint32_t len)
{
	uint32_t used;

	return wire_check(reader(k), bytes, len, &used);
}

static uint32_t make(const struct kind *k)
{
	return fixture_frame(k->type, 0xa0b0c000u + k->type, frame);
}

/* A frame whose header was changed by hand, with its checksum made right again. */
static void reseal(uint8_t *f, uint32_t len)
{
	struct agent_header h;

	memcpy(&h, f, sizeof(h));
	h.crc = 0;
	memcpy(f, &h, sizeof(h));
	h.crc = hotrail_crc32c(0, f, len);
	memcpy(f, &h, sizeof(h));
}

static void golden_path(const struct kind *k, char *path, size_t size)
{
	static const char *const what[] = {"ask", "reply", "event"};

	snprintf(path, size, DATA "%02u-%s", k->type & ~AGENT_REPLY, what[k->direction]);
}

static void test_golden(void)
{
	bool write = getenv("WIRE_GOLDEN") != NULL;
	static uint8_t golden[WIRE_MAX + 1];
	char path[128];
	size_t i, n;
	FILE *f;

	for (i = 0; i < KINDS; i++) {
		uint32_t len = make(&kinds[i]);

		golden_path(&kinds[i], path, sizeof(path));
		f = fopen(path, write ? "w+" : "r");
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		if (write)
			fwrite(frame, 1, len, f);
		rewind(f);
		n = fread(golden, 1, sizeof(golden), f);
		fclose(f);
		CU_ASSERT(n == len && !memcmp(golden, frame, len));
		if (n != len || memcmp(golden, frame, len))
			printf("%s differs from what is built now\n", path);
		CU_ASSERT_EQUAL(check(&kinds[i], golden, (uint32_t)n), WIRE_GOOD);
	}
}

/* What crosses host and guest must not move. */
static void test_layout(void)
{
	CU_ASSERT_EQUAL(sizeof(struct agent_header), 20);
	CU_ASSERT_EQUAL(sizeof(struct agent_hello_reply), 168);
	CU_ASSERT_EQUAL(sizeof(struct agent_poke), 32);
	CU_ASSERT_EQUAL(sizeof(struct agent_block), 120);
	CU_ASSERT_EQUAL(sizeof(struct agent_counted), 272);
	CU_ASSERT_EQUAL(sizeof(struct agent_module), 88);
	CU_ASSERT_EQUAL(sizeof(struct agent_conflict), 32);
	CU_ASSERT_EQUAL(sizeof(struct agent_error), 128);
	CU_ASSERT_EQUAL(sizeof(struct agent_pair), 40);
	CU_ASSERT_EQUAL(sizeof(struct agent_lead), 24);
	/* The most of each list fits into a frame. */
	CU_ASSERT(sizeof(struct agent_pokes) + AGENT_MAX_POKES * sizeof(struct agent_poke) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_blocks) + AGENT_MAX_BLOCKS * sizeof(struct agent_block) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_protected_reply) +
			  AGENT_MAX_RANGES * sizeof(struct agent_range) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_counters_reply) +
			  AGENT_MAX_TABLES * sizeof(struct agent_counted) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_modules_reply) +
			  AGENT_MAX_MODULES * sizeof(struct agent_module) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_pairs_reply) + AGENT_MAX_PAIRS * sizeof(struct agent_pair) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_programs_reply) + AGENT_MAX_PROGS * sizeof(__u64) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_leads) + AGENT_MAX_PAIRS * sizeof(struct agent_lead) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT(sizeof(struct agent_names_reply) +
			  AGENT_MAX_NAMES * sizeof(struct agent_function) <=
		  AGENT_MAX_PAYLOAD);
	CU_ASSERT_EQUAL(sizeof(struct agent_function), 120);
	CU_ASSERT(sizeof(struct agent_read_reply) + AGENT_MAX_READ <= AGENT_MAX_PAYLOAD);
}

static void test_truncated(void)
{
	uint32_t len, used, cut;
	uint8_t *exact;
	size_t i;

	for (i = 0; i < KINDS; i++) {
		len = make(&kinds[i]);
		for (cut = 0; cut < len; cut++) {
			exact = malloc(cut + 1); /* a reader past the end is found out */
			CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
			memcpy(exact, frame, cut);
			used = 77;
			CU_ASSERT_EQUAL_FATAL(wire_check(reader(&kinds[i]), exact, cut, &used),
					      WIRE_SHORT);
			CU_ASSERT_EQUAL_FATAL(used, 0);
			free(exact);
		}
		CU_ASSERT_EQUAL(wire_check(reader(&kinds[i]), frame, len + 8, &used), WIRE_GOOD);
		CU_ASSERT_EQUAL(used, len);
	}
}

static void test_flipped(void)
{
	enum wire_verdict v;
	uint32_t len, bit;
	size_t i;

	for (i = 0; i < KINDS; i++) {
		len = make(&kinds[i]);
		for (bit = 0; bit < 8 * len; bit++) {
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			v = check(&kinds[i], frame, len);
			/* A longer length makes a frame that is not all there. */
			if (v == WIRE_SHORT)
				CU_ASSERT_FATAL(bit / 8 >= 8 && bit / 8 < 12);
			CU_ASSERT_NOT_EQUAL_FATAL(v, WIRE_GOOD);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		CU_ASSERT_EQUAL(check(&kinds[i], frame, len), WIRE_GOOD);
	}
}

static void test_version(void)
{
	uint32_t len = make(&kinds[0]), used;
	uint16_t version;

	for (version = 0; version < 300; version++) {
		memcpy(frame + offsetof(struct agent_header, version), &version, 2);
		reseal(frame, len);
		CU_ASSERT_EQUAL(wire_check(WIRE_AGENT, frame, len, &used),
				version == AGENT_VERSION ? WIRE_GOOD : WIRE_BAD_VERSION);
		CU_ASSERT_EQUAL(used, len); /* the next frame is found behind it */
	}
}

static const struct kind *kind_of(uint16_t type)
{
	size_t i;

	for (i = 0; i < KINDS; i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

/* Every number there can be, for both readers: only those of the table, in their direction. */
static void test_types(void)
{
	enum wire_side side;
	unsigned type;

	for (side = WIRE_HOST; side <= WIRE_AGENT; side++)
		for (type = 0; type <= 0xffff; type++) {
			const struct kind *k = kind_of((uint16_t)type);
			bool mine = k && reader(k) == side;
			uint32_t len = wire_seal(frame, (uint16_t)type, k ? k->least : 0, 1), used;

			CU_ASSERT_EQUAL_FATAL(wire_check(side, frame, len, &used),
					      mine ? WIRE_GOOD : WIRE_UNKNOWN);
			CU_ASSERT_EQUAL_FATAL(used, len);
		}
	CU_ASSERT_STRING_EQUAL(wire_type_name(AGENT_MSG_POKE), "POKE");
	CU_ASSERT_STRING_EQUAL(wire_type_name(AGENT_MSG_BYE), "BYE");
	CU_ASSERT_STRING_EQUAL(wire_type_name(62), "unknown");
}

static void test_sizes(void)
{
	uint32_t length, len, used;
	size_t i;

	for (i = 0; i < KINDS; i++)
		for (length = 0; length <= AGENT_MAX_PAYLOAD; length += length < 600 ? 1 : 263) {
			len = wire_seal(frame, kinds[i].type, length, 1);
			CU_ASSERT_EQUAL_FATAL(wire_check(reader(&kinds[i]), frame, len, &used),
					      length < kinds[i].least || length > kinds[i].most
						      ? WIRE_BAD_SIZE
						      : WIRE_GOOD);
			CU_ASSERT_EQUAL_FATAL(used, len);
		}
}

/* A length is refused before anything of that length is looked at. */
static void test_length_limit(void)
{
	static const uint32_t wrong[] = {
		AGENT_MAX_PAYLOAD + 1, 0x10000, 0x7fffffff, 0x80000000, 0xffffffec, 0xffffffff};
	uint32_t used, len = make(&kinds[0]);
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(frame + offsetof(struct agent_header, length), &wrong[i], 4);
		CU_ASSERT_EQUAL(wire_check(WIRE_AGENT, frame, len, &used), WIRE_BAD_LENGTH);
		CU_ASSERT_EQUAL(used, 0);
	}
}

static void test_counts(void)
{
	CU_ASSERT_TRUE(wire_counts(8, 8, 0, 32, 256));
	CU_ASSERT_TRUE(wire_counts(8 + 256 * 32, 8, 256, 32, 256));
	CU_ASSERT_FALSE(wire_counts(8 + 257 * 32, 8, 257, 32, 256)); /* one too many */
	CU_ASSERT_FALSE(wire_counts(8 + 31, 8, 1, 32, 256));
	CU_ASSERT_FALSE(wire_counts(8 + 33, 8, 1, 32, 256));
	CU_ASSERT_FALSE(wire_counts(7, 8, 0, 32, 256)); /* not even the head */
	CU_ASSERT_FALSE(wire_counts(0, 8, 0, 32, 256));
	CU_ASSERT_FALSE(wire_counts(8, 8, 0x8000000, 32, 256));	 /* times 32 is 0 in 32 bits */
	CU_ASSERT_FALSE(wire_counts(40, 8, 0x8000001, 32, 256)); /* and 32 */
	CU_ASSERT_FALSE(wire_counts(8, 8, 0xffffffff, 32, 256));
}

static void test_verdicts(void)
{
	enum wire_verdict v;

	for (v = WIRE_GOOD; v <= WIRE_BAD_SIZE; v++)
		CU_ASSERT_STRING_NOT_EQUAL(wire_verdict_text(v), "unknown verdict");
	CU_ASSERT_STRING_EQUAL(wire_verdict_text(WIRE_BAD_SIZE + 1), "unknown verdict");
}

static const struct suite_test tests[] = {
	{"every message is the bytes of version 1", test_golden},
	{"layouts stay, full lists fit", test_layout},
	{"every truncation waits for the rest", test_truncated},
	{"every flipped bit is refused", test_flipped},
	{"another version", test_version},
	{"unknown types and wrong directions", test_types},
	{"payloads of the wrong size", test_sizes},
	{"lengths over the limit", test_length_limit},
	{"counts that do not fit", test_counts},
	{"verdicts have words", test_verdicts},
};
SUITE_MAIN("wire", tests, 60)
