/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The profile file: which indirect calls one build of a kernel made, and how
 * often. Everything little-endian, no padding, no pointers:
 *
 *   struct hotrail_profile_header        64 bytes
 *   struct hotrail_profile_edge[edges]   16 bytes each, ascending by (site, target), unique
 *
 * Offsets count from the start of the kernel's text, so the load address does not
 * matter. The file has exactly header + edges bytes. A reader refuses what it
 * does not know: another version, a reserved field that is not 0, a bad checksum.
 */
#ifndef HOTRAIL_PROFILE_FILE_H
#define HOTRAIL_PROFILE_FILE_H

#include <hotrail/types.h>

#define HOTRAIL_PROFILE_MAGIC                                                                      \
	"HTRPROF\n" /* 8 bytes, no terminator; the newline shows text-mode damage */
#define HOTRAIL_PROFILE_VERSION	     1
#define HOTRAIL_PROFILE_BUILD_ID_MAX 20
#define HOTRAIL_PROFILE_MAX_EDGES    (1u << 20) /* 16 MiB; a whole kernel has some 10^4 sites */

struct hotrail_profile_header {
	uint8_t magic[8];      /* HOTRAIL_PROFILE_MAGIC */
	uint32_t version;      /* HOTRAIL_PROFILE_VERSION */
	uint32_t crc;	       /* CRC-32C of the whole file with this field 0 */
	uint32_t edges;	       /* 0..HOTRAIL_PROFILE_MAX_EDGES */
	uint32_t build_id_len; /* 1..HOTRAIL_PROFILE_BUILD_ID_MAX */
	uint8_t build_id[HOTRAIL_PROFILE_BUILD_ID_MAX]; /* bytes after build_id_len are 0 */
	uint32_t reserved0;
	uint64_t created; /* seconds since the epoch */
	uint64_t reserved1;
};

struct hotrail_profile_edge {
	uint32_t site;	 /* bytes from text start to the site's first byte */
	uint32_t target; /* ... to the target */
	uint64_t count;	 /* calls, at least 1 */
};

#endif
