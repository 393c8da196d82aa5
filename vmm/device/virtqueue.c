// SPDX-License-Identifier: GPL-2.0-only
/* Split virtqueues: rings in guest memory, read by somebody who does not trust it. */
#include "device/virtqueue.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_ring.h>

#define ALIGN_DESC 16u /* virtio 1.2, 2.7: alignment of the three parts */

/* Nothing after this may be computed from the guest's bytes again, only from the copy. */
#define copied() __asm__ volatile("" : : : "memory")

static int broken(struct virtqueue *q, const char *why)
{
	q->broken = true;
	q->why = why;
	return -EPROTO;
}

static void *range(const struct virtqueue *q, gpa_t gpa, uint64_t len)
{
	if (!len || gpa > UINT64_MAX - len)
		return NULL;
	return q->memory.range(q->memory.ctx, gpa, len);
}

int virtqueue_start(struct virtqueue *q, const struct virtqueue_memory *memory, bool indirect,
		    bool event_idx)
{
	uint64_t n = q->size;

	if (!n || n > VIRTQUEUE_SIZE_MAX || (n & (n - 1)))
		return broken(q, "queue size is not a power of two within the limit");
	if (q->desc % ALIGN_DESC || q->driver % VRING_AVAIL_ALIGN_SIZE ||
	    q->device % VRING_USED_ALIGN_SIZE)
		return broken(q, "a ring is not aligned");
	q->memory = *memory;
	q->descs = range(q, q->desc, n * sizeof(struct vring_desc));
	/* flags, idx, ring, and the event word that ends each ring */
	q->avail = range(q, q->driver, 2 + 2 + 2 * n + 2);
	q->used = range(q, q->device, 2 + 2 + sizeof(struct vring_used_elem) * n + 2);
	if (!q->descs || !q->avail || !q->used)
		return broken(q, "a ring lies outside RAM");
	q->indirect = indirect;
	q->event_idx = event_idx;
	q->next_avail = q->next_used = q->signalled = 0;
	q->broken = false;
	q->why = NULL;
	q->ready = true;
	return 0;
}

void virtqueue_reset(struct virtqueue *q)
{
	memset(q, 0, sizeof(*q));
}

static uint16_t avail_index(const struct virtqueue *q)
{
	const struct vring_avail *avail = q->avail;

	/* Acquire: ring entries and descriptors behind the index are read after it. */
	return __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);
}

static int add_buffer(struct virtqueue *q, struct virtqueue_chain *c, const struct vring_desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;
	void *host;

	if (c->count == VIRTQUEUE_SIZE_MAX)
		return broken(q, "a chain has too many buffers");
	if (!writable && c->count > c->readable)
		return broken(q, "a readable buffer behind a writable one");
	if (!d->len || d->len > VIRTQUEUE_BYTES_MAX - c->in_bytes - c->out_bytes)
		return broken(q, "a buffer of no or absurd length");
	host = range(q, d->addr, d->len);
	if (!host)
		return broken(q, "a buffer lies outside RAM");
	c->iov[c->count++] = (struct iovec){host, d->len};
	if (writable) {
		c->out_bytes += d->len;
	} else {
		c->in_bytes += d->len;
		c->readable++;
	}
	return 0;
}

static int follow(struct virtqueue *q, struct virtqueue_chain *c, const uint8_t *table, unsigned n,
		  unsigned at, bool inside);

static int follow_indirect(struct virtqueue *q, struct virtqueue_chain *c,
			   const struct vring_desc *d)
{
	const void *table;

	if (!q->indirect)
		return broken(q, "an indirect descriptor that was not negotiated");
	if (d->flags & VRING_DESC_F_NEXT)
		return broken(q, "an indirect descriptor that goes on");
	if (!d->len || d->len % sizeof(*d) || d->len / sizeof(*d) > VIRTQUEUE_SIZE_MAX)
		return broken(q, "an indirect table of absurd length");
	table = range(q, d->addr, d->len);
	if (!table)
		return broken(q, "an indirect table lies outside RAM");
	return follow(q, c, table, d->len / sizeof(*d), 0, true);
}

/* As many steps as the table has entries: whoever takes more goes in circles. */
static int follow(struct virtqueue *q, struct virtqueue_chain *c, const uint8_t *table, unsigned n,
		  unsigned at, bool inside)
{
	struct vring_desc d;
	unsigned steps;
	int ret;

	for (steps = 0; steps < n; steps++) {
		if (at >= n)
			return broken(q, "a descriptor index behind the table");
		memcpy(&d, table + at * sizeof(d), sizeof(d));
		copied();
		if (d.flags & VRING_DESC_F_INDIRECT)
			return inside ? broken(q, "an indirect table inside another")
				      : follow_indirect(q, c, &d);
		ret = add_buffer(q, c, &d);
		if (ret || !(d.flags & VRING_DESC_F_NEXT))
			return ret;
		at = d.next;
	}
	return broken(q, "a chain that loops");
}

int virtqueue_pop(struct virtqueue *q, struct virtqueue_chain *c)
{
	const struct vring_avail *avail = q->avail;
	uint16_t waiting;
	int ret;

	if (q->broken)
		return -EPROTO;
	if (!q->ready)
		return 0;
	waiting = avail_index(q) - q->next_avail;
	if (!waiting)
		return 0;
	if (waiting > q->size)
		return broken(q, "the available index jumped");
	c->head = __atomic_load_n(&avail->ring[q->next_avail & (q->size - 1)], __ATOMIC_RELAXED);
	c->count = c->readable = 0;
	c->in_bytes = c->out_bytes = 0;
	ret = follow(q, c, q->descs, q->size, c->head, false);
	if (ret)
		return ret;
	q->next_avail++;
	return 1;
}

void virtqueue_push(struct virtqueue *q, const struct virtqueue_chain *c, size_t written)
{
	struct vring_used *used = q->used;
	struct vring_used_elem elem = {.id = c->head};

	if (!q->ready || q->broken)
		return;
	elem.len = (uint32_t)(written < c->out_bytes ? written : c->out_bytes);
	memcpy(&used->ring[q->next_used & (q->size - 1)], &elem, sizeof(elem));
	q->next_used++;
	/* Release: data and element are there before the driver sees the index. */
	__atomic_store_n(&used->idx, q->next_used, __ATOMIC_RELEASE);
}

bool virtqueue_wants_interrupt(struct virtqueue *q)
{
	const struct vring_avail *avail = q->avail;
	uint16_t old = q->signalled, event;

	if (!q->ready || q->broken || old == q->next_used)
		return false;
	q->signalled = q->next_used;
	/* Our index before their wish, theirs the other way round: one of us sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(__atomic_load_n(&avail->flags, __ATOMIC_RELAXED) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = __atomic_load_n(&avail->ring[q->size], __ATOMIC_RELAXED);
	return vring_need_event(event, q->next_used, old);
}

void virtqueue_kicks_off(struct virtqueue *q)
{
	struct vring_used *used = q->used;

	/* With event indexes the old event already keeps the driver quiet. */
	if (q->ready && !q->broken && !q->event_idx)
		__atomic_store_n(&used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtqueue_kicks_on(struct virtqueue *q)
{
	struct vring_used *used = q->used;

	if (!q->ready || q->broken)
		return false;
	if (q->event_idx)
		__atomic_store_n((uint16_t *)&used->ring[q->size], q->next_avail, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&used->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return avail_index(q) != q->next_avail;
}

unsigned virtqueue_slice(const struct virtqueue_chain *c, bool writable, size_t offset, size_t len,
			 struct iovec *out)
{
	unsigned i = writable ? c->readable : 0, end = writable ? c->count : c->readable, n = 0;
	size_t here;

	for (; i < end && len; i++) {
		if (offset >= c->iov[i].iov_len) {
			offset -= c->iov[i].iov_len;
			continue;
		}
		here = c->iov[i].iov_len - offset;
		here = here < len ? here : len;
		out[n++] = (struct iovec){(uint8_t *)c->iov[i].iov_base + offset, here};
		len -= here;
		offset = 0;
	}
	return n;
}

static size_t transfer(const struct virtqueue_chain *c, bool writable, size_t offset, uint8_t *buf,
		       size_t len)
{
	unsigned i = writable ? c->readable : 0, end = writable ? c->count : c->readable;
	size_t done = 0, here;
	uint8_t *at;

	for (; i < end && done < len; i++) {
		if (offset >= c->iov[i].iov_len) {
			offset -= c->iov[i].iov_len;
			continue;
		}
		here = c->iov[i].iov_len - offset;
		here = here < len - done ? here : len - done;
		at = (uint8_t *)c->iov[i].iov_base + offset;
		memcpy(writable ? at : buf + done, writable ? buf + done : at, here);
		done += here;
		offset = 0;
	}
	copied();
	return done;
}

size_t virtqueue_read(const struct virtqueue_chain *c, size_t offset, void *buf, size_t len)
{
	return transfer(c, false, offset, buf, len);
}

size_t virtqueue_write(const struct virtqueue_chain *c, size_t offset, const void *buf, size_t len)
{
	return transfer(c, true, offset, (uint8_t *)(uintptr_t)buf, len);
}
