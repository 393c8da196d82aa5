/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds a small guest image in memory: valid as it comes, with every field open to
 * be broken by a test before elf_build(). Layout of the address space, from `base`:
 *
 *   +0x000000 R X  text: entry, thunks of rax and r11, functions with sites
 *   +0x200000 R    sites table
 *   +0x400000 RW   stats, then stacks
 *   +0x600000 R    control
 *   +0x800000 R X  arena code
 *   +0xa00000 RW   arena data
 */
#ifndef HOTRAIL_TESTS_ELF_BUILDER_H
#define HOTRAIL_TESTS_ELF_BUILDER_H

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include <hotrail/yard.h>

#define EB_VCPUS      2
#define EB_STACK      0x2000ull
#define EB_ARENA      0x4000ull
#define EB_TEXT_BYTES 0x200
#define EB_THUNK_RAX  0x20
#define EB_THUNK_R11  0x40
#define EB_SITES      4
#define EB_PAIRS      2
#define EB_SYMBOLS    6
#define EB_FILE_MAX   8192

enum {
	EB_SEG_TEXT,
	EB_SEG_RODATA,
	EB_SEG_DATA,
	EB_SEG_CONTROL,
	EB_SEG_ARENA_CODE,
	EB_SEG_ARENA_DATA,
	EB_SEGMENTS
};
enum {
	EB_SEC_NULL,
	EB_SEC_HEADER,
	EB_SEC_NOTE,
	EB_SEC_SYMTAB,
	EB_SEC_STRTAB,
	EB_SEC_NAMES,
	EB_SECTIONS
};

struct elf_builder {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[EB_SEGMENTS];
	Elf64_Shdr sh[EB_SECTIONS];
	struct hotrail_image_header header;
	uint8_t text[EB_TEXT_BYTES];
	struct { /* the read-only segment */
		uint32_t sites[EB_SITES];
		struct hotrail_pair pairs[EB_PAIRS];
	};
	struct {
		Elf64_Nhdr nh;
		char name[4];
		uint8_t id[20];
	} note;
	Elf64_Sym symbols[EB_SYMBOLS];
	char strings[64], names[64];
	uint8_t file[EB_FILE_MAX];
	size_t size;
};

static inline void eb_rel32(struct elf_builder *b, unsigned at, const char *opcode, unsigned to)
{
	size_t n = strlen(opcode);
	int32_t rel = (int32_t)(to - (at + n + 4));

	memcpy(b->text + at, opcode, n);
	memcpy(b->text + at + n, &rel, sizeof(rel));
}

static inline void eb_thunk(struct elf_builder *b, unsigned at, const char *store)
{
	static const uint8_t trap[] = {0xe8, 7, 0, 0, 0, 0xf3, 0x90, 0x0f, 0xae, 0xe8, 0xeb, 0xf9};

	memcpy(b->text + at, trap, sizeof(trap));
	memcpy(b->text + at + sizeof(trap), store, 4);
	b->text[at + sizeof(trap) + 4] = 0xc3;
}

static inline void eb_text(struct elf_builder *b)
{
	memset(b->text, 0xcc, sizeof(b->text));
	memcpy(b->text, "\xeb\xfe", 2); /* entry: jmp . */
	eb_thunk(b, EB_THUNK_RAX, "\x48\x89\x04\x24");
	eb_thunk(b, EB_THUNK_R11, "\x4c\x89\x1c\x24");
	eb_rel32(b, 0x80, "\xe8", EB_THUNK_RAX);
	eb_rel32(b, 0x85, "\x2e\xe8", EB_THUNK_R11);
	b->text[0x8b] = 0xc3;
	eb_rel32(b, 0xa0, "\xe8", 0x80); /* an ordinary call */
	eb_rel32(b, 0xa5, "\xe9", EB_THUNK_RAX);
	eb_rel32(b, 0x1f0, "\x2e\xe9", EB_THUNK_R11);
	eb_rel32(b, 0xb0, "\xe9", 0xd0); /* a pair: bypass, target, slow way */
	memcpy(b->text + 0xb8, "\x0f\x1f\x44\x00\x00", 5);
	b->text[0xd0] = 0xc3;
	eb_rel32(b, 0xe0, "\xe9", 0xd0); /* a single slot */
	memcpy(b->sites, (uint32_t[]){0x80, 0x85, 0xa5, 0x1f0}, sizeof(b->sites));
}

static inline void eb_header(struct elf_builder *b, gva_t base, bool retpoline)
{
	b->header = (struct hotrail_image_header){
		.magic = HOTRAIL_IMAGE_MAGIC,
		.abi = HOTRAIL_IMAGE_ABI,
		.size = sizeof(b->header),
		.kind = retpoline ? HOTRAIL_KIND_RETPOLINE : HOTRAIL_KIND_PLAIN,
		.max_vcpus = EB_VCPUS,
		.text_start = base,
		.text_end = base + EB_TEXT_BYTES,
		.arena_code = base + 0x800000,
		.arena_code_size = EB_ARENA,
		.arena_data = base + 0xa00000,
		.arena_data_size = EB_ARENA,
		.control = base + 0x600000,
		.stats = base + 0x400000,
		.stacks = base + 0x400000 + EB_VCPUS * sizeof(struct yard_stats),
		.stack_size = EB_STACK,
		.sites = base + 0x200000,
		.sites_count = retpoline ? EB_SITES : 0,
		.pairs = base + 0x200000 + sizeof(b->sites),
		.pairs_count = EB_PAIRS,
	};
	b->pairs[0] = (struct hotrail_pair){base + 0xb0, base + 0xb8, base + 0xd0, base + 0x80,
					    base + 0xa0};
	b->pairs[1] = (struct hotrail_pair){0, base + 0xe0, base + 0xd0, base + 0x80, base + 0xa0};
	if (retpoline) {
		b->header.thunks[HOTRAIL_RAX] = base + EB_THUNK_RAX;
		b->header.thunks[HOTRAIL_R11] = base + EB_THUNK_R11;
	}
}

static inline void eb_symbol(struct elf_builder *b, unsigned n, unsigned name, gva_t addr,
			     uint64_t size, unsigned type)
{
	b->symbols[n] = (Elf64_Sym){.st_name = name,
				    .st_info = ELF64_ST_INFO(STB_GLOBAL, type),
				    .st_shndx = 1,
				    .st_value = addr,
				    .st_size = size};
}

static inline void eb_symbols(struct elf_builder *b, gva_t base)
{
	static const char strings[] = "\0entry\0worker\0tail\0object\0thunk";

	memcpy(b->strings, strings, sizeof(strings));
	eb_symbol(b, 1, 14, base + 0xa0, 0, STT_FUNC); /* tail: no size */
	eb_symbol(b, 2, 1, base, 2, STT_FUNC);
	eb_symbol(b, 3, 19, base + 0x400000, 8, STT_OBJECT);
	eb_symbol(b, 4, 7, base + 0x80, 12, STT_FUNC); /* worker */
	eb_symbol(b, 5, 26, base + EB_THUNK_RAX, 17, STT_FUNC);
}

static inline void eb_segment(struct elf_builder *b, unsigned n, gva_t at, uint64_t size,
			      unsigned f)
{
	b->ph[n] = (Elf64_Phdr){.p_type = PT_LOAD,
				.p_flags = f,
				.p_vaddr = at,
				.p_paddr = at,
				.p_memsz = size,
				.p_align = 4096};
}

/* Everything but file offsets, which elf_build() would overwrite: see elf_place(). */
static inline void elf_init(struct elf_builder *b, gva_t base, bool retpoline)
{
	static const char names[] = "\0" HOTRAIL_SECTION "\0.note.gnu.build-id\0.symtab\0.strtab";
	unsigned n;

	memset(b, 0, sizeof(*b));
	memcpy(b->eh.e_ident, ELFMAG, SELFMAG);
	b->eh.e_ident[EI_CLASS] = ELFCLASS64;
	b->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	b->eh.e_ident[EI_VERSION] = b->eh.e_version = EV_CURRENT;
	b->eh.e_type = ET_EXEC;
	b->eh.e_machine = EM_X86_64;
	b->eh.e_entry = base;
	b->eh.e_ehsize = sizeof(b->eh);
	b->eh.e_phentsize = sizeof(b->ph[0]);
	b->eh.e_phnum = EB_SEGMENTS;
	b->eh.e_shentsize = sizeof(b->sh[0]);
	b->eh.e_shnum = EB_SECTIONS;
	b->eh.e_shstrndx = EB_SEC_NAMES;
	eb_text(b);
	eb_header(b, base, retpoline);
	eb_symbols(b, base);
	b->note.nh = (Elf64_Nhdr){4, sizeof(b->note.id), NT_GNU_BUILD_ID};
	memcpy(b->note.name, "GNU", 4);
	for (n = 0; n < sizeof(b->note.id); n++)
		b->note.id[n] = 0xa0 + n;
	memcpy(b->names, names, sizeof(names));
	eb_segment(b, EB_SEG_TEXT, base, sizeof(b->text), PF_R | PF_X);
	eb_segment(b, EB_SEG_RODATA, base + 0x200000, sizeof(b->sites) + sizeof(b->pairs), PF_R);
	eb_segment(b, EB_SEG_DATA, base + 0x400000,
		   EB_VCPUS * (sizeof(struct yard_stats) + EB_STACK), PF_R | PF_W);
	eb_segment(b, EB_SEG_CONTROL, base + 0x600000, 4096, PF_R);
	eb_segment(b, EB_SEG_ARENA_CODE, base + 0x800000, EB_ARENA, PF_R | PF_X);
	eb_segment(b, EB_SEG_ARENA_DATA, base + 0xa00000, EB_ARENA, PF_R | PF_W);
}

static inline uint64_t eb_put(struct elf_builder *b, const void *bytes, size_t n)
{
	uint64_t at = b->size;

	memcpy(b->file + at, bytes, n);
	b->size += (n + 15) & ~15ull;
	return at;
}

static inline void eb_section(struct elf_builder *b, unsigned n, unsigned name, unsigned type,
			      const void *bytes, size_t size)
{
	b->sh[n].sh_name = name;
	b->sh[n].sh_type = type;
	b->sh[n].sh_offset = eb_put(b, bytes, size);
	b->sh[n].sh_size = size;
	b->sh[n].sh_addralign = 1;
}

/* Contents go into the file, offsets into the headers. Headers broken after this stay broken. */
static inline void elf_place(struct elf_builder *b)
{
	b->size = sizeof(b->eh);
	b->eh.e_phoff = b->size;
	b->size += sizeof(b->ph);
	b->eh.e_shoff = b->size;
	b->size += sizeof(b->sh);
	b->ph[EB_SEG_TEXT].p_filesz = sizeof(b->text);
	b->ph[EB_SEG_TEXT].p_offset = eb_put(b, b->text, sizeof(b->text));
	b->ph[EB_SEG_RODATA].p_filesz = sizeof(b->sites) + sizeof(b->pairs);
	b->ph[EB_SEG_RODATA].p_offset = eb_put(b, b->sites, sizeof(b->sites) + sizeof(b->pairs));
	eb_section(b, EB_SEC_HEADER, 1, SHT_PROGBITS, &b->header, sizeof(b->header));
	eb_section(b, EB_SEC_NOTE, 10, SHT_NOTE, &b->note, sizeof(b->note));
	eb_section(b, EB_SEC_SYMTAB, 29, SHT_SYMTAB, b->symbols, sizeof(b->symbols));
	eb_section(b, EB_SEC_STRTAB, 37, SHT_STRTAB, b->strings, sizeof(b->strings));
	eb_section(b, EB_SEC_NAMES, 37, SHT_STRTAB, b->names, sizeof(b->names));
	b->sh[EB_SEC_SYMTAB].sh_entsize = sizeof(b->symbols[0]);
	b->sh[EB_SEC_SYMTAB].sh_link = EB_SEC_STRTAB;
}

/* The headers, as they are now, into the file. */
static inline void elf_finish(struct elf_builder *b)
{
	memcpy(b->file, &b->eh, sizeof(b->eh));
	memcpy(b->file + sizeof(b->eh), b->ph, sizeof(b->ph));
	memcpy(b->file + sizeof(b->eh) + sizeof(b->ph), b->sh, sizeof(b->sh));
}

#endif
