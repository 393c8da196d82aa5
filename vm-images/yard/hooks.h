/* SPDX-License-Identifier: GPL-2.0-only */
/* Security-style hooks: at each point a chain of 3 to 6 modules is asked. */
#ifndef YARD_HOOKS_H
#define YARD_HOOKS_H

#include "kernel.h"

#define HOOK_DEPTH   6
#define CLASS_MODULE 0x50  /* + module number */
#define OP_HOOK	     0x200 /* + hook point */

/* One line a point: name and, in phase A and B, how many modules are in its chain. */
#define HOOK_POINTS(X)                                                                             \
	X(file_open, 4, 3)                                                                         \
	X(file_permission, 3, 4)                                                                   \
	X(file_write, 4, 3)                                                                        \
	X(file_free, 3, 3)                                                                         \
	X(file_ioctl, 3, 4)                                                                        \
	X(inode_lookup, 3, 3)                                                                      \
	X(inode_create, 5, 4)                                                                      \
	X(inode_unlink, 4, 6)                                                                      \
	X(inode_getattr, 3, 3)                                                                     \
	X(mmap, 3, 5)                                                                              \
	X(socket_create, 5, 4)                                                                     \
	X(socket_send, 3, 4)                                                                       \
	X(socket_receive, 4, 3)                                                                    \
	X(task_signal, 3, 6)                                                                       \
	X(task_switch, 3, 3)

enum hook_point {
#define X(name, a, b) HOOK_##name,
	HOOK_POINTS(X)
#undef X
		HOOKS
};

struct hook;
typedef u64 (*hook_fn)(struct env *e, struct hook *h, u32 subject, u32 object);

struct hook {
	hook_fn fn;
	u32 class, op, uses;
};

#define HOOK_MODULES 10
struct hooks {
	struct hook chains[HOOKS][HOOK_DEPTH];
	hook_fn modules[HOOK_MODULES];
	u64 state[HOOK_MODULES];
	u32 labels[32];
};

YARD_FN void hooks_init(struct env *e);
YARD_FN void hooks_reset(struct env *e);
#define X(name, a, b) YARD_FN u64 hook_##name(struct env *e, u32 subject, u32 object);
HOOK_POINTS(X)
#undef X

#endif
