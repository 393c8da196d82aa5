// SPDX-License-Identifier: GPL-2.0-only
/* Write-once allocation of tracks and counters. */
#include "patch/arena.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "patch/track.h"

struct range {
	gva_t start, end; /* [start, end) */
	const char *what;
};

static bool disjoint(const struct range *a, const struct range *b)
{
	return a->start == a->end || b->start == b->end || a->end <= b->start || b->end <= a->start;
}

/* 32 bits must name every byte: cmp, lea and disp32 in tracks sign-extend. */
static bool named_by_imm32(const struct range *r)
{
	gva_t last = r->end - 1;

	return r->start == (gva_t)(int64_t)(int32_t)r->start &&
	       last == (gva_t)(int64_t)(int32_t)last;
}

static int check_range(const struct range *r, struct error *err)
{
	if (r->start == r->end)
		return 0;
	if (r->end < r->start || r->start % ARENA_LINE)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "the %s at 0x%" PRIx64 " wraps around or is not aligned; "
				 "the image is broken",
				 r->what, r->start);
	if (!named_by_imm32(r))
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "the %s at 0x%" PRIx64 " is outside the 2 GiB that tracks can "
				 "name; link the guest there",
				 r->what, r->start);
	return 0;
}

static int check_pair(const struct range *a, const struct range *b, struct error *err)
{
	gva_t low = a->start < b->start ? a->start : b->start;
	gva_t high = a->end > b->end ? a->end : b->end;

	if (a->start == a->end || b->start == b->end)
		return 0;
	if (!disjoint(a, b))
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "the %s overlaps the %s at 0x%" PRIx64 "; the image is broken",
				 a->what, b->what, b->start);
	/* Every instruction in one must reach every byte of the other. */
	if (high - low > INT32_MAX)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "the %s at 0x%" PRIx64 " is more than 2 GiB away from the %s",
				 a->what, a->start, b->what);
	return 0;
}

int arena_init(struct arena *a, const struct guest_arena *where, gva_t text_start, gva_t text_end,
	       struct error *err)
{
	const struct range text = {text_start, text_end, "guest text"};
	const struct range code = {where->code, where->code + where->code_size,
				   "code half of the arena"};
	const struct range data = {where->data, where->data + where->data_size,
				   "counter half of the arena"};
	int rc;

	if (text_end < text_start)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL, "guest text has no end");
	rc = check_range(&code, err);
	if (!rc)
		rc = check_range(&data, err);
	if (!rc)
		rc = check_pair(&code, &text, err);
	if (!rc)
		rc = check_pair(&data, &text, err);
	if (!rc)
		rc = check_pair(&code, &data, err);
	if (rc)
		return rc;
	*a = (struct arena){.where = *where};
	return 0;
}

void arena_fini(struct arena *a)
{
	free(a->holes);
	*a = (struct arena){0};
}

int arena_set_tables(struct arena *a, uint64_t copies, uint64_t stride, struct error *err)
{
	if (!copies || !stride || stride % ARENA_LINE || stride > a->where.data_size ||
	    copies > a->where.data_size / stride)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "%" PRIu64 " tables of %" PRIu64 " bytes do not fit into the "
				 "%" PRIu64 " bytes of the counter half of the arena",
				 copies, stride, a->where.data_size);
	a->table_size = stride;
	a->data_used = copies * stride;
	return 0;
}

static uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t lines(uint64_t offset, size_t len)
{
	return (offset + len - 1) / ARENA_LINE - offset / ARENA_LINE + 1;
}

/* Where a block of `len` goes: here, unless starting on the next line saves one. */
static uint64_t place_code(const struct arena *a, size_t len)
{
	uint64_t offset = align_up(a->code_used, TRACK_ALIGN);

	if (lines(offset, len) > lines(0, len))
		offset = align_up(offset, ARENA_LINE);
	return offset;
}

static bool fits(uint64_t offset, size_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

/* The first hole that is large enough; with `compact`, that lets the block touch no line too many.
 */
static bool fill_hole(struct arena *a, size_t len, bool compact, uint64_t *offset)
{
	uint64_t want = align_up(len, TRACK_ALIGN);
	struct arena_hole *h;
	size_t i;

	for (i = 0; i < a->holes_count; i++) {
		h = &a->holes[i];
		if (h->len < want || (compact && lines(h->offset, len) > lines(0, len)))
			continue;
		*offset = h->offset;
		h->offset += want;
		h->len -= want;
		if (!h->len)
			memmove(h, h + 1, (--a->holes_count - i) * sizeof(*h));
		return true;
	}
	return false;
}

static int make_hole(struct arena *a, size_t i, const struct arena_hole *h)
{
	struct arena_hole *more;
	size_t cap;

	if (a->holes_count == a->holes_cap) {
		cap = a->holes_cap ? a->holes_cap * 2 : 16;
		more = reallocarray(a->holes, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		a->holes = more;
		a->holes_cap = cap;
	}
	memmove(a->holes + i + 1, a->holes + i, (a->holes_count++ - i) * sizeof(*a->holes));
	a->holes[i] = *h;
	return 0;
}

int arena_release_code(struct arena *a, gva_t at, size_t len)
{
	const struct arena_hole h = {.offset = at - a->where.code,
				     .len = align_up(len, TRACK_ALIGN)};
	struct arena_hole *before, *after;
	size_t i;

	for (i = 0; i < a->holes_count && a->holes[i].offset < h.offset; i++)
		;
	before = i ? &a->holes[i - 1] : NULL;
	after = i < a->holes_count ? &a->holes[i] : NULL;
	if (before && before->offset + before->len == h.offset) {
		before->len += h.len;
		if (after && before->offset + before->len == after->offset) {
			before->len += after->len;
			memmove(after, after + 1, (--a->holes_count - i) * sizeof(*after));
		}
		return 0;
	}
	if (after && h.offset + h.len == after->offset) {
		after->offset = h.offset;
		after->len += h.len;
		return 0;
	}
	return make_hole(a, i, &h);
}

/* Where blocks come back, what was skipped to begin on a line is of use, too. */
static void keep_gap(struct arena *a, uint64_t from, uint64_t to)
{
	from = align_up(from, TRACK_ALIGN);
	if (a->table_size && from < to)
		(void)arena_release_code(a, a->where.code + from, to - from);
}

int arena_alloc_code(struct arena *a, size_t len, gva_t *at)
{
	uint64_t offset = place_code(a, len);

	if (!len)
		return -EINVAL;
	if (!fill_hole(a, len, true, &offset)) {
		if (fits(offset, len, a->where.code_size)) {
			keep_gap(a, a->code_used, offset);
			a->code_used = offset + len;
		} else if (!fill_hole(a, len, false, &offset)) {
			return -ENOSPC;
		}
	}
	*at = a->where.code + offset;
	return 0;
}

uint64_t arena_code_used(const struct arena *a)
{
	uint64_t used = align_up(a->code_used, TRACK_ALIGN);
	size_t i;

	for (i = 0; i < a->holes_count; i++)
		used -= a->holes[i].len;
	return used < a->code_used ? used : a->code_used;
}

/* Whole lines of [*used, size): a neighbour's counter would bounce with them. */
static int alloc_lines(const struct arena *a, uint64_t *used, uint64_t size, size_t len, gva_t *at)
{
	uint64_t offset = align_up(*used, ARENA_LINE);

	if (!len)
		return -EINVAL;
	if (!fits(offset, len, size))
		return -ENOSPC;
	*at = a->where.data + offset;
	*used = align_up(offset + len, ARENA_LINE);
	if (*used > size)
		*used = size;
	return 0;
}

int arena_alloc_table(struct arena *a, size_t len, gva_t *at)
{
	if (a->table_size)
		return alloc_lines(a, &a->table_used, a->table_size, len, at);
	return alloc_lines(a, &a->data_used, a->where.data_size, len, at);
}

int arena_alloc_misses(struct arena *a, gva_t *at)
{
	gva_t group;
	int rc = 0;

	if (a->shared_next == a->shared_end) {
		rc = alloc_lines(a, &a->data_used, a->where.data_size, TRACK_MISS_SPAN, &group);
		if (rc)
			return rc;
		a->shared_next = group;
		a->shared_end = group + TRACK_MISS_STRIDE;
	}
	*at = a->shared_next;
	a->shared_next += sizeof(uint32_t);
	return rc;
}

int arena_reserve_code(struct arena *a, gva_t at, size_t len)
{
	uint64_t offset = at - a->where.code;

	if (at < a->where.code || at % TRACK_ALIGN || !fits(offset, len, a->where.code_size))
		return -EINVAL;
	if (a->code_used < offset + len)
		a->code_used = offset + len;
	return 0;
}

int arena_reserve_data(struct arena *a, gva_t at, size_t len)
{
	uint64_t offset = at - a->where.data, end;

	if (at < a->where.data || at % sizeof(uint32_t) || !fits(offset, len, a->where.data_size))
		return -EINVAL;
	end = align_up(offset + len, ARENA_LINE);
	if (end > a->where.data_size)
		end = a->where.data_size;
	if (a->data_used < end)
		a->data_used = end;
	a->shared_next = a->shared_end = 0;
	return 0;
}
