/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Starts a Linux kernel the way its own boot protocol wants it (kernel:
 * Documentation/x86/boot.rst, 64-bit entry): a bzImage, which unpacks and
 * randomises itself, or an ELF vmlinux, which runs where it was linked. Pure:
 * bytes in, bytes out; the files are untrusted.
 */
#ifndef HOTRAIL_GUEST_BOOT_H
#define HOTRAIL_GUEST_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/pc.h"
#include "util/error.h"

#define BOOT_MAX_KERNEL (512u << 20) /* bytes of file; a larger one is no kernel */
#define BOOT_SPARE	(32u << 20)  /* RAM a kernel needs beyond itself to get anywhere */

/* Where the loader puts its own things; all below the first 640 KiB. */
#define BOOT_GDT     0x1000
#define BOOT_STACK   0x6ff0
#define BOOT_PARAMS  0x7000
#define BOOT_TABLES  0x9000 /* 6 pages: identity map of 4 GiB */
#define BOOT_CMDLINE 0x20000

struct boot_kernel {
	const uint8_t *bytes; /* the file; not copied */
	size_t size;
	const char *name;
	bool elf;
	size_t setup, payload; /* bzImage: real-mode part, then what is loaded */
	gpa_t entry;
	gpa_t start, end;     /* what it occupies until it runs by itself */
	uint64_t initrd_end;  /* the initrd must end here at the latest */
	unsigned cmdline_max; /* characters */
};

struct boot_plan {
	const struct boot_kernel *kernel;
	const char *cmdline;
	const char *initrd_name; /* for messages */
	uint64_t initrd_size;	 /* 0 = none */
	gpa_t initrd;		 /* filled by boot_place() */
	uint64_t mem;		 /* RAM in all */
};

/* Is this a kernel that can be started? Fills *k. Refusals (exit code 1) name file, field, remedy.
 */
int boot_check(const uint8_t *bytes, size_t size, const char *name, struct boot_kernel *k,
	       struct error *err);
/* Do kernel, initrd and command line fit into the RAM? Fills plan->initrd. */
int boot_place(struct boot_plan *plan, struct error *err);
/* The start state: where the entry is, and where boot_load() puts what it needs. */
void boot_entry(const struct boot_kernel *k, struct machine_pc *pc);
/* Copies the kernel and writes boot_params, memory map, command line, page tables and GDT. `low` is
 * the RAM below PC_HOLE_START, all zero; boot_place() has passed. */
void boot_load(const struct boot_plan *plan, uint8_t *low);

#endif
