// SPDX-License-Identifier: GPL-2.0-only
/* Which files are kernels, where they are put, what they find there. */
#include "suite.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "guest/acpi_layout.h"
#include "guest/boot.h"
#include "guest/pc_file.h"
#include "guest/pc_guest.h"
#include "machine/memory.h"

#define MIB	  (1ull << 20)
#define SETUP	  (5 * 512)
#define PAYLOAD	  4096
#define INIT_SIZE (8 * MIB)
#define START	  (16 * MIB)

static uint8_t file[SETUP + PAYLOAD];
static struct setup_header *const h = (void *)(file + 0x1f1);
static struct boot_kernel k;
static struct error err;

static void make_bzimage(void)
{
	unsigned i;

	memset(file, 0, sizeof(file));
	file[0x1ef] = 0xff; /* the sentinel: must not reach boot_params */
	h->setup_sects = 4;
	h->syssize = PAYLOAD / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0xeb | (0x26c - 0x202) << 8;
	h->header = 0x53726448;
	h->version = 0x20f;
	h->loadflags = LOADED_HIGH;
	h->initrd_addr_max = 0x7fffffff;
	h->kernel_alignment = 2 * MIB;
	h->relocatable_kernel = 1;
	h->xloadflags = XLF_KERNEL_64;
	h->cmdline_size = 2047;
	h->pref_address = START;
	h->init_size = INIT_SIZE;
	for (i = 0; i < PAYLOAD; i++)
		file[SETUP + i] = (uint8_t)(i * 7);
}

static int check(size_t size)
{
	memset(&err, 0, sizeof(err));
	return boot_check(file, size, "k", &k, &err);
}

#define REFUSED(size, word)                                                                        \
	do {                                                                                       \
		CU_ASSERT_TRUE(check(size) < 0);                                                   \
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_FAILED);                               \
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, word));                                    \
	} while (0)

static void test_bzimage(void)
{
	make_bzimage();
	CU_ASSERT_EQUAL(check(sizeof(file)), 0);
	CU_ASSERT_FALSE(k.elf);
	CU_ASSERT_EQUAL(k.start, START);
	CU_ASSERT_EQUAL(k.end, START + INIT_SIZE);
	CU_ASSERT_EQUAL(k.entry, START + 0x200);
	CU_ASSERT_EQUAL(k.setup, SETUP);
	CU_ASSERT_EQUAL(k.payload, PAYLOAD);
	h->setup_sects = 0; /* means 4 */
	CU_ASSERT_EQUAL(check(sizeof(file)), 0);
	CU_ASSERT_EQUAL(k.setup, SETUP);
	/* syssize is rounded up to 16; what follows the kernel in the file is not loaded. */
	CU_ASSERT_EQUAL(check(sizeof(file) - 15), 0);
	CU_ASSERT_EQUAL(k.payload, PAYLOAD - 15);
	h->syssize -= 1;
	CU_ASSERT_EQUAL(check(sizeof(file)), 0);
	CU_ASSERT_EQUAL(k.payload, PAYLOAD - 16);
}

static void test_not_a_kernel(void)
{
	size_t n;

	make_bzimage();
	REFUSED(0, "not a Linux kernel");
	REFUSED(0x200, "not a Linux kernel");
	REFUSED(sizeof(file) - 16, "truncated");
	for (n = 0; n < sizeof(file) - 16; n += 13)
		CU_ASSERT_TRUE(check(n) < 0);
	h->header ^= 1;
	REFUSED(sizeof(file), "not a Linux kernel");
	make_bzimage();
	h->boot_flag = 0;
	REFUSED(sizeof(file), "not a Linux kernel");
	make_bzimage();
	h->version = 0x20b;
	REFUSED(sizeof(file), "2.11");
	make_bzimage();
	h->loadflags = 0;
	REFUSED(sizeof(file), "zImage");
	make_bzimage();
	h->xloadflags = 0;
	REFUSED(sizeof(file), "32-bit");
	make_bzimage();
	h->syssize = 0xffffffff;
	REFUSED(sizeof(file), "truncated");
	h->syssize = 0;
	REFUSED(sizeof(file), "truncated");
	make_bzimage();
	h->pref_address = 0x1000;
	REFUSED(sizeof(file), "load address");
	h->pref_address = UINT64_MAX & ~0xfffull;
	REFUSED(sizeof(file), "load address");
	h->pref_address = START + 1;
	REFUSED(sizeof(file), "load address");
	make_bzimage();
	h->init_size = 0;
	REFUSED(sizeof(file), "memory it says");
	h->init_size = 0xffffffff;
	REFUSED(sizeof(file), "memory it says");
	h->init_size = PAYLOAD - 1;
	REFUSED(sizeof(file), "less memory");
}

static Elf64_Ehdr *const e = (void *)file;
static Elf64_Phdr *const p = (void *)(file + sizeof(Elf64_Ehdr));

static void make_elf(void)
{
	memset(file, 0x5a, sizeof(file));
	memset(file, 0, sizeof(*e) + 2 * sizeof(*p));
	memcpy(e->e_ident, ELFMAG, SELFMAG);
	e->e_ident[EI_CLASS] = ELFCLASS64;
	e->e_ident[EI_DATA] = ELFDATA2LSB;
	e->e_type = ET_EXEC;
	e->e_machine = EM_X86_64;
	e->e_entry = START + 0x10;
	e->e_phoff = sizeof(*e);
	e->e_phentsize = sizeof(*p);
	e->e_phnum = 2;
	p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_offset = 0x400,
			    .p_paddr = START,
			    .p_vaddr = 0xffffffff81000000,
			    .p_filesz = 0x800,
			    .p_memsz = 0x1000};
	p[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_paddr = 1, .p_memsz = UINT64_MAX};
}

static void test_elf(void)
{
	make_elf();
	CU_ASSERT_EQUAL(check(sizeof(file)), 0);
	CU_ASSERT_TRUE(k.elf);
	CU_ASSERT_EQUAL(k.entry, START + 0x10);
	CU_ASSERT_EQUAL(k.start, START);
	CU_ASSERT_EQUAL(k.end, START + 0x1000);
	REFUSED(0xbff, "truncated");
	REFUSED(sizeof(*e), "program headers");
	REFUSED(20, "not a Linux kernel");
	e->e_type = ET_DYN;
	REFUSED(sizeof(file), "program");
	make_elf();
	e->e_machine = EM_AARCH64;
	REFUSED(sizeof(file), "processor");
	make_elf();
	e->e_phnum = 65;
	REFUSED(sizeof(file), "program headers");
	make_elf();
	e->e_phoff = UINT64_MAX - 8;
	REFUSED(sizeof(file), "program headers");
	make_elf();
	p[0].p_offset = UINT64_MAX - 0x100;
	REFUSED(sizeof(file), "truncated");
	make_elf();
	p[0].p_filesz = 0x1001;
	REFUSED(sizeof(file), "truncated");
	make_elf();
	p[0].p_paddr = 0x1000;
	REFUSED(sizeof(file), "physical address");
	make_elf();
	p[0].p_memsz = UINT64_MAX;
	REFUSED(sizeof(file), "physical address");
	make_elf();
	e->e_entry = 0xffffffff81000010;
	REFUSED(sizeof(file), "entry");
	make_elf();
	p[1].p_type = PT_INTERP;
	REFUSED(sizeof(file), "a program");
}

static struct boot_plan plan(uint64_t mem, uint64_t initrd)
{
	return (struct boot_plan){.kernel = &k,
				  .cmdline = "console=ttyS0",
				  .initrd_name = "i",
				  .initrd_size = initrd,
				  .mem = mem};
}

static int place(struct boot_plan *b, const char *word)
{
	int ret;

	memset(&err, 0, sizeof(err));
	ret = boot_place(b, &err);
	CU_ASSERT_EQUAL(!ret, !word);
	if (word) {
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, word));
	}
	return ret;
}

static void test_place(void)
{
	static char line[4096];
	struct boot_plan b;

	make_bzimage();
	CU_ASSERT_EQUAL_FATAL(check(sizeof(file)), 0);
	b = plan(64 * MIB, 5000);
	place(&b, NULL);
	CU_ASSERT_EQUAL(b.initrd, 64 * MIB - 8192); /* as high as it goes, on a page */
	b = plan(k.end + BOOT_SPARE, 0);
	place(&b, NULL);
	CU_ASSERT_EQUAL(b.initrd, 0);
	b = plan(k.end + BOOT_SPARE - 4096, 0);
	place(&b, "--mem");
	b = plan(4096, 0);
	place(&b, "too little");
	b = plan(64 * MIB, 64 * MIB - k.end);
	place(&b, NULL);
	CU_ASSERT_EQUAL(b.initrd, k.end);
	b = plan(64 * MIB, 64 * MIB - k.end + 1);
	place(&b, "does not fit");
	b = plan(64 * MIB, INT64_MAX);
	place(&b, "does not fit");
	/* Below what the kernel takes and below the hole, however much RAM there is. */
	b = plan(8192 * MIB, 4096);
	place(&b, NULL);
	CU_ASSERT_EQUAL(b.initrd, 0x80000000 - 4096);
	k.initrd_end = 1ull << 32;
	place(&b, NULL);
	CU_ASSERT_EQUAL(b.initrd, PC_HOLE_START - 4096);
	k.initrd_end = k.end;
	place(&b, "does not fit");
	k.initrd_end = 0;
	place(&b, "does not fit");
	check(sizeof(file));
	memset(line, 'x', 2047);
	b = plan(64 * MIB, 0);
	b.cmdline = line;
	place(&b, NULL);
	line[2047] = 'x';
	place(&b, "2048 characters");
}

static void test_load(void)
{
	const uint64_t mem = 64 * MIB;
	uint8_t *ram = calloc(1, mem);
	const struct boot_params *bp = (void *)(ram + BOOT_PARAMS);
	const uint64_t *pml4 = (void *)(ram + BOOT_TABLES), *t;
	struct machine_pc pc = {0};
	struct boot_plan b;
	unsigned i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(ram);
	make_bzimage();
	CU_ASSERT_EQUAL_FATAL(check(sizeof(file)), 0);
	b = plan(mem, 100);
	CU_ASSERT_EQUAL_FATAL(place(&b, NULL), 0);
	boot_load(&b, ram);
	boot_entry(&k, &pc);
	CU_ASSERT_EQUAL(memcmp(ram + START, file + SETUP, PAYLOAD), 0);
	CU_ASSERT_EQUAL(ram[START + PAYLOAD], 0);
	CU_ASSERT_EQUAL(pc.entry_rip, START + 0x200);
	CU_ASSERT_EQUAL(pc.entry_rsi, BOOT_PARAMS);
	CU_ASSERT_EQUAL(pc.entry_cr3, BOOT_TABLES);
	CU_ASSERT_EQUAL(bp->sentinel, 0);
	CU_ASSERT_EQUAL(bp->hdr.header, 0x53726448);
	CU_ASSERT_EQUAL(bp->hdr.type_of_loader, 0xff);
	CU_ASSERT_EQUAL(bp->hdr.ramdisk_image, b.initrd);
	CU_ASSERT_EQUAL(bp->hdr.ramdisk_size, 100);
	CU_ASSERT_STRING_EQUAL((char *)ram + bp->hdr.cmd_line_ptr, "console=ttyS0");
	CU_ASSERT_EQUAL(bp->acpi_rsdp_addr, ACPI_BASE);
	CU_ASSERT_EQUAL(bp->e820_entries, 4);
	CU_ASSERT_EQUAL(bp->e820_table[3].addr, MIB);
	CU_ASSERT_EQUAL(bp->e820_table[3].addr + bp->e820_table[3].size, mem);
	CU_ASSERT_EQUAL(bp->e820_table[2].addr, ACPI_BASE);
	CU_ASSERT_EQUAL(bp->e820_table[2].type, 2);
	/* The whole identity map, walked as a processor does. */
	CU_ASSERT_EQUAL(pml4[0], (BOOT_TABLES + 4096) | 3);
	for (i = 0; i < 2048; i++) {
		t = (void *)(ram + (pml4[0] & ~0xfffull));
		t = (void *)(ram + (t[i / 512] & ~0xfffull));
		if (t[i % 512] != (i * 2 * MIB | 0x83))
			break;
	}
	CU_ASSERT_EQUAL(i, 2048);
	free(ram);
}

static void test_load_elf(void)
{
	const uint64_t mem = 64 * MIB;
	uint8_t *ram = calloc(1, mem);
	const struct boot_params *bp = (void *)(ram + BOOT_PARAMS);
	struct boot_plan b;

	CU_ASSERT_PTR_NOT_NULL_FATAL(ram);
	make_elf();
	CU_ASSERT_EQUAL_FATAL(check(sizeof(file)), 0);
	b = plan(mem, 0);
	CU_ASSERT_EQUAL_FATAL(place(&b, NULL), 0);
	boot_load(&b, ram);
	CU_ASSERT_EQUAL(memcmp(ram + START, file + 0x400, 0x800), 0);
	CU_ASSERT_EQUAL(ram[START + 0x800], 0);
	CU_ASSERT_EQUAL(bp->hdr.boot_flag, 0xaa55);
	CU_ASSERT_EQUAL(bp->hdr.header, 0x53726448);
	CU_ASSERT_EQUAL(bp->hdr.ramdisk_size, 0);
	free(ram);
}

static void test_high_ram(void)
{
	struct memory mem = {.base = (uint8_t *)0x10000, .size = 0x9000, .low = 0x9000};

	CU_ASSERT_PTR_EQUAL(memory_range(&mem, 0x8fff, 1), mem.base + 0x8fff);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x9000, 1));
	memory_set_hole(&mem, 0x9000, 0x20000); /* all RAM before it: no hole */
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x20000, 1));
	memory_set_hole(&mem, 0x6000, 0x20000);
	CU_ASSERT_PTR_EQUAL(memory_range(&mem, 0, 0x6000), mem.base);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x5fff, 2));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x6000, 1));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x1ffff, 2));
	CU_ASSERT_PTR_EQUAL(memory_range(&mem, 0x20000, 0x3000), mem.base + 0x6000);
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x20000, 0x3001));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x23000, 1));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x20000, 0));
	CU_ASSERT_PTR_NULL(memory_range(&mem, 0x22fff, UINT64_MAX));
	CU_ASSERT_PTR_NULL(memory_range(&mem, UINT64_MAX, 1));
}

static void test_files(void)
{
	char path[] = "/tmp/hotrail-boot-XXXXXX", buf[16];
	struct pc_config c = {.vcpus = 1};
	struct pc *pc;
	uint64_t size;
	int fd = mkstemp(path), got;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_TRUE(pc_file_open("/no/such/kernel", "kernel", 100, &size, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/no/such/kernel"));
	CU_ASSERT_TRUE(pc_file_open("/tmp", "kernel", 1 << 20, &size, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no regular file"));
	CU_ASSERT_TRUE(pc_file_open(path, "kernel", 100, &size, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "empty"));
	CU_ASSERT_EQUAL(write(fd, "0123456789", 10), 10);
	CU_ASSERT_TRUE(pc_file_open(path, "kernel", 9, &size, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too large"));
	got = pc_file_open(path, "kernel", 10, &size, &err);
	CU_ASSERT_TRUE_FATAL(got >= 0);
	CU_ASSERT_EQUAL(size, 10);
	CU_ASSERT_EQUAL(pc_file_read(got, path, buf, 10, &err), 0);
	CU_ASSERT_EQUAL(memcmp(buf, "0123456789", 10), 0);
	CU_ASSERT_TRUE(pc_file_read(got, path, buf, 11, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "shorter"));
	close(got);
	/* The same through the front door: nothing is left, the reason is told. */
	c.kernel = path;
	CU_ASSERT_TRUE(pc_open(&c, &pc, &err) < 0);
	CU_ASSERT_PTR_NULL(pc);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not a Linux kernel"));
	make_bzimage();
	CU_ASSERT_EQUAL(pwrite(fd, file, sizeof(file), 0), sizeof(file));
	c.initrd = "/no/such/initrd";
	CU_ASSERT_TRUE(pc_open(&c, &pc, &err) < 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/no/such/initrd"));
	c.initrd = NULL;
	c.backend = MACHINE_PROCESS;
	CU_ASSERT_TRUE(pc_open(&c, &pc, &err) < 0);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/dev/kvm"));
	c.backend = MACHINE_AUTO;
	c.cpl = MACHINE_CPL_3;
	CU_ASSERT_TRUE(pc_open(&c, &pc, &err) < 0);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	c.cpl = MACHINE_CPL_AUTO;
	c.mem = 64 * MIB + 1;
	CU_ASSERT_TRUE(pc_open(&c, &pc, &err) < 0);
	close(fd);
	unlink(path);
}

static const struct suite_test tests[] = {
	{"a bzImage and what it needs", test_bzimage},
	{"files that are no kernel we can start", test_not_a_kernel},
	{"an ELF vmlinux and its broken relatives", test_elf},
	{"kernel initrd and command line find room or a refusal", test_place},
	{"what a bzImage finds in memory", test_load},
	{"what a vmlinux finds in memory", test_load_elf},
	{"RAM before and behind the hole", test_high_ram},
	{"files that cannot be read", test_files},
};
SUITE_MAIN("boot", tests, 30)
