// SPDX-License-Identifier: GPL-2.0-only
/* A small synthetic kernel in both kallsyms orders: symbols, sites, ranges. */
#include "suite.h"

#include "guest/kernel.h"
#include "kernel_builder.h"

static struct kernel_builder b;

static struct kernel *parse(void)
{
	struct kernel *k = NULL;
	struct error err = {0};

	kb_build(&b);
	if (kernel_parse(b.file, b.size, "test", &k, &err))
		printf("refused: %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(k);
	return k;
}

static void check_symbols(const struct kernel *k)
{
	char name[KB_LONG_NAME + 1];
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(k->symbols_count, b.count);
	for (i = 0; i < b.count; i++) {
		CU_ASSERT_EQUAL(kernel_symbol_addr(&k->symbols[i]), b.symbols[i].addr);
		CU_ASSERT_EQUAL(k->symbols[i].type, b.symbols[i].type);
		CU_ASSERT_STRING_EQUAL(k->names + k->symbols[i].name, b.symbols[i].name);
	}
	memset(name, 'x', KB_LONG_NAME);
	name[KB_LONG_NAME] = '\0';
	CU_ASSERT_EQUAL(kernel_lookup(k, name), KB_BASE + KB_IMAGE - 8);
	CU_ASSERT_EQUAL(kernel_lookup(k, "filler__599"), KB_BASE + KB_IMAGE - 0x1000 + 599);
	CU_ASSERT_EQUAL(kernel_lookup(k, "filler__60"), KB_BASE + KB_IMAGE - 0x1000 + 60);
	CU_ASSERT_EQUAL(kernel_lookup(k, "no_such"), 0);
	CU_ASSERT_EQUAL(kernel_lookup(k, ""), 0);
}

static void test_layouts(void)
{
	unsigned layout, percpu;

	for (layout = 0; layout < KB_LAYOUTS; layout++)
		for (percpu = 0; percpu < 2; percpu++) {
			struct kernel *k;

			kb_init(&b, layout);
			b.percpu = percpu;
			k = parse();
			check_symbols(k);
			CU_ASSERT_EQUAL(k->sites.count, KB_ENTRIES - KB_ODD);
			kernel_free(k);
		}
}

static void test_identity(void)
{
	struct kernel *k;

	kb_init(&b, KB_6_12);
	k = parse();
	CU_ASSERT_STRING_EQUAL(k->release, "6.12.9-test");
	CU_ASSERT_EQUAL(k->major, 6);
	CU_ASSERT_EQUAL(k->minor, 12);
	CU_ASSERT_EQUAL(k->build_id_len, 20);
	CU_ASSERT_EQUAL(k->build_id[19], 0xa0 + 19);
	CU_ASSERT_EQUAL(k->text_start, KB_BASE);
	CU_ASSERT_EQUAL(k->text_end, KB_BASE + KB_TEXT_END);
	CU_ASSERT_EQUAL(k->init_start, KB_BASE + KB_INIT);
	CU_ASSERT_EQUAL(k->init_end, KB_BASE + KB_INIT_END);
	CU_ASSERT_EQUAL(k->image_end, KB_BASE + KB_IMAGE);
	CU_ASSERT_EQUAL(k->thunks[HOTRAIL_RAX], KB_BASE + KB_THUNK_RAX);
	CU_ASSERT_EQUAL(k->thunks[HOTRAIL_R11], KB_BASE + KB_THUNK_R11);
	CU_ASSERT_EQUAL(k->thunks[HOTRAIL_RCX], 0);
	CU_ASSERT_EQUAL(k->elf_size, b.size);
	kernel_drop_elf(k);
	CU_ASSERT_PTR_NULL(k->elf);
	CU_ASSERT_EQUAL(kernel_lookup(k, "vfs_read"), KB_BASE + KB_VFS_READ);
	kernel_free(k);
}

static void test_sites(void)
{
	struct kernel *k;
	const struct site *s;
	size_t i;

	kb_init(&b, KB_6_1);
	k = parse();
	CU_ASSERT_EQUAL_FATAL(k->sites.count, KB_ENTRIES - KB_ODD);
	CU_ASSERT_EQUAL(k->sites_odd, KB_ODD);
	CU_ASSERT_EQUAL(k->sites.text_start, k->text_start);
	CU_ASSERT_EQUAL(k->sites.text_end, k->text_end);
	for (i = 1; i < k->sites.count; i++)
		CU_ASSERT_TRUE(k->sites.sites[i].addr > k->sites.sites[i - 1].addr);
	s = &k->sites.sites[site_find(&k->sites, KB_BASE + KB_SITE_PREFIX)];
	CU_ASSERT_EQUAL(s->len, 6);
	CU_ASSERT_EQUAL(s->reg, HOTRAIL_R11);
	CU_ASSERT_EQUAL(s->thunk, KB_BASE + KB_THUNK_R11);
	CU_ASSERT_FALSE(s->is_jump);
	CU_ASSERT_EQUAL(memcmp(s->bytes, b.image + KB_SITE_PREFIX, 6), 0);
	s = &k->sites.sites[site_find(&k->sites, KB_BASE + KB_SITE_JUMP)];
	CU_ASSERT_EQUAL(s->len, 5);
	CU_ASSERT_TRUE(s->is_jump);
	CU_ASSERT_EQUAL(site_find(&k->sites, KB_BASE + KB_ODD_JCC), -1);
	CU_ASSERT_EQUAL(site_find(&k->sites, KB_BASE + KB_ODD_CALL), -1);
	kernel_free(k);
}

/* Which kind protects each site; -1 = free. */
static const struct {
	uint32_t site;
	int kind;
} fates[] = {
	{KB_SITE_CALL, -1},
	{KB_SITE_PREFIX, -1},
	{KB_SITE_JUMP, -1},
	{KB_SITE_UNTRACED, -1},
	{KB_SITE_COLD, -1},
	{KB_SITE_LAST, -1},
	{KB_SITE_ASM, KERNEL_RANGE_ASSEMBLY},
	{KB_SITE_VOID, KERNEL_RANGE_ASSEMBLY},
	{KB_SITE_ENTRY, KERNEL_RANGE_ENTRY},
	{KB_SITE_NOINSTR, KERNEL_RANGE_NOINSTR},
	{KB_SITE_KPROBES, KERNEL_RANGE_KPROBES},
	{KB_SITE_BLACKLISTED, KERNEL_RANGE_KPROBES},
	{KB_SITE_ALTERNATIVE, KERNEL_RANGE_ALTERNATIVE},
	{KB_SITE_PARAVIRT, KERNEL_RANGE_ALTERNATIVE},
	{KB_SITE_JUMP_LABEL, KERNEL_RANGE_JUMP_LABEL},
	{KB_SITE_STATIC_CALL, KERNEL_RANGE_STATIC_CALL},
	{KB_SITE_EXTABLE, KERNEL_RANGE_EXTABLE},
	{KB_SITE_INIT, KERNEL_RANGE_INIT},
	{KB_TRAMPOLINES + 8, KERNEL_RANGE_STATIC_CALL},
	{KB_VFS_READ + 4, KERNEL_RANGE_FTRACE},
};

/* `sites`: of these alone; NULL = all. */
static void check_fates(const struct kernel *k, const struct site_table *sites)
{
	size_t i;

	for (i = 0; i < sizeof(fates) / sizeof(fates[0]); i++) {
		const struct kernel_range *r = kernel_protected(k, KB_BASE + fates[i].site, 5);
		int kind = r ? (int)r->kind : -1;

		if (sites && site_find(sites, KB_BASE + fates[i].site) < 0)
			continue;
		if (kind != fates[i].kind)
			printf("site 0x%x: %s\n", fates[i].site,
			       r ? kernel_range_text(r->kind) : "free");
		CU_ASSERT_EQUAL(kind, fates[i].kind);
	}
	for (i = 1; i < k->ranges_count; i++)
		CU_ASSERT_TRUE(k->ranges[i].start >= k->ranges[i - 1].end);
}

static void test_ranges(void)
{
	unsigned layout;

	for (layout = 0; layout < KB_LAYOUTS; layout++) {
		struct kernel *k;

		kb_init(&b, layout);
		k = parse();
		check_fates(k, NULL);
		kernel_free(k);
	}
}

static void test_protected_edges(void)
{
	struct kernel *k;
	gva_t site = KB_BASE + KB_SITE_JUMP_LABEL;

	kb_init(&b, KB_6_1);
	k = parse();
	CU_ASSERT_PTR_NULL(kernel_protected(k, site - 3, 3));
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, site - 3, 4));
	CU_ASSERT_PTR_NULL(kernel_protected(k, site, 0));
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, site + 4, 1));
	CU_ASSERT_PTR_NULL(kernel_protected(k, site + 5, 1));
	CU_ASSERT_PTR_NULL(kernel_protected(k, ~0ull, ~0ull));
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, 0, ~0ull));
	kernel_free(k);
}

static void test_names(void)
{
	struct kernel *k;
	uint64_t offset = 99;

	kb_init(&b, KB_6_12);
	k = parse();
	CU_ASSERT_STRING_EQUAL(kernel_symbol_at(k, KB_BASE + KB_SITE_CALL, &offset), "vfs_read");
	CU_ASSERT_EQUAL(offset, KB_SITE_CALL - KB_VFS_READ);
	CU_ASSERT_STRING_EQUAL(kernel_symbol_at(k, KB_BASE + KB_ENTRY, &offset),
			       "entry_SYSCALL_64");
	CU_ASSERT_EQUAL(offset, 0);
	CU_ASSERT_PTR_NULL(kernel_symbol_at(k, KB_BASE - 1, &offset));
	CU_ASSERT_PTR_NULL(kernel_symbol_at(k, KB_BASE + KB_TEXT_END, &offset));
	CU_ASSERT_PTR_NOT_NULL(kernel_symbol_at(k, KB_BASE + KB_INIT, NULL));
	CU_ASSERT_PTR_NULL(kernel_symbol_at(k, 0x1000, &offset));
	CU_ASSERT_TRUE(kernel_is_function(k, KB_BASE + KB_VFS_READ));
	CU_ASSERT_TRUE(kernel_is_function(k, KB_BASE + KB_NOINSTR));
	CU_ASSERT_FALSE(kernel_is_function(k, KB_BASE + KB_VFS_READ + 1));
	CU_ASSERT_FALSE(kernel_is_function(k, KB_BASE + KB_VFS_READ - 16)); /* __pfx_ */
	CU_ASSERT_FALSE(kernel_is_function(k, KB_BASE + KB_INIT));
	CU_ASSERT_FALSE(kernel_is_function(k, 0x1000));
	kernel_free(k);
}

static void test_subsystems(void)
{
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("vfs_read"), "vfs");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("ext4_file_read_iter"), "ext4");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("__tcp_transmit_skb"), "net");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("tcp_v4_rcv"), "net");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("__schedule"), "sched");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("handle_mm_fault"), "mm");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("__x64_sys_read"), "syscall");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("generic_file_read_iter"), "vfs");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("frobnicate"), "kernel");
	CU_ASSERT_STRING_EQUAL(kernel_subsystem("___"), "kernel");
	CU_ASSERT_STRING_EQUAL(kernel_range_text(KERNEL_RANGES), "unknown");
}

/* Made small, it says the same about functions and sites as before, and forgets the rest. */
static void test_shrunk(void)
{
	static const char *const functions[] = {"vfs_read", "entry_SYSCALL_64"};
	unsigned layout;
	size_t i;

	for (layout = 0; layout < KB_LAYOUTS; layout++) {
		gva_t at[2];
		struct kernel *k, *before;

		kb_init(&b, layout);
		before = parse();
		kb_init(&b, layout);
		k = parse();
		for (i = 0; i < 2; i++)
			at[i] = kernel_lookup(k, functions[i]);
		kernel_shrink(k);
		CU_ASSERT_PTR_NULL(k->elf);
		for (i = 0; i < 2; i++) {
			CU_ASSERT_EQUAL(kernel_lookup(k, functions[i]), at[i]);
			CU_ASSERT_TRUE(kernel_is_function(k, at[i]));
			CU_ASSERT_STRING_EQUAL(kernel_symbol_at(k, at[i] + 1, NULL), functions[i]);
		}
		CU_ASSERT_FALSE(kernel_is_function(k, at[0] + 1));
		check_fates(k, &before->sites);
		CU_ASSERT_EQUAL(kernel_lookup(k, "linux_banner"), 0);
		CU_ASSERT_EQUAL(k->sites.count, 0);
		CU_ASSERT_STRING_NOT_EQUAL(k->release, "");
		CU_ASSERT_NOT_EQUAL(k->thunks[HOTRAIL_RAX], 0);
		kernel_shrink(k); /* twice is once */
		CU_ASSERT_EQUAL(kernel_lookup(k, functions[0]), at[0]);
		kernel_free(k);
		kernel_free(before);
	}
}

/* A guest's memory after KASLR: the same answers, in link addresses. */
static void test_memory_image(void)
{
	struct kernel *k;

	kb_init(&b, KB_6_12);
	b.slide = 0x1a200000;
	b.no_sections = true;
	k = parse();
	check_symbols(k);
	check_fates(k, NULL);
	CU_ASSERT_EQUAL(k->text_start, KB_BASE);
	CU_ASSERT_EQUAL(k->sites.count, KB_ENTRIES - KB_ODD);
	kernel_free(k);
}

/* No retpolines is an answer, not an error. */
static void test_no_retpolines(void)
{
	struct kernel *k;

	kb_init(&b, KB_6_12);
	b.hide_prefix = "__retpoline_sites";
	k = parse();
	CU_ASSERT_EQUAL(k->sites.count, 0);
	CU_ASSERT_EQUAL(k->sites_odd, 0);
	CU_ASSERT_TRUE(k->ranges_count > 0);
	kernel_free(k);
	kb_init(&b, KB_6_12);
	b.hide = "__x86_indirect_thunk_r11";
	k = parse();
	CU_ASSERT_EQUAL(k->sites.count, KB_ENTRIES - KB_ODD - 1);
	CU_ASSERT_EQUAL(k->sites_odd, KB_ODD + 1);
	kernel_free(k);
}

static const struct suite_test tests[] = {
	{"symbols in all three orders", test_layouts},
	{"release build id and bounds", test_identity},
	{"sites", test_sites},
	{"each protected range", test_ranges},
	{"edges of protected ranges", test_protected_edges},
	{"names and functions", test_names},
	{"subsystems", test_subsystems},
	{"a memory image after KASLR", test_memory_image},
	{"small for a guest that runs", test_shrunk},
	{"no retpolines and a missing thunk", test_no_retpolines},
};

SUITE_MAIN("kernel", tests, 120)
