/* SPDX-License-Identifier: GPL-2.0-only */
/* The system-call table. */
#ifndef YARD_SYSCALL_H
#define YARD_SYSCALL_H

#include "kernel.h"

#define OP_SYSCALL    0x400 /* + number */
#define CLASS_SYSCALL 0xf0

struct args {
	u32 class, number;
	u64 a, b; /* random; each call uses them as it likes */
	u8 buffer[256];
};

typedef u64 (*syscall_fn)(struct env *e, struct args *r);

/*
 * Name and weight in phase A and B. As on real systems a few calls make most of
 * the load and many are rare; which ones differs between the phases.
 */
/* clang-format off */
#define SYSCALLS_FILE(X)                                                                           \
	X(read, 560, 22) X(write, 280, 16) X(open, 100, 7) X(close, 26, 7)                         \
	X(stat, 24, 8) X(fstat, 12, 6) X(lseek, 13, 4) X(pread, 16, 6)                             \
	X(pwrite, 8, 6) X(readv, 6, 90) X(writev, 6, 14) X(access, 16, 6)                          \
	X(getdents, 6, 130) X(fsync, 4, 3) X(truncate, 3, 4) X(unlink, 4, 5)                       \
	X(rename, 3, 5) X(creat, 4, 6) X(ioctl, 5, 11) X(mmap, 9, 20)                              \
	X(statfs, 2, 6) X(sync, 1, 2) X(sendfile, 4, 13) X(splice, 4, 9)                           \
	X(pipe_read, 6, 8) X(pipe_write, 6, 8)

#define SYSCALLS_NET(X)                                                                            \
	X(sendto, 150, 300) X(recvfrom, 24, 460) X(sendmsg, 13, 28) X(recvmsg, 11, 22)             \
	X(sendmmsg, 3, 14) X(recvmmsg, 3, 10) X(socket, 4, 4) X(bind, 3, 4)                        \
	X(connect, 5, 4) X(shutdown, 3, 2) X(setsockopt, 6, 7) X(getsockopt, 4, 8)                 \
	X(getsockname, 3, 6) X(poll, 20, 11) X(select, 7, 19) X(filter, 4, 7)                      \
	X(devstat, 2, 4) X(route, 1, 3)

#define SYSCALLS_TASK(X)                                                                           \
	X(yield, 14, 19) X(nanosleep, 7, 10) X(clock, 16, 24) X(timer_set, 7, 11)                  \
	X(timer_delete, 3, 4) X(futex, 19, 14) X(wake, 6, 9) X(kill, 4, 6)                         \
	X(nice, 3, 4) X(clone, 3, 4) X(exit, 3, 4) X(wait, 4, 4)                                   \
	X(sort, 4, 3) X(epoll_add, 7, 6) X(epoll_find, 9, 6) X(epoll_walk, 6, 8)                   \
	X(keyctl, 4, 7) X(digest, 6, 10) X(schedule_work, 6, 9) X(getrandom, 6, 8)
/* clang-format on */

#define SYSCALLS(X) SYSCALLS_FILE(X) SYSCALLS_NET(X) SYSCALLS_TASK(X)

enum syscall_number {
#define X(name, a, b) SYS_##name,
	SYSCALLS(X)
#undef X
		SYS_COUNT
};
_Static_assert(SYS_COUNT == 64, "the table has 64 entries");

struct syscalls {
	syscall_fn table[SYS_COUNT];
	u32 limits[SYS_COUNT]; /* running sums of the phase's weights */
	u64 used;
};

#define SYSCALL(name)                                                                              \
	static u64 sys_##name(struct env *e, struct args *r);                                      \
	static noinline u64 sys_##name(struct env *e, struct args *r)
#define SYS_ENTER(name)                                                                            \
	ENTER(e, r->class + r->number, CLASS_SYSCALL + SYS_##name, OP_SYSCALL + SYS_##name)

YARD_FN void sys_file_init(struct env *e);
YARD_FN void sys_net_init(struct env *e);
YARD_FN void sys_task_init(struct env *e);
YARD_FN void syscalls_reset(struct env *e);
/* One system call of the phase's mix. */
YARD_FN void syscall_run(struct env *e);

#endif
