// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pairs of slots that other modules have declared (hotrail_pairs.h). The host says where a pair is
 * to lead; the steps and their order are this module's (protocol/pair.h), so no message can make a
 * pair be seen as (nop, nop). From its first step to its last
 * nobody else changes that pair, and its declaration stays.
 */
#include "pairs.h"

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/slab.h>

LIST_HEAD(pair_sets);

/* --- what there is --- */

enum pair_state pairs_look(const struct pair_declared *d, u64 *program)
{
	u8 bypass[PAIR_SLOT] = {0}, target[PAIR_SLOT];

	*program = 0;
	if ((d->pair.bypass && !poke_read(d->pair.bypass, bypass, PAIR_SLOT)) ||
	    !poke_read(d->pair.target, target, PAIR_SLOT))
		return PAIR_FOREIGN;
	return pair_classify(&d->pair, bypass, target, program);
}

static struct pair_declared *find(u64 target, struct pair_set **of)
{
	struct pair_set *s;
	u32 i;

	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; i < s->npairs; i++)
			if (s->pair[i].pair.target == target) {
				*of = s;
				return &s->pair[i];
			}
	return NULL;
}

u32 pairs_led(void)
{
	struct pair_set *s;
	u32 i, n = 0;

	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; i < s->npairs; i++)
			n += s->pair[i].program != 0;
	return n;
}

u32 pairs_list(u32 first, struct agent_pair *out, u32 room, u32 *filled)
{
	struct pair_set *s;
	u32 i, n = 0;

	*filled = 0;
	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; i < s->npairs; i++, n++) {
			const struct pair_declared *d = &s->pair[i];
			struct agent_pair *o = &out[*filled];

			if (n < first || *filled == room)
				continue;
			*o = (struct agent_pair){.bypass = d->pair.bypass,
						 .target = d->pair.target,
						 .slow = d->pair.slow,
						 .set = s->id};
			o->state = pairs_look(d, &o->program);
			++*filled;
		}
	return n;
}

u32 pairs_programs(u32 set, u32 first, u64 *out, u32 room, u32 *filled)
{
	struct pair_set *s;
	u32 i, n = 0;

	*filled = 0;
	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; s->id == set && i < s->nprograms; i++) {
			if (!s->program[i])
				continue;
			if (n++ >= first && *filled < room)
				out[(*filled)++] = s->program[i];
		}
	return n;
}

/* --- a change --- */

void pairs_grace(void)
{
	mutex_unlock(&hotrail_lock);
	grace();
	mutex_lock(&hotrail_lock);
}

struct change {
	struct pair_declared *d;
	u64 want;
	struct pair_step step[PAIR_MAX_STEPS];
	u32 n;
	bool ours; /* the pair is `changing` because of this */
	u8 status;
};

static bool probed(const struct pair *p)
{
	return poke_slot_probed(p->target, PAIR_SLOT) ||
	       (p->bypass && poke_slot_probed(p->bypass, PAIR_SLOT));
}

/* What is there must be what we left there, or what a probe puts over it for a time. */
static u8 plan(struct change *c)
{
	bool probe = probed(&c->d->pair); /* before looking, as it may go at any time */
	u64 program;
	enum pair_state state = pairs_look(c->d, &program);

	if (state == PAIR_BUSY || c->d->changing)
		return AGENT_BUSY;
	if (state > PAIR_DIRECT || program != c->d->program)
		return probe ? AGENT_BUSY : AGENT_MISMATCH;
	if (c->d->lost)
		return AGENT_MISMATCH;
	c->n = pair_plan(&c->d->pair, state, program, c->want, c->step);
	c->ours = c->d->changing = true;
	return AGENT_OK;
}

/* The s-th step of all: one round, or one grace period. */
static void take_step(struct change *c, u32 n, u32 s, struct poke_job *jobs, u32 *rounds, u64 *ns)
{
	bool wait = false;
	u32 i;

	for (i = 0; i < n; i++) {
		const struct pair_step *step = &c[i].step[s];
		bool target = step->kind == PAIR_POKE_TARGET;

		jobs[i] = (struct poke_job){.status = AGENT_STATUSES};
		if (c[i].status != AGENT_OK || s >= c[i].n)
			continue;
		if (step->kind == PAIR_GRACE) {
			wait = true;
			continue;
		}
		jobs[i].addr = target ? c[i].d->pair.target : c[i].d->pair.bypass;
		jobs[i].len = PAIR_SLOT;
		jobs[i].status = AGENT_OK;
		memcpy(jobs[i].old, step->old, PAIR_SLOT);
		memcpy(jobs[i].want, step->new, PAIR_SLOT);
	}
	poke_run(jobs, n, rounds, ns);
	for (i = 0; i < n; i++) {
		if (jobs[i].status == AGENT_STATUSES)
			continue;
		c[i].status = jobs[i].status;
		if (c[i].status == AGENT_OK && c[i].step[s].kind == PAIR_POKE_TARGET)
			c[i].d->program = c[i].want;
		if (c[i].status == AGENT_READBACK)
			c[i].d->lost = true;
	}
	if (wait)
		pairs_grace();
}

static void take_steps(struct change *c, u32 n, struct poke_job *jobs, u32 *rounds, u64 *ns)
{
	u32 s, i;

	for (s = 0; s < PAIR_MAX_STEPS; s++)
		take_step(c, n, s, jobs, rounds, ns);
	for (i = 0; i < n; i++)
		if (c[i].ours)
			c[i].d->changing = false;
}

/* Declared, and its text is still there. */
static bool may_lead(const struct pair_set *s, const struct pair *p, u64 program)
{
	u32 i;

	if (pair_wrong_program(p, program))
		return false;
	for (i = 0; i < s->nprograms; i++)
		if (s->program[i] == program)
			return check_program(s->owner, program);
	return false;
}

static u8 check_lead(const struct agent_lead *l, u64 last, struct change *c)
{
	struct pair_set *s;
	u8 status;

	if (l->target <= last) /* no pair may be twice in one message */
		return AGENT_BAD_MESSAGE;
	c->d = find(l->target, &s);
	if (!c->d || s->leaving)
		return AGENT_NO_PAIR;
	if (l->from != c->d->program)
		return AGENT_MISMATCH;
	if (l->to && !may_lead(s, &c->d->pair, l->to))
		return AGENT_TARGET;
	if (l->to && refusals())
		return AGENT_REFUSED;
	c->want = l->to;
	status = plan(c);
	if (status == AGENT_OK)
		c->d->undo = false;
	return status;
}

int pairs_lead(const struct agent_lead *leads, u32 n, u8 *status, u32 *rounds, u64 *ns)
{
	struct change *c = kvcalloc(n + 1, sizeof(*c), GFP_KERNEL);
	struct poke_job *jobs = kvcalloc(n + 1, sizeof(*jobs), GFP_KERNEL);
	int r = c && jobs ? 0 : -ENOMEM;
	u64 last = 0;
	u32 i;

	if (r)
		goto out;
	for (i = 0; i < n; i++) {
		c[i].status = check_lead(&leads[i], last, &c[i]);
		last = max(last, leads[i].target);
	}
	take_steps(c, n, jobs, rounds, ns);
	for (i = 0; i < n; i++)
		status[i] = c[i].status;
out:
	kvfree(c);
	kvfree(jobs);
	return r;
}

/* --- back to how they were assembled --- */

static void conclude(struct change *c, u32 n, u32 *undone, u32 *left)
{
	u32 i;

	for (i = 0; i < n; i++) {
		struct pair_declared *d = c[i].d;

		d->undo = c[i].status == AGENT_BUSY;
		*undone += c[i].status == AGENT_OK;
		*left += d->undo;
		if (d->undo || c[i].status == AGENT_OK)
			continue;
		pr_warn("the pair at %pS holds foreign bytes: left alone\n",
			(void *)(unsigned long)d->pair.target);
		d->lost = true;
	}
}

/* Leads back those that `which` chooses; *left: how many wait for a probe to go. */
u32 pairs_restore_some(pairs_chooser which, const void *ctx, u32 *left)
{
	struct poke_job *jobs;
	struct change *c;
	struct pair_set *s;
	u32 i, n, rounds = 0, undone = 0;
	u64 ns = 0;

	*left = 0;
	if (!pairs_led())
		return 0;
	c = kvcalloc(PAIRS_IN_SET, sizeof(*c), GFP_KERNEL | __GFP_NOFAIL);
	jobs = kvcalloc(PAIRS_IN_SET, sizeof(*jobs), GFP_KERNEL | __GFP_NOFAIL);
	list_for_each_entry(s, &pair_sets, list) {
		for (i = 0, n = 0; i < s->npairs; i++) {
			struct pair_declared *d = &s->pair[i];

			if (!d->program || d->lost || (which && !which(s, d, ctx)))
				continue;
			c[n] = (struct change){.d = d};
			c[n].status = plan(&c[n]);
			n++;
		}
		if (!n)
			continue;
		take_steps(c, n, jobs, &rounds, &ns);
		conclude(c, n, &undone, left);
	}
	kvfree(c);
	kvfree(jobs);
	counts.rounds += rounds;
	return undone;
}

u32 pairs_restore(u32 *left)
{
	return pairs_restore_some(NULL, NULL, left);
}

static bool waits(const struct pair_set *s, const struct pair_declared *d, const void *ctx)
{
	return d->undo;
}

void pairs_retry(void)
{
	u32 left;

	counts.undone += pairs_restore_some(waits, NULL, &left);
	counts.busy += left;
}

void pairs_restore_surely(pairs_chooser which, const void *ctx, const char *name)
{
	u32 left, tries = 0;

	for (;;) {
		counts.undone += pairs_restore_some(which, ctx, &left);
		if (!left)
			break;
		if (tries++ % 50 == 0)
			pr_info("module %s waits for %u pairs: probed, or being changed\n", name,
				left);
		mutex_unlock(&hotrail_lock);
		msleep(200);
		mutex_lock(&hotrail_lock);
	}
	/* Whoever is in a program goes first. A single jump may just have led there, whether it was
	 * led back here or a moment ago, because the host asked for it. */
	pairs_grace();
}
