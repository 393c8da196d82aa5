// SPDX-License-Identifier: GPL-2.0-only
/* "tmp": memory only, pages filled on demand, a directory that moves what it finds to the front;
 * and the pipe. */
#include "env.h"

static u64 tmp_readpage(struct env *e, struct inode *i, u32 page)
{
	u8 *p = i->data + page * FS_PAGE;

	ENTER(e, i->class, CLASS_TMP, OP_READPAGE);
	mem_fill(p + FS_PAGE / 2, mem_hash(p, FS_PAGE / 2, page), FS_PAGE / 2);
	i->cached |= 1u << page;
	return inet_sum(p, 128, page);
}

static u64 tmp_writepage(struct env *e, struct inode *i, u32 page)
{
	ENTER(e, i->class, CLASS_TMP, OP_WRITEPAGE);
	i->dirty &= ~(1u << page);
	return mem_hash(i->data + page * FS_PAGE, FS_PAGE, page);
}

static u64 tmp_dirty(struct env *e, struct inode *i, u32 page)
{
	ENTER(e, i->class, CLASS_TMP, OP_DIRTY);
	i->dirty |= 1u << page;
	return inet_sum(&i->attr, sizeof(i->attr), page);
}

static u64 tmp_open(struct env *e, struct file *f)
{
	struct inode *i = f->inode;

	ENTER(e, f->class, CLASS_TMP, OP_OPEN);
	i->attr.stamp += f->flags;
	return inet_sum(i->data, 160, i->attr.stamp);
}

static u64 tmp_release(struct env *e, struct file *f)
{
	ENTER(e, f->class, CLASS_TMP, OP_RELEASE);
	return mem_hash(f->inode->data, 96, f->flags);
}

static u32 tmp_read(struct env *e, struct file *f, u8 *to, u32 len)
{
	struct inode *i = f->inode;
	u32 at = f->pos % FS_BYTES, page = at / FS_PAGE;

	ENTER(e, f->class, CLASS_TMP, OP_READ);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	if (!(i->cached >> page & 1))
		FOLD(e, ICALL(e, OP_READPAGE, i->pages->readpage(e, i, page)));
	mem_copy(to, i->data + at, len);
	FOLD(e, inet_sum(to, len, at));
	f->pos += len;
	return len;
}

static u32 tmp_write(struct env *e, struct file *f, const u8 *from, u32 len)
{
	struct inode *i = f->inode;
	u32 at = f->pos % FS_BYTES;

	ENTER(e, f->class, CLASS_TMP, OP_WRITE);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	mem_copy(i->data + at, from, len);
	FOLD(e, inet_sum(i->data, 200, at));
	f->pos += len;
	if (!(i->dirty >> (at / FS_PAGE) & 1))
		FOLD(e, ICALL(e, OP_DIRTY, i->pages->dirty(e, i, at / FS_PAGE)));
	return len;
}

static u32 tmp_seek(struct env *e, struct file *f, u32 offset)
{
	ENTER(e, f->class, CLASS_TMP, OP_SEEK);
	f->pos = (f->pos + offset) % FS_BYTES;
	FOLD(e, inet_sum(&f->inode->attr, 20, f->pos));
	return f->pos;
}

static u64 tmp_readdir(struct env *e, struct file *f, u32 max)
{
	struct super *sb = f->inode->sb;
	u64 sum = max;
	u32 n;

	ENTER(e, f->class, CLASS_TMP, OP_READDIR);
	for (n = sb->buckets[0]; n != ~0u && max; n = sb->inodes[n].next, max--)
		sum += inet_sum(sb->inodes[n].name, NAME_BYTES / 2, n) * 7;
	return sum;
}

static u64 tmp_fsync(struct env *e, struct file *f)
{
	struct inode *i = f->inode;

	ENTER(e, f->class, CLASS_TMP, OP_FSYNC);
	if (i->dirty)
		return ICALL(e, OP_WRITEPAGE, i->pages->writepage(e, i, i->attr.stamp % FS_PAGES));
	return inet_sum(i->data, 256, 0);
}

static u64 tmp_ioctl(struct env *e, struct file *f, u32 cmd)
{
	ENTER(e, f->class, CLASS_TMP, OP_IOCTL);
	f->inode->attr.mode = (f->inode->attr.mode & ~07u) | (cmd & 07);
	return inet_sum(f->inode->data, 240, cmd);
}

static u32 tmp_match(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_TMP, OP_MATCH);
	return str_hash(i->name) == str_hash(name) && !str_compare(i->name, name);
}

static struct inode *tmp_lookup(struct env *e, struct super *sb, const char *name)
{
	u32 *at = &sb->buckets[0];

	ENTER(e, sb->class, CLASS_TMP, OP_LOOKUP);
	for (; *at != ~0u; at = &sb->inodes[*at].next) {
		struct inode *i = &sb->inodes[*at];

		if (i->name[0] != name[0] || !ICALL(e, OP_MATCH, i->ops->match(e, i, name)))
			continue;
		*at = i->next;
		i->next = sb->buckets[0];
		sb->buckets[0] = i->number;
		return i;
	}
	return NULL;
}

static struct inode *tmp_create(struct env *e, struct super *sb, const char *name)
{
	struct inode *i;

	ENTER(e, sb->class, CLASS_TMP, OP_CREATE);
	i = &sb->inodes[ICALL(e, OP_ALLOC, sb->ops->alloc(e, sb)) % FS_INODES];
	mem_copy(i->name, name, NAME_BYTES);
	mem_fill(i->data, str_hash(name), FS_BYTES / 2);
	i->attr.size = i->cached = i->dirty = 0;
	return i;
}

static u64 tmp_unlink(struct env *e, struct inode *i)
{
	ENTER(e, i->class, CLASS_TMP, OP_UNLINK);
	name_make(i->name, i->attr.stamp * 3 + i->number);
	mem_fill(i->data, i->attr.stamp, FS_BYTES / 2);
	return ICALL(e, OP_FREE, i->sb->ops->free(e, i->sb, i->number));
}

static u64 tmp_rename(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_TMP, OP_RENAME);
	mem_copy(i->name, name, NAME_BYTES);
	return inet_sum(i->name, NAME_BYTES, i->number) + str_hash(name);
}

static u64 tmp_getattr(struct env *e, struct inode *i)
{
	ENTER(e, i->class, CLASS_TMP, OP_GETATTR);
	return inet_sum(&i->attr, sizeof(i->attr), 1) + inet_sum(i->data, 128, i->number);
}

static u64 tmp_truncate(struct env *e, struct inode *i, u32 size)
{
	ENTER(e, i->class, CLASS_TMP, OP_TRUNCATE);
	i->attr.size = size % FS_BYTES;
	mem_fill(i->data + FS_BYTES / 4, 0, FS_BYTES / 2);
	i->cached &= 1;
	return ICALL(e, OP_DIRTY, i->pages->dirty(e, i, 1));
}

static u64 tmp_permission(struct env *e, struct inode *i, u32 mask)
{
	u64 sum = i->attr.mode;
	u32 n;

	ENTER(e, i->class, CLASS_TMP, OP_PERMISSION);
	for (n = 0; n < 16; n++)
		sum = (sum << 1 | sum >> 15) ^ (mask + n) * i->attr.uid;
	return sum & 0xff;
}

static u64 tmp_statfs(struct env *e, struct super *sb)
{
	u64 total = sb->used;
	u32 n;

	ENTER(e, sb->class, CLASS_TMP, OP_STATFS);
	for (n = 0; n < FS_INODES; n++)
		total += sb->inodes[n].attr.size ^ n * sb->inodes[n].attr.stamp;
	return total;
}

static u64 tmp_sync(struct env *e, struct super *sb)
{
	ENTER(e, sb->class, CLASS_TMP, OP_SYNC);
	return inet_sum(sb->journal, sizeof(sb->journal), sb->used);
}

static u32 tmp_alloc(struct env *e, struct super *sb)
{
	ENTER(e, sb->class, CLASS_TMP, OP_ALLOC);
	sb->journal[sb->used % 16] += sb->free;
	return sb->used++ + inet_sum(sb->journal, 64, 0) % 3;
}

static u64 tmp_free(struct env *e, struct super *sb, u32 block)
{
	ENTER(e, sb->class, CLASS_TMP, OP_FREE);
	sb->journal[block % 16] ^= block * 0x9e3779b9u;
	return inet_sum(sb->journal, sizeof(sb->journal), block);
}

static const struct file_ops tmp_file_ops = {tmp_open, tmp_release, tmp_read,  tmp_write,
					     tmp_seek, tmp_readdir, tmp_fsync, tmp_ioctl};
static const struct inode_ops tmp_inode_ops = {tmp_lookup,     tmp_create,  tmp_unlink,
					       tmp_rename,     tmp_getattr, tmp_truncate,
					       tmp_permission, tmp_match};
static const struct page_ops tmp_page_ops = {tmp_readpage, tmp_writepage, tmp_dirty};
static const struct super_ops tmp_super_ops = {tmp_statfs, tmp_sync, tmp_alloc, tmp_free};

YARD_FN void tmp_init(struct env *e)
{
	e->fs.fops[2] = &tmp_file_ops;
	e->fs.iops[2] = &tmp_inode_ops;
	e->fs.pages[2] = &tmp_page_ops;
	e->fs.sops[2] = &tmp_super_ops;
}

/* The pipe: a ring in its inode's data; attr.size counts what was written. */
static u64 pipe_open(struct env *e, struct file *f)
{
	ENTER(e, f->class, CLASS_PIPE, OP_OPEN);
	return f->inode->attr.size;
}

static u64 pipe_release(struct env *e, struct file *f)
{
	ENTER(e, f->class, CLASS_PIPE, OP_RELEASE);
	return mem_hash(f->inode->data, 64, f->pos);
}

static u32 pipe_read(struct env *e, struct file *f, u8 *to, u32 len)
{
	u32 n, held = f->inode->attr.size - f->pos;

	ENTER(e, f->class, CLASS_PIPE, OP_READ);
	if (len > held)
		len = held;
	for (n = 0; n < len; n++)
		to[n] = f->inode->data[f->pos++ % FS_BYTES];
	FOLD(e, mem_hash(to, len, held));
	return len;
}

static u32 pipe_write(struct env *e, struct file *f, const u8 *from, u32 len)
{
	u32 n, room = FS_BYTES - (f->inode->attr.size - f->pos);

	ENTER(e, f->class, CLASS_PIPE, OP_WRITE);
	if (len > room)
		len = room;
	for (n = 0; n < len; n++)
		f->inode->data[f->inode->attr.size++ % FS_BYTES] = from[n];
	FOLD(e, room);
	return len;
}

static u64 pipe_ioctl(struct env *e, struct file *f, u32 cmd)
{
	ENTER(e, f->class, CLASS_PIPE, OP_IOCTL);
	return mem_hash(f->inode->data, 128, f->inode->attr.size + cmd);
}

static const struct file_ops pipe_file_ops = {.open = pipe_open,
					      .release = pipe_release,
					      .read = pipe_read,
					      .write = pipe_write,
					      .ioctl = pipe_ioctl};

YARD_FN void pipe_init(struct env *e)
{
	e->fs.pipe_fops = &pipe_file_ops;
}
