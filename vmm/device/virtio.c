// SPDX-License-Identifier: GPL-2.0-only
/* The virtio-mmio register page: negotiation, queue setup, status, interrupts (virtio 1.2, 4.2). */
#include "device/virtio_state.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define MAGIC	  0x74726976u /* "virt" */
#define VERSION	  2u	      /* 1.x; 1 would be the legacy interface */
#define VENDOR	  0x4c525448u /* "HTRL" */
#define NO_REGION 0xffffffffu /* 4.2.2: length of a shared memory region that is not there */

bool virtio_live(const struct virtio *v)
{
	return (v->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(v->status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED));
}

static struct virtqueue *selected(struct virtio *v)
{
	return v->queue_sel < v->queues ? &v->queue[v->queue_sel] : NULL;
}

static uint32_t half(uint64_t bits, uint32_t sel)
{
	return sel == 0 ? (uint32_t)bits : sel == 1 ? (uint32_t)(bits >> 32) : 0;
}

static uint32_t read_reg(struct virtio *v, unsigned offset)
{
	const struct virtqueue *q = selected(v);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return v->class->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return half(v->offered, v->device_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? VIRTQUEUE_SIZE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return v->isr;
	case VIRTIO_MMIO_STATUS:
		return v->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return NO_REGION;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return v->generation;
	}
	v->counters.misuse++; /* write-only or unknown */
	return 0;
}

/* Features may change until FEATURES_OK only (3.1.1). */
static void set_features(struct virtio *v, uint32_t value)
{
	if (v->driver_sel > 1 || (v->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		v->counters.misuse++;
		return;
	}
	if (v->driver_sel)
		v->accepted = (uint32_t)v->accepted | (uint64_t)value << 32;
	else
		v->accepted = (v->accepted & ~0xffffffffull) | value;
}

static void set_low(uint64_t *address, uint32_t value)
{
	*address = (*address & ~0xffffffffull) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & 0xffffffffull) | (uint64_t)value << 32;
}

static void set_queue(struct virtio *v, unsigned offset, uint32_t value)
{
	struct virtqueue *q = selected(v);

	if (!q || q->ready) { /* 4.2.2.2: not while in use */
		v->counters.misuse++;
		return;
	}
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&q->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&q->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&q->driver, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&q->driver, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&q->device, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&q->device, value);
		break;
	default:
		v->counters.misuse++;
	}
}

static void write_reg(struct virtio *v, unsigned offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->device_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->driver_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		set_features(v, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		virtio_interrupt_ack(v, value);
		break;
	case VIRTIO_MMIO_SHM_SEL:
		break; /* there are none */
	default:
		set_queue(v, offset, value);
	}
}

static void reset(struct virtio *v)
{
	unsigned i;

	for (i = 0; i < v->queues; i++)
		virtqueue_reset(&v->queue[i]);
	v->status = 0;
	v->accepted = 0;
	v->device_sel = v->driver_sel = v->queue_sel = 0;
	virtio_interrupt_ack(v, v->isr);
	if (v->class->reset)
		v->class->reset(v->ctx);
}

static bool features_acceptable(const struct virtio *v)
{
	return !(v->accepted & ~v->offered) && (v->accepted >> VIRTIO_F_VERSION_1 & 1);
}

/*
 * Bits only come, until a reset takes all; each needs the one before it (2.1, 3.1.1). A bit that
 * may not come stays clear, which for FEATURES_OK is how a driver learns of the refusal.
 */
static void set_status(struct virtio *v, uint32_t value)
{
	static const uint32_t order[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
					 VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK};
	uint32_t known = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET, before = 0;
	bool was_live = virtio_live(v);
	unsigned i;

	if (!value) {
		reset(v);
		return;
	}
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		known |= order[i];
		if (!(value & order[i]) || (v->status & order[i]))
			goto next;
		if ((v->status & before) != before ||
		    (order[i] == VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(v)))
			v->counters.misuse++;
		else
			v->status |= order[i];
	next:
		before |= order[i];
	}
	v->status |= value & VIRTIO_CONFIG_S_FAILED;
	v->counters.misuse += (value & ~known) || (v->status & ~value & before);
	if (!was_live && virtio_live(v))
		virtio_kick(v); /* chains may be there already */
}

static void set_ready(struct virtio *v, uint32_t value)
{
	struct virtqueue *q = selected(v);

	if (!q || value > 1 || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		v->counters.misuse++;
		return;
	}
	if (!value) {
		q->ready = false;
	} else if (!q->ready && virtqueue_start(q, &v->host.memory,
						v->accepted >> VIRTIO_RING_F_INDIRECT_DESC & 1,
						v->accepted >> VIRTIO_RING_F_EVENT_IDX & 1)) {
		virtio_fail_locked(v, q->why);
	}
}

/* Device configuration: any size, little endian as the host is; what is not there reads as 0. */
static uint64_t read_config(const struct virtio *v, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	if (offset < v->config_len)
		memcpy(&value, v->config + offset,
		       size < v->config_len - offset ? size : v->config_len - offset);
	return value;
}

static void write_sized(struct virtio *v, unsigned offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_kick(v); /* the thread looks at all queues */
		return;
	case VIRTIO_MMIO_STATUS:
		virtio_control_begin(v);
		set_status(v, value);
		virtio_control_end(v);
		return;
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_control_begin(v);
		set_ready(v, value);
		virtio_control_end(v);
		return;
	}
	pthread_mutex_lock(&v->lock);
	write_reg(v, offset, value);
	pthread_mutex_unlock(&v->lock);
}

int virtio_mmio_access(struct virtio *v, uint64_t offset, unsigned size, bool write,
		       uint64_t *value)
{
	bool config = offset >= VIRTIO_MMIO_CONFIG, proper;

	if (size > sizeof(*value) || offset >= VIRTIO_MMIO_SIZE || size > VIRTIO_MMIO_SIZE - offset)
		return -ENODEV;
	/* 4.2.2.2: registers in aligned words; configuration as wide as its fields; we have no
	 * writable ones. */
	proper = config ? !write : size == 4 && offset % 4 == 0;
	if (write && proper) {
		write_sized(v, (unsigned)offset, (uint32_t)*value);
		return 0;
	}
	pthread_mutex_lock(&v->lock);
	if (!proper)
		v->counters.misuse++;
	if (!write)
		*value = !proper  ? 0
			 : config ? read_config(v, (unsigned)offset - VIRTIO_MMIO_CONFIG, size)
				  : read_reg(v, (unsigned)offset);
	pthread_mutex_unlock(&v->lock);
	return 0;
}
