// SPDX-License-Identifier: GPL-2.0-only
/* Packets for the flow dissector, and the loop that has them dissected. */
#include "flow.h"

_Static_assert(offsetof(struct flow_context, digest) == FLOW_DIGEST, "layout.h");
_Static_assert(offsetof(struct flow_context, at) == FLOW_AT, "layout.h");
_Static_assert(offsetof(struct flow_context, end) == FLOW_END, "layout.h");
_Static_assert(offsetof(struct flow_context, wrong) == FLOW_WRONG, "layout.h");

#define ETH_IPV4 0x0800
#define ETH_ARP	 0x0806
#define ETH_VLAN 0x8100
#define ETH_IPV6 0x86dd
#define TCP	 6
#define UDP	 17

struct flow_shape {
	u16 type; /* behind the VLAN tag, where there is one */
	u8 vlan, options, protocol, len;
};

/* Every parser is reached by each of its predecessors; the last two end early. */
static const struct flow_shape flow_shapes[YARD_FLOW_SHAPES] = {
	{ETH_IPV4, 0, 0, TCP, 64}, {ETH_IPV4, 0, 0, UDP, 64},	  {ETH_IPV6, 0, 0, TCP, 80},
	{ETH_IPV6, 1, 0, UDP, 80}, {ETH_IPV4, 1, 2, TCP, 84},	  {ETH_IPV6, 0, 0, UDP, 72},
	{ETH_ARP, 1, 0, 0, 64},	   {ETH_IPV4, 0, 1, UDP, 14 + 20},
};

static void flow_be16(u8 *to, u32 v)
{
	to[0] = (u8)(v >> 8);
	to[1] = (u8)v;
}

static void flow_make(struct flow_packet *p, const struct flow_shape *s, struct core *random)
{
	u8 *at = p->bytes;
	u32 i;

	p->len = s->len;
	for (i = 0; i < FLOW_BYTES; i++)
		at[i] = (u8)core_random(random);
	at += 12;
	if (s->vlan) {
		flow_be16(at, ETH_VLAN);
		at += 4;
	}
	flow_be16(at, s->type);
	at += 2;
	if (s->type == ETH_IPV4) {
		at[0] = 0x45 + s->options;
		at[9] = s->protocol;
		at += 20 + 4 * s->options;
	} else if (s->type == ETH_IPV6) {
		at[0] = 0x60;
		at[6] = s->protocol;
		at += 40;
	}
	if (s->protocol == TCP)
		at[12] = 0x50; /* five words of header */
}

YARD_FN void flow_init(struct flow *f, u64 seed)
{
	struct core random = {.rng = seed};
	u32 n;

	f->wrong = 0;
	for (n = 0; n < YARD_FLOW_SHAPES; n++)
		flow_make(&f->packets[n], &flow_shapes[n], &random);
}

#ifndef YARD_HOST
#define FLOW_WARM (8 * YARD_FLOW_SHAPES) /* packets that teach caches and predictors */

static u64 flow_tsc(void)
{
	u32 low, high;

	/* lfence on both sides: nothing of the loop is counted outside it (Intel SDM, RDTSC). */
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high)::"memory");
	return (u64)high << 32 | low;
}

/* One loop for each way to enter, so that the way costs nothing to choose. */
static inline __attribute__((always_inline)) u64
flow_loop(struct flow *f, u64 runs, void (*dissect)(struct flow_context *))
{
	u64 sum = 0, n;

	for (n = 0; n < runs; n++) {
		u32 shape = n % YARD_FLOW_SHAPES;
		const struct flow_packet *p = &f->packets[shape];
		struct flow_context c = {shape, p->bytes, p->bytes + p->len, 0};

		dissect(&c);
		sum += c.digest;
		f->wrong += c.wrong;
	}
	return sum;
}

static u64 flow_by(struct flow *f, u32 kind, u64 runs)
{
	if (kind == YARD_MICRO_FLOW_INDIRECT)
		return flow_loop(f, runs, flow_indirect);
	if (kind == YARD_MICRO_FLOW_POKE)
		return flow_loop(f, runs, flow_poke);
	return flow_loop(f, runs, flow_poke2);
}

u64 flow_run(struct flow *f, u32 kind, u64 runs, u64 *ticks)
{
	u64 begin, sum;

	flow_by(f, kind, FLOW_WARM);
	begin = flow_tsc();
	sum = flow_by(f, kind, runs);
	*ticks = flow_tsc() - begin;
	return sum;
}
#endif
