// SPDX-License-Identifier: GPL-2.0-only
/* virtio console (virtio 1.2, section 5.3): ports between the guest and descriptors of the host. */
#include "device/virtio_console.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>

#define PIECES_MAX 64u /* one write_out() */

/* 5.3.2: ports other than 0 come behind the two control queues. */
static unsigned rx_queue(unsigned port)
{
	return port ? 2 + 2 * port : 0;
}

static bool multiport(const struct console_device *d)
{
	return virtio_has(d->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

bool console_connected(const struct console_port *p)
{
	return p->in_fd >= 0 || p->out_fd >= 0;
}

static bool writable_now(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL));
}

/*
 * What is left of the chain a port holds. True when all of it is out, or lost. Limited, so that a
 * huge chain does not keep a reset waiting.
 */
static bool write_out(struct console_device *d, struct console_port *p)
{
	uint8_t buf[CONSOLE_PIECE];
	unsigned pieces = 0;
	ssize_t done;
	size_t n;

	while (p->sent < p->chain.in_bytes) {
		if (p->out_fd < 0) {
			virtio_count(d->v, 0, 1);
			return true;
		}
		/* A descriptor may be a terminal shared with others, so it cannot be made
		 * non-blocking: a small piece does not block when poll says so. */
		if (pieces++ == PIECES_MAX || !writable_now(p->out_fd))
			return false;
		n = virtqueue_read(&p->chain, p->sent, buf, sizeof(buf));
		done = write(p->out_fd, buf, n);
		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (done <= 0) {
			p->out_fd = -1; /* nobody reads: the guest need not wait for him */
			continue;
		}
		p->sent += (size_t)done;
	}
	return true;
}

static void transmit(struct console_device *d, unsigned port)
{
	struct console_port *p = &d->port[port];
	unsigned queue = rx_queue(port) + 1;

	do {
		virtio_kicks_off(d->v, queue);
		for (;;) {
			if (!p->held && virtio_pop(d->v, queue, &p->chain) != 1)
				break;
			if (!p->held)
				p->sent = 0;
			p->held = !write_out(d, p);
			if (p->held)
				return; /* goes on when the descriptor takes more */
			virtio_push(d->v, queue, &p->chain, 0);
			virtio_notify(d->v, queue);
		}
	} while (virtio_kicks_on(d->v, queue));
}

static void fetch(struct console_port *p)
{
	ssize_t n = read(p->in_fd, p->in, sizeof(p->in));

	if (n > 0) {
		p->in_len = (size_t)n;
		p->in_done = 0;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		if (p->in_fd == p->out_fd) /* a socket whose other end is closed */
			p->out_fd = -1;
		p->in_fd = -1;
	}
}

/* Input that no buffer of the guest's waits for stays here and its descriptor is not read. */
static void receive(struct console_device *d, unsigned port)
{
	struct console_port *p = &d->port[port];
	unsigned queue = rx_queue(port);
	size_t n;

	if (p->in_done == p->in_len)
		return;
	do {
		virtio_kicks_off(d->v, queue);
		while (p->in_done < p->in_len && virtio_pop(d->v, queue, &d->chain) == 1) {
			n = virtqueue_write(&d->chain, 0, p->in + p->in_done,
					    p->in_len - p->in_done);
			p->in_done += n;
			virtio_push(d->v, queue, &d->chain, n);
		}
	} while (virtio_kicks_on(d->v, queue) && p->in_done < p->in_len);
	virtio_notify(d->v, queue);
}

/* wants() and work() go through the ports in the same order, so fds are told apart by position. */
static bool wants_input(const struct console_device *d, unsigned port)
{
	const struct console_port *p = &d->port[port];

	return p->in_fd >= 0 && p->in_done == p->in_len && (!multiport(d) || p->open);
}

static unsigned wants(void *ctx, struct pollfd *fds)
{
	struct console_device *d = ctx;
	unsigned i, n = 0;

	for (i = 0; i < console_active(d); i++) {
		if (wants_input(d, i))
			fds[n++] = (struct pollfd){.fd = d->port[i].in_fd, .events = POLLIN};
		if (d->port[i].held)
			fds[n++] = (struct pollfd){.fd = d->port[i].out_fd, .events = POLLOUT};
	}
	return n;
}

static bool readable(int fd, const struct pollfd *fds, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (fds[i].fd == fd && (fds[i].events & POLLIN) && fds[i].revents)
			return true;
	return false;
}

static void work(void *ctx, const struct pollfd *fds, unsigned n)
{
	struct console_device *d = ctx;
	unsigned i;

	for (i = 0; i < console_active(d); i++) {
		if (wants_input(d, i) && readable(d->port[i].in_fd, fds, n))
			fetch(&d->port[i]);
		receive(d, i);
		transmit(d, i);
	}
	if (multiport(d)) /* last: somebody may have gone */
		console_control(d);
}

static void reset(void *ctx)
{
	struct console_device *d = ctx;
	unsigned i;

	for (i = 0; i < d->ports; i++) {
		d->port[i].held = d->port[i].open = d->port[i].told_open = false;
		d->port[i].tell = 0;
	}
}

static const struct virtio_class console_class = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.work = work,
	.wants = wants,
	.reset = reset,
	.destroy = free,
};

unsigned console_active(const struct console_device *d)
{
	return multiport(d) ? d->ports : 1;
}

static int take_options(struct console_device *d, const struct virtio_console_options *o,
			struct error *err)
{
	unsigned i;

	if (!o->ports || o->ports > VIRTIO_CONSOLE_PORTS)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "a virtio console has 1 to %u ports, not %u", VIRTIO_CONSOLE_PORTS,
				 o->ports);
	for (i = 0; i < o->ports; i++) {
		const char *name = o->port[i].name ? o->port[i].name : "";

		if (i && (!*name || strlen(name) >= sizeof(d->port[i].name)))
			return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
					 "port %u of a virtio console needs a name of up to %zu "
					 "bytes",
					 i, sizeof(d->port[i].name) - 1);
		memcpy(d->port[i].name, name, i ? strlen(name) : 0);
		d->port[i].in_fd = o->port[i].in_fd;
		d->port[i].out_fd = o->port[i].out_fd;
	}
	d->ports = o->ports;
	return 0;
}

int virtio_console_create(const struct virtio_console_options *options,
			  const struct virtio_host *host, struct virtio **out, struct error *err)
{
	struct virtio_console_config config = {
		.cols = options->columns, .rows = options->rows, .max_nr_ports = options->ports};
	struct virtio_setup setup = {
		.class = &console_class, .config = &config, .config_len = sizeof(config)};
	struct console_device *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "virtio console: no memory");
	ret = take_options(d, options, err);
	if (ret)
		goto out_free;
	setup.ctx = d;
	setup.queues = options->ports == 1 ? 2 : rx_queue(options->ports - 1) + 2;
	if (options->columns && options->rows)
		setup.features |= 1ull << VIRTIO_CONSOLE_F_SIZE;
	if (options->ports > 1)
		setup.features |= 1ull << VIRTIO_CONSOLE_F_MULTIPORT;
	ret = virtio_create(&setup, host, &d->v, err);
	if (ret)
		goto out_free;
	*out = d->v;
	return 0;

out_free:
	free(d);
	return ret;
}

/* With several ports this goes by message instead, whose layout drivers do not agree on. */
void virtio_console_resize(struct virtio *v, uint16_t columns, uint16_t rows)
{
	uint16_t size[2] = {columns, rows};

	_Static_assert(offsetof(struct virtio_console_config, rows) == sizeof(size[0]), "layout");
	virtio_config_change(v, 0, size, sizeof(size));
}
