// SPDX-License-Identifier: GPL-2.0-only
/* One batch: everything from a fresh state that only seed, slot and phase define. */
#include <hotrail/yard.h>
#include "env.h"

/* Once a vCPU: where the code is. Everything else is set by each batch. */
YARD_FN void kernel_init(struct env *e)
{
	digest_init(e);
	hooks_init(e);
	filter_init(e);
	fs_init(e);
	net_init(e);
	task_init(e);
	timer_init(e);
	order_init(e);
	sys_file_init(e);
	sys_net_init(e);
	sys_task_init(e);
}

static void reset(struct env *e, u64 seed, u32 slot, u32 phase)
{
	struct core *c = &e->core;

	c->rng = seed ^ (slot + 1) * 0xd1342543de82ef95ull ^ (u64)phase << 61;
	c->digest = core_random(c);
	c->now = 0;
	c->want = 0;
	c->phase = phase;
	syscalls_reset(e);
	hooks_reset(e);
	filter_reset(e);
	fs_reset(e);
	net_reset(e);
	task_reset(e);
	timer_reset(e);
	order_reset(e);
}

YARD_FN u64 kernel_batch(struct env *e, u64 seed, u32 slot, u32 phase)
{
	struct core *c = &e->core;
	u32 i;

	reset(e, seed, slot, phase);
	for (i = 0; i < YARD_BATCH_OPS; i++) {
		c->now++;
		syscall_run(e);
		timer_tick(e);
	}
	return c->digest;
}
