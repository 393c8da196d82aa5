// SPDX-License-Identifier: GPL-2.0-only
/* What users call a site, in the core text and in modules; slots that are empty have no name. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "cmd/select.h"

#define N 6

static const char *const names[N] = {"vfs_read+0x1f",		"vfs_read+0x40",
				     "vfs_readv+0x3",		"",
				     "[vfat] vfat_lookup+0x1c", "[fat]+0x1c8"};
static struct site sites[N];
static struct guest g;
static uint32_t *chosen;
static size_t n;
static struct error err;

static void symbol(struct guest *guest, gva_t addr, char *buf, size_t len)
{
	snprintf(buf, len, "%s", names[(addr - 0x1000) / 16]);
}

static int choose(const char *selector)
{
	static const struct guest_ops ops = {.symbol = symbol};
	json_t *list = json_array();
	unsigned i;
	int ret;

	for (i = 0; i < N; i++)
		sites[i] = (struct site){.addr = 0x1000 + 16 * i, .len = names[i][0] ? 5 : 0};
	g = (struct guest){.ops = &ops, .sites = {.sites = sites, .count = N, .slots = 3}};
	json_array_append_new(list, json_string(selector));
	free(chosen);
	chosen = NULL;
	memset(&err, 0, sizeof(err));
	ret = select_sites(&g, list, &chosen, &n, &err);
	json_decref(list);
	return ret;
}

static bool is(const char *selector, size_t count, uint32_t first)
{
	return !choose(selector) && n == count && chosen[0] == first;
}

static void test_names(void)
{
	CU_ASSERT_TRUE(is("vfs_read", 2, 0));
	CU_ASSERT_TRUE(is("vfs_read+0x40", 1, 1));
	CU_ASSERT_TRUE(is("[vfat] vfat_lookup+0x1c", 1, 4));
	CU_ASSERT_TRUE(is("[vfat] vfat_lookup", 1, 4));
	CU_ASSERT_TRUE(is("vfat_lookup+0x1c", 1, 4));
	CU_ASSERT_TRUE(is("vfat_lookup", 1, 4));
	CU_ASSERT_TRUE(is("[vfat]", 1, 4));
	CU_ASSERT_TRUE(is("[fat]", 1, 5));
	CU_ASSERT_TRUE(is("[fat]+0x1c8", 1, 5));
	CU_ASSERT_TRUE(is("5", 1, 5));
}

static void refused(const char *selector)
{
	CU_ASSERT_EQUAL(choose(selector), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
}

static void test_refusals(void)
{
	refused("vfs_rea");
	refused("vfs_read+0x4");
	refused("vfat");
	refused("[vfa");
	refused("lookup+0x1c");
	refused("");
	refused("3"); /* a slot that is empty */
	refused("6");
	refused("-1");
	free(chosen);
}

static const struct suite_test tests[] = {
	{"by name", test_names},
	{"what names no site", test_refusals},
};
SUITE_MAIN("select", tests, 30)
