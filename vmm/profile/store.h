/* SPDX-License-Identifier: GPL-2.0-only */
/* Profile files: edges of one kernel build, as offsets from its text start, so that
 * another instance (another load address) starts warm. Format: include/hotrail/profile_file.h. */
#ifndef HOTRAIL_PROFILE_STORE_H
#define HOTRAIL_PROFILE_STORE_H

#include "util/error.h"
#include "profile/edge.h"

struct profile_edge {
	uint32_t site_offset, target_offset; /* from text start */
	uint64_t count;
};

struct profile {
	uint8_t build_id[20];
	unsigned build_id_len;
	uint64_t created;	    /* seconds since the epoch */
	struct profile_edge *edges; /* ascending (site, target), unique */
	size_t count;
};

/* Pure half: bytes <-> profile. profile_parse refuses every inconsistency by name (-EINVAL). */
int profile_parse(const uint8_t *bytes, size_t len, struct profile **out, struct error *err);
int profile_serialise(const struct profile *p, uint8_t **bytes, size_t *len);
/* Sum of two of the same build; -EINVAL with both ids named otherwise. */
int profile_merge(struct profile *into, const struct profile *from, struct error *err);
void profile_free(struct profile *p);

/* File half. Saving is atomic: temporary file in the same folder, fsync, rename. */
int profile_load(const char *path, struct profile **out, struct error *err);
int profile_save(const char *path, const struct profile *p, struct error *err);

#endif
