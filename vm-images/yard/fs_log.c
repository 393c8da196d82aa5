// SPDX-License-Identifier: GPL-2.0-only
/* "log": writes append records, reads replay the newest of them; a linear directory. */
#include "env.h"

#define LOG_RECORDS 16

static u64 log_end_read(struct env *e, struct bio *b)
{
	ENTER(e, b->class, CLASS_LOG, OP_BIO_END);
	return mem_hash(b->data, 96, b->sector);
}

static u64 log_end_write(struct env *e, struct bio *b)
{
	ENTER(e, b->class, CLASS_LOG, OP_BIO_END);
	b->inode->attr.stamp ^= b->sector;
	return mem_crc32(b->data, 24, b->len);
}

/* Walk the records back from the newest, as far as they belong to this file. */
static u64 log_replay(struct super *sb, u32 number, u32 depth)
{
	u64 sum = number;
	u32 n;

	for (n = 0; n < depth; n++) {
		u64 record = sb->journal[(sb->head - n) % LOG_RECORDS];

		if (record % FS_INODES == number)
			sum = sum * 33 + record;
		else
			sum += record >> 7;
	}
	return sum;
}

static void log_append(struct super *sb, u64 record)
{
	sb->journal[++sb->head % LOG_RECORDS] = record;
}

static u64 log_readpage(struct env *e, struct inode *i, u32 page)
{
	const struct digest_ops *sum = i->sb->sum;
	u64 state;

	ENTER(e, i->class, CLASS_LOG, OP_READPAGE);
	block_submit(e, i, page, 0, log_end_read);
	state = DIGEST_INIT(e, sum, i->number);
	state = DIGEST_UPDATE(e, sum, state, i->data + page * FS_PAGE, 128);
	i->cached |= 1u << page;
	return DIGEST_FINAL(e, sum, state);
}

static u64 log_writepage(struct env *e, struct inode *i, u32 page)
{
	ENTER(e, i->class, CLASS_LOG, OP_WRITEPAGE);
	log_append(i->sb, mem_hash(i->data + page * FS_PAGE, FS_PAGE / 2, page));
	i->dirty &= ~(1u << page);
	return block_submit(e, i, page, 1, log_end_write);
}

static u64 log_dirty(struct env *e, struct inode *i, u32 page)
{
	ENTER(e, i->class, CLASS_LOG, OP_DIRTY);
	i->dirty |= 1u << page;
	return log_replay(i->sb, i->number, 12);
}

static u64 log_open(struct env *e, struct file *f)
{
	ENTER(e, f->class, CLASS_LOG, OP_OPEN);
	return log_replay(f->inode->sb, f->inode->number, LOG_RECORDS);
}

static u64 log_release(struct env *e, struct file *f)
{
	struct inode *i = f->inode;

	ENTER(e, f->class, CLASS_LOG, OP_RELEASE);
	if (i->dirty & 1)
		return ICALL(e, OP_WRITEPAGE, i->pages->writepage(e, i, 0));
	return mem_hash(&i->attr, sizeof(i->attr), f->flags);
}

/* Every read verifies what it returns. */
static u32 log_read(struct env *e, struct file *f, u8 *to, u32 len)
{
	struct inode *i = f->inode;
	const struct digest_ops *sum = i->sb->sum;
	u32 at = f->pos % FS_BYTES, page = at / FS_PAGE;

	ENTER(e, f->class, CLASS_LOG, OP_READ);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	if (!(i->cached >> page & 1))
		FOLD(e, ICALL(e, OP_READPAGE, i->pages->readpage(e, i, page)));
	mem_copy(to, i->data + at, len);
	FOLD(e, DIGEST_UPDATE(e, sum, at, to, len));
	f->pos += len;
	return len;
}

static u32 log_write(struct env *e, struct file *f, const u8 *from, u32 len)
{
	struct inode *i = f->inode;
	u32 at = f->pos % FS_BYTES;

	ENTER(e, f->class, CLASS_LOG, OP_WRITE);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	mem_copy(i->data + at, from, len);
	log_append(i->sb, mem_hash(from, len, i->number));
	FOLD(e, ICALL(e, OP_DIRTY, i->pages->dirty(e, i, at / FS_PAGE)));
	f->pos += len;
	return len;
}

static u32 log_seek(struct env *e, struct file *f, u32 offset)
{
	ENTER(e, f->class, CLASS_LOG, OP_SEEK);
	f->pos = (offset ^ (u32)log_replay(f->inode->sb, f->inode->number, 6)) % FS_BYTES;
	return f->pos;
}

static u64 log_readdir(struct env *e, struct file *f, u32 max)
{
	struct super *sb = f->inode->sb;
	u64 sum = 0;
	u32 n;

	ENTER(e, f->class, CLASS_LOG, OP_READDIR);
	for (n = sb->buckets[0]; n != ~0u && max; n = sb->inodes[n].next, max--)
		sum = sum * 37 + mem_hash(sb->inodes[n].name, NAME_BYTES / 2, n);
	return sum;
}

static u64 log_fsync(struct env *e, struct file *f)
{
	struct inode *i = f->inode;
	u32 page = i->attr.stamp % FS_PAGES;
	u64 sum;

	ENTER(e, f->class, CLASS_LOG, OP_FSYNC);
	sum = ICALL(e, OP_WRITEPAGE, i->pages->writepage(e, i, page));
	return sum + ICALL(e, OP_SYNC, i->sb->ops->sync(e, i->sb));
}

static u64 log_ioctl(struct env *e, struct file *f, u32 cmd)
{
	ENTER(e, f->class, CLASS_LOG, OP_IOCTL);
	log_append(f->inode->sb, cmd);
	return mem_hash(f->inode->sb->journal, sizeof(f->inode->sb->journal), cmd);
}

static u32 log_match(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_LOG, OP_MATCH);
	return !str_compare(i->name, name);
}

static struct inode *log_lookup(struct env *e, struct super *sb, const char *name)
{
	u32 n;

	ENTER(e, sb->class, CLASS_LOG, OP_LOOKUP);
	FOLD(e, str_hash(name));
	for (n = sb->buckets[0]; n != ~0u; n = sb->inodes[n].next) {
		struct inode *i = &sb->inodes[n];

		if (i->name[0] == name[0] && ICALL(e, OP_MATCH, i->ops->match(e, i, name)))
			return i;
	}
	return NULL;
}

static struct inode *log_create(struct env *e, struct super *sb, const char *name)
{
	struct inode *i = &sb->inodes[sb->used++ % FS_INODES];

	ENTER(e, sb->class, CLASS_LOG, OP_CREATE);
	mem_copy(i->name, name, NAME_BYTES);
	i->attr.blocks[0] = ICALL(e, OP_ALLOC, sb->ops->alloc(e, sb));
	i->attr.size = 0;
	i->cached = i->dirty = 0;
	log_append(sb, str_hash(name));
	return i;
}

static u64 log_unlink(struct env *e, struct inode *i)
{
	ENTER(e, i->class, CLASS_LOG, OP_UNLINK);
	log_append(i->sb, ~(u64)i->number);
	name_make(i->name, i->attr.stamp + i->sb->head);
	return ICALL(e, OP_FREE, i->sb->ops->free(e, i->sb, i->attr.blocks[0]));
}

static u64 log_rename(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_LOG, OP_RENAME);
	mem_copy(i->name, name, NAME_BYTES);
	log_append(i->sb, str_hash(name));
	return log_replay(i->sb, i->number, 8);
}

static u64 log_getattr(struct env *e, struct inode *i)
{
	ENTER(e, i->class, CLASS_LOG, OP_GETATTR);
	return mem_hash(&i->attr, sizeof(i->attr), 3) ^ log_replay(i->sb, i->number, 16);
}

static u64 log_truncate(struct env *e, struct inode *i, u32 size)
{
	ENTER(e, i->class, CLASS_LOG, OP_TRUNCATE);
	i->attr.size = size % FS_BYTES;
	log_append(i->sb, size);
	mem_fill(i->data + FS_BYTES / 2, size, FS_BYTES / 4);
	return ICALL(e, OP_DIRTY, i->pages->dirty(e, i, 2));
}

static u64 log_permission(struct env *e, struct inode *i, u32 mask)
{
	ENTER(e, i->class, CLASS_LOG, OP_PERMISSION);
	return (i->attr.mode & mask) + (mem_crc32(&i->attr, 16, mask) & 0xff);
}

static u64 log_statfs(struct env *e, struct super *sb)
{
	ENTER(e, sb->class, CLASS_LOG, OP_STATFS);
	return log_replay(sb, 3, LOG_RECORDS) + sb->free;
}

static u64 log_sync(struct env *e, struct super *sb)
{
	u64 state;

	ENTER(e, sb->class, CLASS_LOG, OP_SYNC);
	state = DIGEST_INIT(e, sb->sum, sb->head);
	state = DIGEST_UPDATE(e, sb->sum, state, (const u8 *)sb->journal, sizeof(sb->journal));
	log_append(sb, state);
	return DIGEST_FINAL(e, sb->sum, state);
}

static u32 log_alloc(struct env *e, struct super *sb)
{
	ENTER(e, sb->class, CLASS_LOG, OP_ALLOC);
	return (u32)log_replay(sb, sb->free % FS_INODES, 10) % 64;
}

static u64 log_free(struct env *e, struct super *sb, u32 block)
{
	ENTER(e, sb->class, CLASS_LOG, OP_FREE);
	sb->free++;
	return log_replay(sb, block % FS_INODES, 12);
}

static const struct file_ops log_file_ops = {log_open, log_release, log_read,  log_write,
					     log_seek, log_readdir, log_fsync, log_ioctl};
static const struct inode_ops log_inode_ops = {log_lookup,     log_create,  log_unlink,
					       log_rename,     log_getattr, log_truncate,
					       log_permission, log_match};
static const struct page_ops log_page_ops = {log_readpage, log_writepage, log_dirty};
static const struct super_ops log_super_ops = {log_statfs, log_sync, log_alloc, log_free};

YARD_FN void log_init(struct env *e)
{
	e->fs.fops[1] = &log_file_ops;
	e->fs.iops[1] = &log_inode_ops;
	e->fs.pages[1] = &log_page_ops;
	e->fs.sops[1] = &log_super_ops;
}
