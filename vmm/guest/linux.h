/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A running Linux kernel as a guest: what kernel.h knows of an image, joined with the
 * memory of a guest that runs it. Finds the run-time offset, believes nothing before it
 * agrees with the image, reads the sites as boot left them, and maps the arena.
 */
#ifndef HOTRAIL_GUEST_LINUX_H
#define HOTRAIL_GUEST_LINUX_H

#include "guest/guest.h"
#include "guest/kernel.h"

/* Every site of the image is in exactly one of these. */
struct linux_census {
	size_t total;
	size_t kept;		/* retpoline call as in the image: these are guest->sites */
	size_t init;		/* init text: gone after boot */
	size_t indirect, fence; /* rewritten at boot to `call *%reg`, `lfence; call *%reg` */
	size_t depth, its; /* re-aimed at boot: call depth accounting, indirect target selection */
	size_t busy;	   /* an int3: the guest is patching there */
	size_t differ, unreadable;
	size_t protected[KERNEL_RANGES]; /* of those kept: never patched, by kind */
};

struct linux_info {
	uint64_t offset; /* run time minus link time: KASLR */
	gpa_t root;	 /* init_top_pgt */
	unsigned levels; /* of page tables: 4 or 5 */
	unsigned modules;
	const char
		*mitigation; /* "Retpolines" and the like, "unknown" when the guest does not say */
	struct linux_census census;
};

/*
 * `k` must outlive the guest. Pauses the guest twice for some 100 us. The arena is empty where
 * ops->may_patch refuses.
 *
 * -EAGAIN (BUSY): boot has not finished, or the guest is going down; ask again later.
 * -ESTALE (REFUSED): the guest runs another kernel than `k`.
 * -EPERM (REFUSED): page tables that no Linux has.
 * -ENOTSUP: this target cannot do it. -ENOSPC: no room for the arena.
 */
int linux_guest_create(const struct kernel *k, struct target *t, struct guest **out,
		       struct error *err);
/* Takes the arena out of the guest if nothing was ever written into it, or the guest has ended; a
 * track is never taken away while a task may be inside. NULL is fine. */
void linux_guest_destroy(struct guest *g);

const struct linux_info *linux_guest_info(const struct guest *g);
/* Pauses the guest: is it still the kernel that was looked at? 0 or -ESTALE. */
int linux_guest_check(struct guest *g, struct error *err);

#endif
