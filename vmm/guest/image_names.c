// SPDX-License-Identifier: GPL-2.0-only
/* Questions about a parsed image: bytes at an address, names, functions, sites. */
#include "guest/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/image_check.h"
#include "x86/decode.h"

const struct machine_map *image_segment(const struct image *img, gva_t addr, uint64_t len)
{
	unsigned i;

	for (i = 0; i < img->maps_count; i++) {
		const struct machine_map *map = &img->maps[i];
		uint64_t offset = addr - map->gva;

		if (addr >= map->gva && offset < map->size && len && len <= map->size - offset)
			return map;
	}
	return NULL;
}

const uint8_t *image_bytes(const struct image *img, gva_t addr, uint64_t len)
{
	const struct machine_map *map = image_segment(img, addr, len);
	uint64_t offset, in_file;

	if (!map)
		return NULL;
	offset = addr - map->gva;
	in_file = img->load[map - img->maps].file_size;
	if (offset > in_file || len > in_file - offset)
		return NULL;
	return img->file + img->load[map - img->maps].file_offset + offset;
}

/* Index of the last symbol at or below addr, or -1. */
static long symbol_below(const struct image *img, gva_t addr)
{
	size_t low = 0, high = img->symbols_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (img->symbols[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return (long)low - 1;
}

void image_name(const struct image *img, gva_t addr, char *buf, size_t len)
{
	const struct hotrail_image_header *h = &img->header;
	long i = symbol_below(img, addr);
	uint64_t offset;

	if (i >= 0 && addr < h->text_end) {
		const struct image_symbol *s = &img->symbols[i];

		offset = addr - s->addr;
		if (!offset)
			snprintf(buf, len, "%s", s->name);
		/* Assembly may give no size: such a symbol reaches to the next one. */
		else if (!s->size || offset < s->size)
			snprintf(buf, len, "%s+0x%llx", s->name, (unsigned long long)offset);
		else
			snprintf(buf, len, "0x%llx", (unsigned long long)addr);
		return;
	}
	if (addr >= h->arena_code && addr - h->arena_code < h->arena_code_size)
		snprintf(buf, len, "arena+0x%llx", (unsigned long long)(addr - h->arena_code));
	else
		snprintf(buf, len, "0x%llx", (unsigned long long)addr);
}

gva_t image_lookup(const struct image *img, const char *name)
{
	size_t i;

	for (i = 0; i < img->symbols_count; i++)
		if (!strcmp(img->symbols[i].name, name))
			return img->symbols[i].addr;
	return 0;
}

static bool inside(gva_t addr, uint64_t len, gva_t start, uint64_t size)
{
	return addr >= start && addr - start < size && len <= size - (addr - start);
}

bool image_is_text(const struct image *img, gva_t addr, uint64_t len)
{
	const struct hotrail_image_header *h = &img->header;

	return inside(addr, len, h->text_start, h->text_end - h->text_start) ||
	       inside(addr, len, h->arena_code, h->arena_code_size);
}

bool image_is_function(const struct image *img, gva_t addr)
{
	long i = symbol_below(img, addr);

	return i >= 0 && img->symbols[i].addr == addr;
}

static gva_t table_entry(const struct image *img, size_t i)
{
	uint32_t offset;

	memcpy(&offset, image_bytes(img, img->header.sites + i * 4, 4), sizeof(offset));
	return img->header.text_start + offset;
}

void image_pair(const struct image *img, uint32_t i, struct hotrail_pair *out)
{
	memcpy(out, image_bytes(img, img->header.pairs + i * sizeof(*out), sizeof(*out)),
	       sizeof(*out));
}

/* A plain image's table, where it has one, lists indirect branches. */
static int check_plain(const struct image *img, struct error *err)
{
	const struct hotrail_image_header *h = &img->header;
	struct x86_insn in;
	uint32_t i;

	for (i = 0; i < h->sites_count; i++) {
		gva_t at = table_entry(img, i);
		uint64_t left = h->text_end - at;

		if (x86_decode(image_bytes(img, at, left), left, at, &in) ||
		    (in.kind != X86_CALL_REG && in.kind != X86_JMP_REG && in.kind != X86_CALL_MEM &&
		     in.kind != X86_JMP_MEM))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
					 "sites: the image's table names 0x%llx, which is no "
					 "indirect branch",
					 (unsigned long long)at);
	}
	return 0;
}

static int check_table(const struct image *img, const struct site_table *t, struct error *err)
{
	const struct hotrail_image_header *h = &img->header;
	size_t i;

	for (i = 0; i < t->count && i < h->sites_count; i++)
		if (t->sites[i].addr != table_entry(img, i))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
					 "sites: the image's table names 0x%llx where its text has "
					 "0x%llx (entry %zu)",
					 (unsigned long long)table_entry(img, i),
					 (unsigned long long)t->sites[i].addr, i);
	if (t->count != h->sites_count)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "sites: the image's table names %u, its text has %zu",
				 h->sites_count, t->count);
	return 0;
}

int image_sites(const struct image *img, struct site_table *out, struct error *err)
{
	const struct hotrail_image_header *h = &img->header;
	uint64_t len = h->text_end - h->text_start;
	int ret;

	ret = site_scan(image_bytes(img, h->text_start, len), len, h->text_start, h->thunks, out,
			err);
	if (ret)
		return ret;
	ret = h->kind == HOTRAIL_KIND_PLAIN ? check_plain(img, err) : check_table(img, out, err);
	if (ret)
		site_table_free(out);
	return ret;
}
