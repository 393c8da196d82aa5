// SPDX-License-Identifier: GPL-2.0-only
/* virtio network device (virtio 1.2, section 5.1): frames between the guest and a back end. */
#include "device/virtio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <linux/if_ether.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

enum { RX, TX, QUEUES };

#define HEADER sizeof(struct virtio_net_hdr_v1) /* with num_buffers: always so since 1.0 */

struct net {
	struct virtio *v;
	struct packet_backend backend;
	bool dead;    /* the back end will give nothing any more */
	bool starved; /* a frame waits for a buffer of the guest's */
	size_t frame_len;
	uint8_t frame[PACKET_MAX];
	struct virtqueue_chain chain; /* RX */
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
};

/* No offloads were offered: the header says nothing that matters, and is skipped. */
static ssize_t transmit(void *ctx, const struct virtqueue_chain *c)
{
	struct net *n = ctx;
	unsigned iovs;
	int ret;

	if (c->in_bytes <= HEADER || c->out_bytes) {
		virtio_fail(n->v, "net: a frame without a header or for filling");
		return -EPROTO;
	}
	if (c->in_bytes - HEADER < ETH_HLEN || c->in_bytes - HEADER > PACKET_MAX) {
		virtio_count(n->v, 0, 1);
		return 0;
	}
	iovs = virtqueue_slice(c, false, HEADER, c->in_bytes - HEADER, n->iov);
	ret = n->backend.ops->send(n->backend.ctx, n->iov, (int)iovs);
	if (ret)
		virtio_count(n->v, 0, 1);
	return 0;
}

static bool fetch(struct net *n)
{
	ssize_t got;

	if (n->frame_len)
		return true;
	if (n->dead)
		return false;
	got = n->backend.ops->receive(n->backend.ctx, n->frame, sizeof(n->frame));
	if (got < 0 && got != -EAGAIN)
		n->dead = true;
	n->frame_len = got > 0 ? (size_t)got : 0;
	return got > 0;
}

/* One frame into one chain. False when the device stops working. */
static bool deliver(struct net *n, const struct virtqueue_chain *c)
{
	struct virtio_net_hdr_v1 header = {.num_buffers = 1};
	size_t written = 0;

	if (c->in_bytes) {
		virtio_fail(n->v, "net: a receive buffer that is not for filling");
		return false;
	}
	if (c->out_bytes < HEADER + n->frame_len) {
		virtio_count(n->v, 0, 1);
	} else {
		written = virtqueue_write(c, 0, &header, HEADER);
		written += virtqueue_write(c, HEADER, n->frame, n->frame_len);
	}
	n->frame_len = 0;
	virtio_push(n->v, RX, c, written);
	return true;
}

static void receive(struct net *n)
{
	int ret = 0;

	n->starved = false;
	do {
		virtio_kicks_off(n->v, RX);
		while (fetch(n) && (ret = virtio_pop(n->v, RX, &n->chain)) == 1)
			if (!deliver(n, &n->chain))
				return;
		if (ret < 0)
			return;
		/* While a frame waits the back end is not polled: it queues, and drops, itself. */
		n->starved = n->frame_len != 0;
		/* Otherwise new buffers are no news, and the driver stays asked not to kick. */
	} while (n->starved && virtio_kicks_on(n->v, RX));
	virtio_notify(n->v, RX);
}

static void work(void *ctx, const struct pollfd *fds, unsigned n)
{
	struct net *net = ctx;

	(void)fds;
	(void)n;
	virtio_serve(net->v, TX, transmit);
	receive(net);
}

static unsigned wants(void *ctx, struct pollfd *fds)
{
	struct net *n = ctx;

	if (n->dead || n->starved)
		return 0;
	fds[0] = (struct pollfd){.fd = n->backend.poll_fd, .events = POLLIN};
	return 1;
}

static void reset(void *ctx)
{
	struct net *n = ctx;

	n->frame_len = 0;
	n->starved = false;
}

static void destroy(void *ctx)
{
	struct net *n = ctx;

	n->backend.ops->destroy(n->backend.ctx);
	free(n);
}

static const struct virtio_class net_class = {
	.name = "net",
	.id = VIRTIO_ID_NET,
	.work = work,
	.wants = wants,
	.reset = reset,
	.destroy = destroy,
};

/* Locally administered, for one station: what a card without a vendor has. */
static void choose_mac(uint8_t mac[ETH_ALEN])
{
	static const uint8_t none[ETH_ALEN];

	if (memcmp(mac, none, ETH_ALEN))
		return;
	if (getrandom(mac, ETH_ALEN, GRND_NONBLOCK) != ETH_ALEN)
		mac[5] = 1; /* early boot of the host: at least not all zeroes */
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2);
}

int virtio_net_create(const struct packet_backend *backend, const uint8_t mac[6],
		      const struct virtio_host *host, struct virtio **out, struct error *err)
{
	struct virtio_net_config config = {0};
	struct virtio_setup setup = {.class = &net_class,
				     .features =
					     1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS,
				     .queues = QUEUES,
				     .config = &config,
				     .config_len = 8}; /* mac, status */
	struct net *n = calloc(1, sizeof(*n));
	int ret;

	if (!n) {
		backend->ops->destroy(backend->ctx);
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "virtio net: no memory");
	}
	memcpy(config.mac, mac, ETH_ALEN);
	choose_mac(config.mac);
	config.status = VIRTIO_NET_S_LINK_UP;
	n->backend = *backend;
	setup.ctx = n;
	ret = virtio_create(&setup, host, &n->v, err);
	if (ret) {
		destroy(n);
		return ret;
	}
	*out = n->v;
	return 0;
}
