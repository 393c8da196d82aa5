// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer entry: profile files. What is accepted must be canonical, and merging must keep it so.
 */
#include <stdlib.h>
#include <string.h>

#include <hotrail/profile_file.h>
#include "profile/store.h"
#include "protocol/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void check_accepted(const uint8_t *data, size_t size, struct profile *p)
{
	struct profile *again, *sum;
	struct error err;
	uint8_t *bytes;
	size_t len, i;

	check(!profile_serialise(p, &bytes, &len));
	check(len == size && !memcmp(bytes, data, size)); /* one profile, one file */
	check(!profile_parse(bytes, len, &again, &err));
	check(!profile_parse(bytes, len, &sum, &err));
	free(bytes);
	if (!profile_merge(sum, again, &err)) {
		check(sum->count == p->count);
		for (i = 0; i < sum->count; i++)
			check(sum->edges[i].count >= p->edges[i].count);
		check(!profile_serialise(sum, &bytes, &len));
		check(len == size);
		free(bytes);
	}
	profile_free(again);
	profile_free(sum);
}

static void try(const uint8_t *data, size_t size)
{
	struct error err = {0};
	struct profile *p;

	if (profile_parse(data, size, &p, &err)) {
		check(!p && err.text[0]);
		return;
	}
	check_accepted(data, size, p);
	profile_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hotrail_profile_header h;
	uint8_t *sealed;

	try(data, size);
	if (size < sizeof(h))
		return 0;
	/* Past the checksum and the magic, which no mutation would ever guess. */
	sealed = malloc(size);
	if (!sealed)
		return 0;
	memcpy(sealed, data, size);
	memcpy(&h, data, sizeof(h));
	memcpy(h.magic, HOTRAIL_PROFILE_MAGIC, sizeof(h.magic));
	h.version = HOTRAIL_PROFILE_VERSION;
	h.edges = (uint32_t)((size - sizeof(h)) / sizeof(struct hotrail_profile_edge));
	h.crc = 0;
	memcpy(sealed, &h, sizeof(h));
	h.crc = hotrail_crc32c(0, sealed, size);
	memcpy(sealed, &h, sizeof(h));
	try(sealed, size);
	free(sealed);
	return 0;
}
