// SPDX-License-Identifier: GPL-2.0-only
/* A small synthetic kernel, broken in every way: each lie is refused in words. */
#include "suite.h"

#include <errno.h>

#include "guest/kernel.h"
#include "kernel_builder.h"

static struct kernel_builder b;

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

static void test_slide(void)
{
	kb_init(&b, KB_6_12);
	b.slide = 0x1a201000; /* not a multiple of 2 MiB */
	refused(HOTRAIL_EXIT_FAILED, "_text: 0xffffffff9b201000 by kallsyms");
	kb_init(&b, KB_6_12);
	b.slide = 0x40000000;
	refused(HOTRAIL_EXIT_UNSUPPORTED, "unknown kallsyms layout");
}

static void test_half_a_table(void)
{
	kb_init(&b, KB_6_12);
	b.hide = "__retpoline_sites";
	refused(HOTRAIL_EXIT_FAILED, "__retpoline_sites and __retpoline_sites_end");
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
	{"a slide that cannot be", test_slide},
	{"half a table", test_half_a_table},
	{"kallsyms that lie are refused", test_lying_kallsyms},
	{"missing symbols are refused", test_missing_symbols},
	{"unknown versions are refused", test_versions},
	{"ELF headers that lie are refused", test_lying_elf},
	{"tables that lie", test_lying_tables},
	{"every cut is refused", test_truncated},
	{"damaged bytes do no harm", test_damaged},
	{"files that are no kernel", test_files},
};

SUITE_MAIN("kernel-refuse", tests, 120)
