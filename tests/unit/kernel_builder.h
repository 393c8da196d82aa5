/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds a small Linux kernel image in memory: an ELF with text, thunks, sites, kallsyms
 * in the order of a chosen version, BTF and the patch tables. Valid as it comes, with
 * every field open to be broken before kb_build(); one segment, offsets from KB_BASE:
 *
 *   +0x00000  text, see kb_text()
 *   +0x01000  tables of the kernel, banner, notes, BTF
 *   +0x03000  init text, then .retpoline_sites and __mcount_loc
 *   +0x06000  kallsyms
 */
#ifndef HOTRAIL_TESTS_KERNEL_BUILDER_H
#define HOTRAIL_TESTS_KERNEL_BUILDER_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KB_BASE	     0xffffffff81000000ull
#define KB_IMAGE     0x40000u
#define KB_OFFSET    0x1000u /* of the image in the file */
#define KB_FILE	     (KB_OFFSET + KB_IMAGE + 0x1000u)
#define KB_SYMBOLS   900
#define KB_FILLER    600 /* symbols that only make the tables longer than two markers */
#define KB_LONG_NAME 200 /* more than 127 tokens: a length of two bytes */

enum kb_layout {
	KB_6_1,	     /* offsets, base, count, names, markers, tokens */
	KB_6_1_SEQS, /* the same, with seqs_of_names: 6.1.60 and later */
	KB_6_12,     /* count, names, markers, tokens, offsets, base, seqs */
	KB_LAYOUTS
};

/* Offsets in the text. Sites are named by what should become of them. */
enum {
	KB_THUNK_RAX = 0x40,
	KB_THUNK_R11 = 0x60,
	KB_VFS_READ = 0x100, /* traced */
	KB_SITE_CALL = 0x110,
	KB_SITE_PREFIX = 0x118,
	KB_SITE_JUMP = 0x120,
	KB_ASM = 0x140, /* neither traced nor known to BTF */
	KB_SITE_ASM = 0x148,
	KB_UNTRACED = 0x180, /* C by its prototype */
	KB_SITE_UNTRACED = 0x188,
	KB_COLD = 0x1a0, /* C by its name */
	KB_SITE_COLD = 0x1a8,
	KB_VOID = 0x1c0, /* in BTF, but as an assembler would say it */
	KB_SITE_VOID = 0x1c8,
	KB_ENTRY = 0x200,
	KB_SITE_ENTRY = 0x210,
	KB_NOINSTR = 0x240,
	KB_SITE_NOINSTR = 0x250,
	KB_KPROBES = 0x280,
	KB_SITE_KPROBES = 0x290,
	KB_BLACKLISTED = 0x2c0, /* traced */
	KB_SITE_BLACKLISTED = 0x2d0,
	KB_PATCHED = 0x300, /* traced; its instructions stand in the patch tables */
	KB_SITE_ALTERNATIVE = 0x310,
	KB_SITE_JUMP_LABEL = 0x318,
	KB_SITE_STATIC_CALL = 0x320,
	KB_SITE_EXTABLE = 0x328,
	KB_SITE_PARAVIRT = 0x330,
	KB_SITE_LAST = 0x338, /* free */
	KB_ODD_JCC = 0x340,
	KB_ODD_CALL = 0x348,
	KB_TRAMPOLINES = 0x380,
	KB_TEXT_END = 0x400,
	KB_TABLES = 0x1000,
	KB_INIT = 0x3000,
	KB_SITE_INIT = 0x3010,
	KB_INIT_END = 0x6000,
	KB_KALLSYMS = 0x6000,
};

struct kb_symbol {
	uint64_t addr;
	char type;
	char name[KB_LONG_NAME + 8];
};

struct kernel_builder {
	/* What to build: kb_init() sets these. */
	enum kb_layout layout;
	bool percpu; /* CONFIG_KALLSYMS_ABSOLUTE_PERCPU */
	bool old_alternatives;
	uint64_t slide; /* as in a guest's memory after KASLR */
	const char *banner;
	uint32_t lie_count;	 /* added to num_syms */
	uint32_t lie_marker;	 /* added to the second marker */
	int32_t lie_offset;	 /* added to the last symbol's offset */
	const char *hide;	 /* a symbol to leave out */
	const char *hide_prefix; /* all symbols that begin so */
	bool no_sections;
	/* Made by kb_build(). */
	struct kb_symbol symbols[KB_SYMBOLS];
	unsigned count;
	uint8_t image[KB_IMAGE];
	uint32_t at; /* where the next table goes */
	size_t kallsyms_count_at, token_table_at;
	uint8_t file[KB_FILE];
	size_t size;
};

static inline void kb_init(struct kernel_builder *b, enum kb_layout layout)
{
	memset(b, 0, sizeof(*b));
	b->layout = layout;
	b->percpu = true;
	b->old_alternatives = layout != KB_6_12;
	b->banner = layout == KB_6_12 ? "Linux version 6.12.9-test (a@b) #1 SMP\n"
				      : "Linux version 6.1.0-9-test (a@b) #1 SMP\n";
}

static inline void kb_put32(struct kernel_builder *b, uint32_t at, uint32_t v)
{
	memcpy(b->image + at, &v, sizeof(v));
}

static inline void kb_put64(struct kernel_builder *b, uint32_t at, uint64_t v)
{
	memcpy(b->image + at, &v, sizeof(v));
}

static inline void kb_symbol_at(struct kernel_builder *b, uint64_t addr, char type,
				const char *name)
{
	struct kb_symbol *s;

	if ((b->hide && !strcmp(b->hide, name)) ||
	    (b->hide_prefix && !strncmp(b->hide_prefix, name, strlen(b->hide_prefix))))
		return;
	s = &b->symbols[b->count++];
	s->addr = addr;
	s->type = type;
	snprintf(s->name, sizeof(s->name), "%s", name);
}

static inline void kb_symbol(struct kernel_builder *b, uint32_t at, char type, const char *name)
{
	kb_symbol_at(b, KB_BASE + at, type, name);
}

/* A branch with an opcode of any bytes to another offset. */
static inline void kb_branch(struct kernel_builder *b, uint32_t at, const char *opcode, uint32_t to)
{
	uint32_t n = (uint32_t)strlen(opcode);

	memcpy(b->image + at, opcode, n);
	kb_put32(b, at + n, to - (at + n + 4));
}

static const uint32_t kb_sites[] = {
	/* Out of order: the parser sorts. */
	KB_SITE_PREFIX,	    KB_SITE_CALL,	 KB_SITE_JUMP,	      KB_SITE_ASM,
	KB_SITE_UNTRACED,   KB_SITE_COLD,	 KB_SITE_VOID,	      KB_SITE_ENTRY,
	KB_SITE_NOINSTR,    KB_SITE_KPROBES,	 KB_SITE_BLACKLISTED, KB_SITE_ALTERNATIVE,
	KB_SITE_JUMP_LABEL, KB_SITE_STATIC_CALL, KB_SITE_EXTABLE,     KB_SITE_PARAVIRT,
	KB_SITE_LAST,	    KB_SITE_INIT,	 KB_ODD_JCC,	      KB_ODD_CALL,
};

#define KB_ENTRIES (sizeof(kb_sites) / sizeof(kb_sites[0]))
#define KB_ODD	   2

static inline void kb_text(struct kernel_builder *b)
{
	unsigned i;

	memset(b->image, 0x90, KB_TEXT_END);
	memset(b->image + KB_INIT, 0x90, 0x100);
	for (i = 0; i < KB_ENTRIES; i++)
		kb_branch(b, kb_sites[i], "\xe8", KB_THUNK_RAX);
	kb_branch(b, KB_SITE_PREFIX, "\x2e\xe8", KB_THUNK_R11);
	kb_branch(b, KB_SITE_JUMP, "\xe9", KB_THUNK_RAX);
	kb_branch(b, KB_ODD_JCC, "\x0f\x84", KB_THUNK_RAX);
	kb_branch(b, KB_ODD_CALL, "\xe8", KB_VFS_READ);
}

static inline void kb_text_symbols(struct kernel_builder *b)
{
	if (b->percpu)
		kb_symbol_at(b, 0x1000, 'A', "fixed_percpu_data");
	kb_symbol(b, 0, 'T', "_text");
	kb_symbol(b, 0, 'T', "_stext");
	kb_symbol(b, KB_THUNK_RAX, 'T', "__x86_indirect_thunk_rax");
	kb_symbol(b, KB_THUNK_R11, 'T', "__x86_indirect_thunk_r11");
	kb_symbol(b, KB_VFS_READ - 16, 't', "__pfx_vfs_read");
	kb_symbol(b, KB_VFS_READ, 'T', "vfs_read");
	kb_symbol(b, KB_ASM, 'T', "asm_function");
	kb_symbol(b, KB_UNTRACED, 'T', "untraced");
	kb_symbol(b, KB_COLD, 't', "vfs_read.cold");
	kb_symbol(b, KB_VOID, 'T', "asm_in_btf");
	kb_symbol(b, KB_ENTRY, 'T', "__entry_text_start");
	kb_symbol(b, KB_ENTRY, 'T', "entry_SYSCALL_64");
	kb_symbol(b, KB_NOINSTR, 'T', "__entry_text_end");
	kb_symbol(b, KB_NOINSTR, 'T', "__noinstr_text_start");
	kb_symbol(b, KB_NOINSTR, 't', "quiet");
	kb_symbol(b, KB_KPROBES, 'T', "__noinstr_text_end");
	kb_symbol(b, KB_KPROBES, 'T', "__kprobes_text_start");
	kb_symbol(b, KB_BLACKLISTED, 'T', "__kprobes_text_end");
	kb_symbol(b, KB_BLACKLISTED, 't', "blacklisted");
	kb_symbol(b, KB_PATCHED, 't', "patched");
	kb_symbol(b, KB_TRAMPOLINES, 'T', "__static_call_text_start");
	kb_symbol(b, KB_TEXT_END, 'T', "__static_call_text_end");
	kb_symbol(b, KB_TEXT_END, 'T', "_etext");
}

/* Open a table: its first symbol; kb_close() makes the last. */
static inline uint32_t kb_open(struct kernel_builder *b, const char *name)
{
	b->at = (b->at + 7) & ~7u;
	kb_symbol(b, b->at, 'R', name);
	return b->at;
}

static inline void kb_close(struct kernel_builder *b, uint32_t size, const char *name)
{
	b->at += size;
	kb_symbol(b, b->at, 'R', name);
}

static inline void kb_distance(struct kernel_builder *b, uint32_t at, uint32_t to)
{
	kb_put32(b, at, to - at);
}

static inline void kb_patch_tables(struct kernel_builder *b)
{
	uint32_t at, entry = b->old_alternatives ? 12 : 14;

	at = kb_open(b, "__start___ex_table");
	kb_distance(b, at, KB_SITE_EXTABLE);
	kb_close(b, 12, "__stop___ex_table");
	at = kb_open(b, "__alt_instructions");
	kb_distance(b, at, KB_SITE_ALTERNATIVE);
	kb_distance(b, at + 4, KB_TRAMPOLINES);
	b->image[at + entry - 2] = 5;
	b->image[at + entry - 1] = 3;
	kb_close(b, entry, "__alt_instructions_end");
	at = kb_open(b, "__parainstructions");
	kb_put64(b, at, KB_BASE + KB_SITE_PARAVIRT + b->slide);
	b->image[at + 9] = 5;
	kb_close(b, 16, "__parainstructions_end");
	at = kb_open(b, "__start___jump_table");
	kb_distance(b, at, KB_SITE_JUMP_LABEL);
	kb_close(b, 16, "__stop___jump_table");
	at = kb_open(b, "__start_static_call_sites");
	kb_distance(b, at, KB_SITE_STATIC_CALL);
	kb_close(b, 8, "__stop_static_call_sites");
	at = kb_open(b, "__start_kprobe_blacklist");
	kb_put64(b, at, KB_BASE + KB_BLACKLISTED + b->slide);
	kb_close(b, 8, "__stop_kprobe_blacklist");
}

/* FUNC untraced(int) and FUNC asm_in_btf(void), with an int and two prototypes. */
static inline void kb_btf(struct kernel_builder *b)
{
	static const char strings[] = "\0int\0untraced\0asm_in_btf";
	static const uint32_t types[] = {
		1,  1u << 24,	   4, 32,    /* 1: int */
		0,  13u << 24 | 1, 0, 0,  1, /* 2: void (*)(int) */
		0,  13u << 24,	   0,	     /* 3: void (*)(void) */
		5,  12u << 24,	   2,	     /* 4 */
		14, 12u << 24,	   3,	     /* 5 */
	};
	uint32_t at = kb_open(b, "__start_BTF");

	kb_put32(b, at, 0xeb9f | 1u << 16);
	kb_put32(b, at + 4, 24);
	kb_put32(b, at + 12, sizeof(types));
	kb_put32(b, at + 16, sizeof(types));
	kb_put32(b, at + 20, sizeof(strings));
	memcpy(b->image + at + 24, types, sizeof(types));
	memcpy(b->image + at + 24 + sizeof(types), strings, sizeof(strings));
	kb_close(b, 24 + sizeof(types) + sizeof(strings), "__stop_BTF");
}

static inline void kb_data(struct kernel_builder *b)
{
	uint32_t at, i;

	b->at = KB_TABLES;
	at = kb_open(b, "linux_banner");
	memcpy(b->image + at, b->banner, strlen(b->banner) + 1);
	b->at += 64;
	at = kb_open(b, "__start_notes");
	memcpy(b->image + at, "\4\0\0\0\24\0\0\0\3\0\0\0GNU", 16);
	for (i = 0; i < 20; i++)
		b->image[at + 16 + i] = (uint8_t)(0xa0 + i);
	kb_close(b, 36, "__stop_notes");
	kb_patch_tables(b);
	kb_btf(b);
}

static inline void kb_init_part(struct kernel_builder *b)
{
	static const uint32_t traced[] = {KB_VFS_READ + 4, KB_BLACKLISTED, KB_PATCHED};
	uint32_t at, i;

	kb_symbol(b, KB_INIT, 'T', "__init_begin");
	kb_symbol(b, KB_INIT, 'T', "_sinittext");
	b->at = KB_INIT + 0x100;
	at = kb_open(b, "__retpoline_sites");
	for (i = 0; i < KB_ENTRIES; i++)
		kb_distance(b, at + 4 * i, kb_sites[i]);
	kb_close(b, 4 * KB_ENTRIES, "__retpoline_sites_end");
	at = kb_open(b, "__start_mcount_loc");
	for (i = 0; i < 3; i++)
		kb_put64(b, at + 8 * i, KB_BASE + traced[i] + b->slide);
	kb_close(b, 24, "__stop_mcount_loc");
	kb_symbol(b, KB_INIT_END, 'T', "__init_end");
}

static inline void kb_tail_symbols(struct kernel_builder *b)
{
	char name[KB_LONG_NAME + 1];
	unsigned i;

	for (i = 0; i < KB_FILLER; i++) {
		snprintf(name, sizeof(name), "filler__%u", i);
		kb_symbol(b, KB_IMAGE - 0x1000 + i, 'd', name);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	kb_symbol(b, KB_IMAGE - 8, 'd', name);
	kb_symbol(b, KB_IMAGE - 8, 'D', "init_top_pgt");
	kb_symbol(b, KB_IMAGE, 'B', "_end");
}

/*
 * Tokens: a printable character stands for itself, 1 for "__" and 2 for "filler"; the
 * others are never used but have a text, as in a real kernel.
 */
static inline void kb_tokens(struct kernel_builder *b)
{
	uint32_t i, len, index[256], from;

	b->token_table_at = from = b->at;
	for (i = 0; i < 256; i++) {
		char text[16];

		if (i > ' ' && i <= '~')
			snprintf(text, sizeof(text), "%c", (int)i);
		else
			snprintf(text, sizeof(text), "%s",
				 i == 1	  ? "__"
				 : i == 2 ? "filler"
					  : "un");
		len = (uint32_t)strlen(text) + 1;
		memcpy(b->image + b->at, text, len);
		index[i] = b->at - from;
		b->at += len;
	}
	b->at = (b->at + 7) & ~7u;
	for (i = 0; i < 256; i++, b->at += 2)
		memcpy(b->image + b->at, &index[i], 2);
}

static inline void kb_offsets(struct kernel_builder *b)
{
	unsigned i;

	for (i = 0; i < b->count; i++, b->at += 4) {
		uint64_t addr = b->symbols[i].addr;
		uint32_t offset = (uint32_t)(addr - KB_BASE);

		if (b->percpu)
			offset = addr < KB_BASE ? (uint32_t)addr : ~offset;
		if (i + 1 == b->count)
			offset += (uint32_t)b->lie_offset;
		kb_put32(b, b->at, offset);
	}
	b->at = (b->at + 7) & ~7u;
	kb_put64(b, b->at, KB_BASE + b->slide);
	b->at += 8;
}

static inline void kb_name(struct kernel_builder *b, const struct kb_symbol *s)
{
	uint8_t out[KB_LONG_NAME + 8];
	unsigned n = 0;
	const char *p = s->name;

	out[n++] = (uint8_t)s->type;
	while (*p) {
		unsigned step = !strncmp(p, "__", 2) ? 2 : !strncmp(p, "filler", 6) ? 6 : 1;

		out[n++] = (uint8_t)(step == 2 ? 1 : step == 6 ? 2 : *p);
		p += step;
	}
	if (n >= 0x80) {
		b->image[b->at++] = (uint8_t)(n | 0x80);
		b->image[b->at++] = (uint8_t)(n >> 7);
	} else {
		b->image[b->at++] = (uint8_t)n;
	}
	memcpy(b->image + b->at, out, n);
	b->at += n;
}

static inline void kb_names(struct kernel_builder *b)
{
	uint32_t markers[(KB_SYMBOLS + 255) / 256] = {0}, from, i;

	b->kallsyms_count_at = b->at;
	kb_put64(b, b->at, b->count + b->lie_count);
	b->at += 8;
	for (from = b->at, i = 0; i < b->count; i++) {
		if (i % 256 == 0)
			markers[i / 256] = b->at - from;
		kb_name(b, &b->symbols[i]);
	}
	markers[1] += b->lie_marker;
	b->at = (b->at + 7) & ~7u;
	for (i = 0; i < (b->count + 255) / 256; i++, b->at += 4)
		kb_put32(b, b->at, markers[i]);
	b->at = (b->at + 7) & ~7u;
}

static inline void kb_kallsyms(struct kernel_builder *b)
{
	b->at = KB_KALLSYMS;
	if (b->layout != KB_6_12)
		kb_offsets(b);
	kb_names(b);
	if (b->layout == KB_6_1_SEQS)
		b->at = (b->at + 3 * b->count + 7) & ~7u;
	kb_tokens(b);
	if (b->layout == KB_6_12)
		kb_offsets(b);
}

static inline void kb_elf(struct kernel_builder *b)
{
	static const char names[] = "\0.shstrtab";
	Elf64_Ehdr eh = {.e_type = ET_EXEC,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_phoff = sizeof(eh),
			 .e_ehsize = sizeof(eh),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 1,
			 .e_shoff = KB_OFFSET + KB_IMAGE,
			 .e_shentsize = sizeof(Elf64_Shdr),
			 .e_shnum = b->no_sections ? 0 : 2,
			 .e_shstrndx = b->no_sections ? 0 : 1};
	Elf64_Phdr ph = {.p_type = PT_LOAD,
			 .p_flags = PF_R | PF_W | PF_X,
			 .p_offset = KB_OFFSET,
			 .p_vaddr = KB_BASE,
			 .p_filesz = KB_IMAGE,
			 .p_memsz = KB_IMAGE};
	Elf64_Shdr sh[2] = {{0}, {.sh_name = 1, .sh_type = SHT_STRTAB, .sh_size = sizeof(names)}};

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	sh[1].sh_offset = KB_OFFSET + KB_IMAGE + sizeof(sh);
	memcpy(b->file, &eh, sizeof(eh));
	memcpy(b->file + sizeof(eh), &ph, sizeof(ph));
	memcpy(b->file + KB_OFFSET, b->image, KB_IMAGE);
	memcpy(b->file + eh.e_shoff, sh, sizeof(sh));
	memcpy(b->file + sh[1].sh_offset, names, sizeof(names));
	b->size = b->no_sections ? KB_OFFSET + KB_IMAGE : sh[1].sh_offset + sizeof(names);
}

static inline void kb_build(struct kernel_builder *b)
{
	kb_text(b);
	kb_text_symbols(b);
	kb_data(b);
	kb_init_part(b);
	kb_tail_symbols(b);
	kb_kallsyms(b);
	kb_elf(b);
}

#endif
