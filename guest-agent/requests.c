// SPDX-License-Identifier: GPL-2.0-only
/* What the host may ask for, but for greetings: pokes, the arena, learning, reading. */
#include "pairs.h"
#include "request.h"

#include <linux/kallsyms.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

/* A list's payload: a head of two words, the first of which counts the elements. */
static bool counted(const struct request *q, u32 size, u32 max)
{
	const u32 *head = q->payload;

	if (wire_counts(q->len, 2 * sizeof(*head), head[0], size, max))
		return true;
	request_fail(q, AGENT_BAD_MESSAGE, "the number of elements does not fit the message");
	return false;
}

void handle_PROTECTED(const struct request *q)
{
	const struct agent_protected *p = q->payload;
	struct agent_protected_reply *r;
	struct outgoing *o;

	r = reply_new(q, struct_size(r, range, AGENT_MAX_RANGES), &o);
	if (!r)
		return;
	r->total = symbols_ranges(p->first, r->range, AGENT_MAX_RANGES, &r->count);
	reply_send(q, o, struct_size(r, range, r->count));
}

static void poke_all(const struct request *q, bool learn)
{
	const struct agent_pokes *p = q->payload;
	struct agent_pokes_reply *r;
	struct poke_job *jobs;
	struct outgoing *o;
	u32 i;

	if (!counted(q, sizeof(p->poke[0]), AGENT_MAX_POKES))
		return;
	r = reply_new(q, struct_size(r, status, p->count), &o);
	if (!r)
		return;
	jobs = kvcalloc(p->count + 1, sizeof(*jobs), GFP_KERNEL);
	if (!jobs) {
		kvfree(o);
		request_fail(q, AGENT_NO_MEMORY, "out of memory");
		return;
	}
	check_pokes(p->poke, p->count, learn, jobs);
	for (i = 0; learn && i < p->count; i++)
		if (jobs[i].status == AGENT_OK)
			learn_clear(p->poke[i].table);
	poke_run(jobs, p->count, &r->rounds, &r->ns);
	counts.rounds += r->rounds;
	r->count = p->count;
	for (i = 0; i < p->count; i++)
		r->status[i] = jobs[i].status;
	kvfree(jobs);
	reply_send(q, o, struct_size(r, status, r->count));
}

void handle_POKE(const struct request *q)
{
	poke_all(q, false);
}

void handle_LEARN_START(const struct request *q)
{
	poke_all(q, true);
}

void handle_LEARN_STOP(const struct request *q)
{
	poke_all(q, false);
}

void handle_ARENA_WRITE(const struct request *q)
{
	const struct agent_blocks *b = q->payload;
	struct agent_statuses *r;
	struct outgoing *o;
	u32 i;

	if (!counted(q, sizeof(b->block[0]), AGENT_MAX_BLOCKS))
		return;
	r = reply_new(q, struct_size(r, status, b->count), &o);
	if (!r)
		return;
	r->count = b->count;
	for (i = 0; i < b->count; i++)
		r->status[i] = refusals() ? AGENT_REFUSED : arena_write(&b->block[i]);
	reply_send(q, o, struct_size(r, status, r->count));
}

/* Until no task can be in a block that no site leads to: those that were preempted or interrupted
 * in it have gone on, and idle CPUs have been seen too. */
void grace(void)
{
	synchronize_rcu_tasks();
	synchronize_rcu_tasks_rude();
	synchronize_rcu();
}

void handle_GRACE(const struct request *q)
{
	struct outgoing *o;

	mutex_unlock(&hotrail_lock);
	grace();
	mutex_lock(&hotrail_lock);
	if (reply_new(q, 0, &o))
		reply_send(q, o, 0);
}

void handle_RECLAIM(const struct request *q)
{
	const struct agent_blocks *b = q->payload;
	struct agent_statuses *r;
	struct outgoing *o;
	u32 i;

	if (!counted(q, sizeof(b->block[0]), AGENT_MAX_BLOCKS))
		return;
	if (!(kernel.features & AGENT_CAN_RECLAIM)) {
		request_fail(q, AGENT_UNSUPPORTED,
			     "cannot tell which probes hold a copy of a site");
		return;
	}
	r = reply_new(q, struct_size(r, status, b->count), &o);
	if (!r)
		return;
	r->count = b->count;
	for (i = 0; i < b->count; i++)
		r->status[i] = arena_retire(&b->block[i]);
	mutex_unlock(&hotrail_lock);
	grace();
	mutex_lock(&hotrail_lock);
	for (i = 0; i < b->count; i++)
		if (r->status[i] == AGENT_OK)
			arena_free(&b->block[i]);
	reply_send(q, o, struct_size(r, status, r->count));
}

void handle_READ_TEXT(const struct request *q)
{
	const struct agent_read *a = q->payload;
	struct agent_read_reply *r;
	struct outgoing *o;

	if (!a->len || a->len > AGENT_MAX_READ) {
		request_fail(q, AGENT_BAD_MESSAGE, "that many bytes cannot be read at once");
		return;
	}
	if (!check_readable(a->addr, a->len)) {
		request_fail(q, AGENT_BAD_MESSAGE, "neither text nor the arena");
		return;
	}
	r = reply_new(q, struct_size(r, bytes, a->len), &o);
	if (!r)
		return;
	r->addr = a->addr;
	r->len = a->len;
	if (!poke_read(a->addr, r->bytes, a->len)) {
		kvfree(o);
		request_fail(q, AGENT_BAD_MESSAGE, "not mapped");
		return;
	}
	reply_send(q, o, struct_size(r, bytes, r->len));
}

void handle_COUNTERS(const struct request *q)
{
	const struct agent_counters *c = q->payload;
	struct agent_counters_reply *r;
	struct outgoing *o;
	u32 i;

	if (!counted(q, sizeof(c->table[0]), AGENT_MAX_TABLES))
		return;
	r = reply_new(q, struct_size(r, counted, c->count), &o);
	if (!r)
		return;
	r->count = c->count;
	for (i = 0; i < c->count; i++) {
		if (learn_table_valid(c->table[i]) && !learn_sum(c->table[i], &r->counted[i]))
			continue;
		kvfree(o);
		request_fail(q, AGENT_BAD_MESSAGE, "a learning table outside the arena");
		return;
	}
	reply_send(q, o, struct_size(r, counted, r->count));
}

void handle_MODULES(const struct request *q)
{
	const struct agent_modules *m = q->payload;
	struct agent_modules_reply *r;
	struct outgoing *o;

	r = reply_new(q, struct_size(r, module, AGENT_MAX_MODULES), &o);
	if (!r)
		return;
	r->total = modules_list(m->after, r->module, AGENT_MAX_MODULES, &r->count);
	reply_send(q, o, struct_size(r, module, r->count));
}

/* "name+0x1c/0x40 [module]", or a bare number; kallsyms themselves are not exported. */
static void name_function(u64 addr, struct agent_function *f)
{
	char text[KSYM_SYMBOL_LEN], *plus;
	unsigned long offset, size;

	sprint_symbol(text, addr);
	plus = strchr(text, '+');
	if (!plus || sscanf(plus, "+0x%lx/0x%lx", &offset, &size) != 2)
		return;
	*plus = '\0';
	f->start = addr - offset;
	f->size = size;
	strscpy(f->name, text, sizeof(f->name));
}

void handle_NAMES(const struct request *q)
{
	const struct agent_names *m = q->payload;
	struct agent_names_reply *r;
	struct outgoing *o;
	u32 i;

	if (!wire_counts(q->len, sizeof(*m), m->count, sizeof(m->addr[0]), AGENT_MAX_NAMES)) {
		request_fail(q, AGENT_BAD_MESSAGE, "the number of names does not fit the message");
		return;
	}
	r = reply_new(q, struct_size(r, function, m->count), &o);
	if (!r)
		return;
	r->count = m->count;
	for (i = 0; i < m->count; i++)
		if (modules_own(m->addr[i], 1))
			name_function(m->addr[i], &r->function[i]);
	reply_send(q, o, struct_size(r, function, r->count));
}

void handle_UNPATCH_ALL(const struct request *q)
{
	struct agent_unpatch_reply *r;
	struct outgoing *o;

	r = reply_new(q, sizeof(*r), &o);
	if (!r)
		return;
	r->undone = restore_everything(&r->left);
	reply_send(q, o, sizeof(*r));
}

void handle_PAIRS(const struct request *q)
{
	const struct agent_pairs *p = q->payload;
	struct agent_pairs_reply *r;
	struct outgoing *o;

	r = reply_new(q, struct_size(r, pair, AGENT_MAX_PAIRS), &o);
	if (!r)
		return;
	r->total = pairs_list(p->first, r->pair, AGENT_MAX_PAIRS, &r->count);
	reply_send(q, o, struct_size(r, pair, r->count));
}

void handle_PROGRAMS(const struct request *q)
{
	const struct agent_programs *p = q->payload;
	struct agent_programs_reply *r;
	struct outgoing *o;

	r = reply_new(q, struct_size(r, program, AGENT_MAX_PROGS), &o);
	if (!r)
		return;
	r->total = pairs_programs(p->set, p->first, r->program, AGENT_MAX_PROGS, &r->count);
	reply_send(q, o, struct_size(r, program, r->count));
}

void handle_LEAD(const struct request *q)
{
	const struct agent_leads *l = q->payload;
	struct agent_pokes_reply *r;
	struct outgoing *o;

	if (!counted(q, sizeof(l->lead[0]), AGENT_MAX_PAIRS))
		return;
	r = reply_new(q, struct_size(r, status, l->count), &o);
	if (!r)
		return;
	if (pairs_lead(l->lead, l->count, r->status, &r->rounds, &r->ns)) {
		kvfree(o);
		request_fail(q, AGENT_NO_MEMORY, "out of memory");
		return;
	}
	counts.rounds += r->rounds;
	r->count = l->count;
	reply_send(q, o, struct_size(r, status, r->count));
}
