/* SPDX-License-Identifier: GPL-2.0-only */
/* Files: the VFS, what a file system implements, and the block layer below. */
#ifndef YARD_FS_H
#define YARD_FS_H

#include "kernel.h"

#define FS_COUNT   3
#define FS_INODES  12
#define FS_PAGE	   256
#define FS_PAGES   4
#define FS_BYTES   (FS_PAGE * FS_PAGES)
#define FILES_OPEN 24
#define NAME_BYTES 16

enum fs_class {
	CLASS_EXT = 0x10, /* extents and a hashed directory, on a disk */
	CLASS_LOG,	  /* append-only records, a linear directory, on a disk */
	CLASS_TMP,	  /* memory only, a sorted directory */
	CLASS_PIPE,
	CLASS_DISK_RAM,
	CLASS_DISK_CRYPT,
	CLASS_ELV_FIFO,
	CLASS_ELV_SORT,
};

enum fs_op {
	OP_OPEN = 0x100,
	OP_RELEASE,
	OP_READ,
	OP_WRITE,
	OP_SEEK,
	OP_READDIR,
	OP_FSYNC,
	OP_IOCTL,
	OP_LOOKUP,
	OP_CREATE,
	OP_UNLINK,
	OP_RENAME,
	OP_GETATTR,
	OP_TRUNCATE,
	OP_PERMISSION,
	OP_MATCH,
	OP_READPAGE,
	OP_WRITEPAGE,
	OP_DIRTY,
	OP_STATFS,
	OP_SYNC,
	OP_ALLOC,
	OP_FREE,
	OP_BIO_END,
	OP_ELV_ADD,
	OP_ELV_NEXT,
	OP_ELV_MERGE,
	OP_DISK_TRANSFER,
	OP_DISK_FLUSH,
	OP_ACTOR,
};

struct inode;
struct file;
struct super;
struct bio;

struct file_ops {
	u64 (*open)(struct env *e, struct file *f);
	u64 (*release)(struct env *e, struct file *f);
	u32 (*read)(struct env *e, struct file *f, u8 *to, u32 len);
	u32 (*write)(struct env *e, struct file *f, const u8 *from, u32 len);
	u32 (*seek)(struct env *e, struct file *f, u32 offset);
	u64 (*readdir)(struct env *e, struct file *f, u32 max);
	u64 (*fsync)(struct env *e, struct file *f);
	u64 (*ioctl)(struct env *e, struct file *f, u32 cmd);
};

struct inode_ops {
	struct inode *(*lookup)(struct env *e, struct super *sb, const char *name);
	struct inode *(*create)(struct env *e, struct super *sb, const char *name);
	u64 (*unlink)(struct env *e, struct inode *i);
	u64 (*rename)(struct env *e, struct inode *i, const char *name);
	u64 (*getattr)(struct env *e, struct inode *i);
	u64 (*truncate)(struct env *e, struct inode *i, u32 size);
	u64 (*permission)(struct env *e, struct inode *i, u32 mask);
	u32 (*match)(struct env *e, struct inode *i, const char *name);
};

struct page_ops {
	u64 (*readpage)(struct env *e, struct inode *i, u32 page);
	u64 (*writepage)(struct env *e, struct inode *i, u32 page);
	u64 (*dirty)(struct env *e, struct inode *i, u32 page);
};

struct super_ops {
	u64 (*statfs)(struct env *e, struct super *sb);
	u64 (*sync)(struct env *e, struct super *sb);
	u32 (*alloc)(struct env *e, struct super *sb);
	u64 (*free)(struct env *e, struct super *sb, u32 block);
};

struct inode {
	u32 class, number;
	struct attr { /* hashed as bytes: numbers only */
		u32 size, mode, links, stamp, uid, blocks[3];
	} attr;
	char name[NAME_BYTES];
	struct super *sb;
	const struct inode_ops *ops;
	const struct file_ops *fops;
	const struct page_ops *pages;
	u32 live, next, cached, dirty; /* bit masks over pages for the last two */
	u8 data[FS_BYTES];
};

struct file {
	u32 class, pos, flags, open;
	struct inode *inode;
	const struct file_ops *ops;
};

struct disk;

struct super {
	u32 class, free, used, head;
	u32 buckets[8]; /* ext: hash chains; log and tmp: order of names */
	u64 map;	/* one bit a block */
	u64 journal[16];
	const struct super_ops *ops;
	const struct digest_ops *sum;
	struct disk *disk;
	struct inode inodes[FS_INODES];
};

struct bio {
	u32 class, sector, len, write;
	u8 *data;
	struct inode *inode;
	u64 (*end)(struct env *e, struct bio *b);
};

struct disk_ops {
	u64 (*transfer)(struct env *e, struct disk *d, struct bio *b);
	u64 (*flush)(struct env *e, struct disk *d);
};

struct elevator_ops {
	u32 class;
	u64 (*add)(struct env *e, struct disk *d, struct bio *b);
	struct bio *(*next)(struct env *e, struct disk *d);
	u64 (*merge)(struct env *e, struct disk *d, struct bio *b);
};

#define DISK_QUEUE 8
struct disk {
	u32 class, queued, last, key;
	u64 done;
	const struct disk_ops *ops;
	const struct elevator_ops *elevator;
	struct bio queue[DISK_QUEUE];
	struct bio current;
};

struct fs {
	struct super supers[FS_COUNT];
	struct disk disks[2];
	struct file files[FILES_OPEN];
	struct file pipe;
	struct inode pipe_inode;
	const struct file_ops *fops[FS_COUNT], *pipe_fops;
	const struct inode_ops *iops[FS_COUNT];
	const struct page_ops *pages[FS_COUNT];
	const struct super_ops *sops[FS_COUNT];
	const struct disk_ops *disk_ops[2];
	const struct elevator_ops *elevators[2];
};

typedef u64 (*actor_fn)(struct env *e, struct file *f, u8 *data, u32 len);

/* fs_*.c, block.c: put their tables where fs_reset() finds them. */
YARD_FN void ext_init(struct env *e);
YARD_FN void log_init(struct env *e);
YARD_FN void tmp_init(struct env *e);
YARD_FN void pipe_init(struct env *e);
YARD_FN void block_init(struct env *e);
YARD_FN u64 block_submit(struct env *e, struct inode *i, u32 page, u32 write,
			 u64 (*end)(struct env *, struct bio *));

/* vfs.c */
YARD_FN void fs_init(struct env *e);
YARD_FN void fs_reset(struct env *e);
YARD_FN u64 vfs_open(struct env *e, struct file *f);
YARD_FN u64 vfs_release(struct env *e, struct file *f);
YARD_FN u32 vfs_read(struct env *e, struct file *f, u8 *to, u32 len);
YARD_FN u32 vfs_write(struct env *e, struct file *f, const u8 *from, u32 len);
YARD_FN u32 vfs_seek(struct env *e, struct file *f, u32 offset);
YARD_FN u64 vfs_readdir(struct env *e, struct file *f, u32 max);
YARD_FN u64 vfs_fsync(struct env *e, struct file *f);
YARD_FN u64 vfs_ioctl(struct env *e, struct file *f, u32 cmd);
YARD_FN struct inode *vfs_lookup(struct env *e, struct super *sb, const char *name);
YARD_FN struct inode *vfs_create(struct env *e, struct super *sb, const char *name);
YARD_FN u64 vfs_unlink(struct env *e, struct inode *i);
YARD_FN u64 vfs_rename(struct env *e, struct inode *i, const char *name);
YARD_FN u64 vfs_getattr(struct env *e, struct inode *i);
YARD_FN u64 vfs_truncate(struct env *e, struct inode *i, u32 size);
YARD_FN u64 vfs_statfs(struct env *e, struct super *sb);
YARD_FN u64 vfs_sync(struct env *e, struct super *sb);
/* Make a page present, as a fault or a read does. */
YARD_FN u64 vfs_fault(struct env *e, struct inode *i, u32 page);
/* Feed a file to `actor`, page by page. */
YARD_FN u32 vfs_splice(struct env *e, struct file *f, actor_fn actor, u32 len);
/* A file and a super block, by the phase's preference. */
YARD_FN struct super *fs_pick(struct env *e);
YARD_FN struct file *fs_pick_file(struct env *e);

#endif
