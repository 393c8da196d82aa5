/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Split virtqueues, the device's side (virtio 1.2, section 2.7). No I/O, no locks: one thread at
 * a time. Rings and descriptors belong to a guest that may change them at any moment: each is
 * copied once, the copy is checked, the copy is used. A queue that breaks the rules is `broken`
 * from then on and gives nothing more; `why` says what was wrong.
 */
#ifndef HOTRAIL_DEVICE_VIRTQUEUE_H
#define HOTRAIL_DEVICE_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include <hotrail/types.h>

#define VIRTQUEUE_SIZE_MAX  256u	/* entries a device offers, and buffers in one chain */
#define VIRTQUEUE_BYTES_MAX (64u << 20) /* in one chain */

/*
 * Host view of [gpa, gpa + len), or NULL when any byte lies outside RAM. Only memory that stays
 * mapped for the life of the device: views of the rings are kept.
 */
struct virtqueue_memory {
	void *(*range)(void *ctx, gpa_t gpa, uint64_t len);
	void *ctx;
};

struct virtqueue {
	uint32_t size; /* these four as the driver wrote them; free to change until ready */
	gpa_t desc, driver, device;
	bool ready, broken;
	const char *why;

	/* virtqueue.c's own */
	struct virtqueue_memory memory;
	bool indirect, event_idx; /* negotiated */
	const void *descs;
	void *avail, *used;
	uint16_t next_avail, next_used;
	uint16_t signalled; /* next_used at the last interrupt decision */
};

/* A chain as copied: host views of guest memory, readable buffers first. */
struct virtqueue_chain {
	uint16_t head;
	unsigned count, readable;   /* buffers; the first `readable` of them are for reading */
	size_t in_bytes, out_bytes; /* device-readable; device-writable */
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
};

/* Check size, alignment and place of the rings and start at index 0. 0, or -EPROTO: broken. */
int virtqueue_start(struct virtqueue *q, const struct virtqueue_memory *memory, bool indirect,
		    bool event_idx);
void virtqueue_reset(struct virtqueue *q);

/* The next available chain. 1 taken, 0 none (or not ready), -EPROTO broken. */
int virtqueue_pop(struct virtqueue *q, struct virtqueue_chain *c);
/* Give a chain back; `written` counts from its first writable byte (and is cut to what fits). */
void virtqueue_push(struct virtqueue *q, const struct virtqueue_chain *c, size_t written);
/* Does the driver want an interrupt for what was pushed since the last call? */
bool virtqueue_wants_interrupt(struct virtqueue *q);
/* Ask the driver not to kick (a hint); ask it to kick again: true = work came in meanwhile. */
void virtqueue_kicks_off(struct virtqueue *q);
bool virtqueue_kicks_on(struct virtqueue *q);

/* Copy out of the readable, into the writable part from `offset` on. Bytes copied, fewer at the
 * end. */
size_t virtqueue_read(const struct virtqueue_chain *c, size_t offset, void *buf, size_t len);
size_t virtqueue_write(const struct virtqueue_chain *c, size_t offset, const void *buf, size_t len);
/* The buffers of that stretch of one part; `out` has room for c->count. Their number. */
unsigned virtqueue_slice(const struct virtqueue_chain *c, bool writable, size_t offset, size_t len,
			 struct iovec *out);

#endif
