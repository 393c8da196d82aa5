// SPDX-License-Identifier: GPL-2.0-only
/* The VFS: checks, hooks, then the file system's own function. */
#include "env.h"

YARD_FN u64 vfs_open(struct env *e, struct file *f)
{
	struct inode *i = f->inode;
	u64 refused = ICALL(e, OP_PERMISSION, i->ops->permission(e, i, f->flags & 7));

	refused |= hook_file_open(e, i->attr.mode, f->flags);
	f->pos = 0;
	f->open++;
	return refused ^ ICALL(e, OP_OPEN, f->ops->open(e, f));
}

YARD_FN u64 vfs_release(struct env *e, struct file *f)
{
	hook_file_free(e, f->flags, f->open);
	f->open = 0;
	return ICALL(e, OP_RELEASE, f->ops->release(e, f));
}

YARD_FN u32 vfs_read(struct env *e, struct file *f, u8 *to, u32 len)
{
	u64 refused = hook_file_permission(e, f->flags, len);

	if (refused >> 60 == 15)
		len /= 2;
	return ICALL(e, OP_READ, f->ops->read(e, f, to, len));
}

YARD_FN u32 vfs_write(struct env *e, struct file *f, const u8 *from, u32 len)
{
	u64 refused = hook_file_write(e, f->flags, len);

	if (refused >> 60 == 15)
		len /= 2;
	len = ICALL(e, OP_WRITE, f->ops->write(e, f, from, len));
	task_account(e, len);
	return len;
}

YARD_FN u32 vfs_seek(struct env *e, struct file *f, u32 offset)
{
	return ICALL(e, OP_SEEK, f->ops->seek(e, f, offset));
}

YARD_FN u64 vfs_readdir(struct env *e, struct file *f, u32 max)
{
	struct inode *i = f->inode;
	u64 sum = ICALL(e, OP_PERMISSION, i->ops->permission(e, i, 4));

	return sum ^ ICALL(e, OP_READDIR, f->ops->readdir(e, f, max));
}

YARD_FN u64 vfs_fsync(struct env *e, struct file *f)
{
	return ICALL(e, OP_FSYNC, f->ops->fsync(e, f));
}

YARD_FN u64 vfs_ioctl(struct env *e, struct file *f, u32 cmd)
{
	FOLD(e, hook_file_ioctl(e, f->flags, cmd));
	return ICALL(e, OP_IOCTL, f->ops->ioctl(e, f, cmd));
}

/* All inodes of a mount share their tables, so any stands for the directory. */
YARD_FN struct inode *vfs_lookup(struct env *e, struct super *sb, const char *name)
{
	struct inode *dir = &sb->inodes[0];

	FOLD(e, ICALL(e, OP_PERMISSION, dir->ops->permission(e, dir, 1)));
	FOLD(e, hook_inode_lookup(e, dir->attr.mode, str_hash(name)));
	return ICALL(e, OP_LOOKUP, dir->ops->lookup(e, sb, name));
}

YARD_FN struct inode *vfs_create(struct env *e, struct super *sb, const char *name)
{
	struct inode *dir = &sb->inodes[0];

	FOLD(e, hook_inode_create(e, dir->attr.mode, str_hash(name)));
	return ICALL(e, OP_CREATE, dir->ops->create(e, sb, name));
}

YARD_FN u64 vfs_unlink(struct env *e, struct inode *i)
{
	FOLD(e, hook_inode_unlink(e, i->attr.mode, i->number));
	return ICALL(e, OP_UNLINK, i->ops->unlink(e, i));
}

YARD_FN u64 vfs_rename(struct env *e, struct inode *i, const char *name)
{
	FOLD(e, hook_inode_create(e, i->attr.mode, str_hash(name)));
	return ICALL(e, OP_RENAME, i->ops->rename(e, i, name));
}

YARD_FN u64 vfs_getattr(struct env *e, struct inode *i)
{
	FOLD(e, hook_inode_getattr(e, i->attr.mode, i->number));
	return ICALL(e, OP_GETATTR, i->ops->getattr(e, i));
}

YARD_FN u64 vfs_truncate(struct env *e, struct inode *i, u32 size)
{
	return ICALL(e, OP_TRUNCATE, i->ops->truncate(e, i, size));
}

YARD_FN u64 vfs_statfs(struct env *e, struct super *sb)
{
	return ICALL(e, OP_STATFS, sb->ops->statfs(e, sb));
}

YARD_FN u64 vfs_sync(struct env *e, struct super *sb)
{
	u64 sum = ICALL(e, OP_SYNC, sb->ops->sync(e, sb));

	return sum ^ ICALL(e, OP_DISK_FLUSH, sb->disk->ops->flush(e, sb->disk));
}

YARD_FN u64 vfs_fault(struct env *e, struct inode *i, u32 page)
{
	FOLD(e, hook_mmap(e, i->attr.mode, page));
	i->cached &= ~(1u << page);
	return ICALL(e, OP_READPAGE, i->pages->readpage(e, i, page));
}

YARD_FN u32 vfs_splice(struct env *e, struct file *f, actor_fn actor, u32 len)
{
	u8 chunk[128];
	u32 done = 0;

	while (done < len) {
		u32 n = ICALL(e, OP_READ, f->ops->read(e, f, chunk, sizeof(chunk)));

		if (!n)
			break;
		FOLD(e, ICALL(e, OP_ACTOR, actor(e, f, chunk, n)));
		done += n;
	}
	return done;
}

/* Phase A lives on one file system, phase B on the two others. */
YARD_FN struct super *fs_pick(struct env *e)
{
	u32 share = BELOW(e, 100);

	if (!e->core.phase)
		return &e->fs.supers[share < 80 ? 0 : share < 93 ? 1 : 2];
	return &e->fs.supers[share < 55 ? 1 : share < 95 ? 2 : 0];
}

YARD_FN struct file *fs_pick_file(struct env *e)
{
	struct super *sb = fs_pick(e);
	u32 fs = (u32)(sb - e->fs.supers);

	return &e->fs.files[fs * (FILES_OPEN / FS_COUNT) + BELOW(e, FILES_OPEN / FS_COUNT)];
}

YARD_FN void fs_init(struct env *e)
{
	ext_init(e);
	log_init(e);
	tmp_init(e);
	pipe_init(e);
	block_init(e);
}

static void reset_inode(struct env *e, struct super *sb, u32 n, u32 fs)
{
	struct inode *i = &sb->inodes[n];
	u64 r = RANDOM(e);

	i->class = sb->class;
	i->number = n;
	i->attr = (struct attr){.size = 512 + (r & 511), .mode = 0100644, .links = 1};
	i->attr.stamp = (u32)(r >> 40);
	i->attr.uid = 1000 + (r >> 30) % 4;
	i->attr.blocks[0] = n * 3;
	i->attr.blocks[1] = n * 3 + 1;
	i->attr.blocks[2] = n * 3 + 2;
	name_make(i->name, fs * 64 + n);
	i->sb = sb;
	i->ops = e->fs.iops[fs];
	i->fops = e->fs.fops[fs];
	i->pages = e->fs.pages[fs];
	i->live = 1;
	i->cached = i->dirty = 0;
	mem_fill(i->data, r | 1, FS_BYTES);
}

/* The directory: a chain per name hash for ext, one order of numbers for the others. */
static void reset_super(struct env *e, u32 fs)
{
	struct super *sb = &e->fs.supers[fs];
	u32 n;

	sb->class = CLASS_EXT + fs;
	sb->ops = e->fs.sops[fs];
	sb->sum = digest_get(e, fs);
	sb->disk = &e->fs.disks[(fs + e->core.phase) & 1];
	sb->map = (1ull << (FS_INODES * 3)) - 1;
	sb->free = 64 - FS_INODES * 3;
	sb->used = FS_INODES;
	sb->head = 0;
	mem_fill(sb->journal, RANDOM(e), sizeof(sb->journal));
	mem_fill(sb->buckets, ~0ull, sizeof(sb->buckets));
	for (n = 0; n < FS_INODES; n++) {
		u32 *bucket;

		reset_inode(e, sb, n, fs);
		bucket = &sb->buckets[fs ? 0 : str_hash(sb->inodes[n].name) % 8];
		sb->inodes[n].next = *bucket;
		*bucket = n;
	}
}

YARD_FN void fs_reset(struct env *e)
{
	struct fs *fs = &e->fs;
	u32 i;

	for (i = 0; i < 2; i++) {
		struct disk *d = &fs->disks[i];

		d->class = CLASS_DISK_RAM + i;
		d->ops = fs->disk_ops[i];
		d->elevator = fs->elevators[i ^ e->core.phase];
		d->queued = d->last = 0;
		d->key = (u32)RANDOM(e);
		d->done = 0;
	}
	for (i = 0; i < FS_COUNT; i++)
		reset_super(e, i);
	for (i = 0; i < FILES_OPEN; i++) {
		u32 n = i / (FILES_OPEN / FS_COUNT);
		struct inode *inode = &fs->supers[n].inodes[i % (FILES_OPEN / FS_COUNT)];

		fs->files[i] = (struct file){
			.class = inode->class, .flags = i & 7, .inode = inode, .ops = inode->fops};
	}
	fs->pipe =
		(struct file){.class = CLASS_PIPE, .inode = &fs->pipe_inode, .ops = fs->pipe_fops};
	fs->pipe_inode.attr.size = 0;
	mem_fill(fs->pipe_inode.data, 0, FS_BYTES);
}
