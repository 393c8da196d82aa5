// SPDX-License-Identifier: GPL-2.0-only
/* What a device model does with its queues, on the device's thread. */
#include "device/virtio_state.h"

#include <errno.h>

#include <linux/virtio_mmio.h>

bool virtio_has(const struct virtio *v, unsigned feature_bit)
{
	return v->accepted >> feature_bit & 1;
}

void virtio_fail(struct virtio *v, const char *why)
{
	pthread_mutex_lock(&v->lock);
	virtio_fail_locked(v, why);
	pthread_mutex_unlock(&v->lock);
}

void virtio_count(struct virtio *v, unsigned failed, unsigned dropped)
{
	pthread_mutex_lock(&v->lock);
	v->counters.failed += failed;
	v->counters.dropped += dropped;
	pthread_mutex_unlock(&v->lock);
}

/*
 * The thread stops here, between chains, when a vCPU or the teardown wants the device, or when
 * this queue had its share of a round and others may wait.
 */
static bool stand_aside(struct virtio *v, unsigned queue)
{
	bool aside = __atomic_load_n(&v->waiters, __ATOMIC_RELAXED) ||
		     __atomic_load_n(&v->stopping, __ATOMIC_RELAXED) || !v->share[queue];

	v->again |= aside;
	return aside;
}

int virtio_pop(struct virtio *v, unsigned queue, struct virtqueue_chain *c)
{
	int ret;

	if (stand_aside(v, queue))
		return 0;
	if (!virtio_live(v))
		return -EPROTO;
	ret = virtqueue_pop(&v->queue[queue], c);
	if (ret < 0)
		virtio_fail(v, v->queue[queue].why);
	else
		v->share[queue] -= (unsigned)ret;
	return ret;
}

void virtio_push(struct virtio *v, unsigned queue, const struct virtqueue_chain *c, size_t written)
{
	virtqueue_push(&v->queue[queue], c, written);
	pthread_mutex_lock(&v->lock);
	v->counters.requests++;
	pthread_mutex_unlock(&v->lock);
}

void virtio_notify(struct virtio *v, unsigned queue)
{
	if (!virtqueue_wants_interrupt(&v->queue[queue]))
		return;
	pthread_mutex_lock(&v->lock);
	virtio_interrupt(v, VIRTIO_MMIO_INT_VRING);
	pthread_mutex_unlock(&v->lock);
}

void virtio_kicks_off(struct virtio *v, unsigned queue)
{
	virtqueue_kicks_off(&v->queue[queue]);
}

bool virtio_kicks_on(struct virtio *v, unsigned queue)
{
	return virtqueue_kicks_on(&v->queue[queue]) && virtio_live(v) && !stand_aside(v, queue);
}

void virtio_serve(struct virtio *v, unsigned queue,
		  ssize_t (*fn)(void *ctx, const struct virtqueue_chain *c))
{
	ssize_t written;

	do {
		virtio_kicks_off(v, queue);
		while (virtio_pop(v, queue, &v->chain) == 1) {
			written = fn(v->ctx, &v->chain);
			if (written < 0)
				return; /* virtio_fail() was called: nothing more is answered */
			virtio_push(v, queue, &v->chain, (size_t)written);
			virtio_notify(v, queue);
		}
	} while (virtio_kicks_on(v, queue));
}
