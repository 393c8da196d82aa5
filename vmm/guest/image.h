/* SPDX-License-Identifier: GPL-2.0-only */
/* Our own guest images: ELF parsing and every check the header needs. */
#ifndef HOTRAIL_GUEST_IMAGE_H
#define HOTRAIL_GUEST_IMAGE_H

#include <hotrail/yard.h>
#include "guest/site.h"
#include "machine/machine.h"
#include "util/error.h"

#define IMAGE_MAX_SEGMENTS 16
#define IMAGE_BUILD_ID_MAX 20
#define IMAGE_MAX_FILE	   (64u << 20)	/* bytes of file */
#define IMAGE_MAX_SPAN	   (256u << 20) /* bytes of guest memory, lowest to highest segment */

struct image_symbol {
	gva_t addr;
	uint64_t size;
	const char *name; /* points into the image; printable ASCII, checked */
};

struct image {
	uint8_t *file; /* private copy of the whole file */
	size_t file_size;
	struct hotrail_image_header header; /* checked copy */
	gva_t entry, base;		    /* base = lowest segment address, 2 MiB aligned */
	uint8_t build_id[IMAGE_BUILD_ID_MAX];
	unsigned build_id_len;
	struct machine_map maps[IMAGE_MAX_SEGMENTS]; /* gpa = IMAGE_LOAD_GPA + (gva - base) */
	struct {
		size_t file_offset, file_size;
	} load[IMAGE_MAX_SEGMENTS];
	unsigned maps_count;
	uint64_t span;		      /* bytes of guest physical memory from IMAGE_LOAD_GPA */
	struct image_symbol *symbols; /* functions, ascending; may be empty */
	size_t symbols_count;
};

#define IMAGE_LOAD_GPA 0x200000

/* Parse bytes (copied). Every refusal is -EINVAL/-ENOEXEC with HOTRAIL_EXIT_FAILED and names the
 * field. */
int image_parse(const uint8_t *bytes, size_t size, const char *name, struct image **out,
		struct error *err);
int image_load(const char *path, struct image **out, struct error *err);
void image_free(struct image *img);

/* For the hostile tests, whose image rewrites its own text. NULL = the rules for everyone. */
struct image_options {
	bool writable_text; /* accept segments that are both writable and executable */
};
int image_parse_with(const uint8_t *bytes, size_t size, const char *name,
		     const struct image_options *options, struct image **out, struct error *err);
int image_load_with(const char *path, const struct image_options *options, struct image **out,
		    struct error *err);

/* Entry i of header.pairs_count; its addresses are inside the text, nothing more is known. */
void image_pair(const struct image *img, uint32_t i, struct hotrail_pair *out);

/* Sites by decoding the text, cross-checked against the image's own table; a difference is refused.
 */
int image_sites(const struct image *img, struct site_table *out, struct error *err);

/* "name+0x12" or "0x..." into buf; never fails. */
void image_name(const struct image *img, gva_t addr, char *buf, size_t len);
/* Address of a function by name, 0 if unknown. */
gva_t image_lookup(const struct image *img, const char *name);
/* The segment that holds all of [addr, addr+len), or NULL; and the file's bytes there, or NULL
 * where any of them is outside the file-backed part. Unaligned: memcpy from it. */
const struct machine_map *image_segment(const struct image *img, gva_t addr, uint64_t len);
const uint8_t *image_bytes(const struct image *img, gva_t addr, uint64_t len);
/* Is [addr, addr+len) inside the text or the arena code? */
bool image_is_text(const struct image *img, gva_t addr, uint64_t len);
/* Start address of an existing function (a legal call target), by symbol table. */
bool image_is_function(const struct image *img, gva_t addr);

#endif
