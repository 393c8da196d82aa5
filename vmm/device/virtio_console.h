/* SPDX-License-Identifier: GPL-2.0-only */
/* The console device's state, for its data (virtio_console.c) and control (.._control.c) halves. */
#ifndef HOTRAIL_DEVICE_VIRTIO_CONSOLE_H
#define HOTRAIL_DEVICE_VIRTIO_CONSOLE_H

#include "device/virtio_device.h"

#define CONSOLE_PIECE 512u /* bytes of one read or write */
#define CONSOLE_NAME  32u

/* What the guest is still to be told of a port: bits in the order they are sent. */
enum {
	CONSOLE_TELL_ADD = 1,
	CONSOLE_TELL_CONSOLE = 2,
	CONSOLE_TELL_NAME = 4,
	CONSOLE_TELL_OPEN = 8,
	CONSOLE_TELL_CLOSED = 16,
	CONSOLE_TELL_END = 32
};

struct console_port {
	char name[CONSOLE_NAME];
	int in_fd, out_fd; /* -1 = none, or gone */
	bool open;	   /* the guest has it open; with multiport only */
	bool told_open;	   /* the guest knows that somebody is there */
	unsigned tell;	   /* CONSOLE_TELL_ bits */
	size_t in_len, in_done;
	uint8_t in[CONSOLE_PIECE]; /* read, for the guest */
	bool held;		   /* `chain` is not all written out */
	size_t sent;
	struct virtqueue_chain chain;
};

struct console_device {
	struct virtio *v;
	unsigned ports;
	struct console_port port[VIRTIO_CONSOLE_PORTS];
	struct virtqueue_chain chain;
};

/* Is anybody at the host's end? */
bool console_connected(const struct console_port *p);
unsigned console_active(const struct console_device *d); /* ports the driver knows of */
/* Read the guest's control messages, send ours as far as it has buffers for them. */
void console_control(struct console_device *d);

#endif
