// SPDX-License-Identifier: GPL-2.0-only
/*
 * A real distribution kernel, where the nested rig has fetched one: what the parser says
 * must agree with itself and with what every Linux kernel contains.
 * HOTRAIL_TEST_KERNEL=FILE takes another one.
 */
#include "suite.h"

#include <elf.h>
#include <string.h>

#include "guest/kernel.h"
#include "util/clock.h"
#include "x86/decode.h"

#define MAX_SECONDS 30 /* a hang is a failure; the figure itself is printed */

static struct kernel *k;

/* Bytes at a link address, straight from the ELF's segments. */
static const uint8_t *bytes_at(gva_t addr, size_t len)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	unsigned i;

	memcpy(&eh, k->elf, sizeof(eh));
	for (i = 0; i < eh.e_phnum; i++) {
		memcpy(&ph, k->elf + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD && addr >= ph.p_vaddr &&
		    addr - ph.p_vaddr + len <= ph.p_filesz)
			return k->elf + ph.p_offset + (addr - ph.p_vaddr);
	}
	return NULL;
}

static const char *name_of(gva_t addr)
{
	uint64_t offset = 1;
	const char *name = kernel_symbol_at(k, addr, &offset);

	return name && !offset ? name : "";
}

static void test_banner(void)
{
	const char *banner = (const char *)bytes_at(kernel_lookup(k, "linux_banner"), 64);

	CU_ASSERT_PTR_NOT_NULL_FATAL(banner);
	CU_ASSERT_EQUAL(strncmp(banner, "Linux version ", 14), 0);
	CU_ASSERT_EQUAL(strncmp(banner + 14, k->release, strlen(k->release)), 0);
	CU_ASSERT_EQUAL(k->build_id_len, 20);
	CU_ASSERT_TRUE(k->text_end - k->text_start > 1 << 20);
	CU_ASSERT_TRUE(k->init_start > k->text_end && k->init_end <= k->image_end);
}

static void test_symbols(void)
{
	static const char *const wanted[] = {"vfs_read",      "schedule",	  "start_kernel",
					     "do_syscall_64", "entry_SYSCALL_64", "kfree",
					     "tcp_sendmsg",   "init_task",	  "jiffies"};
	size_t i;

	CU_ASSERT_TRUE(k->symbols_count > 20000);
	for (i = 1; i < k->symbols_count; i++)
		if (kernel_symbol_addr(&k->symbols[i]) < kernel_symbol_addr(&k->symbols[i - 1]))
			CU_FAIL_FATAL("symbols are not sorted");
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!kernel_lookup(k, wanted[i]))
			CU_FAIL(wanted[i]);
	CU_ASSERT_TRUE(kernel_is_function(k, kernel_lookup(k, "vfs_read")));
	CU_ASSERT_FALSE(kernel_is_function(k, kernel_lookup(k, "init_task")));
	CU_ASSERT_STRING_EQUAL(name_of(kernel_lookup(k, "vfs_read")), "vfs_read");
}

/* Has any symbol of this address a name that begins so? (`__do_sys_x` may be an alias.) */
static bool called(gva_t addr, const char *prefix)
{
	size_t i;

	for (i = 0; i < k->symbols_count; i++)
		if (kernel_symbol_addr(&k->symbols[i]) == addr &&
		    !strncmp(k->names + k->symbols[i].name, prefix, strlen(prefix)))
			return true;
	return false;
}

/* Every entry of the system call table is the start of a function of that kind. */
static void test_system_calls(void)
{
	gva_t table = kernel_lookup(k, "sys_call_table");
	unsigned i;

	CU_ASSERT_TRUE_FATAL(table != 0);
	for (i = 0; i < 300; i++) {
		const uint8_t *p = bytes_at(table + 8ull * i, 8);
		uint64_t addr;

		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		memcpy(&addr, p, sizeof(addr));
		CU_ASSERT_TRUE(kernel_is_function(k, addr));
		if (!called(addr, "__x64_sys_"))
			CU_FAIL(name_of(addr));
	}
}

static void test_thunks(void)
{
	int reg, count = 0;

	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		if (!k->thunks[reg])
			continue;
		count++;
		CU_ASSERT_TRUE(called(k->thunks[reg], "__x86_indirect_thunk_"));
	}
	CU_ASSERT_EQUAL(count, 15);
	CU_ASSERT_EQUAL(k->thunks[HOTRAIL_RAX], kernel_lookup(k, "__x86_indirect_thunk_rax"));
}

/* Decoded again, from the image: a call or jump to a thunk, as the table says. */
static void test_sites(void)
{
	struct x86_insn in;
	size_t i;

	CU_ASSERT_TRUE_FATAL(k->sites.count > 1000);
	CU_ASSERT_TRUE(k->sites_odd < k->sites.count / 100);
	for (i = 0; i < k->sites.count; i++) {
		const struct site *s = &k->sites.sites[i];
		const uint8_t *p = bytes_at(s->addr, s->len);

		if (!p || memcmp(p, s->bytes, s->len) || x86_decode(p, s->len, s->addr, &in) ||
		    in.len != s->len || in.target != k->thunks[s->reg] ||
		    in.kind != (s->is_jump ? X86_JMP_REL32 : X86_CALL_REL32))
			CU_FAIL_FATAL("a site that is none");
		if (i && s->addr < s[-1].addr + s[-1].len)
			CU_FAIL_FATAL("sites overlap");
		if (site_find(&k->sites, s->addr) != (long)i)
			CU_FAIL_FATAL("a site that is not found");
	}
}

/* The parts that are hot in any workload are free; what must not be touched is not. */
static void test_ranges(void)
{
	size_t count[KERNEL_RANGES] = {0}, open = 0, i;

	for (i = 0; i < k->sites.count; i++) {
		const struct site *s = &k->sites.sites[i];
		const struct kernel_range *r = kernel_protected(k, s->addr, s->len);

		if (r)
			count[r->kind]++;
		else
			open++;
		if (!r && (s->addr < k->text_start || s->addr >= k->text_end))
			CU_FAIL("a free site outside the core text");
	}
	printf("%s: %zu symbols, %zu sites, %zu odd, %zu free\n", k->release, k->symbols_count,
	       k->sites.count, k->sites_odd, open);
	for (i = 0; i < KERNEL_RANGES; i++)
		printf("  %zu %s\n", count[i], kernel_range_text(i));
	CU_ASSERT_TRUE(open > k->sites.count * 9 / 10);
	for (i = 1; i < k->ranges_count; i++)
		if (k->ranges[i].start < k->ranges[i - 1].end)
			CU_FAIL_FATAL("ranges overlap");
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, kernel_lookup(k, "entry_SYSCALL_64"), 1));
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, kernel_lookup(k, "start_kernel"), 1));
	CU_ASSERT_PTR_NOT_NULL(kernel_protected(k, kernel_lookup(k, "vfs_read"), 9)); /* ftrace */
	CU_ASSERT_PTR_NULL(kernel_protected(k, kernel_lookup(k, "vfs_read") + 9, 1));
}

/* The file cut anywhere, or a byte of it turned, ends in a refusal with words. */
static void test_cut(const uint8_t *file, size_t size)
{
	static const double parts[] = {0.0001, 0.01, 0.5, 0.9};
	struct kernel *other = NULL;
	struct error err = {0};
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		err.text[0] = '\0';
		CU_ASSERT_TRUE(kernel_parse(file, (size_t)((double)size * parts[i]), "cut", &other,
					    &err) < 0);
		CU_ASSERT_PTR_NULL(other);
		CU_ASSERT_TRUE(strstr(err.text, "fetch the kernel again") ||
			       strstr(err.text, "not a kernel"));
	}
}

static char path[512];

static void test_truncated(void)
{
	FILE *f = fopen(path, "rb");
	uint8_t *file;
	long size;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	file = malloc((size_t)size);
	CU_ASSERT_EQUAL_FATAL(fread(file, 1, (size_t)size, f), (size_t)size);
	fclose(f);
	test_cut(file, (size_t)size);
	free(file);
}

/* Last: what is left says the same about every site, in less than half the memory. */
static void test_shrunk(void)
{
	size_t sites = k->sites.count, symbols = k->symbols_count, i;
	struct site *site = malloc(sites * sizeof(*site));
	int *kind = malloc(sites * sizeof(*kind));
	const struct kernel_range *r;
	const char *name;

	CU_ASSERT_FATAL(site && kind);
	memcpy(site, k->sites.sites, sites * sizeof(*site));
	for (i = 0; i < sites; i++) {
		r = kernel_protected(k, site[i].addr, site[i].len);
		kind[i] = r ? (int)r->kind : -1;
	}
	kernel_shrink(k);
	for (i = 0; i < sites; i++) {
		r = kernel_protected(k, site[i].addr, site[i].len);
		name = kernel_symbol_at(k, site[i].addr, NULL);
		if ((r ? (int)r->kind : -1) != kind[i])
			CU_FAIL("a site's protection changed");
		if (!name && site[i].addr >= k->text_start && site[i].addr < k->text_end)
			CU_FAIL("a site without a name");
	}
	CU_ASSERT_TRUE(k->ranges_count <= sites);
	CU_ASSERT_TRUE(k->symbols_count < symbols);
	CU_ASSERT_TRUE(kernel_is_function(k, kernel_lookup(k, "vfs_read")));
	free(site);
	free(kind);
}

static const struct suite_test tests[] = {
	{"banner version and bounds", test_banner},
	{"symbols", test_symbols},
	{"system call table", test_system_calls},
	{"thunks", test_thunks},
	{"sites", test_sites},
	{"ranges", test_ranges},
	{"a cut file is refused", test_truncated},
	{"small for a guest that runs", test_shrunk},
};

int main(void)
{
	const char *o = getenv("O"), *given = getenv("HOTRAIL_TEST_KERNEL");
	struct error err;
	uint64_t took;
	int failed;

	if (given)
		snprintf(path, sizeof(path), "%s", given);
	else
		snprintf(path, sizeof(path), "%s/nested/bzImage", o ? o : "build");
	if (access(path, R_OK))
		SUITE_SKIP("%s: no kernel here yet (the nested rig fetches one)", path);
	took = clock_ns();
	if (kernel_load(path, &k, &err)) {
		printf("%s\n", err.text);
		return 1;
	}
	took = clock_ns() - took;
	printf("%s: read in %.2f s\n", path, (double)took / 1e9);
	failed = suite_run("kernel-real", tests, sizeof(tests) / sizeof(tests[0]), 60);
	kernel_free(k);
	return failed || took > MAX_SECONDS * 1000000000ull;
}
