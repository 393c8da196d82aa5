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
#define SYSCALLS_FILE(X)                                                                           \
	X(read, 190, 40)                                                                           \
	X(write, 120, 30) X(open, 50, 12) X(close, 48, 12) X(stat, 44, 14) X(fstat, 22, 8)         \
		X(lseek, 24, 6) X(pread, 30, 10) X(pwrite, 14, 8) X(readv, 10, 30)                 \
			X(writev, 8, 26) X(access, 30, 8) X(getdents, 8, 44) X(fsync, 6, 4)        \
				X(truncate, 4, 6) X(unlink, 5, 9) X(rename, 4, 7) X(creat, 6, 10)  \
					X(ioctl, 9, 20) X(mmap, 16, 36) X(statfs, 3, 8)            \
						X(sync, 2, 3) X(sendfile, 6, 24) X(splice, 5, 16)  \
							X(pipe_read, 10, 14) X(pipe_write, 10, 14)

#define SYSCALLS_NET(X)                                                                            \
	X(sendto, 64, 110)                                                                         \
	X(recvfrom, 44, 130) X(sendmsg, 24, 50) X(recvmsg, 20, 40) X(sendmmsg, 4, 26)              \
		X(recvmmsg, 4, 18) X(socket, 6, 5) X(bind, 4, 6) X(connect, 7, 6)                  \
			X(shutdown, 4, 3) X(setsockopt, 8, 12) X(getsockopt, 6, 14)                \
				X(getsockname, 4, 8) X(poll, 36, 20) X(select, 12, 34)             \
					X(filter, 6, 12) X(devstat, 3, 5) X(route, 2, 4)

#define SYSCALLS_TASK(X)                                                                           \
	X(yield, 26, 34)                                                                           \
	X(nanosleep, 12, 18) X(clock, 30, 44) X(timer_set, 12, 20) X(timer_delete, 4, 6)           \
		X(futex, 34, 26) X(wake, 10, 16) X(kill, 6, 8) X(nice, 4, 6) X(clone, 4, 5)        \
			X(exit, 4, 5) X(wait, 6, 5) X(sort, 5, 4) X(epoll_add, 12, 8)              \
				X(epoll_find, 16, 10) X(epoll_walk, 8, 14) X(keyctl, 6, 12)        \
					X(digest, 10, 18) X(schedule_work, 10, 16)                 \
						X(getrandom, 10, 14)

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
