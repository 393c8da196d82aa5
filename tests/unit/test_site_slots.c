// SPDX-License-Identifier: GPL-2.0-only
/* Sites that come and go: an index stays what it is, addresses come again, what cannot be is
 * refused. */
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/site.h"

#define TEXT	0xffffffff81000000ull
#define MODULES 0xffffffffc0000000ull
#define CORE	10
#define SLOTS	300

static struct site_table t;

static struct site site_at(gva_t addr)
{
	return (struct site){.addr = addr, .len = 5, .reg = HOTRAIL_RAX};
}

static void begin(void)
{
	unsigned i;

	t = (struct site_table){.sites = calloc(CORE, sizeof(struct site)),
				.count = CORE,
				.text_start = TEXT,
				.text_end = TEXT + 0x1000};
	CU_ASSERT_PTR_NOT_NULL_FATAL(t.sites);
	for (i = 0; i < CORE; i++)
		t.sites[i] = site_at(TEXT + 16 * i);
	CU_ASSERT_EQUAL_FATAL(site_table_reserve(&t, SLOTS), 0);
}

static int put(gva_t addr, uint32_t *index)
{
	struct site s = site_at(addr);

	return site_table_put(&t, &s, index);
}

static void test_found_like_others(void)
{
	uint32_t a, b;

	begin();
	CU_ASSERT_FALSE(site_may_be(&t, MODULES + 0x20));
	CU_ASSERT_EQUAL(put(MODULES + 0x20, &a), 0);
	CU_ASSERT_EQUAL(put(MODULES + 0x10, &b), 0); /* in no order */
	CU_ASSERT_EQUAL(a, CORE);
	CU_ASSERT_EQUAL(b, CORE + 1);
	CU_ASSERT_EQUAL(t.count, CORE + 2);
	CU_ASSERT_EQUAL(site_find(&t, MODULES + 0x20), a);
	CU_ASSERT_EQUAL(site_find(&t, MODULES + 0x10), b);
	CU_ASSERT_EQUAL(site_find(&t, MODULES + 0x11), -1);
	CU_ASSERT_EQUAL(site_find_return(&t, MODULES + 0x15), b);
	CU_ASSERT_EQUAL(site_find(&t, TEXT + 32), 2);
	CU_ASSERT_EQUAL(site_find(&t, 0), -1);
	CU_ASSERT_EQUAL(site_find_return(&t, TEXT + 32 + 5), 2);
	CU_ASSERT_TRUE(site_may_be(&t, MODULES + 0x25) && site_may_be(&t, TEXT + 7));
	CU_ASSERT_FALSE(site_may_be(&t, MODULES + 0x1000));
	CU_ASSERT_TRUE(site_is_slot(&t, a) && !site_is_slot(&t, CORE - 1));
	site_table_free(&t);
}

static void test_index_stays(void)
{
	const struct site *array;
	uint32_t index[SLOTS], again;
	uint64_t changes;
	unsigned i;

	begin();
	array = t.sites;
	for (i = 0; i < SLOTS; i++)
		CU_ASSERT_EQUAL(put(MODULES + 16 * (SLOTS - i), &index[i]), 0);
	CU_ASSERT_EQUAL(put(MODULES + 0x100000, &again), -ENOSPC);
	changes = t.changes;
	for (i = 0; i < SLOTS; i += 3)
		site_table_empty(&t, index[i]);
	CU_ASSERT(t.changes > changes);
	CU_ASSERT_EQUAL(t.filled, SLOTS - SLOTS / 3);
	CU_ASSERT_EQUAL(t.count, CORE + SLOTS);
	CU_ASSERT_PTR_EQUAL(array, t.sites);
	for (i = 0; i < SLOTS; i++) {
		long at = site_find(&t, MODULES + 16 * (SLOTS - i));

		CU_ASSERT_EQUAL(at, i % 3 ? (long)index[i] : -1);
		CU_ASSERT_EQUAL(site_is_there(&t, index[i]), i % 3 != 0);
	}
	CU_ASSERT_EQUAL(put(MODULES + 0x200000, &again), 0);
	CU_ASSERT_EQUAL(again, index[0]); /* the lowest that is empty */
	CU_ASSERT_EQUAL(site_find(&t, MODULES + 0x200000), again);
	site_table_free(&t);
}

static void test_refusals(void)
{
	uint32_t index;

	begin();
	CU_ASSERT_EQUAL(put(MODULES, &index), 0);
	CU_ASSERT_EQUAL(put(MODULES, &index), -EEXIST);
	CU_ASSERT_EQUAL(put(MODULES + 4, &index), -EEXIST);
	CU_ASSERT_EQUAL(put(MODULES - 4, &index), -EEXIST);
	CU_ASSERT_EQUAL(put(TEXT + 0x800, &index), -EEXIST); /* the core text's list is complete */
	CU_ASSERT_EQUAL(put(0x1000, &index), -EEXIST);
	CU_ASSERT_EQUAL(put(MODULES + 5, &index), 0);
	CU_ASSERT_EQUAL(t.filled, 2);
	site_table_free(&t);
	memset(&t, 0, sizeof(t));
	CU_ASSERT_EQUAL(put(MODULES, &index), -ENOSPC); /* nothing was reserved */
	CU_ASSERT_EQUAL(site_table_reserve(&t, UINT32_MAX), -ENOMEM);
}

/* --- looking through text of which nobody has a list --- */

static struct site found[8];
static size_t nfound;

static void take(void *ctx, const struct site *s)
{
	CU_ASSERT_FATAL(nfound < 8);
	found[nfound++] = *s;
}

static void put_call(uint8_t *text, size_t at, const char *opcode, gva_t to)
{
	size_t n = strlen(opcode);
	int32_t rel = (int32_t)(to - (MODULES + at + n + 4));

	memcpy(text + at, opcode, n);
	memcpy(text + at + n, &rel, sizeof(rel));
}

static void test_search(void)
{
	struct site_search f = {.take = take};
	static uint8_t text[256];
	size_t used, i, cut;

	f.thunks[HOTRAIL_RAX] = TEXT + 0x1000;
	f.thunks[HOTRAIL_R11] = TEXT + 0x1020;
	memset(text, 0x90, sizeof(text));
	put_call(text, 0x10, "\xe8", f.thunks[HOTRAIL_RAX]);
	put_call(text, 0x20, "\x2e\xe9", f.thunks[HOTRAIL_R11]);
	put_call(text, 0x30, "\xe8", f.thunks[HOTRAIL_RAX] + 1); /* close by */
	put_call(text, 0x40, "\x0f\x84", f.thunks[HOTRAIL_RAX]); /* je */
	memcpy(text + 0x50, "\x06\x06", 2); /* no instructions in 64-bit code */
	put_call(text, 0x60, "\x48\xb8\xe8",
		 f.thunks[HOTRAIL_RAX]);    /* a constant: mov $..., %rax */
	memcpy(text + 0x70, "\xb0\x2e", 2); /* mov $0x2e, %al: no prefix */
	put_call(text, 0x72, "\xe8", f.thunks[HOTRAIL_RAX]);
	put_call(text, 0xf8, "\xe8", f.thunks[HOTRAIL_RAX]);
	for (cut = 16; cut <= sizeof(text); cut += 7) { /* in pieces, as it is read */
		nfound = f.odd = f.strange = 0;
		for (i = 0; i < sizeof(text); i += used) {
			size_t len = sizeof(text) - i < cut ? sizeof(text) - i : cut;

			used = site_search(&f, text + i, len, MODULES + i, i + len == sizeof(text));
			CU_ASSERT_FATAL(used > 0 && used <= len);
		}
		CU_ASSERT_EQUAL_FATAL(nfound, 4);
		CU_ASSERT(found[0].addr == MODULES + 0x10 && found[0].len == 5 &&
			  found[0].reg == HOTRAIL_RAX && !found[0].is_jump);
		CU_ASSERT(found[1].addr == MODULES + 0x20 && found[1].len == 6 &&
			  found[1].reg == HOTRAIL_R11 && found[1].is_jump);
		CU_ASSERT(found[2].addr == MODULES + 0x72 && found[2].len == 5);
		CU_ASSERT(found[3].addr == MODULES + 0xf8);
		CU_ASSERT_FALSE(memcmp(found[1].bytes, text + 0x20, 6));
		CU_ASSERT(f.odd == 1 && f.strange == 2);
	}
}

static const struct suite_test tests[] = {
	{"found like others", test_found_like_others},
	{"an index stays what it is", test_index_stays},
	{"what cannot be is refused", test_refusals},
	{"text is looked through", test_search},
};
SUITE_MAIN("site_slots", tests, 60)
