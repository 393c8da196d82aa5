// SPDX-License-Identifier: GPL-2.0-only
/* One batch: everything from a fresh state that only seed, slot and phase define. */
#include <hotrail/yard.h>
#include "env.h"

static void operation(struct env *e)
{
	struct packet p;
	u32 share = BELOW(e, 100), i;

	p.len = 64 + BELOW(e, 16) * 8;
	for (i = 0; i < p.len; i += 8) {
		u64 v = RANDOM(e);

		mem_copy(p.data + i, &v, 8);
	}
	filter_run(e, &p, share < 60 ? 0 : share < 85 ? 1 : share < 95 ? 2 : 3);
}

YARD_FN void kernel_init(struct env *e)
{
	filter_init(e);
}

YARD_FN u64 kernel_batch(struct env *e, u64 seed, u32 slot, u32 phase)
{
	struct core *c = &e->core;
	u32 i;

	c->rng = seed ^ (slot + 1) * 0xd1342543de82ef95ull ^ (u64)phase << 61;
	c->digest = RANDOM(e);
	c->now = 0;
	c->phase = phase;
	filter_reset(e);
	for (i = 0; i < YARD_BATCH_OPS; i++) {
		c->now++;
		operation(e);
	}
	return c->digest;
}
