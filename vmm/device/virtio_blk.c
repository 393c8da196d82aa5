// SPDX-License-Identifier: GPL-2.0-only
/* virtio block device (virtio 1.2, section 5.2) over a raw disk. */
#include "device/virtio_device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "device/disk.h"

#define SEGMENTS_MAX	  (VIRTQUEUE_SIZE_MAX - 2) /* besides header and status */
#define SEGMENT_BYTES_MAX (VIRTQUEUE_BYTES_MAX / VIRTQUEUE_SIZE_MAX)
#define RANGES_MAX	  16u	     /* of one discard or write-zeroes request */
#define DISCARD_MAX	  (1u << 22) /* sectors of a range: 2 GiB, a change of metadata */
#define ZEROES_MAX	  (1u << 15) /* 16 MiB: may have to be written out */

/* Up to and with what write-zeroes needs; headers of newer kernels go on. */
#define CONFIG_LEN (offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)

struct blk {
	struct virtio *v;
	struct disk disk;
	char serial[VIRTIO_BLK_ID_BYTES];
	struct iovec iov[VIRTQUEUE_SIZE_MAX];
};

static uint8_t transfer(struct blk *b, const struct virtqueue_chain *c, bool write, uint64_t sector)
{
	size_t bytes = write ? c->in_bytes - sizeof(struct virtio_blk_outhdr) : c->out_bytes - 1;
	unsigned n;

	if (bytes % DISK_SECTOR || !disk_holds(&b->disk, sector, bytes / DISK_SECTOR) ||
	    (write && b->disk.readonly))
		return VIRTIO_BLK_S_IOERR;
	n = write ? virtqueue_slice(c, false, sizeof(struct virtio_blk_outhdr), bytes, b->iov)
		  : virtqueue_slice(c, true, 0, bytes, b->iov);
	if (disk_transfer(&b->disk, write, sector, b->iov, n))
		return VIRTIO_BLK_S_IOERR;
	/* 5.2.6.2: a driver that does not know of flushing is promised a write-through cache. */
	if (write && !virtio_has(b->v, VIRTIO_BLK_F_FLUSH) && disk_flush(&b->disk))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static uint8_t check_range(const struct blk *b, const struct virtio_blk_discard_write_zeroes *r,
			   bool zeroes)
{
	uint32_t flags = zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (r->flags & ~flags) /* 5.2.6.2: unknown ones, or unmap of a discard */
		return VIRTIO_BLK_S_UNSUPP;
	if (r->num_sectors > (zeroes ? ZEROES_MAX : DISCARD_MAX) ||
	    !disk_holds(&b->disk, r->sector, r->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* All ranges are copied and checked before the first is touched. */
static uint8_t ranges(struct blk *b, const struct virtqueue_chain *c, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes r[RANGES_MAX];
	size_t bytes = c->in_bytes - sizeof(struct virtio_blk_outhdr), i, n = bytes / sizeof(r[0]);
	uint8_t status;
	int ret = 0;

	if (!n || n > RANGES_MAX || bytes % sizeof(r[0]) || b->disk.readonly)
		return VIRTIO_BLK_S_IOERR;
	virtqueue_read(c, sizeof(struct virtio_blk_outhdr), r, bytes);
	for (i = 0; i < n; i++) {
		status = check_range(b, &r[i], zeroes);
		if (status != VIRTIO_BLK_S_OK)
			return status;
	}
	for (i = 0; i < n && !ret; i++)
		ret = zeroes ? disk_write_zeroes(&b->disk, r[i].sector, r[i].num_sectors,
						 r[i].flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
			     : disk_discard(&b->disk, r[i].sector, r[i].num_sectors);
	return ret ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* `in`: bytes of data the request was to bring the guest. */
static uint8_t execute(struct blk *b, const struct virtqueue_chain *c,
		       const struct virtio_blk_outhdr *h, size_t *in)
{
	switch (h->type) {
	case VIRTIO_BLK_T_IN:
		*in = c->out_bytes - 1;
		return transfer(b, c, false, h->sector);
	case VIRTIO_BLK_T_OUT:
		return transfer(b, c, true, h->sector);
	case VIRTIO_BLK_T_FLUSH:
		return disk_flush(&b->disk) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		*in = c->out_bytes - 1 < sizeof(b->serial) ? c->out_bytes - 1 : sizeof(b->serial);
		virtqueue_write(c, 0, b->serial, *in);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
		return ranges(b, c, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return ranges(b, c, true);
	}
	return VIRTIO_BLK_S_UNSUPP;
}

static ssize_t answer(void *ctx, const struct virtqueue_chain *c)
{
	struct blk *b = ctx;
	struct virtio_blk_outhdr header;
	size_t in = 0;
	uint8_t status;

	/* 5.2.6: a header to read, a byte of status to write behind everything else. */
	if (c->in_bytes < sizeof(header) || !c->out_bytes) {
		virtio_fail(b->v, "blk: a request without header or status");
		return -EPROTO;
	}
	virtqueue_read(c, 0, &header, sizeof(header));
	status = execute(b, c, &header, &in);
	virtqueue_write(c, c->out_bytes - 1, &status, 1);
	if (status != VIRTIO_BLK_S_OK)
		virtio_count(b->v, 1, 0);
	/* The length promises that all bytes before it were written: not so after a failure, nor
	 * when the status lies further behind. */
	return status == VIRTIO_BLK_S_OK || c->out_bytes == 1
		       ? (ssize_t)(in + 1 == c->out_bytes ? in + 1 : in)
		       : 0;
}

static void work(void *ctx, const struct pollfd *fds, unsigned n)
{
	struct blk *b = ctx;

	(void)fds;
	(void)n;
	virtio_serve(b->v, 0, answer);
}

static void destroy(void *ctx)
{
	struct blk *b = ctx;

	disk_close(&b->disk);
	free(b);
}

static const struct virtio_class blk_class = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.work = work,
	.destroy = destroy,
};

static uint64_t features(const struct blk *b)
{
	uint64_t bits = 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX |
			1ull << VIRTIO_BLK_F_FLUSH;

	return bits | (b->disk.readonly
			       ? 1ull << VIRTIO_BLK_F_RO
			       : 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES);
}

int virtio_blk_create(const struct virtio_blk_options *options, const struct virtio_host *host,
		      struct virtio **out, struct error *err)
{
	struct virtio_blk_config config = {.size_max = SEGMENT_BYTES_MAX,
					   .seg_max = SEGMENTS_MAX,
					   .max_discard_sectors = DISCARD_MAX,
					   .max_discard_seg = RANGES_MAX,
					   .discard_sector_alignment = 4096 / DISK_SECTOR,
					   .max_write_zeroes_sectors = ZEROES_MAX,
					   .max_write_zeroes_seg = RANGES_MAX,
					   .write_zeroes_may_unmap = 1};
	struct virtio_setup setup = {
		.class = &blk_class, .queues = 1, .config = &config, .config_len = CONFIG_LEN};
	struct blk *b = calloc(1, sizeof(*b));
	int ret;

	if (!b)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "virtio blk: no memory");
	ret = disk_open(&b->disk, options->path, options->readonly, err);
	if (ret)
		goto out_free;
	if (options->serial)
		memcpy(b->serial, options->serial, strnlen(options->serial, sizeof(b->serial)));
	config.capacity = b->disk.sectors;
	setup.ctx = b;
	setup.features = features(b);
	ret = virtio_create(&setup, host, &b->v, err);
	if (ret)
		goto out_close;
	*out = b->v;
	return 0;

out_close:
	disk_close(&b->disk);
out_free:
	free(b);
	return ret;
}
