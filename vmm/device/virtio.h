/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio-mmio devices as the board sees them (virtio 1.2, section 4.2): one page of registers, one
 * interrupt, one eventfd for kicks. A device knows neither its address nor its interrupt. Each has
 * one thread that works on its queues; signals are blocked there. Destroy devices after the vCPUs
 * stopped and before the RAM goes.
 */
#ifndef HOTRAIL_DEVICE_VIRTIO_H
#define HOTRAIL_DEVICE_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "device/virtqueue.h"
#include "util/error.h"
#include "util/packet.h"

#define VIRTIO_MMIO_SIZE   0x1000u
#define VIRTIO_MMIO_NOTIFY 0x50u /* where an ioeventfd with the queue's number as value goes */

struct virtio;

struct virtio_host {
	struct virtqueue_memory memory; /* any thread */
	/*
	 * Level of the interrupt line; any thread, a leaf: must not call the device. NULL: each
	 * interrupt is a write of 1 to virtio_irq_fd(), to be made an edge by machine_irqfd().
	 */
	void (*irq)(void *ctx, bool level);
	void *irq_ctx;
};

/* Counters of what guests do wrong are never fatal; all since creation. */
struct virtio_counters {
	uint64_t requests, interrupts, kicks;
	uint64_t broken;  /* times the device went to DEVICE_NEEDS_RESET */
	uint64_t misuse;  /* register accesses that make no sense and were ignored */
	uint64_t failed;  /* requests answered with an error */
	uint64_t dropped; /* frames or bytes lost */
	char why[96];	  /* what was wrong last, or empty */
};

/*
 * An access of the guest to the register page. Reads fill *value. 0, or -ENODEV behind the page.
 * On a vCPU's thread. A reset waits for the request the device is working on, nothing else waits.
 */
int virtio_mmio_access(struct virtio *v, uint64_t offset, unsigned size, bool write,
		       uint64_t *value);
int virtio_kick_fd(const struct virtio *v); /* one for all queues */
int virtio_irq_fd(const struct virtio *v);  /* -1 with an irq function */
unsigned virtio_queues(const struct virtio *v);
const char *virtio_name(const struct virtio *v); /* "blk", "net", ... */
void virtio_get_counters(struct virtio *v, struct virtio_counters *out);
void virtio_destroy(struct virtio *v); /* joins the thread; NULL is fine */

/* --- the devices; on failure nothing is left behind --- */

struct virtio_blk_options {
	const char *path; /* a raw image or a block device; locked against a second writer */
	bool readonly;
	const char *serial; /* up to 20 bytes are shown to the guest; NULL = none */
};
int virtio_blk_create(const struct virtio_blk_options *options, const struct virtio_host *host,
		      struct virtio **out, struct error *err);

/* Takes the back end over, on failure too. A MAC of zeroes: a random one. */
int virtio_net_create(const struct packet_backend *backend, const uint8_t mac[6],
		      const struct virtio_host *host, struct virtio **out, struct error *err);

int virtio_rng_create(const struct virtio_host *host, struct virtio **out, struct error *err);

#define VIRTIO_CONSOLE_PORTS 4
struct virtio_console_port {
	const char *name;  /* port 0, the console, has none; others: what the guest finds them by */
	int in_fd, out_fd; /* stay the caller's; -1 = none; need not be non-blocking */
};
struct virtio_console_options {
	unsigned ports; /* 1..VIRTIO_CONSOLE_PORTS */
	struct virtio_console_port port[VIRTIO_CONSOLE_PORTS];
	uint16_t columns, rows; /* 0 = unknown */
};
int virtio_console_create(const struct virtio_console_options *options,
			  const struct virtio_host *host, struct virtio **out, struct error *err);
void virtio_console_resize(struct virtio *v, uint16_t columns, uint16_t rows); /* any thread */

#endif
