// SPDX-License-Identifier: GPL-2.0-only
/* virtio entropy device (virtio 1.2, section 5.4): the host's getrandom(), bounded a request. */
#include "device/virtio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <linux/virtio_ids.h>

#define BYTES_MAX 4096u /* a request: a driver that wants more asks again */

struct rng {
	struct virtio *v;
};

static ssize_t answer(void *ctx, const struct virtqueue_chain *c)
{
	struct rng *r = ctx;
	size_t done = 0, part;
	uint8_t buf[256]; /* getrandom() up to this size is not cut short by signals */

	if (!c->out_bytes || c->readable) {
		virtio_fail(r->v, "rng: a request that is not one to fill");
		return -EPROTO;
	}
	while (done < c->out_bytes && done < BYTES_MAX) {
		part = c->out_bytes - done < sizeof(buf) ? c->out_bytes - done : sizeof(buf);
		if (getrandom(buf, part, GRND_NONBLOCK) != (ssize_t)part) {
			virtio_count(r->v, 1, 0);
			break;
		}
		done += virtqueue_write(c, done, buf, part);
	}
	return (ssize_t)done;
}

static void work(void *ctx, const struct pollfd *fds, unsigned n)
{
	struct rng *r = ctx;

	(void)fds;
	(void)n;
	virtio_serve(r->v, 0, answer);
}

static const struct virtio_class rng_class = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.work = work,
	.destroy = free,
};

int virtio_rng_create(const struct virtio_host *host, struct virtio **out, struct error *err)
{
	struct virtio_setup setup = {.class = &rng_class, .queues = 1};
	struct rng *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "virtio rng: no memory");
	setup.ctx = r;
	ret = virtio_create(&setup, host, &r->v, err);
	if (ret) {
		free(r);
		return ret;
	}
	*out = r->v;
	return 0;
}
