// SPDX-License-Identifier: GPL-2.0-only
/* A virtio device's life: its thread, who may work when, interrupts, what the model may ask. */
#include "device/virtio_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

void virtio_kick(struct virtio *v)
{
	eventfd_write(v->kick_fd, 1); /* full would mean kicked already */
}

void virtio_interrupt(struct virtio *v, uint32_t bits)
{
	bool low = !v->isr;

	v->isr |= bits;
	v->counters.interrupts++;
	if (!v->host.irq)
		eventfd_write(v->irq_fd, 1);
	else if (low)
		v->host.irq(v->host.irq_ctx, true);
}

void virtio_interrupt_ack(struct virtio *v, uint32_t bits)
{
	bool high = v->isr;

	v->isr &= ~bits;
	if (v->host.irq && high && !v->isr)
		v->host.irq(v->host.irq_ctx, false);
}

void virtio_fail_locked(struct virtio *v, const char *why)
{
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->counters.broken++;
	snprintf(v->counters.why, sizeof(v->counters.why), "%s", why);
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK) /* 2.1.2: only then it is told */
		virtio_interrupt(v, VIRTIO_MMIO_INT_CONFIG);
}

/*
 * A mutex alone would let the thread take it again and again from a waiting vCPU: it counts
 * waiters, stops at the next chain and stays away until there are none.
 */
void virtio_control_begin(struct virtio *v)
{
	__atomic_fetch_add(&v->waiters, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&v->work);
	pthread_mutex_lock(&v->lock);
}

void virtio_control_end(struct virtio *v)
{
	pthread_mutex_unlock(&v->lock);
	if (__atomic_sub_fetch(&v->waiters, 1, __ATOMIC_SEQ_CST) == 0)
		pthread_cond_signal(&v->go);
	pthread_mutex_unlock(&v->work);
}

static void begin_work(struct virtio *v)
{
	pthread_mutex_lock(&v->work);
	while (__atomic_load_n(&v->waiters, __ATOMIC_SEQ_CST))
		pthread_cond_wait(&v->go, &v->work);
}

static void *run(void *arg)
{
	struct virtio *v = arg;
	struct pollfd fds[1 + VIRTIO_FDS_MAX];
	eventfd_t kicks;
	unsigned n, i;

	fds[0] = (struct pollfd){.fd = v->kick_fd, .events = POLLIN};
	while (!__atomic_load_n(&v->stopping, __ATOMIC_ACQUIRE)) {
		begin_work(v);
		n = virtio_live(v) && v->class->wants ? v->class->wants(v->ctx, fds + 1) : 0;
		pthread_mutex_unlock(&v->work);
		if (poll(fds, 1 + n, v->again ? 0 : -1) < 0)
			continue; /* EINTR, or memory for a moment */
		if ((fds[0].revents & POLLIN) && !eventfd_read(v->kick_fd, &kicks)) {
			pthread_mutex_lock(&v->lock);
			v->counters.kicks += kicks;
			pthread_mutex_unlock(&v->lock);
		}
		begin_work(v);
		v->again = false;
		for (i = 0; i < v->queues; i++)
			v->share[i] = VIRTIO_SHARE;
		if (virtio_live(v))
			v->class->work(v->ctx, fds + 1, n);
		pthread_mutex_unlock(&v->work);
	}
	return NULL;
}

/* Signals belong to vCPU threads and the main thread. */
static int start_thread(struct virtio *v)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&v->thread, NULL, run, v);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

static void free_virtio(struct virtio *v)
{
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	if (v->irq_fd >= 0)
		close(v->irq_fd);
	pthread_cond_destroy(&v->go);
	pthread_mutex_destroy(&v->work);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int virtio_create(const struct virtio_setup *setup, const struct virtio_host *host,
		  struct virtio **out, struct error *err)
{
	struct virtio *v;
	int ret;

	if (setup->queues > VIRTIO_QUEUES_MAX || setup->config_len > VIRTIO_CONFIG_MAX)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "virtio %s: too many queues",
				 setup->class->name);
	v = calloc(1, sizeof(*v));
	if (!v)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "virtio %s: no memory",
				 setup->class->name);
	v->class = setup->class;
	v->ctx = setup->ctx;
	v->host = *host;
	v->offered = setup->features | 1ull << VIRTIO_F_VERSION_1 |
		     1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX;
	v->queues = setup->queues;
	v->config_len = setup->config_len;
	if (setup->config_len)
		memcpy(v->config, setup->config, setup->config_len);
	pthread_mutex_init(&v->work, NULL);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->go, NULL);
	v->irq_fd = -1;
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->kick_fd >= 0 && !host->irq)
		v->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->kick_fd < 0 || (!host->irq && v->irq_fd < 0)) {
		ret = error_errno(err, "virtio %s: cannot make an eventfd", setup->class->name);
		goto out_free;
	}
	*out = v;
	ret = start_thread(v);
	if (ret) {
		*out = NULL;
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ret, "virtio %s: cannot start a thread",
				setup->class->name);
		goto out_free;
	}
	return 0;

out_free:
	free_virtio(v);
	return ret;
}

void virtio_destroy(struct virtio *v)
{
	if (!v)
		return;
	__atomic_store_n(&v->stopping, true, __ATOMIC_RELEASE);
	virtio_kick(v);
	pthread_join(v->thread, NULL);
	v->class->destroy(v->ctx);
	free_virtio(v);
}

int virtio_kick_fd(const struct virtio *v)
{
	return v->kick_fd;
}

int virtio_irq_fd(const struct virtio *v)
{
	return v->irq_fd;
}

unsigned virtio_queues(const struct virtio *v)
{
	return v->queues;
}

const char *virtio_name(const struct virtio *v)
{
	return v->class->name;
}

void *virtio_ctx(const struct virtio *v)
{
	return v->ctx;
}

void virtio_get_counters(struct virtio *v, struct virtio_counters *out)
{
	pthread_mutex_lock(&v->lock);
	*out = v->counters;
	pthread_mutex_unlock(&v->lock);
}

void virtio_config_change(struct virtio *v, unsigned offset, const void *bytes, unsigned len)
{
	if (offset > v->config_len || len > v->config_len - offset)
		return;
	pthread_mutex_lock(&v->lock);
	memcpy(v->config + offset, bytes, len);
	v->generation++;
	if (virtio_live(v))
		virtio_interrupt(v, VIRTIO_MMIO_INT_CONFIG);
	pthread_mutex_unlock(&v->lock);
}
