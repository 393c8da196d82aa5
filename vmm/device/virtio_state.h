/* SPDX-License-Identifier: GPL-2.0-only */
/* The transport's state, for virtio.c (registers) and virtio_worker.c (life, thread, interrupts).
 */
#ifndef HOTRAIL_DEVICE_VIRTIO_STATE_H
#define HOTRAIL_DEVICE_VIRTIO_STATE_H

#include <pthread.h>

#include "device/virtio_device.h"

/*
 * Locks: `work`, then `lock`. `work` is held by the thread while it works, and by status and
 * queue-ready writes, so that those see no request under way; it covers the queues. Writers of
 * `status` hold both, so either is enough to read it; what was accepted does not change while the
 * driver is up. `lock` is a leaf and covers the rest.
 */
#define VIRTIO_SHARE 256u /* chains of one queue before others have their turn */

struct virtio {
	const struct virtio_class *class;
	void *ctx;
	struct virtio_host host;
	uint64_t offered;
	unsigned queues, config_len;

	pthread_mutex_t work;
	pthread_cond_t go; /* nobody waits for `work` any more */
	unsigned waiters;  /* atomic: threads that want `work`; the thread lets them */
	bool stopping;	   /* atomic */
	bool again;	   /* the thread's: it stopped half-way */
	unsigned share[VIRTIO_QUEUES_MAX]; /* chains it may still take in this round */
	struct virtqueue queue[VIRTIO_QUEUES_MAX];
	struct virtqueue_chain chain; /* virtio_serve()'s */

	pthread_mutex_t lock;
	uint64_t accepted;
	uint32_t status, isr, generation;
	uint32_t device_sel, driver_sel, queue_sel;
	uint8_t config[VIRTIO_CONFIG_MAX];
	struct virtio_counters counters;

	pthread_t thread;
	int kick_fd, irq_fd;
};

void virtio_control_begin(struct virtio *v); /* take both locks, the thread stands aside */
void virtio_control_end(struct virtio *v);
void virtio_kick(struct virtio *v);
bool virtio_live(const struct virtio *v);		    /* `work` or `lock` held */
void virtio_interrupt(struct virtio *v, uint32_t bits);	    /* `lock` held */
void virtio_interrupt_ack(struct virtio *v, uint32_t bits); /* `lock` held */
void virtio_fail_locked(struct virtio *v, const char *why); /* both held */

#endif
