/* SPDX-License-Identifier: GPL-2.0-only */
/* A port bus. Devices know no address: the board that registers them does. */
#ifndef HOTRAIL_DEVICE_BUS_H
#define HOTRAIL_DEVICE_BUS_H

#include <stdint.h>
#include <stddef.h>

#define BUS_MAX 8

/* On the vCPU's thread; devices lock for themselves. */
typedef void (*bus_write_fn)(void *dev, unsigned vcpu, uint32_t value);

struct bus {
	struct {
		uint16_t port;
		bus_write_fn write;
		void *dev;
	} entry[BUS_MAX];
	unsigned count;
};
int bus_add(struct bus *b, uint16_t port, bus_write_fn write,
	    void *dev); /* before start; -EEXIST, -ENOSPC */
int bus_write(void *bus, unsigned vcpu, uint16_t port, uint32_t value); /* a machine_port_fn */

/* Console: keeps the last lines, optionally copies them to a file descriptor. Output is bounded and
 * control characters other than tab are shown as '.'. */
#define CONSOLE_LINES	32
#define CONSOLE_COLUMNS 160
struct console;
struct console *console_create(int copy_fd); /* -1 = keep only */
void console_destroy(struct console *c);
void console_write(void *console, unsigned vcpu, uint32_t value); /* a bus_write_fn */
/* Last n complete lines, oldest first, joined by '\n'. */
size_t console_tail(struct console *c, unsigned n, char *buf, size_t len);

/* Doorbell: counts each bell a vCPU rings; hosts wait for one. */
struct doorbell;
struct doorbell *doorbell_create(void);
void doorbell_destroy(struct doorbell *d);
void doorbell_write(void *doorbell, unsigned vcpu, uint32_t value);
uint64_t doorbell_count(struct doorbell *d, unsigned vcpu,
			uint32_t bell); /* bells 1..7, others counted as 0 */
/* Block until count(vcpu, bell) >= at_least; 0 or -ETIMEDOUT. */
int doorbell_wait(struct doorbell *d, unsigned vcpu, uint32_t bell, uint64_t at_least,
		  unsigned timeout_ms);

#endif
