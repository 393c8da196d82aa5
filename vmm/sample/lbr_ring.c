// SPDX-License-Identifier: GPL-2.0-only
/* The head and tail protocol of perf's ring buffer, and the records in it. */
#include "sample/lbr_ring.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <unistd.h>

/* The longest record looked into: header, number of branches, branches. */
struct record {
	struct perf_event_header header;
	union {
		struct {
			uint64_t nr;
			struct lbr_branch branch[LBR_DEPTH_MAX];
		} stack;
		struct {
			uint64_t id, lost;
		} lost; /* PERF_RECORD_LOST */
		struct {
			uint64_t lost;
		} lost_samples; /* PERF_RECORD_LOST_SAMPLES */
	} body;
};

_Static_assert(sizeof(struct lbr_branch) == sizeof(struct perf_branch_entry), "perf's ABI");

int lbr_ring_init(struct lbr_ring *r, void *map, size_t bytes)
{
	struct perf_event_mmap_page *page = map;
	uint64_t offset = (uint64_t)sysconf(_SC_PAGESIZE), size;

	if (bytes <= offset)
		return -EINVAL;
	size = bytes - offset;
	/* Kernels before 4.1 leave these 0: then the data is all that follows the page. */
	if (page->data_size) {
		if (page->data_offset < offset || page->data_offset > bytes ||
		    page->data_size > bytes - page->data_offset)
			return -EINVAL;
		offset = page->data_offset;
		size = page->data_size;
	}
	if (size & (size - 1))
		return -EINVAL;
	*r = (struct lbr_ring){.page = map,
			       .data = (const uint8_t *)map + offset,
			       .size = size,
			       .tail = __atomic_load_n(&page->data_tail, __ATOMIC_RELAXED)};
	return 0;
}

/* A record may go round the end of the buffer. */
static void copy_out(const struct lbr_ring *r, uint64_t at, void *buf, size_t len)
{
	uint64_t start = at & (r->size - 1), first = r->size - start;

	if (first > len)
		first = len;
	memcpy(buf, r->data + start, first);
	memcpy((uint8_t *)buf + first, r->data, len - first);
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static bool touches_guest(const struct lbr_join *j, const struct lbr_branch *b)
{
	const struct site_table *s = j->attribute->sites;

	return b->to >= s->text_start && b->to < s->text_end;
}

static bool take_stack(const struct lbr_join *j, const struct record *rec, size_t body,
		       lbr_edge_fn fn, void *ctx, struct lbr_totals *t)
{
	uint64_t nr, i;

	if (body < sizeof(nr))
		return false;
	nr = rec->body.stack.nr;
	if (nr > LBR_DEPTH_MAX || body != sizeof(nr) + nr * sizeof(struct lbr_branch))
		return false;
	t->stacks++;
	for (i = 0; i < nr; i++)
		if (touches_guest(j, &rec->body.stack.branch[i]))
			break;
	t->in_guest += i < nr;
	t->named += lbr_join_stack(j, rec->body.stack.branch, nr, fn, ctx, &t->calls) > 0;
	return true;
}

/* False: its size does not fit what it says it is. */
static bool take_record(const struct lbr_join *j, const struct record *rec, lbr_edge_fn fn,
			void *ctx, struct lbr_totals *t)
{
	size_t body = rec->header.size - sizeof(rec->header);

	switch (rec->header.type) {
	case PERF_RECORD_SAMPLE:
		return take_stack(j, rec, body, fn, ctx, t);
	case PERF_RECORD_LOST:
		if (body < sizeof(rec->body.lost))
			return false;
		t->lost = add(t->lost, rec->body.lost.lost);
		return true;
	case PERF_RECORD_LOST_SAMPLES:
		if (body < sizeof(rec->body.lost_samples))
			return false;
		t->lost = add(t->lost, rec->body.lost_samples.lost);
		return true;
	case PERF_RECORD_THROTTLE:
		t->throttled++;
		return true;
	default:
		return true; /* UNTHROTTLE, EXIT and others: nothing to learn */
	}
}

void lbr_ring_read(struct lbr_ring *r, const struct lbr_join *j, lbr_edge_fn fn, void *ctx,
		   struct lbr_totals *t)
{
	struct perf_event_mmap_page *page = r->page;
	struct record rec;
	/* Acquire, pairs with the kernel's barrier before it stores the head: the records below it
	 * are there (kernel/events/ring_buffer.c, perf_output_put_handle). Read once: what comes
	 * later is for the next call, so this one ends. */
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);

	if (head - r->tail > r->size) {
		t->malformed++; /* not a distance that a writer who waits for us can reach */
		r->tail = head;
	}
	while (r->tail != head) {
		uint64_t left = head - r->tail;
		size_t size = sizeof(rec.header);

		if (left >= size) {
			copy_out(r, r->tail, &rec.header, size);
			size = rec.header.size;
		}
		if (left < size || size < sizeof(rec.header) || size % 8) {
			t->malformed++; /* where the next record begins is not known */
			r->tail = head;
			break;
		}
		if (size <= sizeof(rec)) {
			/* The size that was checked, not the one in the buffer by now. */
			copy_out(r, r->tail + sizeof(rec.header), &rec.body,
				 size - sizeof(rec.header));
			if (!take_record(j, &rec, fn, ctx, t))
				t->malformed++;
		} else if (rec.header.type == PERF_RECORD_SAMPLE) {
			t->malformed++;
		}
		r->tail += size;
	}
	/* Release: all copies are made before the kernel may overwrite them. */
	__atomic_store_n(&page->data_tail, r->tail, __ATOMIC_RELEASE);
}
