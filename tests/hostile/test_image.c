// SPDX-License-Identifier: GPL-2.0-only
/* Truncated images, flipped bytes, and lies in what every ELF file has. */
#include "lies.h"

/* ELF header */
LIE(magic, b.eh.e_ident[0] = 'E')
LIE(class32, b.eh.e_ident[EI_CLASS] = ELFCLASS32)
LIE(big_endian, b.eh.e_ident[EI_DATA] = ELFDATA2MSB)
LIE(machine, b.eh.e_machine = EM_AARCH64)
LIE(shared, b.eh.e_type = ET_DYN)
LIE(phentsize, b.eh.e_phentsize = 55)
LIE(no_phdrs, b.eh.e_phnum = 0)
LIE(many_phdrs, b.eh.e_phnum = 0xfffe)
LIE(phoff, b.eh.e_phoff = ~0ull - 40)
LIE(phoff_end, b.eh.e_phoff = b.size - 56)
LIE(entry_data, b.eh.e_entry = BASE + 0x400000)
LIE(entry_arena, b.eh.e_entry = BASE + 0x800000)
LIE(names_index, b.eh.e_shstrndx = 77)
LIE(no_sections, b.eh.e_shoff = 0; b.eh.e_shnum = 0; b.eh.e_shstrndx = 0)

static const struct lie elf_lies[] = {
	{NULL, magic, -ENOEXEC, "not an ELF"},
	{NULL, class32, -ENOEXEC, "ELF class"},
	{NULL, big_endian, -ENOEXEC, "ELF class or byte order"},
	{NULL, machine, -ENOEXEC, "ELF machine"},
	{NULL, shared, -ENOEXEC, "ELF type"},
	{NULL, phentsize, -EINVAL, "ELF header"},
	{NULL, no_phdrs, -EINVAL, "program headers"},
	{NULL, many_phdrs, -EINVAL, "program header"},
	{NULL, phoff, -EINVAL, "program header"},
	{NULL, phoff_end, -EINVAL, "program header"},
	{NULL, entry_data, -EINVAL, "ELF entry"},
	{NULL, entry_arena, -EINVAL, "ELF entry"},
	{NULL, names_index, -EINVAL, "section headers"},
	{NULL, no_sections, -EINVAL, "section headers"},
};

static void test_elf_header(void)
{
	check_lies(elf_lies, sizeof(elf_lies) / sizeof(elf_lies[0]));
}

/* Program headers */
LIE(offset, b.ph[0].p_offset = b.size)
LIE(offset_wraps, b.ph[0].p_offset = ~0ull - 0x100)
LIE(filesz, b.ph[0].p_filesz = b.size; b.ph[0].p_memsz = b.size)
LIE(filesz_over, b.ph[0].p_filesz = 0x201; b.ph[0].p_memsz = 0x200)
LIE(unaligned, b.ph[1].p_vaddr += 0x800)
LIE(overlap, b.ph[0].p_memsz = 0x200001)
LIE(order, b.ph[1].p_vaddr = BASE - 0x200000)
LIE(huge_memsz, b.ph[5].p_memsz = ~0ull)
LIE(wraps, b.ph[5].p_vaddr = 0xfffffffffffff000)
LIE(out_of_reach, b.ph[5].p_vaddr = 0xffff800000000000)
LIE(null_page, b.ph[0].p_vaddr = 0)
LIE(span, b.ph[5].p_vaddr = BASE + 0x20000000)
LIE(write_exec, b.ph[0].p_flags |= PF_W)
LIE(write_exec_arena, b.ph[EB_SEG_ARENA_CODE].p_flags |= PF_W)
LIE(unreadable, b.ph[0].p_flags = PF_X)
LIE(odd_flags, b.ph[0].p_flags |= 0x100000)
LIE(interp, b.ph[1].p_type = PT_INTERP)
LIE(dynamic, b.ph[1].p_type = PT_DYNAMIC)
LIE(nothing_to_load, for (int i = 0; i < EB_SEGMENTS; i++) b.ph[i].p_type = PT_NULL)

static const struct lie segment_lies[] = {
	{NULL, offset, -EINVAL, "program header 0: bytes lie outside"},
	{NULL, offset_wraps, -EINVAL, "program header 0: bytes lie outside"},
	{NULL, filesz, -EINVAL, "program header 0: bytes lie outside"},
	{NULL, filesz_over, -EINVAL, "program header 0: p_filesz"},
	{NULL, unaligned, -EINVAL, "program header 1: p_vaddr"},
	{NULL, overlap, -EINVAL, "program header 1: overlaps"},
	{NULL, order, -EINVAL, "program header 1: "},
	{NULL, huge_memsz, -EINVAL, "program header 5: segment is too large"},
	{NULL, wraps, -EINVAL, "program header 5: segment is too large"},
	{NULL, out_of_reach, -EINVAL, "program header 5: "},
	{NULL, null_page, -EINVAL, "program header 0: "},
	{NULL, span, -EINVAL, "span more than 256 MiB"},
	{NULL, write_exec, -EINVAL, "program header 0: segment is both"},
	{NULL, write_exec_arena, -EINVAL, "program header 4: segment is both"},
	{NULL, unreadable, -EINVAL, "program header 0: p_flags"},
	{NULL, odd_flags, -EINVAL, "program header 0: p_flags"},
	{NULL, interp, -EINVAL, "dynamic loader"},
	{NULL, dynamic, -EINVAL, "dynamic loader"},
	{NULL, nothing_to_load, -EINVAL, "no segment to load"},
};

static void test_segments(void)
{
	check_lies(segment_lies, sizeof(segment_lies) / sizeof(segment_lies[0]));
}

static void test_too_many_segments(void)
{
	static uint8_t file[EB_FILE_MAX * 2];
	Elf64_Phdr extra = {.p_type = PT_LOAD, .p_flags = PF_R, .p_memsz = 4096};
	struct image *img;
	struct error err;
	unsigned i;

	/* 17 segments in a table after everything else. */
	build(NULL, NULL);
	b.eh.e_phoff = b.size;
	b.eh.e_phnum = IMAGE_MAX_SEGMENTS + 1;
	memcpy(file, b.file, b.size);
	memcpy(file, &b.eh, sizeof(b.eh));
	memcpy(file + b.size, b.ph, sizeof(b.ph));
	for (i = EB_SEGMENTS; i < b.eh.e_phnum; i++) {
		extra.p_vaddr = BASE + 0x1000000 + i * 4096;
		memcpy(file + b.size + i * sizeof(extra), &extra, sizeof(extra));
	}
	CU_ASSERT_EQUAL(image_parse(file, sizeof(file), "t", &img, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "more than 16 segments"));
	b.eh.e_phnum--;
	memcpy(file, &b.eh, sizeof(b.eh));
	CU_ASSERT_EQUAL(image_parse(file, sizeof(file), "t", &img, &err), 0);
	image_free(img);
}

/* Sections, build id and symbols */
LIE(no_header, b.names[2] = 'x')
LIE(header_short, b.sh[EB_SEC_HEADER].sh_size--)
LIE(header_outside, b.sh[EB_SEC_HEADER].sh_offset = b.size - 8)
LIE(header_wraps, b.sh[EB_SEC_HEADER].sh_offset = ~0ull - 8)
LIE(header_twice, b.sh[EB_SEC_NOTE] = b.sh[EB_SEC_HEADER])
LIE(header_compressed, b.sh[EB_SEC_HEADER].sh_flags = SHF_COMPRESSED)
LIE(name_outside, b.sh[EB_SEC_HEADER].sh_name = ~0u)
LIE(names_outside, b.sh[EB_SEC_NAMES].sh_offset = ~0ull)
LIE(no_note, b.names[12] = 'x')
LIE(note_type, b.note.nh.n_type = 5)
LIE(note_owner, b.note.name[0] = 'X')
LIE(note_namesz, b.note.nh.n_namesz = ~0u)
LIE(note_long, b.note.nh.n_descsz = 21)
LIE(note_huge, b.note.nh.n_descsz = ~0u)
LIE(note_empty, b.note.nh.n_descsz = 0)
LIE(note_cut, b.sh[EB_SEC_NOTE].sh_size = 35)
LIE(note_tiny, b.sh[EB_SEC_NOTE].sh_size = 15)
LIE(sym_name, b.symbols[4].st_name = sizeof(b.strings))
LIE(sym_huge, b.symbols[4].st_size = ~0ull)
LIE(sym_long, b.symbols[4].st_size = EB_TEXT_BYTES)
LIE(sym_escape, b.strings[8] = '\033')
LIE(sym_utf8, b.strings[8] = '\xc3')
LIE(sym_open, memset(b.strings + 26, 'x', sizeof(b.strings) - 26))
LIE(symtab_entsize, b.sh[EB_SEC_SYMTAB].sh_entsize = 1)
LIE(symtab_size, b.sh[EB_SEC_SYMTAB].sh_size--)
LIE(symtab_outside, b.sh[EB_SEC_SYMTAB].sh_offset = b.size)
LIE(symtab_huge, b.sh[EB_SEC_SYMTAB].sh_size = ~0ull / 24 * 24)
LIE(symtab_link, b.sh[EB_SEC_SYMTAB].sh_link = 99)
LIE(symtab_self, b.sh[EB_SEC_SYMTAB].sh_link = EB_SEC_SYMTAB)
LIE(strtab_outside, b.sh[EB_SEC_STRTAB].sh_size = ~0ull)

static const struct lie section_lies[] = {
	{no_header, NULL, -ENOEXEC, "section .hotrail: missing"},
	{NULL, header_short, -EINVAL, "section .hotrail"},
	{NULL, header_outside, -EINVAL, "section .hotrail: lies"},
	{NULL, header_wraps, -EINVAL, "section .hotrail: lies"},
	{NULL, header_twice, -EINVAL, "section .hotrail: present twice"},
	{NULL, header_compressed, -EINVAL, "section .hotrail: is compressed"},
	{NULL, name_outside, -ENOEXEC, "section .hotrail: missing"},
	{NULL, names_outside, -ENOEXEC, "section .hotrail: missing"},
	{no_note, NULL, -EINVAL, "build id: missing"},
	{note_type, NULL, -EINVAL, "build id"},
	{note_owner, NULL, -EINVAL, "build id"},
	{note_namesz, NULL, -EINVAL, "build id"},
	{note_long, NULL, -EINVAL, "build id"},
	{note_huge, NULL, -EINVAL, "build id"},
	{note_empty, NULL, -EINVAL, "build id"},
	{NULL, note_cut, -EINVAL, "build id"},
	{NULL, note_tiny, -EINVAL, "build id"},
	{sym_name, NULL, -EINVAL, "symbol 4: name"},
	{sym_huge, NULL, -EINVAL, "symbol 4: function ends"},
	{sym_long, NULL, -EINVAL, "symbol 4: function ends"},
	{sym_escape, NULL, -EINVAL, "symbol 4: name"},
	{sym_utf8, NULL, -EINVAL, "symbol 4: name"},
	{sym_open, NULL, -EINVAL, "symbol 5: name"},
	{NULL, symtab_entsize, -EINVAL, ".symtab"},
	{NULL, symtab_size, -EINVAL, ".symtab"},
	{NULL, symtab_outside, -EINVAL, "section .symtab: lies"},
	{NULL, symtab_huge, -EINVAL, "section .symtab: lies"},
	{NULL, symtab_link, -EINVAL, ".symtab: sh_link"},
	{NULL, symtab_self, -EINVAL, ".symtab: sh_link"},
	{NULL, strtab_outside, -EINVAL, "symbol 1: name"},
};

static void test_sections(void)
{
	check_lies(section_lies, sizeof(section_lies) / sizeof(section_lies[0]));
}

/* Whatever was accepted is consistent: every answer stays inside. */
static void use(const struct image *img)
{
	struct site_table t;
	char name[32];
	size_t i;

	CU_ASSERT_TRUE(img->maps_count >= 1 && img->maps_count <= IMAGE_MAX_SEGMENTS);
	CU_ASSERT_TRUE(img->span <= IMAGE_MAX_SPAN);
	for (i = 0; i < img->maps_count; i++) {
		CU_ASSERT_TRUE(img->maps[i].gpa - IMAGE_LOAD_GPA + img->maps[i].size <= img->span);
		CU_ASSERT_TRUE(img->load[i].file_offset + img->load[i].file_size <= img->file_size);
	}
	for (i = 0; i < img->symbols_count; i++)
		image_name(img, img->symbols[i].addr + i, name, sizeof(name));
	if (!image_sites(img, &t, NULL)) {
		for (i = 0; i < t.count; i++)
			CU_ASSERT_TRUE(image_is_text(img, t.sites[i].addr, t.sites[i].len));
		site_table_free(&t);
	}
}

static void test_truncated_everywhere(void)
{
	struct image *img;
	struct error err;
	size_t len, accepted = 0;
	uint8_t *exact;

	build(NULL, NULL);
	for (len = 0; len < b.size; len++) {
		exact = malloc(len ? len : 1); /* so that a sanitizer sees one byte too many */
		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		memcpy(exact, b.file, len);
		if (!image_parse(exact, len, "cut.img", &img, &err)) {
			accepted++;
			use(img);
			image_free(img);
		}
		free(exact);
	}
	CU_ASSERT_EQUAL(accepted, 0); /* the file's last bytes are the section names */
}

static void test_flipped_bytes(void)
{
	static uint8_t copy[EB_FILE_MAX];
	uint64_t random = 88172645463325252ull;
	unsigned round, accepted = 0, n;
	struct image *img;

	build(NULL, NULL);
	for (round = 0; round < 30000; round++) {
		memcpy(copy, b.file, b.size);
		for (n = 0; n <= round % 4; n++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			copy[random % b.size] = (uint8_t)(random >> 40);
		}
		if (image_parse(copy, b.size, "flip.img", &img, NULL))
			continue;
		accepted++;
		use(img);
		image_free(img);
	}
	CU_ASSERT_TRUE(accepted > 0 && accepted < round); /* some flips hit what nobody reads */
}

static void test_sizes(void)
{
	struct image *img;
	struct error err;
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(image_parse(&byte, 0, "empty.img", &img, &err), -ENOEXEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "empty.img"));
	CU_ASSERT_EQUAL(image_parse(&byte, IMAGE_MAX_FILE + 1ull, "t", &img, &err), -ENOEXEC);
}

static const struct suite_test tests[] = {
	{"lies in the ELF header", test_elf_header},
	{"lies in program headers", test_segments},
	{"too many segments", test_too_many_segments},
	{"lies in sections notes and symbols", test_sections},
	{"truncated at every length", test_truncated_everywhere},
	{"flipped bytes", test_flipped_bytes},
	{"empty and enormous", test_sizes},
};

SUITE_MAIN("hostile image", tests, 60)
