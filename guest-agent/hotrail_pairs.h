/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For modules whose code has slots made for direct jumps (protocol/pair.h has the picture). A
 * module declares its slots and the programs they may lead to; the host may then have any of its
 * slots lead to any of its programs, and back. Nothing but a declared slot ever changes its opcode.
 *
 * A slot is 8-aligned, so it lies in one cache line, and as it is assembled: the bypass `jmp slow`
 * with a 32-bit displacement, the target the 5-byte nop (BYTES_NOP5). A pair whose bypass is NULL
 * is a single jump at `target`, assembled as `jmp slow`. Slots and slow way are text of the owner,
 * not init; the kernel must let a probe be put on each slot. Programs begin on a 16-byte boundary,
 * in core text or a module's, and never sleep where they could be left behind by their memory.
 */
#ifndef HOTRAIL_GUEST_AGENT_PAIRS_H
#define HOTRAIL_GUEST_AGENT_PAIRS_H

#include <linux/types.h>

struct module;

struct hotrail_pair {
	const void *bypass, *target, *slow;
};

struct hotrail_pairs {
	struct module *owner; /* THIS_MODULE */
	const struct hotrail_pair *pair;
	unsigned int npairs; /* 1 to 256 */
	const void *const *program;
	unsigned int nprograms; /* 1 to 1024 */
};

/*
 * From a module's init or later; may sleep. Lists are copied, `p` is the name for unregistering.
 * -EOPNOTSUPP: this kernel's text cannot be changed that way; -EINVAL: a slot or program is not as
 * above (the kernel's log says which); -EEXIST: declared before, or overlaps; -EPERM: the kernel
 * has something of its own there; -EBUSY: a probe is there; -ENOSPC, -ENOMEM.
 */
int hotrail_pairs_register(const struct hotrail_pairs *p);
/*
 * Before the module leaves, or takes a program's memory away. All slots are as they were assembled
 * afterwards, and nobody is between two of them; in a program there may still be whoever was.
 * Sleeps for a grace period, and while somebody's probe is on a slot. What was not registered is
 * passed over.
 */
void hotrail_pairs_unregister(const struct hotrail_pairs *p);

#endif
