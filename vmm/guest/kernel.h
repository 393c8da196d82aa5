/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Linux x86-64 kernel image and what can be known from it without debug
 * information: the unpacked ELF, retpoline sites and thunks, symbols from the
 * kernel's own kallsyms tables, and the ranges that must never be patched.
 * All addresses are link-time addresses; the run-time offset (KASLR) is added by
 * the caller. Pure but for kernel_load(); a kernel is constant after parsing.
 *
 * The same parser reads a memory image (the ELF's loadable bytes as they lie in a
 * running guest), so that it can be tested on dumps.
 */
#ifndef HOTRAIL_GUEST_KERNEL_H
#define HOTRAIL_GUEST_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>
#include "guest/site.h"
#include "util/error.h"

#define KERNEL_MAX_UNPACKED (256u << 20) /* no distribution kernel comes near */
#define KERNEL_MAX_SYMBOLS  1000000
#define KERNEL_MAX_SITES    200000

#define KERNEL_NAME_BITS 25 /* 32 MiB of names; Linux 6.12 has 5 */

/* Tens of thousands of these stay in memory, so they are packed. */
struct kernel_symbol {
	int32_t addr; /* sign-extended: the image lies in the top 2 GiB, per-CPU offsets at 0 */
	uint32_t name : KERNEL_NAME_BITS; /* offset into kernel->names */
	uint32_t type : 7;		  /* nm(1) letter: t, T, d, ... */
};

static inline gva_t kernel_symbol_addr(const struct kernel_symbol *s)
{
	return (gva_t)(int64_t)s->addr;
}

/* Why a site is left alone; words by kernel_range_text(). */
enum kernel_range_kind {
	KERNEL_RANGE_INIT,	  /* .init.text: freed after boot */
	KERNEL_RANGE_ENTRY,	  /* .entry.text */
	KERNEL_RANGE_NOINSTR,	  /* .noinstr.text */
	KERNEL_RANGE_ALTERNATIVE, /* .altinstructions */
	KERNEL_RANGE_JUMP_LABEL,  /* __jump_table */
	KERNEL_RANGE_STATIC_CALL, /* .static_call_sites, static call trampolines */
	KERNEL_RANGE_FTRACE,	  /* __mcount_loc */
	KERNEL_RANGE_EXTABLE,	  /* __ex_table */
	KERNEL_RANGE_KPROBES,	  /* .kprobes.text and the blacklist */
	KERNEL_RANGE_ASSEMBLY,	  /* sites whose function has no usual start or end: hand-written */
	KERNEL_RANGES
};

struct kernel_range {
	gva_t start, end; /* [start, end) */
	enum kernel_range_kind kind;
};

struct kernel {
	uint8_t *elf; /* unpacked vmlinux */
	size_t elf_size;
	char release[128]; /* "6.1.0-38-cloud-amd64", from linux_banner / init_uts_ns / bzImage
			      header */
	unsigned major, minor;
	uint8_t build_id[20];
	unsigned build_id_len;
	gva_t text_start, text_end; /* _text.._etext (core kernel text) */
	gva_t init_start, init_end; /* __init_begin..__init_end, 0 if unknown */
	gva_t image_end;	    /* _end: where free page-directory slots may begin */
	gva_t thunks[HOTRAIL_REGS]; /* __x86_indirect_thunk_<reg> */
	struct site_table sites;    /* from .retpoline_sites; bytes as in the image */
	size_t sites_odd; /* entries that are neither call nor jmp rel32 to a thunk (jcc, inline):
			     left alone */
	struct kernel_symbol *symbols; /* ascending by addr */
	size_t symbols_count;
	char *names;
	struct kernel_range *ranges; /* ascending by start */
	size_t ranges_count;
};

/* Path of a bzImage or vmlinux. Refusals name file, field and remedy: no kernel, truncated, unknown
 * compression, unknown kallsyms layout (kernel newer or older than known), absurd counts. */
int kernel_load(const char *path, struct kernel **out, struct error *err);
int kernel_parse(const uint8_t *bytes, size_t size, const char *name, struct kernel **out,
		 struct error *err);
void kernel_free(struct kernel *k);
/* Give back the unpacked ELF (50 MiB and more) once its bytes are no longer needed; all else
 * stays. */
void kernel_drop_elf(struct kernel *k);
/*
 * Keep only what a guest made of this kernel goes on asking for: functions of the core text, the
 * thunks, the ranges that touch a site. ELF, site table and all other symbols go, so
 * kernel_lookup() knows functions only and no further guest can be made of it.
 */
void kernel_shrink(struct kernel *k);

/* bzImage -> unpacked ELF (lz4, gzip, xz, zstd, lzma, bzip2 through their libraries; output
 * bounded). Malloc'ed. */
int kernel_unpack(const uint8_t *bytes, size_t size, const char *name, uint8_t **elf,
		  size_t *elf_size, struct error *err);

/* Link address of a symbol, 0 if unknown. */
gva_t kernel_lookup(const struct kernel *k, const char *name);
/* Symbol that covers a link address: name and offset; NULL outside text/symbols. */
const char *kernel_symbol_at(const struct kernel *k, gva_t addr, uint64_t *offset);
/* Is addr the start of a function in core text? */
bool kernel_is_function(const struct kernel *k, gva_t addr);
/* First protected range that overlaps [addr, addr+len), or NULL. */
const struct kernel_range *kernel_protected(const struct kernel *k, gva_t addr, uint64_t len);
const char *kernel_range_text(enum kernel_range_kind kind);
/* Coarse subsystem of a function by its name ("vfs", "ext4", "net", "mm", "sched", ...), "kernel"
 * if unsure. */
const char *kernel_subsystem(const char *function);

#endif
