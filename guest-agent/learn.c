// SPDX-License-Identifier: GPL-2.0-only
/* Learning tables: cleared before a site learns, summed over the CPUs when the host asks. */
#include "hotrail.h"

#include <linux/slab.h>
#include <linux/sort.h>

struct pair {
	u32 target, count;
};

/* A table in memory, written by tracks meanwhile: {target, count} pairs, then `other`. */
#define PAIRS AGENT_LEARN_SLOTS
#define BYTES (PAIRS * sizeof(struct pair) + 16)

bool learn_table_valid(u32 offset)
{
	return arena_table(0, offset);
}

void learn_clear(u32 offset)
{
	u32 cpu;

	for (cpu = 0; cpu < arena_tables(); cpu++)
		memset(arena_table(cpu, offset), 0, BYTES);
}

static int by_target(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return x->target < y->target ? -1 : x->target > y->target;
}

static int by_count(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return x->count > y->count ? -1 : x->count < y->count;
}

static u32 add(u32 a, u32 b)
{
	return a + b < a ? U32_MAX : a + b;
}

static u32 collect(u32 offset, struct pair *pairs, u32 *other)
{
	u32 cpu, i, n = 0;

	for (cpu = 0; cpu < arena_tables(); cpu++) {
		const u32 *t = arena_table(cpu, offset);

		for (i = 0; i < PAIRS; i++) {
			struct pair p = {READ_ONCE(t[2 * i]), READ_ONCE(t[2 * i + 1])};

			if (p.target)
				pairs[n++] = p;
		}
		*other = add(*other, READ_ONCE(t[2 * PAIRS]));
	}
	return n;
}

/* One entry a target, in place; returns how many. */
static u32 merge(struct pair *pairs, u32 n)
{
	u32 i, out = 0;

	sort(pairs, n, sizeof(*pairs), by_target, NULL);
	for (i = 0; i < n; i++) {
		if (out && pairs[out - 1].target == pairs[i].target)
			pairs[out - 1].count = add(pairs[out - 1].count, pairs[i].count);
		else
			pairs[out++] = pairs[i];
	}
	return out;
}

/* The hottest targets; the rest counts as `other`. */
int learn_sum(u32 offset, struct agent_counted *out)
{
	struct pair *pairs = kvmalloc_array(arena_tables() * PAIRS, sizeof(*pairs), GFP_KERNEL);
	u32 n, i;

	if (!pairs)
		return -ENOMEM;
	memset(out, 0, sizeof(*out));
	out->table = offset;
	n = merge(pairs, collect(offset, pairs, &out->other));
	sort(pairs, n, sizeof(*pairs), by_count, NULL);
	for (i = 0; i < n && i < PAIRS; i++) {
		out->slot[i].target = pairs[i].target;
		out->slot[i].count = pairs[i].count;
	}
	out->used = i;
	for (; i < n; i++)
		out->other = add(out->other, pairs[i].count);
	kvfree(pairs);
	return 0;
}
