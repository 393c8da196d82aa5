/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A 16550A serial port between the guest and two rings. No vCPU ever waits for whoever
 * reads the other end: while the output ring is full the transmitter reports itself busy, and
 * what a guest sends all the same is counted and dropped. Input waits until the guest listens
 * (has the receive interrupt on): a driver clears the FIFO when it starts.
 */
#ifndef HOTRAIL_DEVICE_SERIAL_H
#define HOTRAIL_DEVICE_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORTS	  8 /* registers, one byte each */
#define SERIAL_INPUT_MAX  4096
#define SERIAL_OUTPUT_MAX 65536

/* Both are called on the thread that caused them, under the device's lock: they must not call
 * back. NULL is fine. */
struct serial_host {
	void (*irq)(void *ctx, bool level); /* the line changed */
	void (*wake)(void *ctx); /* output where there was none, or room for input again */
	void *ctx;
};

struct serial;
struct serial *serial_create(const struct serial_host *host); /* NULL: out of memory */
void serial_destroy(struct serial *s);			      /* NULL is fine */

/* An access_fn: registers 0..7, one byte each. */
int serial_access(void *serial, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		  uint64_t *value);

/* Bytes for the guest; returns how many were taken, the rest has no room yet. Any thread. */
size_t serial_put(struct serial *s, const void *bytes, size_t n);
size_t serial_room(struct serial *s); /* how many serial_put() would take */
/* Bytes from the guest, oldest first; returns how many. Any thread. */
size_t serial_take(struct serial *s, void *bytes, size_t n);
uint64_t serial_lost(struct serial *s); /* bytes the guest sent into a full ring */

#endif
