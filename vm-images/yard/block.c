// SPDX-License-Identifier: GPL-2.0-only
/* The block layer: bios go through an elevator to a disk and end in a callback. */
#include "env.h"

static u64 fifo_add(struct env *e, struct disk *d, struct bio *b)
{
	ENTER(e, d->elevator->class, CLASS_ELV_FIFO, OP_ELV_ADD);
	d->queue[d->queued++] = *b;
	return d->queued;
}

static struct bio *fifo_next(struct env *e, struct disk *d)
{
	u32 i;

	ENTER(e, d->elevator->class, CLASS_ELV_FIFO, OP_ELV_NEXT);
	d->current = d->queue[0];
	for (i = 1; i < d->queued; i++)
		d->queue[i - 1] = d->queue[i];
	d->queued--;
	return &d->current;
}

static u64 fifo_merge(struct env *e, struct disk *d, struct bio *b)
{
	ENTER(e, d->elevator->class, CLASS_ELV_FIFO, OP_ELV_MERGE);
	return d->queued && d->queue[d->queued - 1].sector + 1 == b->sector;
}

/* Keeps the queue sorted by distance ahead of the head. */
static u64 sort_add(struct env *e, struct disk *d, struct bio *b)
{
	u32 at = d->queued++, key = b->sector - d->last;

	ENTER(e, d->elevator->class, CLASS_ELV_SORT, OP_ELV_ADD);
	for (; at && d->queue[at - 1].sector - d->last < key; at--)
		d->queue[at] = d->queue[at - 1];
	d->queue[at] = *b;
	return at;
}

static struct bio *sort_next(struct env *e, struct disk *d)
{
	ENTER(e, d->elevator->class, CLASS_ELV_SORT, OP_ELV_NEXT);
	d->current = d->queue[--d->queued];
	return &d->current;
}

static u64 sort_merge(struct env *e, struct disk *d, struct bio *b)
{
	u32 i, near = 0;

	ENTER(e, d->elevator->class, CLASS_ELV_SORT, OP_ELV_MERGE);
	for (i = 0; i < d->queued; i++)
		near += d->queue[i].sector - b->sector + 1 < 3;
	return near;
}

static u64 ram_transfer(struct env *e, struct disk *d, struct bio *b)
{
	ENTER(e, d->class, CLASS_DISK_RAM, OP_DISK_TRANSFER);
	d->done += b->len;
	return mem_hash(b->data, b->len, b->sector);
}

static u64 ram_flush(struct env *e, struct disk *d)
{
	ENTER(e, d->class, CLASS_DISK_RAM, OP_DISK_FLUSH);
	return d->done;
}

/* A stream cipher's shape: a keystream added to the data and taken off again. */
static u64 crypt_transfer(struct env *e, struct disk *d, struct bio *b)
{
	u64 key = (u64)d->key << 32 | b->sector, sum = 0;
	u32 i;

	ENTER(e, d->class, CLASS_DISK_CRYPT, OP_DISK_TRANSFER);
	for (i = 0; i < b->len; i++) {
		key = key * 6364136223846793005ull + 1442695040888963407ull;
		sum += b->data[i] ^ (key >> 56);
	}
	d->done += b->len;
	return sum;
}

static u64 crypt_flush(struct env *e, struct disk *d)
{
	ENTER(e, d->class, CLASS_DISK_CRYPT, OP_DISK_FLUSH);
	d->key = d->key * 1103515245u + 12345;
	return d->key;
}

static const struct elevator_ops fifo_ops = {CLASS_ELV_FIFO, fifo_add, fifo_next, fifo_merge};
static const struct elevator_ops sorted_ops = {CLASS_ELV_SORT, sort_add, sort_next, sort_merge};
static const struct disk_ops ram_ops = {ram_transfer, ram_flush};
static const struct disk_ops crypt_ops = {crypt_transfer, crypt_flush};

YARD_FN void block_init(struct env *e)
{
	e->fs.elevators[0] = &fifo_ops;
	e->fs.elevators[1] = &sorted_ops;
	e->fs.disk_ops[0] = &ram_ops;
	e->fs.disk_ops[1] = &crypt_ops;
}

static noinline void run_queue(struct env *e, struct disk *d)
{
	while (d->queued) {
		struct bio *b = ICALL(e, OP_ELV_NEXT, d->elevator->next(e, d));

		FOLD(e, ICALL(e, OP_DISK_TRANSFER, d->ops->transfer(e, d, b)));
		d->last = b->sector;
		FOLD(e, ICALL(e, OP_BIO_END, b->end(e, b)));
	}
}

/* Writes gather in the queue until it is half full; a read wants its data now. */
YARD_FN u64 block_submit(struct env *e, struct inode *i, u32 page, u32 write,
			 u64 (*end)(struct env *, struct bio *))
{
	struct disk *d = i->sb->disk;
	struct bio b = {.class = i->class, .len = FS_PAGE, .write = write, .inode = i, .end = end};
	u64 merged;

	b.sector = i->attr.blocks[page % 3] * FS_PAGES + page;
	b.data = i->data + page * FS_PAGE;
	merged = ICALL(e, OP_ELV_MERGE, d->elevator->merge(e, d, &b));
	ICALL(e, OP_ELV_ADD, d->elevator->add(e, d, &b));
	if (!write || d->queued >= DISK_QUEUE / 2)
		run_queue(e, d);
	return merged;
}
