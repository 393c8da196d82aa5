// SPDX-License-Identifier: GPL-2.0-only
/* The virtio devices of a Linux guest: --disk, --net, entropy from the host, and the agent's port.
 */
#include "cmd/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/pc_virtio.h"
#include "net/tap.h"

#define DISK_PATH_MAX 1024

static int attach(struct pc *pc, struct run_devices *d, struct virtio *v, struct error *err)
{
	if (d->count == d->room) {
		virtio_destroy(v);
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOSPC,
				 "too many devices: a guest has room for %d, one is the entropy "
				 "source%s",
				 PC_SLOTS,
				 d->room < PC_SLOTS ? ", one the agent's port (--no-agent)" : "");
	}
	d->device[d->count++] = v;
	return pc_virtio_attach(pc, v, err);
}

static int add_disk(struct pc *pc, const struct virtio_host *host, const char *word,
		    struct run_devices *d, struct error *err)
{
	size_t len = strlen(word);
	bool readonly = len > 3 && !strcmp(word + len - 3, ":ro");
	char path[DISK_PATH_MAX], serial[16];
	struct virtio_blk_options o = {.path = path, .readonly = readonly, .serial = serial};
	struct virtio *v;
	int ret;

	if (readonly)
		len -= 3;
	if (!len || len >= sizeof(path))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "--disk %.80s: FILE or FILE:ro",
				 word);
	memcpy(path, word, len);
	path[len] = 0;
	snprintf(serial, sizeof(serial), "hotrail-%u", d->count);
	ret = virtio_blk_create(&o, host, &v, err);
	return ret ? ret : attach(pc, d, v, err);
}

static int add_net(struct pc *pc, const struct virtio_host *host, const char *tap,
		   struct run_devices *d, struct error *err)
{
	static const uint8_t random_mac[6];
	struct packet_backend backend;
	struct virtio *v;
	int ret = tap_open(tap, &backend, err);

	if (!ret)
		ret = virtio_net_create(&backend, random_mac, host, &v, err);
	return ret ? ret : attach(pc, d, v, err);
}

int run_devices_open(struct pc *pc, const struct run_options *o, struct run_devices *d,
		     struct error *err)
{
	struct virtio_host host;
	struct virtio *v;
	unsigned i;
	int ret = 0;

	d->agent = (struct agent_port)AGENT_PORT_NONE;
	d->room = o->no_agent ? PC_SLOTS : PC_SLOTS - 1;
	pc_virtio_host(pc, &host);
	for (i = 0; !ret && i < o->disks.count; i++)
		ret = add_disk(pc, &host, o->disks.item[i], d, err);
	for (i = 0; !ret && i < o->nets.count; i++)
		ret = add_net(pc, &host, o->nets.item[i], d, err);
	if (!ret)
		ret = virtio_rng_create(&host, &v, err);
	if (!ret)
		ret = attach(pc, d, v, err);
	return ret || o->no_agent ? ret : agent_port_open(pc, &d->agent, err);
}

void run_devices_close(struct run_devices *d)
{
	if (d->room)
		agent_port_close(&d->agent);
	d->room = 0;
	while (d->count)
		virtio_destroy(d->device[--d->count]);
}
