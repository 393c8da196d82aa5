// SPDX-License-Identifier: GPL-2.0-only
/* An unpacked vmlinux as segments and sections: every offset bounded before it is used. */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "guest/kernel_view.h"

static int refuse(const struct kernel_view *v, enum hotrail_exit code, int ret, const char *fmt,
		  va_list ap)
{
	char text[200];

	vsnprintf(text, sizeof(text), fmt, ap);
	return error_set(v->err, code, ret, "%s: %s", v->name, text);
}

int kernel_broken(const struct kernel_view *v, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = refuse(v, HOTRAIL_EXIT_FAILED, -EINVAL, fmt, ap);
	va_end(ap);
	return ret;
}

int kernel_unknown(const struct kernel_view *v, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = refuse(v, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP, fmt, ap);
	va_end(ap);
	return ret;
}

int kernel_no_memory(const struct kernel_view *v, const char *what)
{
	return error_set(v->err, HOTRAIL_EXIT_FAILED, -ENOMEM, "%s: no memory for %s", v->name,
			 what);
}

static bool inside(const struct kernel_view *v, uint64_t offset, uint64_t len)
{
	return offset <= v->size && len <= v->size - offset;
}

static int check_header(const struct kernel_view *v, Elf64_Ehdr *eh)
{
	if (v->size < sizeof(*eh))
		return kernel_broken(v, "ELF header: truncated; fetch the kernel again");
	memcpy(eh, v->file, sizeof(*eh));
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return kernel_unknown(v, "not a kernel: neither bzImage nor ELF");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return kernel_unknown(v, "not a kernel for x86-64: the ELF is for another machine");
	if (eh->e_type != ET_EXEC && eh->e_type != ET_CORE)
		return kernel_unknown(v, "not a kernel: ELF type %u", eh->e_type);
	return 0;
}

static int read_segments(struct kernel_view *v, const Elf64_Ehdr *eh)
{
	Elf64_Phdr ph;
	unsigned i;

	if (eh->e_phentsize != sizeof(ph))
		return kernel_broken(v, "ELF program headers: %u bytes each, 56 expected",
				     eh->e_phentsize);
	if (!inside(v, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(ph)))
		return kernel_broken(v, "ELF program headers: truncated; fetch the kernel again");
	for (i = 0; i < eh->e_phnum; i++) {
		memcpy(&ph, v->file + eh->e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD || !ph.p_filesz)
			continue;
		if (!inside(v, ph.p_offset, ph.p_filesz))
			return kernel_broken(v, "ELF segment %u: truncated; fetch the kernel again",
					     i);
		if (ph.p_filesz > ph.p_memsz || ph.p_vaddr + ph.p_filesz < ph.p_vaddr ||
		    ph.p_vaddr % 8)
			return kernel_broken(v, "ELF segment %u: absurd address or size", i);
		if (v->loads == KERNEL_MAX_SEGMENTS)
			return kernel_broken(v, "ELF program headers: more than %u segments",
					     KERNEL_MAX_SEGMENTS);
		v->load[v->loads++] = (struct kernel_segment){.addr = ph.p_vaddr,
							      .bytes = v->file + ph.p_offset,
							      .size = ph.p_filesz,
							      .exec = ph.p_flags & PF_X};
	}
	return v->loads ? 0 : kernel_broken(v, "ELF program headers: nothing to load");
}

static Elf64_Shdr section(const struct kernel_view *v, unsigned i)
{
	Elf64_Shdr sh;

	memcpy(&sh, v->sections + i * sizeof(sh), sizeof(sh));
	return sh;
}

/* A memory image has no sections; what a vmlinux has must be whole. */
static int read_sections(struct kernel_view *v, const Elf64_Ehdr *eh)
{
	Elf64_Shdr sh;

	if (!eh->e_shnum)
		return 0;
	if (eh->e_shentsize != sizeof(sh) || eh->e_shnum > KERNEL_MAX_SECTIONS ||
	    eh->e_shstrndx >= eh->e_shnum)
		return kernel_broken(v, "ELF section headers: %u of %u bytes, names in number %u",
				     eh->e_shnum, eh->e_shentsize, eh->e_shstrndx);
	if (!inside(v, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(sh)))
		return kernel_broken(v, "ELF section headers: truncated; fetch the kernel again");
	v->sections = v->file + eh->e_shoff;
	v->sections_count = eh->e_shnum;
	sh = section(v, eh->e_shstrndx);
	if (sh.sh_type != SHT_STRTAB || !sh.sh_size || !inside(v, sh.sh_offset, sh.sh_size) ||
	    v->file[sh.sh_offset + sh.sh_size - 1])
		return kernel_broken(v, "ELF section names: not a string table");
	v->section_names = (const char *)v->file + sh.sh_offset;
	v->section_names_size = sh.sh_size;
	return 0;
}

int kernel_view_init(struct kernel_view *v, const uint8_t *elf, size_t size, const char *name,
		     struct error *err)
{
	Elf64_Ehdr eh;
	int ret;

	*v = (struct kernel_view){.file = elf, .size = size, .name = name, .err = err};
	ret = check_header(v, &eh);
	if (!ret)
		ret = read_segments(v, &eh);
	if (!ret)
		ret = read_sections(v, &eh);
	return ret;
}

static const struct kernel_segment *segment(const struct kernel_view *v, gva_t addr, uint64_t len)
{
	unsigned i;

	for (i = 0; i < v->loads; i++) {
		const struct kernel_segment *s = &v->load[i];

		if (addr >= s->addr && addr - s->addr < s->size && len &&
		    len <= s->size - (addr - s->addr))
			return s;
	}
	return NULL;
}

const uint8_t *kernel_view_bytes(const struct kernel_view *v, gva_t addr, uint64_t len)
{
	const struct kernel_segment *s = segment(v, addr, len);

	return s ? s->bytes + (addr - s->addr) : NULL;
}

bool kernel_view_exec(const struct kernel_view *v, gva_t addr)
{
	const struct kernel_segment *s = segment(v, addr, 1);

	return s && s->exec;
}

bool kernel_view_section(const struct kernel_view *v, const char *name, struct kernel_span *out)
{
	unsigned i;

	for (i = 0; i < v->sections_count; i++) {
		Elf64_Shdr sh = section(v, i);

		if (sh.sh_name >= v->section_names_size ||
		    strcmp(v->section_names + sh.sh_name, name))
			continue;
		if (sh.sh_type == SHT_NOBITS || !sh.sh_size || !inside(v, sh.sh_offset, sh.sh_size))
			return false;
		*out = (struct kernel_span){sh.sh_addr, sh.sh_size, v->file + sh.sh_offset};
		return true;
	}
	return false;
}

/* Notes: name and descriptor padded to 4 bytes each (gABI, "Note Section"). */
static void find_build_id(struct kernel *k, const uint8_t *notes, uint64_t size)
{
	Elf64_Nhdr nh;
	uint64_t at = 0, name, desc;

	while (size - at >= sizeof(nh)) {
		memcpy(&nh, notes + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + ((nh.n_namesz + 3ull) & ~3ull);
		if (desc > size || nh.n_descsz > size - desc)
			return;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 &&
		    !memcmp(notes + name, "GNU", 4) && nh.n_descsz &&
		    nh.n_descsz <= sizeof(k->build_id)) {
			memcpy(k->build_id, notes + desc, nh.n_descsz);
			k->build_id_len = nh.n_descsz;
			return;
		}
		at = desc + ((nh.n_descsz + 3ull) & ~3ull);
		if (at > size)
			return;
	}
}

void kernel_view_build_id(const struct kernel_view *v, struct kernel *k)
{
	struct kernel_span notes;
	gva_t from = kernel_lookup(k, "__start_notes"), to = kernel_lookup(k, "__stop_notes");

	if (from && to > from && (notes.bytes = kernel_view_bytes(v, from, to - from)))
		find_build_id(k, notes.bytes, to - from);
	else if (kernel_view_section(v, ".notes", &notes))
		find_build_id(k, notes.bytes, notes.size);
}
