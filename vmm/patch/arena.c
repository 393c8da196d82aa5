// SPDX-License-Identifier: GPL-2.0-only
/* Write-once allocation of tracks and counters. */
#include "patch/arena.h"

#include <errno.h>
#include <inttypes.h>

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

int arena_alloc_code(struct arena *a, size_t len, gva_t *at)
{
	uint64_t offset;

	if (!len)
		return -EINVAL;
	offset = place_code(a, len);
	if (!fits(offset, len, a->where.code_size))
		return -ENOSPC;
	*at = a->where.code + offset;
	a->code_used = offset + len;
	return 0;
}

gva_t arena_next_code(const struct arena *a)
{
	return a->where.code + align_up(a->code_used, TRACK_ALIGN);
}

int arena_alloc_table(struct arena *a, size_t len, gva_t *at)
{
	uint64_t offset = align_up(a->data_used, ARENA_LINE);

	if (!len)
		return -EINVAL;
	if (!fits(offset, len, a->where.data_size))
		return -ENOSPC;
	*at = a->where.data + offset;
	/* Whole lines: a neighbour's counter would bounce with the table. */
	a->data_used = align_up(offset + len, ARENA_LINE);
	if (a->data_used > a->where.data_size)
		a->data_used = a->where.data_size;
	return 0;
}

int arena_alloc_misses(struct arena *a, gva_t *at)
{
	gva_t group;
	int rc = 0;

	if (a->shared_next == a->shared_end) {
		rc = arena_alloc_table(a, TRACK_MISS_SPAN, &group);
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
