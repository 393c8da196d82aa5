/* SPDX-License-Identifier: GPL-2.0-only */
/* The packet filter: programs of stages, each of which jumps to the next. */
#ifndef YARD_FILTER_H
#define YARD_FILTER_H

#include "kernel.h"

#define FILTER_CLASS	0x46
#define FILTER_STAGES	14
#define FILTER_PROGRAMS 4
#define FILTER_DEPTH	10

struct packet {
	u8 data[192];
	u32 len, proto, mark, verdict;
};

struct step;
typedef u64 (*stage_fn)(struct env *e, struct packet *p, const struct step *at);

/* One step of a program; `op` names the stage, so that it can see it was meant. */
struct step {
	stage_fn fn;
	u32 class, op, arg, spare;
};

struct filter {
	stage_fn stages[FILTER_STAGES];
	struct step programs[FILTER_PROGRAMS][FILTER_DEPTH];
	u64 counters[16];
	u32 flows[64];
};

YARD_FN void filter_init(struct env *e);
YARD_FN void filter_reset(struct env *e);
/* Run a packet through a program; the verdict. */
YARD_FN u64 filter_run(struct env *e, struct packet *p, u32 program);

#endif
