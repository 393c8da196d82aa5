// SPDX-License-Identifier: GPL-2.0-only
/* System calls on files. */
#include "env.h"

static struct inode *pick_inode(struct env *e, u64 r)
{
	return &fs_pick(e)->inodes[r % FS_INODES];
}

SYSCALL(read)
{
	SYS_ENTER(read);
	return vfs_read(e, fs_pick_file(e), r->buffer, 64 + r->a % 129);
}

SYSCALL(write)
{
	SYS_ENTER(write);
	return vfs_write(e, fs_pick_file(e), r->buffer, 48 + r->a % 161);
}

SYSCALL(open)
{
	struct super *sb = fs_pick(e);
	struct file *f = fs_pick_file(e);
	struct inode *i;

	SYS_ENTER(open);
	i = vfs_lookup(e, sb, sb->inodes[r->a % FS_INODES].name);
	if (i && i->fops == f->ops)
		f->inode = i;
	f->flags = r->b & 7;
	return vfs_open(e, f);
}

SYSCALL(close)
{
	SYS_ENTER(close);
	return vfs_release(e, fs_pick_file(e));
}

SYSCALL(stat)
{
	struct super *sb = fs_pick(e);
	struct inode *i;

	SYS_ENTER(stat);
	i = vfs_lookup(e, sb, sb->inodes[r->a % FS_INODES].name);
	return i ? vfs_getattr(e, i) : r->b;
}

SYSCALL(fstat)
{
	SYS_ENTER(fstat);
	return vfs_getattr(e, fs_pick_file(e)->inode) ^ mem_hash(r->buffer, 64, r->a);
}

SYSCALL(lseek)
{
	SYS_ENTER(lseek);
	return vfs_seek(e, fs_pick_file(e), (u32)r->a);
}

SYSCALL(pread)
{
	struct file *f = fs_pick_file(e);

	SYS_ENTER(pread);
	vfs_seek(e, f, (u32)r->b);
	return vfs_read(e, f, r->buffer, 128);
}

SYSCALL(pwrite)
{
	struct file *f = fs_pick_file(e);

	SYS_ENTER(pwrite);
	vfs_seek(e, f, (u32)r->b);
	return vfs_write(e, f, r->buffer, 96);
}

SYSCALL(readv)
{
	struct file *f = fs_pick_file(e);
	u64 sum = 0;
	u32 i;

	SYS_ENTER(readv);
	for (i = 0; i < 1 + r->a % 3; i++)
		sum += ICALL(e, OP_READ, f->ops->read(e, f, r->buffer + i * 64, 64));
	return sum;
}

SYSCALL(writev)
{
	struct file *f = fs_pick_file(e);
	u64 sum = 0;
	u32 i;

	SYS_ENTER(writev);
	for (i = 0; i < 1 + r->a % 3; i++)
		sum += ICALL(e, OP_WRITE, f->ops->write(e, f, r->buffer + i * 80, 80));
	return sum;
}

SYSCALL(access)
{
	struct inode *i = pick_inode(e, r->a);

	SYS_ENTER(access);
	return ICALL(e, OP_PERMISSION, i->ops->permission(e, i, r->b & 7)) +
	       hook_inode_lookup(e, i->attr.mode, i->number);
}

SYSCALL(getdents)
{
	SYS_ENTER(getdents);
	return vfs_readdir(e, fs_pick_file(e), 4 + r->a % 9);
}

SYSCALL(fsync)
{
	SYS_ENTER(fsync);
	return vfs_fsync(e, fs_pick_file(e));
}

SYSCALL(truncate)
{
	SYS_ENTER(truncate);
	return vfs_truncate(e, pick_inode(e, r->a), (u32)r->b);
}

SYSCALL(unlink)
{
	SYS_ENTER(unlink);
	return vfs_unlink(e, pick_inode(e, r->a));
}

SYSCALL(rename)
{
	char name[NAME_BYTES] = {0};

	SYS_ENTER(rename);
	name_make(name, r->b & 0xff);
	return vfs_rename(e, pick_inode(e, r->a), name);
}

SYSCALL(creat)
{
	char name[NAME_BYTES] = {0};

	SYS_ENTER(creat);
	name_make(name, r->b & 0xff);
	return vfs_create(e, fs_pick(e), name)->number;
}

SYSCALL(ioctl)
{
	struct file *f = r->a % 5 ? fs_pick_file(e) : &e->fs.pipe;

	SYS_ENTER(ioctl);
	return vfs_ioctl(e, f, (u32)r->b & 0xfff);
}

SYSCALL(mmap)
{
	SYS_ENTER(mmap);
	return vfs_fault(e, pick_inode(e, r->a), r->b % FS_PAGES);
}

SYSCALL(statfs)
{
	SYS_ENTER(statfs);
	return vfs_statfs(e, fs_pick(e));
}

SYSCALL(sync)
{
	SYS_ENTER(sync);
	return vfs_sync(e, fs_pick(e));
}

static u64 actor_send(struct env *e, struct file *f, u8 *data, u32 len)
{
	struct sock *s = &e->net.sockets[(f->pos + len) % 6 + (e->core.phase ? 6 : 0)];

	ENTER(e, 1, 1, OP_ACTOR);
	return ICALL(e, OP_SENDMSG, s->ops->sendmsg(e, s, data, len));
}

static u64 actor_pipe(struct env *e, struct file *f, u8 *data, u32 len)
{
	struct file *to = &e->fs.pipe;

	ENTER(e, 1, 1, OP_ACTOR);
	FOLD(e, f->class);
	return ICALL(e, OP_WRITE, to->ops->write(e, to, data, len));
}

SYSCALL(sendfile)
{
	SYS_ENTER(sendfile);
	return vfs_splice(e, fs_pick_file(e), actor_send, 128 + r->a % 128);
}

SYSCALL(splice)
{
	SYS_ENTER(splice);
	return vfs_splice(e, fs_pick_file(e), actor_pipe, 128 + r->a % 256);
}

SYSCALL(pipe_read)
{
	struct file *f = &e->fs.pipe;

	SYS_ENTER(pipe_read);
	return ICALL(e, OP_READ, f->ops->read(e, f, r->buffer, 32 + r->a % 64));
}

SYSCALL(pipe_write)
{
	struct file *f = &e->fs.pipe;

	SYS_ENTER(pipe_write);
	return ICALL(e, OP_WRITE, f->ops->write(e, f, r->buffer, 32 + r->a % 64));
}

YARD_FN void sys_file_init(struct env *e)
{
#define X(name, a, b) e->sys.table[SYS_##name] = sys_##name;
	SYSCALLS_FILE(X)
#undef X
}
