// SPDX-License-Identifier: GPL-2.0-only
/* A small synthetic kernel in both kallsyms orders: symbols, sites, ranges; and every lie. */
#include "suite.h"

#include <errno.h>

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

/* Build and expect a refusal whose text holds all of `words`, with this exit code. */
static void refused_bytes(enum hotrail_exit code, const char *words)
{
	struct kernel *k = NULL;
	struct error err = {0};
	int ret = kernel_parse(b.file, b.size, "test", &k, &err);

	CU_ASSERT_TRUE(ret < 0);
	CU_ASSERT_PTR_NULL(k);
	CU_ASSERT_EQUAL(err.exit_code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("got: %s\nwanted: %s\n", err.text, words);
	CU_ASSERT_EQUAL(strncmp(err.text, "test: ", 6), 0);
	kernel_free(k);
}

static void refused(enum hotrail_exit code, const char *words)
{
	kb_build(&b);
	refused_bytes(code, words);
}

static void check_symbols(const struct kernel *k)
{
	char name[KB_LONG_NAME + 1];
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(k->symbols_count, b.count);
	for (i = 0; i < b.count; i++) {
		CU_ASSERT_EQUAL(k->symbols[i].addr, b.symbols[i].addr);
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

static void check_fates(const struct kernel *k)
{
	size_t i;

	for (i = 0; i < sizeof(fates) / sizeof(fates[0]); i++) {
		const struct kernel_range *r = kernel_protected(k, KB_BASE + fates[i].site, 5);
		int kind = r ? (int)r->kind : -1;

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
		check_fates(k);
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

/* A guest's memory after KASLR: the same answers, in link addresses. */
static void test_memory_image(void)
{
	struct kernel *k;

	kb_init(&b, KB_6_12);
	b.slide = 0x1a200000;
	b.no_sections = true;
	k = parse();
	check_symbols(k);
	check_fates(k);
	CU_ASSERT_EQUAL(k->text_start, KB_BASE);
	CU_ASSERT_EQUAL(k->sites.count, KB_ENTRIES - KB_ODD);
	kernel_free(k);
	kb_init(&b, KB_6_12);
	b.slide = 0x1a201000; /* not a multiple of 2 MiB */
	refused(HOTRAIL_EXIT_FAILED, "_text: 0xffffffff9b201000 by kallsyms");
	kb_init(&b, KB_6_12);
	b.slide = 0x40000000;
	refused(HOTRAIL_EXIT_UNSUPPORTED, "unknown kallsyms layout");
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
	b.hide = "__retpoline_sites";
	refused(HOTRAIL_EXIT_FAILED, "__retpoline_sites and __retpoline_sites_end");
	kb_init(&b, KB_6_12);
	b.hide = "__x86_indirect_thunk_r11";
	k = parse();
	CU_ASSERT_EQUAL(k->sites.count, KB_ENTRIES - KB_ODD - 1);
	CU_ASSERT_EQUAL(k->sites_odd, KB_ODD + 1);
	kernel_free(k);
}

static void test_lying_kallsyms(void)
{
	static const uint32_t counts[] = {1,	  2,	      255,	    256,	   100000,
					  999000, 0x7fffffff, (uint32_t)-1, (uint32_t)-300};
	unsigned layout, i;

	for (layout = 0; layout < KB_LAYOUTS; layout++) {
		for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			kb_init(&b, layout);
			b.lie_count = counts[i];
			refused(HOTRAIL_EXIT_UNSUPPORTED,
				"unknown kallsyms layout: kernel newer or older than known");
		}
		kb_init(&b, layout);
		b.lie_marker = 1;
		refused(HOTRAIL_EXIT_UNSUPPORTED, "unknown kallsyms layout");
		kb_init(&b, layout);
		b.lie_offset = layout ? 0x30000 : 0x40000000; /* below its predecessor; absurd */
		b.percpu = layout;
		refused(HOTRAIL_EXIT_UNSUPPORTED, "unknown kallsyms layout");
	}
}

static void test_missing_symbols(void)
{
	static const char *const needed[] = {"_text",
					     "_stext",
					     "_etext",
					     "_end",
					     "linux_banner",
					     "init_top_pgt",
					     "__noinstr_text_end",
					     "__init_begin",
					     "__entry_text_start"};
	static const char *const pairs[] = {"__start___jump_table", "__alt_instructions_end",
					    "__start_static_call_sites", "__stop_mcount_loc"};
	size_t i;

	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		kb_init(&b, KB_6_1);
		b.hide = needed[i];
		refused(HOTRAIL_EXIT_UNSUPPORTED, needed[i]);
	}
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		kb_init(&b, KB_6_1);
		b.hide = pairs[i];
		refused(HOTRAIL_EXIT_FAILED, pairs[i]);
	}
}

static void test_versions(void)
{
	kb_init(&b, KB_6_1);
	b.banner = "Linux version 5.10.0-test (a@b)";
	refused(HOTRAIL_EXIT_UNSUPPORTED, "Linux 5.10.0-test: older than known");
	kb_init(&b, KB_6_12);
	b.banner = "Linux version 6.13.1-test (a@b)";
	refused(HOTRAIL_EXIT_UNSUPPORTED, "Linux 6.13.1-test: newer than known");
	kb_init(&b, KB_6_12);
	b.banner = "Minix version 6.12";
	refused(HOTRAIL_EXIT_FAILED, "linux_banner");
	kb_init(&b, KB_6_12);
	b.banner = "Linux version next (a@b)";
	refused(HOTRAIL_EXIT_FAILED, "no version");
	/* A number behind which letters hide is still no larger than it is. */
	kb_init(&b, KB_6_12);
	b.banner = "Linux version 99999999999.1 (a@b)";
	refused(HOTRAIL_EXIT_UNSUPPORTED, "known");
}

static void set16(size_t at, uint16_t v)
{
	memcpy(b.file + at, &v, sizeof(v));
}

static void set64(size_t at, uint64_t v)
{
	memcpy(b.file + at, &v, sizeof(v));
}

#define PH(field) (sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, field))
#define EH(field) offsetof(Elf64_Ehdr, field)

static void elf_lie(size_t at, uint64_t v, bool wide, enum hotrail_exit code, const char *words)
{
	kb_init(&b, KB_6_1);
	kb_build(&b);
	if (wide)
		set64(at, v);
	else
		set16(at, (uint16_t)v);
	refused_bytes(code, words);
}

static void test_lying_elf(void)
{
	elf_lie(EH(e_machine), EM_ARM, false, HOTRAIL_EXIT_UNSUPPORTED, "another machine");
	elf_lie(EH(e_type), ET_REL, false, HOTRAIL_EXIT_UNSUPPORTED, "ELF type 1");
	elf_lie(EH(e_phentsize), 8, false, HOTRAIL_EXIT_FAILED, "program headers: 8 bytes");
	elf_lie(EH(e_phoff), ~0ull, true, HOTRAIL_EXIT_FAILED, "program headers: truncated");
	elf_lie(EH(e_phnum), 0, false, HOTRAIL_EXIT_FAILED, "nothing to load");
	elf_lie(EH(e_shoff), ~0ull - 8, true, HOTRAIL_EXIT_FAILED, "section headers: truncated");
	elf_lie(EH(e_shnum), 60000, false, HOTRAIL_EXIT_FAILED, "section headers: 60000");
	elf_lie(EH(e_shstrndx), 2, false, HOTRAIL_EXIT_FAILED, "names in number 2");
	elf_lie(EH(e_shstrndx), 0, false, HOTRAIL_EXIT_FAILED, "not a string table");
	elf_lie(PH(p_offset), ~0ull - 0xfff, true, HOTRAIL_EXIT_FAILED, "segment 0: truncated");
	elf_lie(PH(p_filesz), KB_FILE * 2, true, HOTRAIL_EXIT_FAILED, "segment 0: truncated");
	elf_lie(PH(p_memsz), 1, true, HOTRAIL_EXIT_FAILED, "absurd");
	elf_lie(PH(p_vaddr), ~0ull - 0xff, true, HOTRAIL_EXIT_FAILED, "absurd");
	elf_lie(PH(p_vaddr), KB_BASE + 0x1000, true, HOTRAIL_EXIT_FAILED, "_text");
	elf_lie(PH(p_flags), PF_R, false, HOTRAIL_EXIT_FAILED, "_text");
}

static void test_lying_tables(void)
{
	struct kernel *k;
	size_t i;

	/* An alternative longer than what it replaces: not the form we know. */
	kb_init(&b, KB_6_1);
	kb_build(&b);
	for (i = 0; i < b.count && strcmp(b.symbols[i].name, "__alt_instructions"); i++)
		;
	b.file[KB_OFFSET + (b.symbols[i].addr - KB_BASE) + 11] = 6;
	refused_bytes(HOTRAIL_EXIT_UNSUPPORTED, ".altinstructions");
	/* BTF that ends askew proves nothing: the function counts as assembly. */
	kb_init(&b, KB_6_1);
	kb_build(&b);
	for (i = 0; i < b.count && strcmp(b.symbols[i].name, "__start_BTF"); i++)
		;
	b.file[KB_OFFSET + (b.symbols[i].addr - KB_BASE) + 12] -= 2;
	CU_ASSERT_EQUAL_FATAL(kernel_parse(b.file, b.size, "test", &k, NULL), 0);
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, KB_BASE + KB_SITE_UNTRACED, 5));
	CU_ASSERT_PTR_NULL(kernel_protected(k, KB_BASE + KB_SITE_COLD, 5));
	kernel_free(k);
}

/* Every cut is refused: what is needed last lies at the very end of the file. */
static void test_truncated(void)
{
	struct kernel *k = NULL;
	struct error err;
	size_t len, whole;
	uint8_t *copy;

	kb_init(&b, KB_6_12);
	kb_build(&b);
	whole = b.size;
	for (len = 0; len < whole; len += len < 256 ? 1 : 997) {
		copy = malloc(len ? len : 1); /* exactly as long: the sanitizer sees any excess */
		memcpy(copy, b.file, len);
		err.text[0] = '\0';
		CU_ASSERT_TRUE(kernel_parse(copy, len, "test", &k, &err) < 0);
		CU_ASSERT_PTR_NULL(k);
		CU_ASSERT_TRUE(err.text[0] != '\0');
		free(copy);
	}
}

/* Wrong bytes anywhere may change the answer, never the health of the process. */
static void test_damaged(void)
{
	struct kernel *k;
	unsigned round, i, parsed = 0;

	srand(1);
	for (round = 0; round < 300; round++) {
		kb_init(&b, round % KB_LAYOUTS);
		kb_build(&b);
		for (i = 0; i < 1 + round % 8; i++)
			b.file[(unsigned)rand() % b.size] = (uint8_t)rand();
		for (i = 0; i < round % 5; i++) /* where it hurts */
			b.file[KB_OFFSET + KB_TABLES + (unsigned)rand() % 0x400] = (uint8_t)rand();
		if (kernel_parse(b.file, b.size, "test", &k, NULL))
			continue;
		parsed++;
		CU_ASSERT_TRUE(k->sites.count + k->sites_odd <= KB_ENTRIES + 0x1000);
		kernel_free(k);
	}
	CU_ASSERT_TRUE(parsed > 10);
}

static void test_files(void)
{
	struct kernel *k;
	struct error err;

	CU_ASSERT_EQUAL(kernel_load("/nonexistent", &k, &err), -ENOENT);
	CU_ASSERT_PTR_NULL(k);
	CU_ASSERT_EQUAL(kernel_load("/dev/null", &k, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not a regular file"));
	CU_ASSERT_EQUAL(kernel_load("/", &k, &err), -EINVAL);
	CU_ASSERT_TRUE(kernel_load("/proc/self/exe", &k, &err) < 0);
	kernel_free(NULL);
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
	{"no retpolines - half a table - a missing thunk", test_no_retpolines},
	{"kallsyms that lie are refused", test_lying_kallsyms},
	{"missing symbols are refused", test_missing_symbols},
	{"unknown versions are refused", test_versions},
	{"ELF headers that lie are refused", test_lying_elf},
	{"tables that lie", test_lying_tables},
	{"every cut is refused", test_truncated},
	{"damaged bytes do no harm", test_damaged},
	{"files that are no kernel", test_files},
};

SUITE_MAIN("kernel", tests, 120)
