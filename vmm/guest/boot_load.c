// SPDX-License-Identifier: GPL-2.0-only
/* Puts a checked kernel into RAM, with everything its entry expects around it. */
#include "guest/boot.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest/acpi_layout.h"

#define LOADER_UNDEFINED 0xff
#define E820_RAM	 1
#define E820_RESERVED	 2
#define EBDA		 0x9fc00 /* firmware's, by old custom */
#define LOW_END		 0xa0000
#define HIGH_START	 0x100000
#define MIB		 (1ull << 20)

/* Intel SDM vol. 3A 4.5.4: present, writable; page size bit. */
#define TABLE_ENTRY 0x3
#define ENTRY_2M    0x83
#define PAGE	    4096
#define SIZE_2M	    (2ull << 20)

/* Flat descriptors, accessed: SDM vol. 3A 3.4.5; the selectors are __BOOT_CS and __BOOT_DS. */
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull

static uint64_t low_size(const struct boot_plan *plan)
{
	return plan->mem < PC_HOLE_START ? plan->mem : PC_HOLE_START;
}

static unsigned long long mib_up(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB;
}

int boot_place(struct boot_plan *plan, struct error *err)
{
	const struct boot_kernel *k = plan->kernel;
	uint64_t low = low_size(plan), top = low < k->initrd_end ? low : k->initrd_end;
	size_t len = strlen(plan->cmdline);

	if (len > k->cmdline_max || len >= LOW_END - BOOT_CMDLINE)
		return error_set(err, HOTRAIL_EXIT_USAGE, -E2BIG,
				 "the command line has %zu characters, %.120s takes %u", len,
				 k->name, k->cmdline_max);
	if (k->end > low || low - k->end < BOOT_SPARE)
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOMEM,
				 "%llu MiB of RAM are too little: %.120s needs %llu to start; give "
				 "more with --mem",
				 (unsigned long long)(plan->mem / MIB), k->name,
				 mib_up(k->end + BOOT_SPARE));
	plan->initrd = 0;
	if (!plan->initrd_size)
		return 0;
	if (plan->initrd_size > PC_HOLE_START || k->end > top || plan->initrd_size > top - k->end)
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOMEM,
				 "%.120s (%llu MiB) does not fit behind the kernel into %llu MiB "
				 "of RAM; give at least %llu MiB with --mem",
				 plan->initrd_name, mib_up(plan->initrd_size),
				 (unsigned long long)(plan->mem / MIB),
				 mib_up(k->end + BOOT_SPARE + 2 * plan->initrd_size));
	plan->initrd = (top - plan->initrd_size) & ~(uint64_t)(PAGE - 1);
	if (plan->initrd < k->end) /* the alignment took it */
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOMEM,
				 "%.120s does not fit behind the kernel; give more RAM with --mem",
				 plan->initrd_name);
	return 0;
}

static void copy_elf(const struct boot_kernel *k, uint8_t *low)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	unsigned i;

	memcpy(&e, k->bytes, sizeof(e));
	for (i = 0; i < e.e_phnum; i++) {
		memcpy(&p, k->bytes + e.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD) /* the RAM behind it is zero already */
			memcpy(low + p.p_paddr, k->bytes + p.p_offset, p.p_filesz);
	}
}

static void add_e820(struct boot_params *bp, uint64_t addr, uint64_t end, uint32_t type)
{
	if (addr < end)
		bp->e820_table[bp->e820_entries++] =
			(struct boot_e820_entry){.addr = addr, .size = end - addr, .type = type};
}

static void fill_header(const struct boot_kernel *k, struct setup_header *h)
{
	const size_t at = offsetof(struct boot_params, hdr);
	/* boot.rst: the header ends at 0x202 plus the byte at 0x201. */
	size_t len = 0x202 + k->bytes[0x201] - at;

	if (k->elf) {
		h->boot_flag = 0xaa55;
		h->header = 0x53726448;
		h->version = 0x020f;
		h->loadflags = LOADED_HIGH;
		h->kernel_alignment = 0x1000000;
		return;
	}
	if (len > sizeof(*h))
		len = sizeof(*h); /* fields newer than ours */
	memcpy(h, k->bytes + at, len);
}

static void write_params(const struct boot_plan *plan, struct boot_params *bp)
{
	uint64_t low = low_size(plan);

	fill_header(plan->kernel, &bp->hdr);
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.cmd_line_ptr = BOOT_CMDLINE;
	bp->hdr.ramdisk_image = (uint32_t)plan->initrd; /* all below 4 GiB */
	bp->hdr.ramdisk_size = (uint32_t)plan->initrd_size;
	bp->acpi_rsdp_addr = ACPI_BASE;
	add_e820(bp, 0, EBDA, E820_RAM);
	add_e820(bp, EBDA, LOW_END, E820_RESERVED);
	add_e820(bp, ACPI_BASE, HIGH_START, E820_RESERVED);
	add_e820(bp, HIGH_START, low, E820_RAM);
	add_e820(bp, PC_HOLE_END, PC_HOLE_END + (plan->mem - low), E820_RAM);
}

/* PML4, PDPT, four page directories: 4 GiB in pages of 2 MiB. */
static void write_tables(uint8_t *low)
{
	uint64_t *pml4 = (uint64_t *)(low + BOOT_TABLES);
	uint64_t *pdpt = pml4 + 512, *pd = pdpt + 512;
	unsigned i;

	memset(pml4, 0, 6 * PAGE);
	pml4[0] = (BOOT_TABLES + PAGE) | TABLE_ENTRY;
	for (i = 0; i < 4; i++)
		pdpt[i] = (BOOT_TABLES + (2 + i) * PAGE) | TABLE_ENTRY;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i * SIZE_2M | ENTRY_2M;
}

void boot_entry(const struct boot_kernel *k, struct machine_pc *pc)
{
	pc->entry_rip = k->entry;
	pc->entry_rsi = BOOT_PARAMS;
	pc->entry_rsp = BOOT_STACK;
	pc->entry_cr3 = BOOT_TABLES;
	pc->gdt = BOOT_GDT;
}

void boot_load(const struct boot_plan *plan, uint8_t *low)
{
	static const uint64_t gdt[4] = {0, 0, GDT_CODE64, GDT_DATA};
	struct boot_params bp;

	memset(&bp, 0, sizeof(bp));
	if (plan->kernel->elf)
		copy_elf(plan->kernel, low);
	else
		memcpy(low + plan->kernel->start, plan->kernel->bytes + plan->kernel->setup,
		       plan->kernel->payload);
	write_params(plan, &bp);
	memcpy(low + BOOT_PARAMS, &bp, sizeof(bp));
	strcpy((char *)low + BOOT_CMDLINE, plan->cmdline); /* its length was checked */
	memcpy(low + BOOT_GDT, gdt, sizeof(gdt));
	write_tables(low);
}
