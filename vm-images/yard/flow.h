/* SPDX-License-Identifier: GPL-2.0-only */
/* The flow dissector: packets of a few shapes, and parsers (parsers.S) that jump to one another. */
#ifndef YARD_FLOW_H
#define YARD_FLOW_H

#include <hotrail/yard.h>
#include "kernel.h"
#include "layout.h"

#define FLOW_BYTES 96
#define FLOW_BLOCK (64 * YARD_FLOW_SHAPES) /* packets between two looks at the control page */

struct flow_packet {
	u32 len;
	u8 bytes[FLOW_BYTES];
};

struct flow {
	struct flow_packet packets[YARD_FLOW_SHAPES];
	u64 wrong; /* a nop was executed that never should be */
};

/* What parsers hand to each other. */
struct flow_context {
	u64 digest;
	const u8 *at, *end;
	u64 wrong;
};

YARD_FN void flow_init(struct flow *f, u64 seed);
/* `runs` packets by a flow kind of enum yard_micro: the sum of their digests, and TSC ticks. */
u64 flow_run(struct flow *f, u32 kind, u64 runs, u64 *ticks);

/* parsers.S */
void flow_indirect(struct flow_context *c);
void flow_poke(struct flow_context *c);
void flow_poke2(struct flow_context *c);

#endif
