// SPDX-License-Identifier: GPL-2.0-only
/* ELF parsing of guest images; the only user of libelf. Works on a private copy. */
#include "guest/image.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/image_check.h"

#define PAGE		 4096ull
#define LARGE_PAGE	 0x200000ull
#define MAX_PHDRS	 64
#define MAX_SYMBOLS	 (1u << 20)
#define MAX_SYMBOL_NAME	 255
#define BUILD_ID_SECTION ".note.gnu.build-id"

struct parse {
	struct image *img;
	Elf *elf;
	const char *name;
	const struct image_options *options;
	struct error *err;
};

#define REFUSE(p, ret, ...) IMAGE_REFUSE((p)->err, ret, (p)->name, __VA_ARGS__)

static bool file_range(const struct image *img, uint64_t offset, uint64_t size)
{
	return offset <= img->file_size && size <= img->file_size - offset;
}

static int check_elf(struct parse *p, GElf_Ehdr *eh)
{
	if (elf_kind(p->elf) != ELF_K_ELF || !gelf_getehdr(p->elf, eh))
		return REFUSE(p, -ENOEXEC, "not an ELF file; name a Hotrail guest image");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return REFUSE(p, -ENOEXEC, "ELF class or byte order: not 64-bit little-endian");
	if (eh->e_machine != EM_X86_64)
		return REFUSE(p, -ENOEXEC, "ELF machine: %u is not x86-64", eh->e_machine);
	if (eh->e_type != ET_EXEC)
		return REFUSE(p, -ENOEXEC, "ELF type: %u is not ET_EXEC (fixed address)",
			      eh->e_type);
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_shentsize != sizeof(Elf64_Shdr))
		return REFUSE(p, -EINVAL, "ELF header: wrong size of program or section headers");
	return 0;
}

/* Tracks compare against imm32 and jump rel32, so everything lies where an imm32 sign-extends to.
 */
static bool addressable(gva_t start, uint64_t size)
{
	if (start >= HOTRAIL_BASE_HIGH)
		return size <= 0 - start - PAGE; /* the very last page would wrap */
	return start >= LARGE_PAGE && start < 0x80000000ull && size <= 0x80000000ull - start;
}

static int add_segment(struct parse *p, unsigned n, const GElf_Phdr *ph)
{
	struct image *img = p->img;
	unsigned i = img->maps_count;
	struct machine_map *map = &img->maps[i];
	bool loose = p->options && p->options->writable_text;

	if (i == IMAGE_MAX_SEGMENTS)
		return REFUSE(p, -EINVAL, "program header %u: more than %d segments to load", n,
			      IMAGE_MAX_SEGMENTS);
	if (ph->p_filesz > ph->p_memsz)
		return REFUSE(p, -EINVAL, "program header %u: p_filesz exceeds p_memsz", n);
	if (!file_range(img, ph->p_offset, ph->p_filesz))
		return REFUSE(p, -EINVAL, "program header %u: bytes lie outside the file", n);
	if (ph->p_vaddr % PAGE)
		return REFUSE(p, -EINVAL, "program header %u: p_vaddr is not page aligned", n);
	if (ph->p_memsz > IMAGE_MAX_SPAN || !addressable(ph->p_vaddr, ph->p_memsz + PAGE - 1))
		return REFUSE(p, -EINVAL,
			      "program header %u: segment is too large or not within reach of a "
			      "sign-extended 32-bit address",
			      n);
	if (!(ph->p_flags & PF_R) || ph->p_flags & ~(GElf_Word)(PF_R | PF_W | PF_X))
		return REFUSE(p, -EINVAL, "program header %u: p_flags 0x%x", n, ph->p_flags);
	if (ph->p_flags & PF_W && ph->p_flags & PF_X && !loose)
		return REFUSE(p, -EINVAL,
			      "program header %u: segment is both writable and executable", n);
	map->gva = ph->p_vaddr;
	map->size = (ph->p_memsz + PAGE - 1) / PAGE * PAGE;
	map->prot = MACHINE_R | (ph->p_flags & PF_W ? MACHINE_W : 0) |
		    (ph->p_flags & PF_X ? MACHINE_X : 0);
	if (i && map->gva < map[-1].gva + map[-1].size)
		return REFUSE(p, -EINVAL,
			      "program header %u: overlaps the segment before it, or is not "
			      "in ascending order",
			      n);
	img->load[i].file_offset = ph->p_offset;
	img->load[i].file_size = ph->p_filesz;
	img->maps_count++;
	return 0;
}

static int parse_segments(struct parse *p, const GElf_Ehdr *eh)
{
	struct image *img = p->img;
	struct machine_map *last;
	GElf_Phdr ph;
	size_t n, count;
	int ret;

	if (elf_getphdrnum(p->elf, &count) || !count || count > MAX_PHDRS)
		return REFUSE(p, -EINVAL, "program headers: none, unreadable or more than %d",
			      MAX_PHDRS);
	if (!file_range(img, eh->e_phoff, count * sizeof(Elf64_Phdr)))
		return REFUSE(p, -EINVAL, "program headers: table lies outside the file");
	for (n = 0; n < count; n++) {
		if (!gelf_getphdr(p->elf, (int)n, &ph))
			return REFUSE(p, -EINVAL, "program header %zu: unreadable", n);
		if (ph.p_type == PT_INTERP || ph.p_type == PT_DYNAMIC || ph.p_type == PT_TLS)
			return REFUSE(p, -EINVAL,
				      "program header %zu: needs a dynamic loader, link statically",
				      n);
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		ret = add_segment(p, (unsigned)n, &ph);
		if (ret)
			return ret;
	}
	if (!img->maps_count)
		return REFUSE(p, -EINVAL, "program headers: no segment to load");
	img->base = img->maps[0].gva & ~(LARGE_PAGE - 1);
	last = &img->maps[img->maps_count - 1];
	img->span = last->gva + last->size - img->base;
	if (img->span > IMAGE_MAX_SPAN)
		return REFUSE(p, -EINVAL, "program headers: segments span more than %u MiB",
			      IMAGE_MAX_SPAN >> 20);
	for (n = 0; n < img->maps_count; n++)
		img->maps[n].gpa = IMAGE_LOAD_GPA + (img->maps[n].gva - img->base);
	return 0;
}

/* A string in section `sh`, or NULL when it does not end inside it. */
static const char *table_string(const struct image *img, const GElf_Shdr *sh, uint64_t offset)
{
	const char *s;

	if (sh->sh_type != SHT_STRTAB || !file_range(img, sh->sh_offset, sh->sh_size) ||
	    offset >= sh->sh_size)
		return NULL;
	s = (const char *)img->file + sh->sh_offset + offset;
	return memchr(s, 0, sh->sh_size - offset) ? s : NULL;
}

/* The only section called `name` (or, name NULL, of that type). 0, -ENOENT, or -EINVAL with *err.
 */
static int find_section(struct parse *p, const char *name, uint32_t type, GElf_Shdr *out)
{
	const char *what = name ? name : ".symtab";
	size_t names_index;
	GElf_Shdr names, sh;
	Elf_Scn *scn = NULL;
	const char *s;
	int ret = -ENOENT;

	if (elf_getshdrstrndx(p->elf, &names_index) ||
	    !gelf_getshdr(elf_getscn(p->elf, names_index), &names))
		return REFUSE(p, -EINVAL, "section headers: no section name table");
	while ((scn = elf_nextscn(p->elf, scn))) {
		if (!gelf_getshdr(scn, &sh))
			return REFUSE(p, -EINVAL, "section headers: unreadable");
		s = name ? table_string(p->img, &names, sh.sh_name) : NULL;
		if (sh.sh_type != type || (name && (!s || strcmp(s, name))))
			continue;
		if (!ret)
			return REFUSE(p, -EINVAL, "section %s: present twice", what);
		if (!file_range(p->img, sh.sh_offset, sh.sh_size))
			return REFUSE(p, -EINVAL, "section %s: lies outside the file", what);
		if (sh.sh_flags & SHF_COMPRESSED)
			return REFUSE(p, -EINVAL, "section %s: is compressed", what);
		*out = sh;
		ret = 0;
	}
	return ret;
}

static int parse_header(struct parse *p)
{
	struct image *img = p->img;
	GElf_Shdr sh;
	int ret = find_section(p, HOTRAIL_SECTION, SHT_PROGBITS, &sh);

	if (ret == -ENOENT)
		return REFUSE(p, -ENOEXEC,
			      "section " HOTRAIL_SECTION
			      ": missing; this ELF file is no Hotrail guest image");
	if (ret)
		return ret;
	if (sh.sh_size != sizeof(img->header))
		return REFUSE(p, -EINVAL, "section " HOTRAIL_SECTION ": %llu bytes, %zu expected",
			      (unsigned long long)sh.sh_size, sizeof(img->header));
	memcpy(&img->header, img->file + sh.sh_offset, sizeof(img->header));
	return image_check_header(img, p->name, p->err);
}

static int parse_build_id(struct parse *p)
{
	struct image *img = p->img;
	const uint8_t *note;
	Elf64_Nhdr nh;
	GElf_Shdr sh;
	int ret = find_section(p, BUILD_ID_SECTION, SHT_NOTE, &sh);

	if (ret == -ENOENT)
		return REFUSE(p, -EINVAL, "build id: missing; link with --build-id=sha1");
	if (ret)
		return ret;
	note = img->file + sh.sh_offset;
	if (sh.sh_size < sizeof(nh) + 4)
		return REFUSE(p, -EINVAL, "build id: note is cut off");
	memcpy(&nh, note, sizeof(nh));
	if (nh.n_type != NT_GNU_BUILD_ID || nh.n_namesz != 4 || memcmp(note + sizeof(nh), "GNU", 4))
		return REFUSE(p, -EINVAL, "build id: not a GNU build id note");
	if (!nh.n_descsz || nh.n_descsz > IMAGE_BUILD_ID_MAX ||
	    nh.n_descsz > sh.sh_size - sizeof(nh) - 4)
		return REFUSE(p, -EINVAL, "build id: %u bytes in a note of %llu (1 to %d allowed)",
			      nh.n_descsz, (unsigned long long)sh.sh_size, IMAGE_BUILD_ID_MAX);
	memcpy(img->build_id, note + sizeof(nh) + 4, nh.n_descsz);
	img->build_id_len = nh.n_descsz;
	return 0;
}

/* Names reach terminals and JSON: only printable ASCII, of a sane length. */
static bool name_is_clean(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (i == MAX_SYMBOL_NAME || s[i] <= ' ' || s[i] > '~')
			return false;
	return i > 0;
}

static int add_symbol(struct parse *p, size_t n, const Elf64_Sym *sym, const GElf_Shdr *strings)
{
	struct image *img = p->img;
	const struct hotrail_image_header *h = &img->header;
	const char *s;

	if (ELF64_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx == SHN_UNDEF ||
	    sym->st_value < h->text_start || sym->st_value >= h->text_end)
		return 0;
	if (sym->st_size > h->text_end - sym->st_value)
		return REFUSE(p, -EINVAL, "symbol %zu: function ends outside the text", n);
	s = table_string(img, strings, sym->st_name);
	if (!s || !name_is_clean(s))
		return REFUSE(p, -EINVAL, "symbol %zu: name is missing or not printable", n);
	img->symbols[img->symbols_count++] =
		(struct image_symbol){.addr = sym->st_value, .size = sym->st_size, .name = s};
	return 0;
}

static int symbol_order(const void *a, const void *b)
{
	const struct image_symbol *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int parse_symbols(struct parse *p)
{
	struct image *img = p->img;
	GElf_Shdr table, strings;
	size_t n, count;
	Elf64_Sym sym;
	int ret = find_section(p, NULL, SHT_SYMTAB, &table);

	if (ret == -ENOENT)
		return 0;
	if (ret)
		return ret;
	count = table.sh_size / sizeof(sym);
	if (table.sh_entsize != sizeof(sym) || table.sh_size % sizeof(sym) || count > MAX_SYMBOLS)
		return REFUSE(p, -EINVAL, ".symtab: wrong entry size or more than %u symbols",
			      MAX_SYMBOLS);
	if (!gelf_getshdr(elf_getscn(p->elf, table.sh_link), &strings) ||
	    strings.sh_type != SHT_STRTAB)
		return REFUSE(p, -EINVAL, ".symtab: sh_link names no string table");
	img->symbols = calloc(count + 1, sizeof(*img->symbols));
	if (!img->symbols)
		return REFUSE(p, -ENOMEM, "no memory for %zu symbols", count);
	for (n = 0; n < count; n++) {
		memcpy(&sym, img->file + table.sh_offset + n * sizeof(sym), sizeof(sym));
		ret = add_symbol(p, n, &sym, &strings);
		if (ret)
			return ret;
	}
	qsort(img->symbols, img->symbols_count, sizeof(*img->symbols), symbol_order);
	return 0;
}

static int parse_elf(struct parse *p)
{
	GElf_Ehdr eh;
	int ret;

	ret = check_elf(p, &eh);
	if (ret)
		return ret;
	p->img->entry = eh.e_entry;
	ret = parse_segments(p, &eh);
	if (!ret)
		ret = parse_header(p);
	if (!ret)
		ret = parse_build_id(p);
	if (!ret)
		ret = parse_symbols(p);
	return ret;
}

/* Takes over `file`, which came from malloc. */
static int parse_owned(uint8_t *file, size_t size, const char *name,
		       const struct image_options *options, struct image **out, struct error *err)
{
	struct parse p = {.name = name, .options = options, .err = err};
	int ret;

	p.img = calloc(1, sizeof(*p.img));
	if (!p.img) {
		free(file);
		return IMAGE_REFUSE(err, -ENOMEM, name, "no memory");
	}
	p.img->file = file;
	p.img->file_size = size;
	if (elf_version(EV_CURRENT) == EV_NONE || !(p.elf = elf_memory((char *)file, size)))
		ret = IMAGE_REFUSE(err, -ENOEXEC, name, "not readable as ELF: %s", elf_errmsg(-1));
	else
		ret = parse_elf(&p);
	elf_end(p.elf);
	if (ret)
		image_free(p.img);
	else
		*out = p.img;
	return ret;
}

int image_parse_with(const uint8_t *bytes, size_t size, const char *name,
		     const struct image_options *options, struct image **out, struct error *err)
{
	uint8_t *file;

	*out = NULL;
	if (size < sizeof(Elf64_Ehdr) || size > IMAGE_MAX_FILE)
		return IMAGE_REFUSE(err, -ENOEXEC, name,
				    "%zu bytes: too small or too large for a guest image", size);
	file = malloc(size);
	if (!file)
		return IMAGE_REFUSE(err, -ENOMEM, name, "no memory");
	memcpy(file, bytes, size);
	return parse_owned(file, size, name, options, out, err);
}

int image_parse(const uint8_t *bytes, size_t size, const char *name, struct image **out,
		struct error *err)
{
	return image_parse_with(bytes, size, name, NULL, out, err);
}

/* The whole of an open regular file; a file that shrinks meanwhile is refused. */
static int read_file(int fd, const char *path, uint8_t **out, size_t *size, struct error *err)
{
	struct stat st;
	uint8_t *buf;
	size_t done = 0;
	ssize_t n;

	if (fstat(fd, &st))
		return error_errno(err, "%s: cannot examine", path);
	if (!S_ISREG(st.st_mode))
		return IMAGE_REFUSE(err, -ENOEXEC, path, "not a regular file");
	if (st.st_size < (off_t)sizeof(Elf64_Ehdr) || st.st_size > (off_t)IMAGE_MAX_FILE)
		return IMAGE_REFUSE(err, -ENOEXEC, path,
				    "%lld bytes: too small or too large for a guest image",
				    (long long)st.st_size);
	buf = malloc((size_t)st.st_size);
	if (!buf)
		return IMAGE_REFUSE(err, -ENOMEM, path, "no memory");
	while (done < (size_t)st.st_size) {
		n = read(fd, buf + done, (size_t)st.st_size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(buf);
			return n ? error_errno(err, "%s: cannot read", path)
				 : IMAGE_REFUSE(err, -EIO, path, "became shorter while read");
		}
		done += (size_t)n;
	}
	*out = buf;
	*size = done;
	return 0;
}

int image_load_with(const char *path, const struct image_options *options, struct image **out,
		    struct error *err)
{
	uint8_t *file = NULL;
	size_t size = 0;
	int fd, ret;

	*out = NULL;
	/* O_NONBLOCK: a FIFO must not hang us before fstat() tells what it is. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, "%s: cannot open the guest image", path);
	ret = read_file(fd, path, &file, &size, err);
	close(fd);
	return ret ? ret : parse_owned(file, size, path, options, out, err);
}

int image_load(const char *path, struct image **out, struct error *err)
{
	return image_load_with(path, NULL, out, err);
}

void image_free(struct image *img)
{
	if (!img)
		return;
	free(img->symbols);
	free(img->file);
	free(img);
}
