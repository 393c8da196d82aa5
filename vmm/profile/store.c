// SPDX-License-Identifier: GPL-2.0-only
/* Profile files: bytes <-> profile. No I/O; that is file.c. */
#include "profile/store.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hotrail/profile_file.h>
#include "protocol/crc32c.h"

typedef struct hotrail_profile_header header_t;
typedef struct hotrail_profile_edge record_t;

_Static_assert(sizeof(header_t) == 64 && sizeof(record_t) == 16, "the file format has no padding");

__attribute__((format(printf, 2, 3))) static int refuse(struct error *err, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "not a usable profile: %s", text);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	while (len)
		if (bytes[--len])
			return false;
	return true;
}

/* The checksum of a file image, its own field taken as 0. */
static uint32_t checksum(const uint8_t *bytes, size_t len)
{
	header_t h;

	memcpy(&h, bytes, sizeof(h));
	h.crc = 0;
	return hotrail_crc32c(hotrail_crc32c(0, &h, sizeof(h)), bytes + sizeof(h), len - sizeof(h));
}

static int check_header(const header_t *h, const uint8_t *bytes, size_t len, struct error *err)
{
	uint32_t edges = le32toh(h->edges), id_len = le32toh(h->build_id_len);

	if (le32toh(h->version) != HOTRAIL_PROFILE_VERSION)
		return refuse(err, "version %u, this program reads version %d", le32toh(h->version),
			      HOTRAIL_PROFILE_VERSION);
	if (edges > HOTRAIL_PROFILE_MAX_EDGES)
		return refuse(err, "%u edges, the limit is %u", edges, HOTRAIL_PROFILE_MAX_EDGES);
	if (len != sizeof(*h) + (size_t)edges * sizeof(record_t))
		return refuse(err, "%zu bytes where %u edges need %zu (cut short or extended)", len,
			      edges, sizeof(*h) + (size_t)edges * sizeof(record_t));
	if (le32toh(h->crc) != checksum(bytes, len))
		return refuse(err, "checksum %08x where its bytes give %08x (damaged)",
			      le32toh(h->crc), checksum(bytes, len));
	if (!id_len || id_len > HOTRAIL_PROFILE_BUILD_ID_MAX)
		return refuse(err, "build id of %u bytes, 1 to %d are allowed", id_len,
			      HOTRAIL_PROFILE_BUILD_ID_MAX);
	if (!all_zero(h->build_id + id_len, HOTRAIL_PROFILE_BUILD_ID_MAX - id_len))
		return refuse(err, "bytes after the build id are not 0");
	if (h->reserved0 || h->reserved1)
		return refuse(err, "a reserved field is not 0");
	return 0;
}

static int compare(const struct profile_edge *a, const struct profile_edge *b)
{
	if (a->site_offset != b->site_offset)
		return a->site_offset < b->site_offset ? -1 : 1;
	return a->target_offset < b->target_offset ? -1 : a->target_offset > b->target_offset;
}

static int read_edges(struct profile *p, const uint8_t *bytes, struct error *err)
{
	record_t r;
	size_t i;

	for (i = 0; i < p->count; i++) {
		memcpy(&r, bytes + i * sizeof(r), sizeof(r));
		p->edges[i] =
			(struct profile_edge){le32toh(r.site), le32toh(r.target), le64toh(r.count)};
		if (!p->edges[i].count)
			return refuse(err, "edge %zu has no calls", i);
		if (i && compare(&p->edges[i - 1], &p->edges[i]) >= 0)
			return refuse(err, "edge %zu is not after edge %zu by site and target", i,
				      i - 1);
	}
	return 0;
}

int profile_parse(const uint8_t *bytes, size_t len, struct profile **out, struct error *err)
{
	struct profile *p;
	header_t h;
	int ret;

	*out = NULL;
	if (len < sizeof(h))
		return refuse(err, "%zu bytes, less than the header's %zu", len, sizeof(h));
	memcpy(&h, bytes, sizeof(h));
	if (memcmp(h.magic, HOTRAIL_PROFILE_MAGIC, sizeof(h.magic)))
		return refuse(err, "it does not begin with the profile magic");
	ret = check_header(&h, bytes, len, err);
	if (ret)
		return ret;
	p = calloc(1, sizeof(*p));
	if (p) {
		p->count = le32toh(h.edges);
		p->edges = calloc(p->count ? p->count : 1, sizeof(*p->edges));
	}
	if (!p || !p->edges) {
		free(p);
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for a profile of %u edges", le32toh(h.edges));
	}
	p->build_id_len = le32toh(h.build_id_len);
	memcpy(p->build_id, h.build_id, sizeof(p->build_id));
	p->created = le64toh(h.created);
	ret = read_edges(p, bytes + sizeof(h), err);
	if (ret) {
		profile_free(p);
		return ret;
	}
	*out = p;
	return 0;
}

/* What profile_parse() would refuse must never be written. */
static bool is_valid(const struct profile *p)
{
	size_t i;

	if (p->count > HOTRAIL_PROFILE_MAX_EDGES || !p->build_id_len ||
	    p->build_id_len > HOTRAIL_PROFILE_BUILD_ID_MAX)
		return false;
	for (i = 0; i < p->count; i++)
		if (!p->edges[i].count || (i && compare(&p->edges[i - 1], &p->edges[i]) >= 0))
			return false;
	return true;
}

int profile_serialise(const struct profile *p, uint8_t **bytes, size_t *len)
{
	header_t h = {.version = htole32(HOTRAIL_PROFILE_VERSION)};
	size_t size, i;
	uint8_t *buf;

	*bytes = NULL;
	*len = 0;
	if (!is_valid(p))
		return -EINVAL;
	size = sizeof(h) + p->count * sizeof(record_t);
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	memcpy(h.magic, HOTRAIL_PROFILE_MAGIC, sizeof(h.magic));
	h.edges = htole32((uint32_t)p->count);
	h.build_id_len = htole32(p->build_id_len);
	memcpy(h.build_id, p->build_id, p->build_id_len);
	h.created = htole64(p->created);
	memcpy(buf, &h, sizeof(h));
	for (i = 0; i < p->count; i++) {
		record_t r = {htole32(p->edges[i].site_offset), htole32(p->edges[i].target_offset),
			      htole64(p->edges[i].count)};

		memcpy(buf + sizeof(h) + i * sizeof(r), &r, sizeof(r));
	}
	h.crc = htole32(checksum(buf, size));
	memcpy(buf, &h, sizeof(h));
	*bytes = buf;
	*len = size;
	return 0;
}

static void print_id(const struct profile *p, char *buf, size_t len)
{
	unsigned i;

	buf[0] = 0;
	for (i = 0; i < p->build_id_len && i < sizeof(p->build_id) && 2 * i + 2 < len; i++)
		snprintf(buf + 2 * i, len - 2 * i, "%02x", p->build_id[i]);
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

int profile_merge(struct profile *into, const struct profile *from, struct error *err)
{
	char id_a[2 * sizeof(into->build_id) + 1], id_b[sizeof(id_a)];
	size_t a = 0, b = 0, n = 0;
	struct profile_edge *sum;

	if (into->build_id_len != from->build_id_len ||
	    memcmp(into->build_id, from->build_id, into->build_id_len)) {
		print_id(into, id_a, sizeof(id_a));
		print_id(from, id_b, sizeof(id_b));
		return error_set(
			err, HOTRAIL_EXIT_FAILED, -EINVAL,
			"profiles of different builds: %s and %s; offsets of one mean nothing in "
			"the other",
			id_a, id_b);
	}
	sum = malloc((into->count + from->count + 1) * sizeof(*sum));
	if (!sum)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to merge profiles");
	while (a < into->count || b < from->count) {
		int order = a == into->count   ? 1
			    : b == from->count ? -1
					       : compare(&into->edges[a], &from->edges[b]);

		sum[n] = order <= 0 ? into->edges[a++] : from->edges[b];
		if (order == 0)
			sum[n].count = add_saturated(sum[n].count, from->edges[b].count);
		b += order >= 0;
		n++;
	}
	if (n > HOTRAIL_PROFILE_MAX_EDGES) {
		free(sum);
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "the merged profile would have %zu edges, the limit is %u", n,
				 HOTRAIL_PROFILE_MAX_EDGES);
	}
	free(into->edges);
	into->edges = sum;
	into->count = n;
	if (from->created > into->created)
		into->created = from->created;
	return 0;
}

void profile_free(struct profile *p)
{
	if (!p)
		return;
	free(p->edges);
	free(p);
}
