// SPDX-License-Identifier: GPL-2.0-only
/* Named ports of the virtio console: the control queues (virtio 1.2, 5.3.6.2). */
#include "device/virtio_console.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_console.h>

enum { CONTROL_RX = 2, CONTROL_TX = 3 };

static ssize_t take_message(void *ctx, const struct virtqueue_chain *c)
{
	struct console_device *d = ctx;
	struct virtio_console_control m;
	unsigned i;

	if (c->in_bytes < sizeof(m) || c->out_bytes) {
		virtio_fail(d->v, "console: a control message that is too short or for filling");
		return -EPROTO;
	}
	virtqueue_read(c, 0, &m, sizeof(m));
	if (m.event == VIRTIO_CONSOLE_DEVICE_READY) {
		/* No console for a guest whose console would lead nowhere. */
		for (i = 0; m.value == 1 && i < d->ports; i++)
			if (i || console_connected(&d->port[i]))
				d->port[i].tell = CONSOLE_TELL_ADD;
	} else if (m.id >= d->ports) {
		virtio_count(d->v, 1, 0);
	} else if (m.event == VIRTIO_CONSOLE_PORT_READY && m.value == 1) {
		d->port[m.id].tell |= m.id ? CONSOLE_TELL_NAME : CONSOLE_TELL_CONSOLE;
		if (console_connected(&d->port[m.id]))
			d->port[m.id].tell |= CONSOLE_TELL_OPEN;
	} else if (m.event == VIRTIO_CONSOLE_PORT_OPEN) {
		d->port[m.id].open = m.value == 1;
	} else {
		virtio_count(d->v, 1, 0);
	}
	return 0;
}

/* The bit's message, as bytes. */
static size_t compose(const struct console_device *d, unsigned port, unsigned bit, uint8_t *buf)
{
	struct virtio_console_control m = {.id = port, .value = 1};
	size_t name = 0;

	switch (bit) {
	case CONSOLE_TELL_ADD:
		m.event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case CONSOLE_TELL_CONSOLE:
		m.event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case CONSOLE_TELL_NAME:
		m.event = VIRTIO_CONSOLE_PORT_NAME;
		name = strlen(d->port[port].name); /* without a NUL: the length is known */
		break;
	default:
		m.event = VIRTIO_CONSOLE_PORT_OPEN;
		m.value = bit == CONSOLE_TELL_OPEN;
	}
	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), d->port[port].name, name);
	return sizeof(m) + name;
}

/* False when there is no buffer, or the driver has gone wrong. */
static bool tell(struct console_device *d, unsigned port, unsigned bit)
{
	uint8_t buf[sizeof(struct virtio_console_control) + CONSOLE_NAME];
	size_t len = compose(d, port, bit, buf);

	if (virtio_pop(d->v, CONTROL_RX, &d->chain) != 1)
		return false;
	if (d->chain.out_bytes < len) {
		virtio_fail(d->v, "console: a control buffer too small for a message");
		return false;
	}
	virtio_push(d->v, CONTROL_RX, &d->chain, virtqueue_write(&d->chain, 0, buf, len));
	d->port[port].tell &= ~bit;
	if (bit >= CONSOLE_TELL_OPEN)
		d->port[port].told_open = bit == CONSOLE_TELL_OPEN;
	return true;
}

static void note_gone(struct console_port *p)
{
	if (console_connected(p))
		return;
	p->tell &= ~(unsigned)CONSOLE_TELL_OPEN;
	if (p->told_open)
		p->tell |= CONSOLE_TELL_CLOSED;
}

static bool tell_all(struct console_device *d)
{
	unsigned i, bit;

	for (i = 0; i < d->ports; i++)
		for (bit = CONSOLE_TELL_ADD; bit < CONSOLE_TELL_END; bit <<= 1)
			if ((d->port[i].tell & bit) && !tell(d, i, bit))
				return false;
	return true;
}

void console_control(struct console_device *d)
{
	unsigned i;

	virtio_serve(d->v, CONTROL_TX, take_message);
	for (i = 0; i < d->ports; i++)
		note_gone(&d->port[i]);
	do
		virtio_kicks_off(d->v, CONTROL_RX);
	while (!tell_all(d) && virtio_kicks_on(d->v, CONTROL_RX));
	virtio_kicks_on(d->v, CONTROL_RX);
	virtio_notify(d->v, CONTROL_RX);
}
