// SPDX-License-Identifier: GPL-2.0-only
/* Every claim of the image header against the segments. Pure. */
#include "guest/image_check.h"

#include <errno.h>
#include <string.h>

#define PAGE		4096ull
#define MAX_STACK	(16ull << 20)
#define SHORTEST_BRANCH 2 /* ff /2 with a register */
#define SHORTEST_SITE	5 /* e8 rel32 */
#define SLOT		5 /* jmp rel32, or the nop in its place */

struct region {
	const char *field;
	gva_t start;
	uint64_t size;
};

struct check {
	const struct image *img;
	const struct hotrail_image_header *h;
	const char *name;
	struct error *err;
};

#define REFUSE(c, ...) IMAGE_REFUSE((c)->err, -EINVAL, (c)->name, __VA_ARGS__)

static int check_identity(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;

	if (h->magic != HOTRAIL_IMAGE_MAGIC)
		return REFUSE(c, "magic: 0x%llx is not a guest image header",
			      (unsigned long long)h->magic);
	if (h->abi != HOTRAIL_IMAGE_ABI)
		return REFUSE(c, "abi: %u, this program knows %d; rebuild the image", h->abi,
			      HOTRAIL_IMAGE_ABI);
	if (h->size != sizeof(*h))
		return REFUSE(c, "size: %u, %zu expected", h->size, sizeof(*h));
	if (h->kind != HOTRAIL_KIND_PLAIN && h->kind != HOTRAIL_KIND_RETPOLINE)
		return REFUSE(c, "kind: %u is unknown", h->kind);
	if (!h->max_vcpus || h->max_vcpus > HOTRAIL_MAX_VCPUS)
		return REFUSE(c, "max_vcpus: %u, 1 to %d allowed", h->max_vcpus, HOTRAIL_MAX_VCPUS);
	return 0;
}

/* `r` lies in one segment that has all of `want` and none of `never`. */
static int check_region(const struct check *c, const struct region *r, uint64_t align,
			unsigned want, unsigned never)
{
	const struct machine_map *map = image_segment(c->img, r->start, r->size);

	if (!map)
		return REFUSE(c, "%s: 0x%llx, %llu bytes: not inside one segment", r->field,
			      (unsigned long long)r->start, (unsigned long long)r->size);
	if (r->start % align || r->size % align)
		return REFUSE(c, "%s: start or size is not a multiple of %llu", r->field,
			      (unsigned long long)align);
	if ((map->prot & want) != want || map->prot & never)
		return REFUSE(c, "%s: the segment's permissions are%s%s%s", r->field,
			      map->prot & MACHINE_R ? " readable" : "",
			      map->prot & MACHINE_W ? " writable" : "",
			      map->prot & MACHINE_X ? " executable" : "");
	return 0;
}

static int check_overlaps(const struct check *c, const struct region *r, size_t n)
{
	size_t i, j;

	/* Every region is inside a segment, so start + size cannot wrap. */
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (r[i].size && r[j].size && r[i].start < r[j].start + r[j].size &&
			    r[j].start < r[i].start + r[i].size)
				return REFUSE(c, "%s: overlaps %s", r[i].field, r[j].field);
	return 0;
}

static int check_text(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;
	struct region text = {"text", h->text_start, h->text_end - h->text_start};
	int ret;

	if (h->text_start >= h->text_end)
		return REFUSE(c, "text: ends before it starts");
	ret = check_region(c, &text, 1, MACHINE_R | MACHINE_X, 0);
	if (ret)
		return ret;
	if (!image_bytes(c->img, text.start, text.size))
		return REFUSE(c, "text: not all of it is in the file");
	if (c->img->entry < h->text_start || c->img->entry >= h->text_end)
		return REFUSE(c, "ELF entry: 0x%llx is outside the text",
			      (unsigned long long)c->img->entry);
	return 0;
}

static int check_regions(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;
	const struct region regions[] = {
		{"arena_code", h->arena_code, h->arena_code_size},
		{"arena_data", h->arena_data, h->arena_data_size},
		{"control", h->control, PAGE},
		{"stats", h->stats, h->max_vcpus * sizeof(struct yard_stats)},
		{"stacks", h->stacks, h->max_vcpus * h->stack_size},
		{"text", h->text_start, h->text_end - h->text_start},
	};
	bool arena = h->kind == HOTRAIL_KIND_RETPOLINE || h->arena_code_size || h->arena_data_size;
	int ret = 0;

	/* First: it bounds the product in regions[4]. */
	if (h->stack_size < PAGE || h->stack_size > MAX_STACK || h->stack_size % 16)
		return REFUSE(c, "stack_size: %llu, multiples of 16 from 4096 to %llu allowed",
			      (unsigned long long)h->stack_size, MAX_STACK);
	if (arena)
		ret = check_region(c, &regions[0], PAGE, MACHINE_R | MACHINE_X, 0);
	if (!ret && arena)
		ret = check_region(c, &regions[1], PAGE, MACHINE_R | MACHINE_W, MACHINE_X);
	if (!ret)
		ret = check_region(c, &regions[2], PAGE, MACHINE_R, MACHINE_W | MACHINE_X);
	if (!ret)
		ret = check_region(c, &regions[3], PAGE, MACHINE_R | MACHINE_W, MACHINE_X);
	if (!ret)
		ret = check_region(c, &regions[4], 16, MACHINE_R | MACHINE_W, MACHINE_X);
	return ret ? ret : check_overlaps(c, regions, sizeof(regions) / sizeof(regions[0]));
}

static int check_thunks(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;
	unsigned i, j, count = 0;

	if (h->thunks[HOTRAIL_RSP])
		return REFUSE(c, "thunks: the stack pointer cannot have one");
	for (i = 0; i < HOTRAIL_REGS; i++) {
		if (!h->thunks[i])
			continue;
		count++;
		if (h->thunks[i] < h->text_start || h->thunks[i] >= h->text_end)
			return REFUSE(c, "thunks: number %u at 0x%llx is outside the text", i,
				      (unsigned long long)h->thunks[i]);
		for (j = 0; j < i; j++)
			if (h->thunks[j] == h->thunks[i])
				return REFUSE(c, "thunks: numbers %u and %u are the same", j, i);
	}
	if (!count && h->kind == HOTRAIL_KIND_RETPOLINE)
		return REFUSE(c, "thunks: none, but the image says it uses retpolines");
	return 0;
}

static bool in_text(const struct hotrail_image_header *h, uint64_t at, uint64_t len)
{
	return at >= h->text_start && at < h->text_end && h->text_end - at >= len;
}

static int check_sites(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;
	uint64_t text = h->text_end - h->text_start, size = (uint64_t)h->sites_count * 4, end = 0;
	unsigned shortest = h->kind == HOTRAIL_KIND_RETPOLINE ? SHORTEST_SITE : SHORTEST_BRANCH;
	const uint8_t *table;
	uint32_t i, offset;

	if (!h->sites_count)
		return 0;
	table = image_bytes(c->img, h->sites, size);
	if (!table)
		return REFUSE(c, "sites: %u entries at 0x%llx are not in the file", h->sites_count,
			      (unsigned long long)h->sites);
	for (i = 0; i < h->sites_count; i++) {
		memcpy(&offset, table + (size_t)i * 4, sizeof(offset));
		if (offset < end)
			return REFUSE(c, "sites: entry %u is not above the one before it", i);
		end = (uint64_t)offset + shortest;
		if (end > text)
			return REFUSE(c, "sites: entry %u is outside the text", i);
	}
	return 0;
}

/* Where they are; that their slots hold what they should is for whoever writes there to find. */
static int check_pairs(const struct check *c)
{
	const struct hotrail_image_header *h = c->h;
	uint64_t size = (uint64_t)h->pairs_count * sizeof(struct hotrail_pair);
	const uint8_t *table;
	uint32_t i;

	if (!h->pairs_count)
		return 0;
	if (h->pairs_count > HOTRAIL_MAX_PAIRS)
		return REFUSE(c, "pairs: %u, at most %d allowed", h->pairs_count,
			      HOTRAIL_MAX_PAIRS);
	table = image_bytes(c->img, h->pairs, size);
	if (!table)
		return REFUSE(c, "pairs: %u entries at 0x%llx are not in the file", h->pairs_count,
			      (unsigned long long)h->pairs);
	for (i = 0; i < h->pairs_count; i++) {
		struct hotrail_pair p;

		memcpy(&p, table + i * sizeof(p), sizeof(p));
		if ((p.bypass && !in_text(h, p.bypass, SLOT)) || !in_text(h, p.target, SLOT) ||
		    !in_text(h, p.slow, 1) || !in_text(h, p.program, 1) ||
		    !in_text(h, p.alternate, 1))
			return REFUSE(c, "pairs: entry %u is outside the text", i);
		if (p.bypass && (p.bypass >= p.target || p.target - p.bypass < SLOT))
			return REFUSE(c, "pairs: entry %u has its bypass behind its target", i);
	}
	return 0;
}

int image_check_header(const struct image *img, const char *name, struct error *err)
{
	const struct check c = {.img = img, .h = &img->header, .name = name, .err = err};
	int ret;

	ret = check_identity(&c);
	if (!ret)
		ret = check_text(&c);
	if (!ret)
		ret = check_regions(&c);
	if (!ret)
		ret = check_thunks(&c);
	if (!ret)
		ret = check_sites(&c);
	if (!ret)
		ret = check_pairs(&c);
	return ret;
}
