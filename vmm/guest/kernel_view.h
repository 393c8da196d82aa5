/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parser's view of an unpacked vmlinux, private to kernel_*.c: bytes by link
 * address, sections by name, and how each step refuses. Nothing in the file is
 * trusted: every pointer handed out here covers the whole length asked for.
 */
#ifndef HOTRAIL_GUEST_KERNEL_VIEW_H
#define HOTRAIL_GUEST_KERNEL_VIEW_H

#include <string.h>

#include "guest/kernel.h"

#define KERNEL_MAX_SEGMENTS 16
#define KERNEL_MAX_SECTIONS 512

/* Versions whose tables are known: 6.1 and 6.12 are what Debian ships; what changed
 * between them (kallsyms order in 6.4, struct alt_instr in 6.3) is told by structure. */
#define KERNEL_OLDEST_MAJOR 6
#define KERNEL_OLDEST_MINOR 1
#define KERNEL_NEWEST_MAJOR 6
#define KERNEL_NEWEST_MINOR 12

struct kernel_segment {
	gva_t addr;
	const uint8_t *bytes;
	uint64_t size; /* bytes in the file; what lies beyond is zero and not handed out */
	bool exec;
};

/* A stretch of the image with its bytes. */
struct kernel_span {
	gva_t addr;
	uint64_t size;
	const uint8_t *bytes;
};

struct kernel_view {
	const uint8_t *file;
	size_t size;
	const char *name;
	struct error *err;
	struct kernel_segment load[KERNEL_MAX_SEGMENTS];
	unsigned loads;
	const uint8_t *sections; /* Elf64_Shdr, not aligned; NULL in a memory image */
	unsigned sections_count;
	const char *section_names; /* NUL-terminated as a whole */
	size_t section_names_size;
	uint64_t slide; /* a memory image holds pointers moved by this; 0 for a file */
};

static inline uint16_t kernel_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t kernel_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t kernel_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* "bytes[at] holds a signed 32-bit distance from itself", the kernel's usual table entry. */
static inline gva_t kernel_relative(const struct kernel_span *s, uint64_t at)
{
	return s->addr + at + (gva_t)(int64_t)(int32_t)kernel_u32(s->bytes + at);
}

/* Broken file; a form this parser does not know; neither leaves anything behind. */
int kernel_broken(const struct kernel_view *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int kernel_unknown(const struct kernel_view *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int kernel_no_memory(const struct kernel_view *v, const char *what);

/* kernel_elf.c. View of an ELF; v->name and v->err are the caller's. */
int kernel_view_init(struct kernel_view *v, const uint8_t *elf, size_t size, const char *name,
		     struct error *err);
/* len > 0 bytes at a link address, or NULL. */
const uint8_t *kernel_view_bytes(const struct kernel_view *v, gva_t addr, uint64_t len);
/* Is addr in a segment that may be executed? */
bool kernel_view_exec(const struct kernel_view *v, gva_t addr);
/* False if there is no such section or it has no bytes. */
bool kernel_view_section(const struct kernel_view *v, const char *name, struct kernel_span *out);
/* The GNU build id into k; none is no error. */
void kernel_view_build_id(const struct kernel_view *v, struct kernel *k);

/* kernel_kallsyms.c: fills symbols and names; addresses as the tables say. */
int kernel_read_kallsyms(const struct kernel_view *v, struct kernel *k);
/* kernel_names.c: does it name the bytes of padding before a function (since 6.2)? */
bool kernel_names_padding(const char *name);
/* kernel_tokens.c */
struct kernel_tokens {
	const uint8_t *table; /* 256 NUL-terminated strings */
	size_t table_at, index_at;
	const char *text[256];
	uint16_t len[256];
};
/* Next token table and index in bytes[from..len), or false. t->index_at + 1 is where to go on. */
bool kernel_find_tokens(const uint8_t *bytes, size_t len, size_t from, struct kernel_tokens *t);

/* kernel_btf.c: names of functions that are certainly written in C. */
struct kernel_c_functions {
	const char *strings;
	uint32_t *slots; /* open addressing; offsets into strings, 0 = empty; malloc'ed */
	uint32_t mask;
};
int kernel_read_c_functions(const struct kernel_view *v, const struct kernel *k,
			    struct kernel_c_functions *c);
bool kernel_is_c_function(const struct kernel_c_functions *c, const char *name);

/* kernel_sites.c: thunks and sites; needs symbols. */
int kernel_read_sites(const struct kernel_view *v, struct kernel *k);
/* kernel_ranges.c: needs symbols and sites. */
int kernel_read_ranges(const struct kernel_view *v, struct kernel *k);
/* kernel_tables.c: one range an entry of the patching tables. */
struct kernel_range_list {
	struct kernel_range *ranges;
	size_t count, capacity;
};
int kernel_range_add(struct kernel_range_list *l, gva_t start, uint64_t len,
		     enum kernel_range_kind kind);
int kernel_read_tables(const struct kernel_view *v, const struct kernel *k,
		       struct kernel_range_list *l);
/* The bytes between two symbols, else a section. 1 = found, 0 = empty or absent, negative: lies. */
int kernel_table(const struct kernel_view *v, const struct kernel *k, const char *from,
		 const char *to, const char *section, struct kernel_span *out);

#endif
