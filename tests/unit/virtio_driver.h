/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's side of virtio in a byte array: rings to fill by hand, and a driver of the registers.
 */
#ifndef HOTRAIL_TESTS_VIRTIO_DRIVER_H
#define HOTRAIL_TESTS_VIRTIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device/virtio.h"
#include "util/clock.h"

#define RAM_BYTES   (1u << 20)
#define RAM_BASE    0x100000000ull /* not 0: an address is not an offset */
#define QUEUE_BYTES 0x8000u	   /* each queue: descriptors, avail, used, an indirect table */
#define DATA_OFFSET 0x80000u
#define RING_SIZE   16u

#define F_VERSION_1 (1ull << VIRTIO_F_VERSION_1)
#define F_INDIRECT  (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define F_EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)

struct ram {
	uint8_t bytes[RAM_BYTES] __attribute__((aligned(4096)));
};

static inline void *ram_range(void *ctx, gpa_t gpa, uint64_t len)
{
	struct ram *ram = ctx;

	if (gpa < RAM_BASE || gpa - RAM_BASE > RAM_BYTES || len > RAM_BYTES - (gpa - RAM_BASE))
		return NULL;
	return ram->bytes + (gpa - RAM_BASE);
}

struct ring {
	struct ram *ram;
	unsigned index;
	uint16_t free_desc, seen; /* next descriptor to use; used entries taken */
};

static inline gpa_t ring_gpa(const struct ring *r)
{
	return RAM_BASE + r->index * QUEUE_BYTES;
}

static inline struct vring_desc *ring_desc(const struct ring *r)
{
	return (void *)(r->ram->bytes + r->index * QUEUE_BYTES);
}

static inline struct vring_avail *ring_avail(const struct ring *r)
{
	return (void *)(r->ram->bytes + r->index * QUEUE_BYTES + 0x2000);
}

static inline struct vring_used *ring_used(const struct ring *r)
{
	return (void *)(r->ram->bytes + r->index * QUEUE_BYTES + 0x4000);
}

static inline struct vring_desc *ring_table(const struct ring *r)
{
	return (void *)(r->ram->bytes + r->index * QUEUE_BYTES + 0x6000);
}

static inline gpa_t ring_table_gpa(const struct ring *r)
{
	return ring_gpa(r) + 0x6000;
}

static inline void ring_offer(struct ring *r, uint16_t head)
{
	struct vring_avail *a = ring_avail(r);

	a->ring[a->idx % RING_SIZE] = head;
	__atomic_store_n(&a->idx, (uint16_t)(a->idx + 1), __ATOMIC_SEQ_CST);
}

struct part {
	gpa_t gpa;
	uint32_t len;
	bool write;
};

/* A chain of plain descriptors, offered. Its head. */
static inline uint16_t ring_add(struct ring *r, const struct part *p, unsigned n)
{
	uint16_t head = r->free_desc % RING_SIZE, at = head;
	unsigned i;

	for (i = 0; i < n; i++) {
		at = r->free_desc++ % RING_SIZE;
		ring_desc(r)[at] =
			(struct vring_desc){p[i].gpa, p[i].len, p[i].write ? VRING_DESC_F_WRITE : 0,
					    (uint16_t)((at + 1) % RING_SIZE)};
		if (i + 1 < n)
			ring_desc(r)[at].flags |= VRING_DESC_F_NEXT;
	}
	ring_offer(r, head);
	return head;
}

/* --- the registers --- */

struct driver {
	struct ram *ram;
	struct virtio *v;
	struct ring ring[12];
};

static inline struct virtio_host driver_host(struct ram *ram)
{
	return (struct virtio_host){.memory = {ram_range, ram}};
}

static inline uint32_t reg_read(struct virtio *v, unsigned offset)
{
	uint64_t value = 0xdeadbeef;

	CU_ASSERT_EQUAL(virtio_mmio_access(v, offset, 4, false, &value), 0);
	return (uint32_t)value;
}

static inline void reg_write(struct virtio *v, unsigned offset, uint32_t x)
{
	uint64_t value = x;

	CU_ASSERT_EQUAL(virtio_mmio_access(v, offset, 4, true, &value), 0);
}

static inline uint64_t driver_offered(struct virtio *v)
{
	uint64_t bits;

	reg_write(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	bits = (uint64_t)reg_read(v, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	reg_write(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return bits | reg_read(v, VIRTIO_MMIO_DEVICE_FEATURES);
}

static inline void driver_status(struct virtio *v, uint32_t bits)
{
	reg_write(v, VIRTIO_MMIO_STATUS, reg_read(v, VIRTIO_MMIO_STATUS) | bits);
}

/* Reset up to FEATURES_OK. Did the device take the features? */
static inline bool driver_negotiate(struct virtio *v, uint64_t features)
{
	reg_write(v, VIRTIO_MMIO_STATUS, 0);
	driver_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_status(v, VIRTIO_CONFIG_S_DRIVER);
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	driver_status(v, VIRTIO_CONFIG_S_FEATURES_OK);
	return reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static inline void driver_queue_at(struct virtio *v, unsigned queue, uint32_t size, gpa_t gpa)
{
	reg_write(v, VIRTIO_MMIO_QUEUE_SEL, queue);
	reg_write(v, VIRTIO_MMIO_QUEUE_NUM, size);
	reg_write(v, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)gpa);
	reg_write(v, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(gpa >> 32));
	reg_write(v, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)(gpa + 0x2000));
	reg_write(v, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)((gpa + 0x2000) >> 32));
	reg_write(v, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)(gpa + 0x4000));
	reg_write(v, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)((gpa + 0x4000) >> 32));
	reg_write(v, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* Bring the whole device up as Linux would. */
static inline bool driver_up(struct driver *d, struct ram *ram, struct virtio *v, uint64_t features)
{
	unsigned i;

	d->ram = ram;
	d->v = v;
	if (!driver_negotiate(v, features))
		return false;
	memset(ram->bytes, 0, DATA_OFFSET);
	for (i = 0; i < virtio_queues(v); i++) {
		d->ring[i] = (struct ring){.ram = ram, .index = i};
		driver_queue_at(v, i, RING_SIZE, ring_gpa(&d->ring[i]));
	}
	driver_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
	return reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK;
}

static inline void driver_kick(struct driver *d, unsigned queue)
{
	reg_write(d->v, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* Wait for an interrupt with one of the bits, acknowledge what there is. The bits, or 0 in time. */
static inline uint32_t driver_interrupt(struct driver *d, int timeout_ms)
{
	struct pollfd p = {.fd = virtio_irq_fd(d->v), .events = POLLIN};
	eventfd_t n;
	uint32_t bits;

	if (poll(&p, 1, timeout_ms) != 1)
		return 0;
	eventfd_read(p.fd, &n);
	bits = reg_read(d->v, VIRTIO_MMIO_INTERRUPT_STATUS);
	reg_write(d->v, VIRTIO_MMIO_INTERRUPT_ACK, bits);
	return bits;
}

/* Wait until the device gave a chain back. Bytes written, or -1 after 5 s or when it broke. */
static inline int64_t driver_take(struct driver *d, unsigned queue, uint16_t *head)
{
	struct ring *r = &d->ring[queue];
	uint64_t until = clock_ns() + 5000000000ull;
	struct vring_used_elem e;

	while (__atomic_load_n(&ring_used(r)->idx, __ATOMIC_ACQUIRE) == r->seen) {
		if (clock_ns() > until ||
		    (reg_read(d->v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET))
			return -1;
		driver_interrupt(d, 100);
	}
	e = ring_used(r)->ring[r->seen++ % RING_SIZE];
	if (head)
		*head = (uint16_t)e.id;
	return e.len;
}

static inline int64_t driver_request(struct driver *d, unsigned queue, const struct part *p,
				     unsigned n)
{
	uint16_t head = ring_add(&d->ring[queue], p, n), got = 0xffff;
	int64_t len;

	driver_kick(d, queue);
	len = driver_take(d, queue, &got);
	if (len >= 0)
		CU_ASSERT_EQUAL(got, head);
	return len;
}

static inline bool driver_broken(struct driver *d)
{
	uint64_t until = clock_ns() + 5000000000ull;

	while (clock_ns() < until) {
		if (reg_read(d->v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return true;
		clock_sleep_ms(1);
	}
	return false;
}

/* Host view and guest address of the data area. */
#define DATA(d, offset)	 ((d)->ram->bytes + DATA_OFFSET + (offset))
#define DATA_GPA(offset) (RAM_BASE + DATA_OFFSET + (offset))

#endif
