// SPDX-License-Identifier: GPL-2.0-only
/* A Linux guest's modules: their sites are found, named, taken out again; lies about them refused.
 */
#include "linux_fixture.h"
#include "suite.h"

#define MODULE 0xffffffffc0000000ull /* the one page of module text that there is */

static struct fx f;
static struct guest *g;
static struct error err;
static struct guest_found found;
static uint32_t told[64];
static size_t ntold;

static void tell(void *ctx, const uint32_t *sites, size_t n)
{
	size_t i;

	CU_ASSERT_PTR_EQUAL(ctx, &told);
	for (i = 0; i < n; i++) {
		CU_ASSERT_TRUE(site_is_there(&g->sites, sites[i])); /* also when it goes */
		told[ntold++] = sites[i];
	}
}

static void put_call(uint64_t at, const char *opcode, enum hotrail_reg reg)
{
	uint8_t *text = f.ram + FX_MODPAGE + at;
	size_t n = strlen(opcode);
	int32_t rel = (int32_t)(FX_LINK + FX_OFFSET + FX_THUNK + 32 * reg - (MODULE + at + n + 4));

	memcpy(text, opcode, n);
	memcpy(text + n, &rel, sizeof(rel));
}

static void setup(void)
{
	CU_ASSERT_FATAL(!fx_init(&f, 4));
	memset(f.ram + FX_MODPAGE, 0x90, 4096);
	put_call(0x100, "\xe8", HOTRAIL_RAX);
	put_call(0x200, "\x2e\xe8", HOTRAIL_R11);
	put_call(0x300, "\xe9", HOTRAIL_RBX);
	put_call(0xffb, "\xe9", HOTRAIL_RAX); /* the very end */
	memset(&err, 0, sizeof(err));
	ntold = 0;
	CU_ASSERT_EQUAL_FATAL(linux_guest_create(&f.k, &f.target, &g, &err), 0);
	CU_ASSERT_EQUAL_FATAL(site_table_reserve(&g->sites, 32), 0);
}

static void teardown(void)
{
	linux_guest_destroy(g);
	fx_free(&f);
}

static int add(gva_t text, uint64_t size, uint32_t id, const char *name)
{
	const struct guest_module m = {text, size, id, name};

	return g->ops->module_add(g, &m, &found, tell, &told, &err);
}

static const char *name_of(gva_t addr)
{
	static char name[96];

	g->ops->symbol(g, addr, name, sizeof(name));
	return name;
}

static void test_comes_and_goes(void)
{
	const char *part;

	setup();
	CU_ASSERT_STRING_EQUAL(g->ops->subsystem(g, MODULE + 0x100), "module");
	CU_ASSERT_EQUAL(add(MODULE, 4096, 5, "vfat"), 0);
	CU_ASSERT(found.sites == 4 && found.left == 0 && ntold == 4);
	CU_ASSERT_EQUAL(g->sites.count, FX_NSITES + 4);
	CU_ASSERT_EQUAL(site_find(&g->sites, MODULE + 0x200), told[1]);
	CU_ASSERT(g->sites.sites[told[1]].len == 6 && g->sites.sites[told[1]].reg == HOTRAIL_R11);
	CU_ASSERT(g->sites.sites[told[2]].is_jump);
	CU_ASSERT_PTR_NULL(g->ops->site_protected(g, told[0]));
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x200), "[vfat]+0x200");
	part = g->ops->subsystem(g, MODULE + 0x100);
	CU_ASSERT_STRING_EQUAL(part, "vfat");
	ntold = 0;
	g->ops->module_remove(g, 6, tell, &told); /* no such module */
	CU_ASSERT_EQUAL(ntold, 0);
	g->ops->module_remove(g, 5, tell, &told);
	CU_ASSERT_EQUAL(ntold, 4);
	CU_ASSERT_EQUAL(g->sites.filled, 0);
	CU_ASSERT_EQUAL(site_find(&g->sites, MODULE + 0x200), -1);
	CU_ASSERT_EQUAL(name_of(MODULE + 0x200), strstr(name_of(MODULE + 0x200), "module:"));
	CU_ASSERT_STRING_EQUAL(part, "vfat"); /* who still shows it */
	CU_ASSERT_EQUAL(site_find(&g->sites, FX_LINK + FX_OFFSET + 2), 0);
	teardown();
}

static void test_address_again(void)
{
	setup();
	CU_ASSERT_EQUAL(add(MODULE, 4096, 5, "fat"), 0);
	g->ops->module_remove(g, 5, NULL, NULL);
	memset(f.ram + FX_MODPAGE, 0x90, 4096);
	put_call(0x101, "\xe8", HOTRAIL_RBX); /* over where another one was */
	ntold = 0;
	CU_ASSERT_EQUAL(add(MODULE, 4096, 6, "nls"), 0);
	CU_ASSERT_EQUAL(ntold, 1);
	CU_ASSERT_EQUAL(g->sites.sites[told[0]].reg, HOTRAIL_RBX);
	CU_ASSERT_EQUAL(g->sites.filled, 1);
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x101), "[nls]+0x101");
	teardown();
}

static void test_lies(void)
{
	static const struct {
		gva_t text;
		uint64_t size;
		int ret;
	} lies[] = {
		{FX_LINK + FX_OFFSET, 4096, -EINVAL},	/* core text */
		{0xffffffffbfe00000ull, 4096, -EINVAL}, /* the host's arena */
		{MODULE - 4096, 8192, -EINVAL},
		{0x7f0000000000ull, 4096, -EINVAL},
		{MODULE, 0, -EINVAL},
		{MODULE + 8, 4096, -EINVAL},
		{MODULE, (32ull << 20) + 4096, -EINVAL},
		{0xffffffffff000000ull, 4096, -EINVAL},
		{0xfffffffffefff000ull, 8192, -EINVAL},
		{MODULE, UINT64_MAX, -EINVAL},
		{MODULE + (1 << 20), 4096, -EFAULT}, /* nothing is there */
		{MODULE, 3 * 4096, -EFAULT},	     /* nor behind its data */
		{MODULE, 9 * 4096, -EFAULT},	     /* sites in what can be read */
	};
	size_t i;

	setup();
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		if (lies[i].size == 9 * 4096) {
			unsigned page;

			for (page = 0; page < 8; page++)
				fx_put64(&f, FX_MODTABLE + 8 * page, FX_MODPAGE | 0x61);
		}
		CU_ASSERT_EQUAL(add(lies[i].text, lies[i].size, 7, "liar"), lies[i].ret);
		CU_ASSERT_EQUAL(g->sites.filled, 0);
		CU_ASSERT_EQUAL(ntold, 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "liar"));
	}
	CU_ASSERT_EQUAL(add(MODULE, 4096, 8, "fat"), 0);
	CU_ASSERT_EQUAL(add(MODULE, 4096, 9, "vfat"), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "where module fat is"));
	CU_ASSERT_EQUAL(g->sites.filled, 4);
	g->ops->module_remove(g, 8, NULL, NULL);
	CU_ASSERT_EQUAL(add(MODULE, 4096, 10, "a b\n[x]"), 0);
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 1), "[a_b__x_]+0x1");
	teardown();
}

static void test_names(void)
{
	static const struct guest_function f1[] = {
		{MODULE + 0x1c0, 0x80, "vfat_lookup"}, {MODULE + 0x100, 0x40, "vfat_hash.part.0"},
		{MODULE + 0x200, 0x40, "over_it"},     {MODULE + 0xf00, 0x200, "too_long"},
		{MODULE - 0x10, 0x20, "before"},       {FX_LINK + FX_OFFSET, 0x20, "core"},
		{MODULE + 0x300, 0, "empty"},	       {MODULE + 0x340, 0xffffffff, "endless"},
		{MODULE + 0x400, 0x10, "a+b] [c\n"},
	};

	setup();
	CU_ASSERT_EQUAL(add(MODULE, 4096, 5, "vfat"), 0);
	g->ops->module_name(g, f1, sizeof(f1) / sizeof(f1[0]));
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x200), "[vfat] vfat_lookup+0x40");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x1c0), "[vfat] vfat_lookup");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x23f), "[vfat] vfat_lookup+0x7f");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x240), "[vfat]+0x240");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x101), "[vfat] vfat_hash.part.0+0x1");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x300), "[vfat]+0x300");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x341), "[vfat]+0x341");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0xf10), "[vfat]+0xf10");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x1), "[vfat]+0x1");
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x400), "[vfat] a_b___c_");
	CU_ASSERT_STRING_EQUAL(name_of(FX_LINK + FX_OFFSET + 2), "vfs_read+0x2");
	g->ops->module_remove(g, 5, NULL, NULL);
	CU_ASSERT_EQUAL(add(MODULE, 4096, 6, "vfat"), 0); /* its functions were another's */
	CU_ASSERT_STRING_EQUAL(name_of(MODULE + 0x200), "[vfat]+0x200");
	teardown();
}

static void test_no_room(void)
{
	unsigned i;

	setup();
	for (i = 0; i < 128; i++)
		put_call(0x400 + 16 * i, "\xe8", HOTRAIL_RAX);
	CU_ASSERT_EQUAL(add(MODULE, 4096, 5, "huge"), 0);
	CU_ASSERT_EQUAL(found.sites, 32);
	CU_ASSERT_EQUAL(found.left, 4 + 128 - 32);
	CU_ASSERT_EQUAL(g->sites.count, FX_NSITES + 32);
	g->ops->module_remove(g, 5, NULL, NULL);
	CU_ASSERT_EQUAL(g->sites.filled, 0);
	teardown();
}

/* One page of memory, mapped everywhere: what looks like 34 MiB costs the guest nothing. */
static void test_text_all_together(void)
{
	static const uint8_t movabs[10] = {0x48, 0xb8}; /* the longest: less to decode here */
	const uint64_t most = 32ull << 20, table = 2 << 20;
	unsigned i;

	setup();
	memset(f.ram + FX_MODPAGE, 0x90, 4096);
	for (i = 0; i + sizeof(movabs) <= 4096; i += sizeof(movabs))
		memcpy(f.ram + FX_MODPAGE + i, movabs, sizeof(movabs));
	for (i = 0; i < 512; i++)
		fx_put64(&f, FX_MODTABLE + 8 * i, FX_MODPAGE | 0x61);
	for (i = 0; i < 17; i++)
		fx_put64(&f, FX_PHYS + FX_FIXMAP + 8 * i, FX_MODTABLE | 0x63);
	CU_ASSERT_EQUAL(add(MODULE, most - 4096, 5, "big"), 0);
	CU_ASSERT_EQUAL(add(MODULE + most, 8192, 6, "more"), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "with module more there are more than 32 MiB"));
	CU_ASSERT_EQUAL(add(MODULE + most, 4096, 7, "last"), 0);
	g->ops->module_remove(g, 5, NULL, NULL);
	CU_ASSERT_EQUAL(add(MODULE, table, 8, "again"), 0);
	teardown();
}

static void test_many_functions(void)
{
	struct guest_function fn = {.size = 16, .name = "f"};
	unsigned i;

	setup();
	CU_ASSERT_EQUAL(add(MODULE, 4096, 5, "vfat"), 0);
	for (i = 256; i--;) {
		fn.start = MODULE + 16 * i;
		g->ops->module_name(g, &fn, 1);
	}
	for (i = 0; i < 256; i++)
		CU_ASSERT_STRING_EQUAL(name_of(MODULE + 16 * i + 1), "[vfat] f+0x1");
	teardown();
}

static const struct suite_test tests[] = {
	{"a module comes and goes", test_comes_and_goes},
	{"its address comes again", test_address_again},
	{"modules that cannot be", test_lies},
	{"functions that have names", test_names},
	{"many functions", test_many_functions},
	{"no room for all sites", test_no_room},
	{"all text together has a limit", test_text_all_together},
};
SUITE_MAIN("linux_modules", tests, 60)
