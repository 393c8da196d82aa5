// SPDX-License-Identifier: GPL-2.0-only
/* "ext": files in blocks on a disk, a hashed directory, a block bitmap and a journal. */
#include "env.h"

static u64 ext_end_read(struct env *e, struct bio *b)
{
	ENTER(e, b->class, CLASS_EXT, OP_BIO_END);
	return inet_sum(b->data, 64, b->sector);
}

static u64 ext_end_write(struct env *e, struct bio *b)
{
	struct super *sb = b->inode->sb;

	ENTER(e, b->class, CLASS_EXT, OP_BIO_END);
	sb->journal[b->sector % 16] ^= mem_hash(b->data, 48, b->sector);
	return sb->journal[0];
}

static u64 ext_readpage(struct env *e, struct inode *i, u32 page)
{
	const struct digest_ops *sum = i->sb->sum;
	u64 state;

	ENTER(e, i->class, CLASS_EXT, OP_READPAGE);
	block_submit(e, i, page, 0, ext_end_read);
	state = DIGEST_UPDATE(e, sum, page, i->data + page * FS_PAGE, 96);
	i->cached |= 1u << page;
	return state;
}

static u64 ext_writepage(struct env *e, struct inode *i, u32 page)
{
	const struct digest_ops *sum = i->sb->sum;
	u64 state;

	ENTER(e, i->class, CLASS_EXT, OP_WRITEPAGE);
	state = DIGEST_INIT(e, sum, page);
	state = DIGEST_UPDATE(e, sum, state, i->data + page * FS_PAGE, FS_PAGE / 2);
	i->dirty &= ~(1u << page);
	return state + block_submit(e, i, page, 1, ext_end_write);
}

static u64 ext_dirty(struct env *e, struct inode *i, u32 page)
{
	ENTER(e, i->class, CLASS_EXT, OP_DIRTY);
	i->dirty |= 1u << page;
	i->attr.stamp++;
	i->sb->journal[page] += mem_hash(&i->attr, sizeof(i->attr), page);
	return i->dirty;
}

static u64 ext_open(struct env *e, struct file *f)
{
	ENTER(e, f->class, CLASS_EXT, OP_OPEN);
	return mem_hash(&f->inode->attr, sizeof(f->inode->attr), f->flags);
}

static u64 ext_release(struct env *e, struct file *f)
{
	struct inode *i = f->inode;
	u32 page = (u32)__builtin_ctz(i->dirty | 1u << (FS_PAGES - 1));

	ENTER(e, f->class, CLASS_EXT, OP_RELEASE);
	if (i->dirty)
		return ICALL(e, OP_WRITEPAGE, i->pages->writepage(e, i, page));
	return inet_sum(i->data, 128, 1);
}

static u32 ext_read(struct env *e, struct file *f, u8 *to, u32 len)
{
	struct inode *i = f->inode;
	u32 page, at = f->pos % FS_BYTES;

	ENTER(e, f->class, CLASS_EXT, OP_READ);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	for (page = at / FS_PAGE; page <= (at + len - 1) / FS_PAGE && page < FS_PAGES; page++)
		if (!(i->cached >> page & 1))
			FOLD(e, ICALL(e, OP_READPAGE, i->pages->readpage(e, i, page)));
	mem_copy(to, i->data + at, len);
	FOLD(e, mem_hash(to, len, mem_crc32(to, len / 3, at)));
	f->pos += len;
	return len;
}

static u32 ext_write(struct env *e, struct file *f, const u8 *from, u32 len)
{
	struct inode *i = f->inode;
	u32 at = f->pos % FS_BYTES;

	ENTER(e, f->class, CLASS_EXT, OP_WRITE);
	if (at + len > FS_BYTES)
		len = FS_BYTES - at;
	mem_copy(i->data + at, from, len);
	FOLD(e, mem_hash(i->data + at, len, mem_crc32(from, len / 4, at)));
	FOLD(e, ICALL(e, OP_DIRTY, i->pages->dirty(e, i, at / FS_PAGE)));
	f->pos += len;
	if (f->pos > i->attr.size)
		i->attr.size = f->pos;
	return len;
}

static u32 ext_seek(struct env *e, struct file *f, u32 offset)
{
	ENTER(e, f->class, CLASS_EXT, OP_SEEK);
	f->pos = offset % (f->inode->attr.size + 1) % FS_BYTES;
	FOLD(e, mem_hash(f->inode->attr.blocks, 12, f->pos));
	return f->pos;
}

static u64 ext_readdir(struct env *e, struct file *f, u32 max)
{
	struct super *sb = f->inode->sb;
	u64 sum = 0;
	u32 b, n;

	ENTER(e, f->class, CLASS_EXT, OP_READDIR);
	for (b = 0; b < 8 && max; b++)
		for (n = sb->buckets[b]; n != ~0u && max; n = sb->inodes[n].next, max--)
			sum = sum * 31 + str_hash(sb->inodes[n].name);
	return sum;
}

static u64 ext_fsync(struct env *e, struct file *f)
{
	struct inode *i = f->inode;
	u64 sum = 0;
	u32 page;

	ENTER(e, f->class, CLASS_EXT, OP_FSYNC);
	for (page = 0; page < FS_PAGES; page++)
		if (i->dirty >> page & 1)
			sum += ICALL(e, OP_WRITEPAGE, i->pages->writepage(e, i, page));
	sum ^= mem_hash(i->sb->journal, sizeof(i->sb->journal), sum);
	return sum + ICALL(e, OP_DISK_FLUSH, i->sb->disk->ops->flush(e, i->sb->disk));
}

static u64 ext_ioctl(struct env *e, struct file *f, u32 cmd)
{
	struct attr *a = &f->inode->attr;

	ENTER(e, f->class, CLASS_EXT, OP_IOCTL);
	a->mode ^= cmd & 0700;
	return mem_crc32(a, sizeof(*a) / 2, cmd) + mem_hash(f->inode->data, 128, cmd);
}

static u32 ext_match(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_EXT, OP_MATCH);
	return !str_compare(i->name, name);
}

static struct inode *ext_lookup(struct env *e, struct super *sb, const char *name)
{
	u32 n;

	ENTER(e, sb->class, CLASS_EXT, OP_LOOKUP);
	for (n = sb->buckets[str_hash(name) % 8]; n != ~0u; n = sb->inodes[n].next)
		if (ICALL(e, OP_MATCH, sb->inodes[n].ops->match(e, &sb->inodes[n], name)))
			return &sb->inodes[n];
	FOLD(e, str_hash(name));
	return NULL;
}

static void ext_unhash(struct super *sb, struct inode *i)
{
	u32 *at = &sb->buckets[str_hash(i->name) % 8];

	while (*at != ~0u && *at != i->number)
		at = &sb->inodes[*at].next;
	if (*at == i->number)
		*at = i->next;
}

static void ext_hash(struct super *sb, struct inode *i)
{
	u32 *bucket = &sb->buckets[str_hash(i->name) % 8];

	i->next = *bucket;
	*bucket = i->number;
}

/* A new file takes the place of the oldest: the directory has a fixed size. */
static struct inode *ext_create(struct env *e, struct super *sb, const char *name)
{
	struct inode *i = &sb->inodes[sb->head++ % FS_INODES];
	u32 block;

	ENTER(e, sb->class, CLASS_EXT, OP_CREATE);
	ext_unhash(sb, i);
	FOLD(e, ICALL(e, OP_FREE, sb->ops->free(e, sb, i->attr.blocks[0])));
	block = ICALL(e, OP_ALLOC, sb->ops->alloc(e, sb));
	mem_copy(i->name, name, NAME_BYTES);
	ext_hash(sb, i);
	i->attr.blocks[0] = block;
	i->attr.size = 0;
	i->cached = i->dirty = 0;
	mem_fill(i->data, block * 0x0101010101010101ull, 256);
	return i;
}

static u64 ext_unlink(struct env *e, struct inode *i)
{
	struct super *sb = i->sb;

	ENTER(e, i->class, CLASS_EXT, OP_UNLINK);
	ext_unhash(sb, i);
	name_make(i->name, (u32)mem_hash(&i->attr, sizeof(i->attr), i->number));
	ext_hash(sb, i);
	i->attr.size = 1;
	return ICALL(e, OP_FREE, sb->ops->free(e, sb, i->attr.blocks[1]));
}

static u64 ext_rename(struct env *e, struct inode *i, const char *name)
{
	ENTER(e, i->class, CLASS_EXT, OP_RENAME);
	ext_unhash(i->sb, i);
	mem_copy(i->name, name, NAME_BYTES);
	ext_hash(i->sb, i);
	i->sb->journal[i->number] += str_hash(name);
	return i->next;
}

static u64 ext_getattr(struct env *e, struct inode *i)
{
	ENTER(e, i->class, CLASS_EXT, OP_GETATTR);
	return mem_hash(&i->attr, sizeof(i->attr), i->number) + inet_sum(i->data, 96, 0);
}

static u64 ext_truncate(struct env *e, struct inode *i, u32 size)
{
	ENTER(e, i->class, CLASS_EXT, OP_TRUNCATE);
	size %= FS_BYTES / 2;
	mem_fill(i->data + size, 0, FS_BYTES / 2);
	i->attr.size = size;
	i->cached = 0;
	return ICALL(e, OP_DIRTY, i->pages->dirty(e, i, size / FS_PAGE));
}

static u64 ext_permission(struct env *e, struct inode *i, u32 mask)
{
	u64 sum = mask;
	u32 n;

	ENTER(e, i->class, CLASS_EXT, OP_PERMISSION);
	for (n = 0; n < 12; n++)
		sum = sum * 5 + ((i->attr.mode >> n & mask) | (i->attr.uid == 1000 + n));
	return sum & 0xff;
}

static u64 ext_statfs(struct env *e, struct super *sb)
{
	ENTER(e, sb->class, CLASS_EXT, OP_STATFS);
	return mem_hash(&sb->map, sizeof(sb->map), sb->free) ^ mem_crc32(sb->journal, 24, sb->used);
}

static u64 ext_sync(struct env *e, struct super *sb)
{
	u64 sum = 0;
	u32 n;

	ENTER(e, sb->class, CLASS_EXT, OP_SYNC);
	for (n = 0; n < FS_INODES; n++)
		sum ^= mem_hash(&sb->inodes[n].attr, sizeof(struct attr), n);
	return sum;
}

static u32 ext_alloc(struct env *e, struct super *sb)
{
	u32 block;

	ENTER(e, sb->class, CLASS_EXT, OP_ALLOC);
	if (!~sb->map)
		sb->map = 0xffff;
	for (block = sb->head % 64; sb->map >> block & 1; block = (block + 1) % 64)
		;
	sb->map |= 1ull << block;
	sb->free--;
	return block;
}

static u64 ext_free(struct env *e, struct super *sb, u32 block)
{
	ENTER(e, sb->class, CLASS_EXT, OP_FREE);
	sb->map &= ~(1ull << block % 64);
	sb->free++;
	return mem_hash(&sb->map, sizeof(sb->map), block);
}

static const struct file_ops ext_file_ops = {ext_open, ext_release, ext_read,  ext_write,
					     ext_seek, ext_readdir, ext_fsync, ext_ioctl};
static const struct inode_ops ext_inode_ops = {ext_lookup,     ext_create,  ext_unlink,
					       ext_rename,     ext_getattr, ext_truncate,
					       ext_permission, ext_match};
static const struct page_ops ext_page_ops = {ext_readpage, ext_writepage, ext_dirty};
static const struct super_ops ext_super_ops = {ext_statfs, ext_sync, ext_alloc, ext_free};

YARD_FN void ext_init(struct env *e)
{
	e->fs.fops[0] = &ext_file_ops;
	e->fs.iops[0] = &ext_inode_ops;
	e->fs.pages[0] = &ext_page_ops;
	e->fs.sops[0] = &ext_super_ops;
}
