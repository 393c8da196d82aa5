// SPDX-License-Identifier: GPL-2.0-only
/* Page walks over hand-made tables. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "x86/pagewalk.h"

#define P      1ull
#define W      2ull
#define U      4ull
#define PS     0x80ull
#define NX     (1ull << 63)
#define TABLES 6
#define BASE   0x100000ull

/* Tables at BASE, BASE + 4096, ...; everything else is unreadable. */
static uint64_t tables[TABLES][512];

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	if (gpa < BASE || gpa >= BASE + sizeof(tables) || gpa % 8)
		return -EFAULT;
	memcpy(entry, (uint8_t *)tables + (gpa - BASE), sizeof(*entry));
	return 0;
}

static gpa_t table(unsigned n)
{
	return BASE + n * 4096ull;
}

/* gva's chain of `levels` tables, all permissions, leaf value at level `leaf`. */
static void chain(gva_t gva, unsigned levels, unsigned leaf, uint64_t value)
{
	unsigned level;

	memset(tables, 0, sizeof(tables));
	for (level = levels; level >= leaf; level--) {
		unsigned n = levels - level;

		tables[n][gva >> (12 + 9 * (level - 1)) & 511] =
			level == leaf ? value : table(n + 1) | P | W | U;
	}
}

static int walk(unsigned levels, gva_t gva, struct pagewalk_result *r)
{
	return pagewalk(BASE, levels, gva, read_entry, NULL, r);
}

static void test_sizes(void)
{
	gva_t gva = 0xffffffff81234567;
	struct pagewalk_result r;

	chain(gva, 4, 1, 0x7654000 | P | W | U);
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_EQUAL(r.gpa, 0x7654567);
	CU_ASSERT_EQUAL(r.page_size, 4096);
	chain(gva, 4, 2, 0x7600000 | P | W | U | PS);
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_EQUAL(r.gpa, 0x7600000 + (gva & 0x1fffff));
	CU_ASSERT_EQUAL(r.page_size, 2 << 20);
	chain(gva, 4, 3, 0x40000000 | P | W | U | PS);
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_EQUAL(r.gpa, 0x40000000 + (gva & 0x3fffffff));
	CU_ASSERT_EQUAL(r.page_size, 1 << 30);
}

static void test_large_page_attribute_bit(void)
{
	gva_t gva = 0x40001234;
	struct pagewalk_result r;

	chain(gva, 4, 2, 0x7600000 | P | W | U | PS | 1 << 12); /* PAT, not an address bit */
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_EQUAL(r.gpa, 0x7601234);
}

static void test_five_levels(void)
{
	gva_t gva = 0x00ab123456789abc & 0x00ffffffffffffff;
	struct pagewalk_result r;

	chain(gva, 5, 1, 0x1000 | P);
	CU_ASSERT_EQUAL_FATAL(walk(5, gva, &r), 0);
	CU_ASSERT_EQUAL(r.gpa, 0x1abc);
	CU_ASSERT_EQUAL(walk(4, gva, &r), -EINVAL);
}

static void test_permissions_combine(void)
{
	gva_t gva = 0x40000000;
	struct pagewalk_result r;

	chain(gva, 4, 1, 0x1000 | P | W | U);
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_TRUE(r.writable && r.user && r.executable);
	tables[0][0] &= ~W;
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_FALSE(r.writable);
	tables[1][1] |= NX;
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_FALSE(r.executable);
	tables[2][0] &= ~U;
	CU_ASSERT_EQUAL_FATAL(walk(4, gva, &r), 0);
	CU_ASSERT_FALSE(r.user);
}

static void test_not_present(void)
{
	gva_t gva = 0x40000000;
	struct pagewalk_result r;
	unsigned n;

	for (n = 0; n < 4; n++) {
		chain(gva, 4, 1, 0x1000 | P);
		tables[n][n == 1 ? 1 : 0] &= ~P;
		CU_ASSERT_EQUAL(walk(4, gva, &r), -EFAULT);
	}
	chain(gva, 4, 1, 0x1000 | P);
	tables[1][1] = 0xdead0000 | P; /* a table outside memory */
	CU_ASSERT_EQUAL(walk(4, gva, &r), -EFAULT);
}

static void test_reserved_size_bit(void)
{
	gva_t gva = 0x40000000;
	struct pagewalk_result r;

	chain(gva, 4, 4, 0x1000 | P | PS);
	CU_ASSERT_EQUAL(walk(4, gva, &r), -EFAULT);
	chain(gva, 5, 5, 0x1000 | P | PS);
	CU_ASSERT_EQUAL(walk(5, gva, &r), -EFAULT);
}

static void test_bad_arguments(void)
{
	struct pagewalk_result r;

	chain(0, 4, 1, 0x1000 | P);
	CU_ASSERT_EQUAL(walk(3, 0, &r), -EINVAL);
	CU_ASSERT_EQUAL(walk(6, 0, &r), -EINVAL);
	CU_ASSERT_EQUAL(walk(4, 0x0000800000000000, &r), -EINVAL);
	CU_ASSERT_EQUAL(walk(4, 0xffff7fffffffffff, &r), -EINVAL);
	CU_ASSERT_EQUAL(walk(5, 0x0100000000000000, &r), -EINVAL);
	/* low bits of the root are CR3 flags or a PCID */
	CU_ASSERT_EQUAL(pagewalk(BASE | 0x18, 4, 0, read_entry, NULL, &r), 0);
}

static const struct suite_test tests[] = {
	{"4 KiB 2 MiB 1 GiB", test_sizes},
	{"attribute bit of a large page", test_large_page_attribute_bit},
	{"five levels", test_five_levels},
	{"permissions of all levels combine", test_permissions_combine},
	{"not present or unreadable", test_not_present},
	{"reserved page-size bit", test_reserved_size_bit},
	{"bad arguments", test_bad_arguments},
};

SUITE_MAIN("pagewalk", tests, 20)
