// SPDX-License-Identifier: GPL-2.0-only
/* Is this file a kernel, and what does it need? Every field is checked before it is used. */
#include "guest/boot.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define HEADER_MAGIC  0x53726448 /* "HdrS" */
#define BOOT_FLAG     0xaa55
#define BOOT_FLAG_AT  0x1fe
#define PROTOCOL_MIN  0x020c /* 2.12: xloadflags, Linux 3.8 */
#define SETUP_DEFAULT 4	     /* sectors, when the header says 0 */
#define SECTOR	      512
#define ENTRY_64      0x200 /* from the start of the loaded part */
#define LOWEST_LOAD   0x100000
#define CMDLINE_LINUX 2047 /* COMMAND_LINE_SIZE - 1 on x86 */
#define SEGMENTS_MAX  64
#define INIT_SIZE_MAX (1ull << 30)
#define NOT_A_KERNEL  "%s is not a Linux kernel (bzImage or ELF vmlinux)"

static int refuse(struct error *err, const char *name, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "%.120s: %s", name, what);
}

/* --- bzImage --- */

static int check_header(const struct setup_header *h, const char *name, struct error *err)
{
	if (h->version < PROTOCOL_MIN)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "%.120s: boot protocol %u.%02u is too old; 2.12 (Linux 3.8) is "
				 "needed",
				 name, h->version >> 8, h->version & 0xff);
	if (!(h->loadflags & LOADED_HIGH))
		return refuse(err, name, "a zImage, which loads below 1 MiB; build a bzImage");
	if (!(h->xloadflags & XLF_KERNEL_64))
		return refuse(err, name, "a 32-bit kernel; a 64-bit one is needed");
	if (h->pref_address < LOWEST_LOAD || h->pref_address >= PC_HOLE_START ||
	    h->pref_address % 4096)
		return refuse(err, name, "its preferred load address is impossible");
	if (!h->init_size || h->init_size > INIT_SIZE_MAX)
		return refuse(err, name, "the memory it says it needs to start is impossible");
	return 0;
}

static int check_bzimage(struct boot_kernel *k, struct error *err)
{
	const size_t at = offsetof(struct boot_params, hdr);
	struct setup_header h;
	uint64_t setup, payload;
	int ret;

	if (k->size < at + sizeof(h))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 NOT_A_KERNEL ": it has only %zu bytes", k->name, k->size);
	memcpy(&h, k->bytes + at, sizeof(h));
	if (h.boot_flag != BOOT_FLAG || h.header != HEADER_MAGIC)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, NOT_A_KERNEL, k->name);
	ret = check_header(&h, k->name, err);
	if (ret)
		return ret;
	setup = ((h.setup_sects ? h.setup_sects : SETUP_DEFAULT) + 1ull) * SECTOR;
	payload = h.syssize * 16ull;
	/* syssize counts paragraphs, rounded up. */
	if (!payload || setup + payload > k->size + 15)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "%.120s is truncated: it has %zu bytes, its header promises %llu",
				 k->name, k->size, (unsigned long long)(setup + payload));
	if (payload > h.init_size)
		return refuse(err, k->name, "it says it needs less memory than it has bytes");
	k->setup = setup;
	k->payload = payload < k->size - setup ? payload : k->size - setup;
	k->start = h.pref_address;
	k->end = h.pref_address + h.init_size;
	k->entry = k->start + ENTRY_64;
	k->initrd_end = h.initrd_addr_max + 1ull;
	k->cmdline_max = h.cmdline_size;
	return 0;
}

/* --- vmlinux --- */

static int check_segment(struct boot_kernel *k, const Elf64_Phdr *p, struct error *err)
{
	if (p->p_filesz > p->p_memsz || p->p_offset > k->size ||
	    p->p_filesz > k->size - p->p_offset)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "%.120s is truncated: a segment of %llu bytes at %llu lies "
				 "outside the file",
				 k->name, (unsigned long long)p->p_filesz,
				 (unsigned long long)p->p_offset);
	if (p->p_paddr < LOWEST_LOAD || p->p_paddr >= PC_HOLE_START ||
	    p->p_memsz > PC_HOLE_START - p->p_paddr)
		return refuse(err, k->name, "a segment's physical address is impossible");
	if (p->p_paddr < k->start)
		k->start = p->p_paddr;
	if (p->p_paddr + p->p_memsz > k->end)
		k->end = p->p_paddr + p->p_memsz;
	return 0;
}

static int check_elf(struct boot_kernel *k, struct error *err)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	bool entry = false;
	unsigned i;
	int ret;

	if (k->size < sizeof(e))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, NOT_A_KERNEL ": cut short",
				 k->name);
	memcpy(&e, k->bytes, sizeof(e));
	if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB ||
	    e.e_machine != EM_X86_64)
		return refuse(err, k->name, "an ELF file for another processor than x86-64");
	if (e.e_type != ET_EXEC)
		return refuse(err, k->name, "an ELF file, but a program or library, no vmlinux");
	if (e.e_phentsize != sizeof(p) || !e.e_phnum || e.e_phnum > SEGMENTS_MAX ||
	    e.e_phoff > k->size || e.e_phnum * sizeof(p) > k->size - e.e_phoff)
		return refuse(err, k->name, "its ELF program headers are broken or cut off");
	k->elf = true;
	k->start = UINT64_MAX;
	for (i = 0; i < e.e_phnum; i++) {
		memcpy(&p, k->bytes + e.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_INTERP)
			return refuse(err, k->name, "a program, no vmlinux");
		if (p.p_type != PT_LOAD || !p.p_memsz)
			continue;
		ret = check_segment(k, &p, err);
		if (ret)
			return ret;
		entry |= e.e_entry >= p.p_paddr && e.e_entry - p.p_paddr < p.p_filesz;
	}
	if (!entry)
		return refuse(err, k->name, "its entry lies in no segment; no vmlinux");
	k->entry = e.e_entry;
	k->initrd_end = PC_HOLE_START;
	k->cmdline_max = CMDLINE_LINUX;
	return 0;
}

int boot_check(const uint8_t *bytes, size_t size, const char *name, struct boot_kernel *k,
	       struct error *err)
{
	*k = (struct boot_kernel){.bytes = bytes, .size = size, .name = name};
	if (size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG))
		return check_elf(k, err);
	return check_bzimage(k, err);
}
