// SPDX-License-Identifier: GPL-2.0-only
/* Scanning text for sites, looking sites up, and what is not a site. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "guest/site.h"

#define TEXT 0xffffffff81000000ull

static uint8_t text[4096];
static size_t used;
static gva_t thunks[HOTRAIL_REGS];

static void reset(void)
{
	used = 0;
	memset(thunks, 0, sizeof(thunks));
	thunks[HOTRAIL_RAX] = TEXT + 0x1000;
	thunks[HOTRAIL_R11] = TEXT + 0x1020;
	thunks[HOTRAIL_RSP] = TEXT + 0x1040; /* must be ignored */
}

static gva_t put(const void *bytes, size_t n)
{
	gva_t at = TEXT + used;

	memcpy(text + used, bytes, n);
	used += n;
	return at;
}

/* Prefix and opcode bytes, then a rel32 to `to`. */
static gva_t put_rel(const char *opcode, gva_t to)
{
	gva_t at = put(opcode, strlen(opcode));
	int32_t rel = (int32_t)(to - (TEXT + used + 4));

	put(&rel, sizeof(rel));
	return at;
}

static int scan(struct site_table *t)
{
	struct error err;

	return site_scan(text, used, TEXT, thunks, t, &err);
}

static void test_finds_all_forms(void)
{
	struct site_table t;
	gva_t call, cs_jmp, jmp;

	reset();
	put("\x55\x90", 2);
	call = put_rel("\xe8", thunks[HOTRAIL_RAX]);
	put("\xcc\xcc\x0f\x1f\x44\x00\x00", 7);
	cs_jmp = put_rel("\x2e\xe9", thunks[HOTRAIL_R11]);
	put_rel("\xe8", TEXT); /* an ordinary call */
	jmp = put_rel("\xe9", thunks[HOTRAIL_RAX]);
	CU_ASSERT_EQUAL_FATAL(scan(&t), 0);
	CU_ASSERT_EQUAL_FATAL(t.count, 3);
	CU_ASSERT_EQUAL(t.sites[0].addr, call);
	CU_ASSERT_EQUAL(t.sites[0].reg, HOTRAIL_RAX);
	CU_ASSERT_EQUAL(t.sites[0].len, 5);
	CU_ASSERT_EQUAL(t.sites[0].is_jump, 0);
	CU_ASSERT_EQUAL(memcmp(t.sites[0].bytes, text + (call - TEXT), 5), 0);
	CU_ASSERT_EQUAL(t.sites[1].addr, cs_jmp);
	CU_ASSERT_EQUAL(t.sites[1].len, 6);
	CU_ASSERT_EQUAL(t.sites[1].reg, HOTRAIL_R11);
	CU_ASSERT_EQUAL(t.sites[1].is_jump, 1);
	CU_ASSERT_EQUAL(t.sites[1].thunk, thunks[HOTRAIL_R11]);
	CU_ASSERT_EQUAL(t.sites[1].bytes[0], 0x2e);
	CU_ASSERT_EQUAL(t.sites[2].addr, jmp);
	CU_ASSERT_EQUAL(t.odd, 0);
	CU_ASSERT_EQUAL(t.text_start, TEXT);
	CU_ASSERT_EQUAL(t.text_end, TEXT + used);
	site_table_free(&t);
	CU_ASSERT_PTR_NULL(t.sites);
	CU_ASSERT_EQUAL(t.count, 0);
}

static void test_odd_forms_are_counted_not_sites(void)
{
	struct site_table t;

	reset();
	put_rel("\x2e\x2e\xe8", thunks[HOTRAIL_RAX]); /* 7 bytes */
	put_rel("\x48\xe8", thunks[HOTRAIL_RAX]);     /* 6 bytes, not cs */
	put_rel("\x0f\x84", thunks[HOTRAIL_RAX]);     /* je thunk */
	put_rel("\x66\xe8", thunks[HOTRAIL_RAX]);     /* leads elsewhere on AMD: not even odd */
	CU_ASSERT_EQUAL_FATAL(scan(&t), 0);
	CU_ASSERT_EQUAL(t.count, 0);
	CU_ASSERT_EQUAL(t.odd, 3);
	site_table_free(&t);
}

static void test_stack_register_has_no_thunk(void)
{
	struct site_table t;

	reset();
	put_rel("\xe8", thunks[HOTRAIL_RSP]);
	CU_ASSERT_EQUAL_FATAL(scan(&t), 0);
	CU_ASSERT_EQUAL(t.count, 0);
	site_table_free(&t);
}

static void test_bytes_inside_an_instruction(void)
{
	struct site_table t;

	reset();
	/* mov $imm64, %rax whose immediate holds the bytes of `call thunk` */
	put("\x48\xb8\x90\xe8", 4);
	put("\xf7\x0f\x00\x00\x90\x90", 6);
	CU_ASSERT_EQUAL_FATAL(scan(&t), 0);
	CU_ASSERT_EQUAL(t.count, 0);
	site_table_free(&t);
}

static void test_refuses_undecodable(void)
{
	struct site_table t;
	struct error err = {0};

	reset();
	put_rel("\xe8", thunks[HOTRAIL_RAX]);
	put("\x06", 1);
	CU_ASSERT_EQUAL(site_scan(text, used, TEXT, thunks, &t, &err), -EILSEQ);
	CU_ASSERT_PTR_NULL(t.sites);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "0xffffffff81000005"));
	reset();
	put_rel("\xe8", thunks[HOTRAIL_RAX]);
	used -= 1; /* the last instruction is cut */
	CU_ASSERT_EQUAL(scan(&t), -EILSEQ);
	used = 0;
	CU_ASSERT_EQUAL(scan(&t), 0);
	CU_ASSERT_EQUAL(t.count, 0);
}

static void test_lookup(void)
{
	struct site_table t;
	gva_t addr[300];
	size_t i;

	reset();
	for (i = 0; i < 300; i++) /* every third is a jump; grows the table twice */
		addr[i] =
			put_rel(i % 3 ? i % 2 ? "\x2e\xe8" : "\xe8" : "\xe9", thunks[HOTRAIL_RAX]);
	CU_ASSERT_EQUAL_FATAL(scan(&t), 0);
	CU_ASSERT_EQUAL_FATAL(t.count, 300);
	for (i = 0; i < 300; i++) {
		gva_t end = addr[i] + t.sites[i].len;

		CU_ASSERT_EQUAL(site_find(&t, addr[i]), (long)i);
		CU_ASSERT_EQUAL(site_find(&t, addr[i] + 1), -1);
		CU_ASSERT_EQUAL(site_find_return(&t, end), i % 3 ? (long)i : -1);
		CU_ASSERT_EQUAL(site_find_return(&t, end - 1), -1);
	}
	CU_ASSERT_EQUAL(site_find(&t, TEXT - 1), -1);
	CU_ASSERT_EQUAL(site_find(&t, 0), -1);
	CU_ASSERT_EQUAL(site_find_return(&t, 0), -1);
	CU_ASSERT_EQUAL(site_find_return(&t, ~0ull), -1);
	site_table_free(&t);
	CU_ASSERT_EQUAL(site_find(&t, TEXT), -1);
}

static const struct suite_test tests[] = {
	{"call jmp and cs forms", test_finds_all_forms},
	{"odd forms are counted", test_odd_forms_are_counted_not_sites},
	{"no thunk for the stack register", test_stack_register_has_no_thunk},
	{"bytes inside an instruction", test_bytes_inside_an_instruction},
	{"undecodable and cut text", test_refuses_undecodable},
	{"lookup by address and by return", test_lookup},
};

SUITE_MAIN("site", tests, 20)
