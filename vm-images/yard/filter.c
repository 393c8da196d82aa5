// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet filter: every stage does its part and leaves by a tail jump through
 * the next step's pointer. Programs end in the verdict stage, which returns.
 */
#include "env.h"

#define STAGE(name, own_op)                                                                        \
	static noinline u64 name(struct env *e, struct packet *p, const struct step *at)

#define NEXT(e, p, at) return ICALL(e, (at)[1].op, (at)[1].fn(e, p, (at) + 1))

enum stage {
	STAGE_LINK,
	STAGE_NETWORK,
	STAGE_TRANSPORT,
	STAGE_PORTS,
	STAGE_FLOW,
	STAGE_NAT,
	STAGE_SUM,
	STAGE_LIMIT,
	STAGE_MARK,
	STAGE_PAYLOAD,
	STAGE_COUNT,
	STAGE_LOG,
	STAGE_QUEUE,
	STAGE_VERDICT,
};

STAGE(stage_link, STAGE_LINK)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_LINK);
	p->mark = str_hash((const char[]){(char)(p->data[0] | 1), (char)(p->data[6] | 1), 0});
	p->proto = p->data[12] & 3;
	p->verdict = (u32)mem_hash(p->data, 14, at->arg) & 0xff;
	NEXT(e, p, at);
}

STAGE(stage_network, STAGE_NETWORK)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_NETWORK);
	p->mark ^= inet_sum(p->data + 14, 20, at->arg);
	if (p->data[14 + 8] < 2)
		p->verdict |= 0x100;
	else
		p->data[14 + 8]--;
	NEXT(e, p, at);
}

STAGE(stage_transport, STAGE_TRANSPORT)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_TRANSPORT);
	p->mark += inet_sum(p->data + 34, p->len - 34, p->proto);
	NEXT(e, p, at);
}

/* Match ports against ranges, as a linear rule list does. */
STAGE(stage_ports, STAGE_PORTS)
{
	u32 port = p->data[34] | (u32)p->data[35] << 8, hit = 0, i;

	ENTER(e, at->class, FILTER_CLASS, STAGE_PORTS);
	for (i = 0; i < 24; i++) {
		u32 low = (i * 2711 + at->arg) & 0xffff;

		if (port - low < 1500)
			hit += i + 1;
	}
	p->mark += hit;
	NEXT(e, p, at);
}

STAGE(stage_flow, STAGE_FLOW)
{
	struct filter *f = &e->filter;
	u32 key = (u32)mem_hash(p->data + 26, 12, at->arg) | 1, i, slot = key >> 8;

	ENTER(e, at->class, FILTER_CLASS, STAGE_FLOW);
	for (i = 0; i < 8; i++, slot++) {
		u32 *flow = &f->flows[slot % ARRAY_SIZE(f->flows)];

		if (!*flow || *flow == key) {
			p->verdict += *flow == key;
			*flow = key;
			break;
		}
	}
	if (i == 8)
		f->flows[slot % ARRAY_SIZE(f->flows)] = 0;
	p->mark ^= i << 16;
	NEXT(e, p, at);
}

STAGE(stage_nat, STAGE_NAT)
{
	u32 i;

	ENTER(e, at->class, FILTER_CLASS, STAGE_NAT);
	for (i = 26; i < 34; i++)
		p->data[i] = (u8)(p->data[i] * 5 + at->arg);
	p->mark ^= inet_sum(p->data + 26, 8, 0);
	NEXT(e, p, at);
}

STAGE(stage_sum, STAGE_SUM)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_SUM);
	p->mark ^= mem_crc32(p->data + 34, (p->len - 34) / 2, at->arg);
	NEXT(e, p, at);
}

STAGE(stage_limit, STAGE_LIMIT)
{
	struct filter *f = &e->filter;
	u64 *bucket = &f->counters[p->mark % 8];

	ENTER(e, at->class, FILTER_CLASS, STAGE_LIMIT);
	*bucket += p->len;
	if (*bucket > 4000 + at->arg) {
		*bucket -= 4000;
		p->verdict |= 0x200;
	}
	p->mark += (u32)mem_hash(f->counters, sizeof(f->counters), 7);
	NEXT(e, p, at);
}

STAGE(stage_mark, STAGE_MARK)
{
	u32 m = p->mark, i;

	ENTER(e, at->class, FILTER_CLASS, STAGE_MARK);
	for (i = 0; i < 16; i++)
		m = (m << 7 | m >> 25) + p->data[i * 3] * at->arg;
	p->mark = m;
	NEXT(e, p, at);
}

/* Look for a byte pair in the payload. */
STAGE(stage_payload, STAGE_PAYLOAD)
{
	u32 i, found = 0;

	ENTER(e, at->class, FILTER_CLASS, STAGE_PAYLOAD);
	for (i = 34; i + 1 < p->len; i++)
		if ((p->data[i] & 0xf) == (at->arg & 0xf) && p->data[i + 1] > 0x80)
			found = found * 3 + i;
	p->mark += found;
	NEXT(e, p, at);
}

STAGE(stage_count, STAGE_COUNT)
{
	struct filter *f = &e->filter;

	ENTER(e, at->class, FILTER_CLASS, STAGE_COUNT);
	f->counters[8 + (p->proto & 3)] += p->len;
	f->counters[12 + (p->mark & 3)]++;
	p->mark ^= (u32)mem_hash(p->data, 40, f->counters[8]);
	NEXT(e, p, at);
}

STAGE(stage_log, STAGE_LOG)
{
	char line[16];

	ENTER(e, at->class, FILTER_CLASS, STAGE_LOG);
	name_make(line, p->mark);
	FOLD(e, str_hash(line));
	NEXT(e, p, at);
}

STAGE(stage_queue, STAGE_QUEUE)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_QUEUE);
	mem_copy(p->data + 64, p->data + 34, 48);
	p->verdict ^= inet_sum(p->data + 64, 64, at->arg) & 7;
	NEXT(e, p, at);
}

STAGE(stage_verdict, STAGE_VERDICT)
{
	ENTER(e, at->class, FILTER_CLASS, STAGE_VERDICT);
	FOLD(e, (u64)p->mark << 32 | p->verdict);
	return p->verdict;
}

YARD_FN u64 filter_run(struct env *e, struct packet *p, u32 program)
{
	const struct step *first = e->filter.programs[program];

	return ICALL(e, first->op, first->fn(e, p, first));
}

static void program(struct env *e, u32 number, const u8 *stages)
{
	struct filter *f = &e->filter;
	u32 i;

	for (i = 0; i < FILTER_DEPTH; i++) {
		f->programs[number][i].fn = f->stages[stages[i]];
		f->programs[number][i].class = FILTER_CLASS;
		f->programs[number][i].op = stages[i];
		f->programs[number][i].arg = 3 + number * 17 + i;
		if (stages[i] == STAGE_VERDICT)
			return;
	}
}

YARD_FN void filter_init(struct env *e)
{
	stage_fn *s = e->filter.stages;

	s[STAGE_LINK] = stage_link;
	s[STAGE_NETWORK] = stage_network;
	s[STAGE_TRANSPORT] = stage_transport;
	s[STAGE_PORTS] = stage_ports;
	s[STAGE_FLOW] = stage_flow;
	s[STAGE_NAT] = stage_nat;
	s[STAGE_SUM] = stage_sum;
	s[STAGE_LIMIT] = stage_limit;
	s[STAGE_MARK] = stage_mark;
	s[STAGE_PAYLOAD] = stage_payload;
	s[STAGE_COUNT] = stage_count;
	s[STAGE_LOG] = stage_log;
	s[STAGE_QUEUE] = stage_queue;
	s[STAGE_VERDICT] = stage_verdict;
}

/* Program 0 carries most packets of a phase, 3 hardly any. */
YARD_FN void filter_reset(struct env *e)
{
	static const u8 a[][FILTER_DEPTH] = {
		{STAGE_LINK, STAGE_NETWORK, STAGE_TRANSPORT, STAGE_PORTS, STAGE_FLOW, STAGE_COUNT,
		 STAGE_QUEUE, STAGE_VERDICT},
		{STAGE_LINK, STAGE_NETWORK, STAGE_PORTS, STAGE_NAT, STAGE_COUNT, STAGE_VERDICT},
		{STAGE_LINK, STAGE_TRANSPORT, STAGE_PAYLOAD, STAGE_LIMIT, STAGE_COUNT,
		 STAGE_VERDICT},
		{STAGE_NETWORK, STAGE_SUM, STAGE_MARK, STAGE_LOG, STAGE_LINK, STAGE_VERDICT},
	};
	static const u8 b[][FILTER_DEPTH] = {
		{STAGE_NETWORK, STAGE_LINK, STAGE_FLOW, STAGE_SUM, STAGE_LIMIT, STAGE_MARK,
		 STAGE_VERDICT},
		{STAGE_NETWORK, STAGE_LIMIT, STAGE_NAT, STAGE_TRANSPORT, STAGE_SUM, STAGE_LOG,
		 STAGE_VERDICT},
		{STAGE_LINK, STAGE_PAYLOAD, STAGE_MARK, STAGE_QUEUE, STAGE_VERDICT},
		{STAGE_TRANSPORT, STAGE_COUNT, STAGE_PORTS, STAGE_PAYLOAD, STAGE_FLOW,
		 STAGE_VERDICT},
	};
	u32 i;

	mem_fill(e->filter.counters, 0, sizeof(e->filter.counters));
	mem_fill(e->filter.flows, 0, sizeof(e->filter.flows));
	for (i = 0; i < FILTER_PROGRAMS; i++)
		program(e, i, e->core.phase ? b[i] : a[i]);
}
