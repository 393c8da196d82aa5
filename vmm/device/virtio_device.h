/* SPDX-License-Identifier: GPL-2.0-only */
/* What a virtio device model is to the transport, and what it may ask of it. */
#ifndef HOTRAIL_DEVICE_VIRTIO_DEVICE_H
#define HOTRAIL_DEVICE_VIRTIO_DEVICE_H

#include <poll.h>

#include "device/virtio.h"

#define VIRTIO_QUEUES_MAX 12u
#define VIRTIO_FDS_MAX	  8u
#define VIRTIO_CONFIG_MAX 64u

/* All on the device's thread with the work lock held, but destroy and (the work lock held too)
 * reset. */
struct virtio_class {
	const char *name;
	uint32_t id; /* virtio 1.2, section 5 */
	/* Work on all queues; fds are those of wants(), polled. Only while the driver is up. */
	void (*work)(void *ctx, const struct pollfd *fds, unsigned n);
	/* Which other descriptors to wait for, at most VIRTIO_FDS_MAX; their number. NULL = none.
	 */
	unsigned (*wants)(void *ctx, struct pollfd *fds);
	void (*reset)(void *ctx); /* forget chains and negotiation; NULL = nothing to forget */
	void (*destroy)(void *ctx);
};

struct virtio_setup {
	const struct virtio_class *class;
	void *ctx;
	uint64_t features; /* the device's own; the transport adds its */
	unsigned queues;
	const void *config; /* copied */
	unsigned config_len;
};

/*
 * *out is set before the thread starts, so it may live in ctx. On failure ctx stays the caller's.
 */
int virtio_create(const struct virtio_setup *setup, const struct virtio_host *host,
		  struct virtio **out, struct error *err);
void *virtio_ctx(const struct virtio *v);
/* Change configuration bytes and tell the driver. Any thread, no lock held. */
void virtio_config_change(struct virtio *v, unsigned offset, const void *bytes, unsigned len);

/* --- on the device's thread, in work() --- */

bool virtio_has(const struct virtio *v, unsigned feature_bit);
/* 1 a chain, 0 none or somebody waits for us to stop, negative: driver broken, told so. */
int virtio_pop(struct virtio *v, unsigned queue, struct virtqueue_chain *c);
void virtio_push(struct virtio *v, unsigned queue, const struct virtqueue_chain *c, size_t written);
void virtio_notify(struct virtio *v, unsigned queue); /* interrupt, if the driver wants one */
void virtio_kicks_off(struct virtio *v, unsigned queue);
bool virtio_kicks_on(struct virtio *v, unsigned queue); /* true = look again */
/* Answer each chain of a queue: fn returns bytes written, or negative after virtio_fail(). */
void virtio_serve(struct virtio *v, unsigned queue,
		  ssize_t (*fn)(void *ctx, const struct virtqueue_chain *c));
/* The driver broke the rules: DEVICE_NEEDS_RESET until it resets. */
void virtio_fail(struct virtio *v, const char *why);
void virtio_count(struct virtio *v, unsigned failed, unsigned dropped);

#endif
