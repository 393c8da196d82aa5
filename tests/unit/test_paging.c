// SPDX-License-Identifier: GPL-2.0-only
/* Guest page tables, checked by walking them, and the range checks of guest RAM. */
#include "suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/memory.h"
#include "machine/paging.h"
#include "x86/pagewalk.h"

#define RAM  (16ull << 20)
#define HIGH 0xffffffff80000000ull

static uint8_t *ram;
static unsigned outside; /* table reads outside the tables' own range */

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	if (gpa < PAGING_FIRST || gpa + 8 > PAGING_END) {
		outside++;
		return -EFAULT;
	}
	memcpy(entry, ram + gpa, sizeof(*entry));
	return 0;
}

static int walk(gpa_t root, gva_t gva, struct pagewalk_result *r)
{
	return pagewalk(root, 4, gva, read_entry, NULL, r);
}

static int build(const struct machine_map *maps, unsigned count, bool user, gpa_t *root)
{
	struct error err = {0};
	int ret = paging_build(ram, RAM, maps, count, user, root, &err);

	CU_ASSERT_TRUE(ret == 0 || err.text[0] != '\0');
	return ret;
}

static void check_map(gpa_t root, const struct machine_map *m, bool user, uint64_t page)
{
	struct pagewalk_result r;
	uint64_t off;

	for (off = 0; off < m->size; off += 4096) {
		CU_ASSERT_EQUAL_FATAL(walk(root, m->gva + off + 0x123, &r), 0);
		CU_ASSERT_EQUAL(r.gpa, m->gpa + off + 0x123);
		CU_ASSERT_EQUAL(r.user, user);
		CU_ASSERT_EQUAL(r.writable, !!(m->prot & MACHINE_W));
		CU_ASSERT_EQUAL(r.executable, !!(m->prot & MACHINE_X));
		if (page)
			CU_ASSERT_EQUAL(r.page_size, page);
	}
	CU_ASSERT_EQUAL(walk(root, m->gva - 1, &r), -EFAULT);
	CU_ASSERT_TRUE(walk(root, m->gva + m->size, &r) < 0); /* not present, or not canonical */
}

static void test_small_and_large(void)
{
	static const struct machine_map maps[] = {
		{HIGH + 0x1000, 0x201000, 0x5000, MACHINE_R | MACHINE_X},
		{HIGH + 0x400000, 0x600000, 0x400000, MACHINE_R | MACHINE_W},
		/* 2 MiB aligned on one side only: small pages */
		{0x40000000, 0x201000, 0x200000, MACHINE_R},
		{0x7ffffffff000, 0x3ff000, 0x1000, MACHINE_R | MACHINE_W | MACHINE_X},
		{0xffff800000001000, 0x300000, 0x1000, MACHINE_W},
	};
	unsigned i, user;
	gpa_t root;

	for (user = 0; user < 2; user++) {
		memset(ram, 0xff, PAGING_END); /* stale bytes must not become entries */
		CU_ASSERT_EQUAL_FATAL(build(maps, 5, user, &root), 0);
		CU_ASSERT_EQUAL(root % 4096, 0);
		for (i = 0; i < 5; i++)
			check_map(root, &maps[i], user, i == 1 ? 0x200000 : 0x1000);
		CU_ASSERT_EQUAL(ram[PAGING_FIRST - 1], 0xff); /* the backend's part is untouched */
	}
	CU_ASSERT_EQUAL(outside, 0);
}

static void test_mixed_leaves(void)
{
	/* Large in the middle, small at both ends. */
	static const struct machine_map map = {HIGH + 0x1ff000, 0x5ff000, 0x202000, MACHINE_R};
	struct pagewalk_result r;
	gpa_t root;

	CU_ASSERT_EQUAL_FATAL(build(&map, 1, true, &root), 0);
	check_map(root, &map, true, 0);
	CU_ASSERT_EQUAL(walk(root, HIGH + 0x1ff000, &r), 0);
	CU_ASSERT_EQUAL(r.page_size, 0x1000);
	CU_ASSERT_EQUAL(walk(root, HIGH + 0x2ff000, &r), 0);
	CU_ASSERT_EQUAL(r.page_size, 0x200000);
	CU_ASSERT_EQUAL(walk(root, HIGH + 0x400000, &r), 0);
	CU_ASSERT_EQUAL(r.page_size, 0x1000);
}

static void test_low_memory_is_unreachable(void)
{
	static const struct machine_map map = {HIGH, 0x200000, RAM - 0x200000,
					       MACHINE_R | MACHINE_W};
	struct pagewalk_result r;
	gpa_t root;
	uint64_t off;

	CU_ASSERT_EQUAL_FATAL(build(&map, 1, true, &root), 0);
	for (off = 0; off < map.size; off += 4096) {
		CU_ASSERT_EQUAL(walk(root, HIGH + off, &r), 0);
		CU_ASSERT_TRUE(r.gpa >= PAGING_END && r.gpa + 4096 <= RAM);
	}
}

static void test_refusals(void)
{
	static const struct machine_map bad[] = {
		{HIGH + 1, 0x200000, 0x1000, 1},
		{HIGH, 0x200800, 0x1000, 1},
		{HIGH, 0x200000, 0x1001, 1},
		{HIGH, 0x200000, 0, 1},	     /* empty */
		{HIGH, 0x200000, 0x1000, 0}, /* no protection */
		{HIGH, 0x200000, 0x1000, 9}, /* unknown protection */
		{HIGH, 0x1ff000, 0x2000, 1}, /* page tables */
		{HIGH, 0, 0x1000, 1},
		{HIGH, RAM, 0x1000, 1},
		{HIGH, RAM - 0x1000, 0x2000, 1},
		{HIGH, 0x200000, 0x8000000000000000, 1},
		{HIGH, 0xfffffffffffff000, 0x1000, 1},
		{0x7ffffffff000, 0x200000, 0x2000, 1}, /* across the hole */
		{0x800000000000, 0x200000, 0x1000, 1},
		{0xffff7ffffffff000, 0x200000, 0x2000, 1},
		{0xfffffffffffff000, 0x200000, 0x2000, 1}, /* wraps */
	};
	static const struct machine_map overlap[] = {
		{HIGH, 0x200000, 0x3000, 1},
		{HIGH + 0x4000, 0x200000, 0x1000, 1},
		{HIGH + 0x2000, 0x300000, 0x1000, 1},
	};
	struct error err;
	gpa_t root;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(build(&bad[i], 1, true, &root), -EINVAL);
	CU_ASSERT_EQUAL(build(overlap, 2, true, &root), 0); /* neighbours, same memory: fine */
	CU_ASSERT_EQUAL(build(overlap, 3, true, &root), -EINVAL);
	CU_ASSERT_EQUAL(paging_build(ram, 0x1ff000, NULL, 0, true, &root, &err), -EINVAL);
	CU_ASSERT_EQUAL(paging_build(ram, RAM, NULL, 0, true, &root, &err), 0);
	/* The last page of the address space is the last that may be mapped. */
	CU_ASSERT_EQUAL(build(&(struct machine_map){0xfffffffffffff000, 0x200000, 0x1000, 1}, 1,
			      true, &root),
			0);
}

static void test_out_of_tables(void)
{
	enum { MAPS = 300 };
	static struct machine_map maps[MAPS];
	uint8_t after = ram[PAGING_END] = 0x5a;
	gpa_t root;
	unsigned i;

	for (i = 0; i < MAPS; i++) /* each in its own GiB: two tables a map */
		maps[i] = (struct machine_map){(i + 1ull) << 30, 0x200000, 0x1000, MACHINE_R};
	CU_ASSERT_EQUAL(build(maps, 200, true, &root), 0);
	CU_ASSERT_EQUAL(build(maps, MAPS, true, &root), -ENOSPC);
	CU_ASSERT_EQUAL(ram[PAGING_END], after);
}

static int child_status(pid_t pid)
{
	int status = -1;

	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_ram(void)
{
	struct memory mem = {0};
	struct error err;
	uint8_t *p;

	CU_ASSERT_EQUAL(memory_create(&mem, 0, MEMORY_HUGE_NONE, &err), -EINVAL);
	CU_ASSERT_EQUAL(memory_create(&mem, 4097, MEMORY_HUGE_NONE, &err), -EINVAL);
	CU_ASSERT_TRUE(memory_create(&mem, 1ull << 62, MEMORY_HUGE_NONE, &err) < 0);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0, 1)); /* nothing allocated, nothing in range */
	CU_ASSERT_EQUAL_FATAL(memory_create(&mem, 0x400000, MEMORY_HUGE_NONE, &err), 0);
	p = memory_range(&mem, 0, 0x400000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(p[0x3fffff], 0);
	CU_ASSERT_PTR_EQUAL(memory_range(&mem, 0x3fffff, 1), p + 0x3fffff);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x3fffff, 2));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x400000, 1));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x400000, 0));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0, 0));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 1, UINT64_MAX));
	CU_ASSERT_PTR_NULL(memory_range(&mem, UINT64_MAX, 2));
	CU_ASSERT_PTR_NULL(memory_range(&mem, UINT64_MAX - 4095, 8192));
	CU_ASSERT_NOT_EQUAL(ftruncate(mem.fd, 4096), 0); /* sealed: nobody shrinks it */
	memory_destroy(&mem);
	memory_destroy(&mem);
	/* Huge pages: had, or refused with what to do about it. */
	if (memory_create(&mem, 0x400000, MEMORY_HUGE_ANY, &err))
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nr_hugepages"))
	else
		((uint8_t *)memory_range(&mem, 0, 1))[0] = 1;
	memory_destroy(&mem);
}

static void test_private_ram(void)
{
	struct memory mem = {0}, huge = {0};
	struct error err;
	pid_t pid;

	CU_ASSERT_EQUAL(memory_create_private(&mem, 0, false, &err), -EINVAL);
	CU_ASSERT_EQUAL(memory_create_private(&mem, 4097, false, &err), -EINVAL);
	CU_ASSERT_TRUE(memory_create_private(&mem, 1ull << 62, false, &err) < 0);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0, 1));
	CU_ASSERT_EQUAL_FATAL(memory_create_private(&mem, 0x401000, false, &err), 0);
	CU_ASSERT_EQUAL(mem.fd, -1);
	CU_ASSERT_EQUAL((uintptr_t)mem.base % 0x200000, 0); /* huge pages begin with its own */
	CU_ASSERT_EQUAL(mem.base[0] | mem.base[0x400fff], 0);
	CU_ASSERT_PTR_EQUAL(memory_range(&mem, 0x400fff, 1), mem.base + 0x400fff);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x400fff, 2));
	/* No child gets a copy, for which the kernel would move our own pages. */
	pid = fork();
	if (!pid)
		_exit(msync(mem.base, 4096, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1);
	CU_ASSERT_EQUAL(child_status(pid), 0);
	memory_destroy(&mem);
	memory_destroy(&mem);
	if (memory_create_private(&huge, 0x400000, true, &err))
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nr_hugepages"))
	else
		huge.base[0] = 1;
	memory_destroy(&huge);
}

static const struct suite_test tests[] = {
	{"small and large pages with their protections", test_small_and_large},
	{"large pages inside, small at the ends", test_mixed_leaves},
	{"the tables themselves are not mapped", test_low_memory_is_unreachable},
	{"refused maps", test_refusals},
	{"running out of table pages", test_out_of_tables},
	{"RAM and its range checks", test_ram},
	{"RAM of one process alone", test_private_ram},
};

int main(void)
{
	ram = aligned_alloc(4096, RAM);
	if (!ram)
		return 1;
	memset(ram, 0, RAM);
	return suite_run("paging", tests, sizeof(tests) / sizeof(tests[0]), 30);
}
