// SPDX-License-Identifier: GPL-2.0-only
/* What takes comparison callbacks: a sort, and a search tree with visitors. */
#include "env.h"

#define NONE (~0u)

static int by_key(struct env *e, const struct order *o, const struct record *a,
		  const struct record *b)
{
	u64 x = mem_hash(a->name, 16, a->key), y = mem_hash(b->name, 16, b->key);

	ENTER(e, o->class, CLASS_KEY + 0, OP_COMPARE);
	return x < y ? -1 : x > y;
}

static int by_name(struct env *e, const struct order *o, const struct record *a,
		   const struct record *b)
{
	int c = str_compare(a->name, b->name);

	ENTER(e, o->class, CLASS_KEY + 1, OP_COMPARE);
	FOLD(e, str_hash(a->name) ^ str_hash(b->name));
	return c ? c : a->key < b->key ? -1 : a->key > b->key;
}

static int by_size(struct env *e, const struct order *o, const struct record *a,
		   const struct record *b)
{
	u32 x = inet_sum(a, 32, a->size), y = inet_sum(b, 32, b->size);

	ENTER(e, o->class, CLASS_KEY + 2, OP_COMPARE);
	return x < y ? -1 : x > y;
}

static int by_stamp(struct env *e, const struct order *o, const struct record *a,
		    const struct record *b)
{
	ENTER(e, o->class, CLASS_KEY + 3, OP_COMPARE);
	FOLD(e, mem_hash(a, sizeof(*a), 0) + mem_hash(b, sizeof(*b), 0));
	return a->stamp < b->stamp ? -1 : a->stamp > b->stamp;
}

static inline void exchange(struct record *a, struct record *b)
{
	struct record t;

	mem_copy(&t, a, sizeof(t));
	mem_copy(a, b, sizeof(t));
	mem_copy(b, &t, sizeof(t));
}

static void swap_records(struct env *e, const struct order *o, struct record *a, struct record *b)
{
	ENTER(e, o->class & ~1u, CLASS_KEY + 0, OP_SWAP);
	exchange(a, b);
	FOLD(e, inet_sum(a->name, 16, b->size));
}

static void swap_stamped(struct env *e, const struct order *o, struct record *a, struct record *b)
{
	ENTER(e, o->class & ~1u, CLASS_KEY + 2, OP_SWAP);
	exchange(a, b);
	a->stamp++;
	b->stamp++;
	FOLD(e, mem_hash(a->name, 16, b->stamp));
}

static const struct order key_order = {CLASS_KEY + 0, by_key, swap_records};
static const struct order name_order = {CLASS_KEY + 1, by_name, swap_records};
static const struct order size_order = {CLASS_KEY + 2, by_size, swap_stamped};
static const struct order stamp_order = {CLASS_KEY + 3, by_stamp, swap_stamped};

static u64 visit_sum(struct env *e, const struct order *o, struct node *n, u64 sum)
{
	ENTER(e, o->class & ~3u, CLASS_KEY, OP_VISIT);
	return sum * 31 + mem_hash(&n->r, sizeof(n->r), n->r.stamp);
}

static u64 visit_touch(struct env *e, const struct order *o, struct node *n, u64 sum)
{
	ENTER(e, o->class & ~3u, CLASS_KEY, OP_VISIT_TOUCH);
	n->r.size += 3;
	return sum + inet_sum(&n->r, sizeof(n->r), 0);
}

YARD_FN void order_init(struct env *e)
{
	e->sched.orders[0] = &key_order;
	e->sched.orders[1] = &name_order;
	e->sched.orders[2] = &size_order;
	e->sched.orders[3] = &stamp_order;
	e->sched.visits[0] = visit_sum;
	e->sched.visits[1] = visit_touch;
}

static void record_make(struct record *r, u64 value)
{
	r->key = value * 0x9e3779b97f4a7c15ull;
	r->size = (u32)(value % 977);
	r->stamp = (u32)(value * 40503 % 3001);
	mem_fill(r->name, 0, sizeof(r->name));
	name_make(r->name, (u32)value);
}

YARD_FN void order_reset(struct env *e)
{
	e->sched.root = NONE;
	e->sched.nodes_used = 0;
}

/* Shell sort of fresh records; which key is the caller's choice, rotated by the phase. */
YARD_FN u64 order_sort(struct env *e, u32 key, u32 count)
{
	const struct order *o = e->sched.orders[(key + e->core.phase * 2) % KEYS];
	struct record *r = e->sched.records;
	u32 gap, i, j;

	for (i = 0; i < count; i++)
		record_make(&r[i], RANDOM(e) >> 48);
	for (gap = count > 8 ? 4 : 1; gap; gap /= 4)
		for (i = gap; i < count; i++)
			for (j = i; j >= gap; j -= gap) {
				if (ICALL(e, OP_COMPARE, o->compare(e, o, &r[j - gap], &r[j])) <= 0)
					break;
				ICALL(e, OP_SWAP, o->swap(e, o, &r[j - gap], &r[j]));
			}
	return mem_hash(r, count * (u32)sizeof(*r), count);
}

/* One tree has one order for its life; a full tree starts again. */
YARD_FN u64 order_insert(struct env *e, u32 key, u64 value)
{
	struct sched *s = &e->sched;
	const struct order *o = s->orders[(key + e->core.phase * 2 + 1) % KEYS];
	struct node *n;
	u32 *at = &s->root, depth = 0;

	if (s->nodes_used == NODES)
		order_reset(e);
	n = &s->nodes[s->nodes_used];
	record_make(&n->r, value);
	n->left = n->right = NONE;
	for (; *at != NONE; depth++) {
		struct node *here = &s->nodes[*at];
		int c = ICALL(e, OP_COMPARE, o->compare(e, o, &n->r, &here->r));

		at = c < 0 ? &here->left : &here->right;
	}
	*at = s->nodes_used++;
	return depth;
}

YARD_FN u64 order_find(struct env *e, u32 key, u64 value)
{
	struct sched *s = &e->sched;
	const struct order *o = s->orders[(key + e->core.phase * 2 + 1) % KEYS];
	struct record want;
	u32 at = s->root, depth = 0;

	record_make(&want, value);
	while (at != NONE) {
		struct node *here = &s->nodes[at];
		int c = ICALL(e, OP_COMPARE, o->compare(e, o, &want, &here->r));

		if (!c)
			break;
		at = c < 0 ? here->left : here->right;
		depth++;
	}
	return (u64)at << 32 | depth;
}

/* In order, without a stack: the tree is small, so follow the left spines. */
YARD_FN u64 order_walk(struct env *e, u32 key, u32 visit)
{
	struct sched *s = &e->sched;
	const struct order *o = s->orders[key % KEYS];
	u32 which = (visit + e->core.phase) % 2;
	visit_fn fn = s->visits[which];
	u32 stack[NODES], depth = 0, at = s->root, left = 8;
	u64 sum = 0;

	while ((at != NONE || depth) && left) {
		if (at != NONE) {
			stack[depth++] = at;
			at = s->nodes[at].left;
			continue;
		}
		at = stack[--depth];
		sum = ICALL(e, OP_VISIT + which, fn(e, o, &s->nodes[at], sum));
		at = s->nodes[at].right;
		left--;
	}
	return sum;
}
