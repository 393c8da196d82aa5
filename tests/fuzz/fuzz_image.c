// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer entry: the image parser. Short inputs patch a valid image (so that the
 * deep checks are reached at once): triples of 16-bit offset and byte, after a 0
 * byte; after any other first byte the rest is the file itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/elf_builder.h"
#include "guest/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void use(const struct image *img)
{
	struct site_table t;
	char name[64];
	size_t i;

	check(img->maps_count >= 1 && img->maps_count <= IMAGE_MAX_SEGMENTS);
	for (i = 0; i < img->maps_count; i++) {
		check(img->maps[i].size && img->maps[i].size <= img->span);
		check(img->maps[i].gpa - IMAGE_LOAD_GPA <= img->span - img->maps[i].size);
		check(img->load[i].file_size <= img->maps[i].size);
		check(img->load[i].file_offset <= img->file_size - img->load[i].file_size);
		check((img->maps[i].prot & (MACHINE_W | MACHINE_X)) != (MACHINE_W | MACHINE_X));
	}
	for (i = 0; i < img->symbols_count; i++) {
		image_name(img, img->symbols[i].addr + i, name, sizeof(name));
		check(image_is_function(img, img->symbols[i].addr));
		check(image_is_text(img, img->symbols[i].addr, 1));
	}
	for (i = 0; i < img->header.pairs_count; i++) {
		struct hotrail_pair p;

		image_pair(img, (uint32_t)i, &p);
		check(image_is_text(img, p.target, 5) && image_is_text(img, p.slow, 1));
		check(!p.bypass || (image_is_text(img, p.bypass, 5) && p.bypass + 5 <= p.target));
	}
	if (image_sites(img, &t, NULL))
		return;
	for (i = 0; i < t.count; i++)
		check(image_is_text(img, t.sites[i].addr, t.sites[i].len));
	site_table_free(&t);
}

static void parse(const uint8_t *data, size_t size)
{
	struct image *img;
	struct error err;

	if (image_parse(data, size, "fuzz", &img, &err)) {
		check(!img && err.text[0]);
		return;
	}
	use(img);
	image_free(img);
}

static void parse_patched(const uint8_t *data, size_t size)
{
	static struct elf_builder b;
	size_t i;

	elf_init(&b, HOTRAIL_BASE_HIGH, true);
	elf_place(&b);
	elf_finish(&b);
	for (i = 0; i + 3 <= size; i += 3)
		b.file[(data[i] | data[i + 1] << 8) % b.size] = data[i + 2];
	parse(b.file, b.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0])
		parse(data + 1, size - 1);
	else
		parse_patched(data + 1, size - 1);
	return 0;
}
