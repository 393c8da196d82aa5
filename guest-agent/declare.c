// SPDX-License-Identifier: GPL-2.0-only
/* Which pairs there are: modules declare them, and take them back before they leave. */
#include "pairs.h"

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "hotrail_pairs.h"

#define PAIRS_IN_ALL	4096
#define PROGRAMS_IN_SET 1024
#define SLOT_ALIGN	8 /* so that it lies in one cache line */

static u32 declared, last_id;

static void drop(struct pair_set *s)
{
	list_del(&s->list);
	declared -= s->npairs;
	kvfree(s->program);
	kvfree(s);
}

static bool overlap(const struct pair *a, const struct pair *b)
{
	u64 a_start = a->bypass ? a->bypass : a->target,
	    b_start = b->bypass ? b->bypass : b->target;

	return a_start < b->target + PAIR_SLOT && b_start < a->target + PAIR_SLOT;
}

static bool overlaps_any(const struct pair_set *s, u32 n, const struct pair *p)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (overlap(&s->pair[i].pair, p))
			return true;
	return false;
}

static const char *wrong_pair(const struct pair_set *s, const struct pair_declared *d)
{
	const struct pair *p = &d->pair;
	const char *wrong = pair_wrong(p);
	u64 program;

	if (wrong)
		return wrong;
	if (p->bypass % SLOT_ALIGN || p->target % SLOT_ALIGN)
		return "a slot is not 8-aligned";
	if (!modules_text_of(s->owner, p->target, PAIR_SLOT) ||
	    !modules_text_of(s->owner, p->slow, 1) ||
	    (p->bypass && !modules_text_of(s->owner, p->bypass, PAIR_SLOT)))
		return "not in its owner's text";
	if (pairs_look(d, &program) != PAIR_EMPTY)
		return "not as it should be assembled, or probed";
	return NULL;
}

static int check_set(const struct pair_set *s)
{
	struct pair_set *other;
	u32 i;

	for (i = 0; i < s->npairs; i++) {
		const struct pair *p = &s->pair[i].pair;
		const char *wrong = wrong_pair(s, &s->pair[i]);

		if (wrong) {
			pr_warn("module %s declares a pair at %pS: %s\n", s->owner->name,
				(void *)(unsigned long)p->target, wrong);
			return -EINVAL;
		}
		if (overlaps_any(s, i, p))
			return -EEXIST;
		list_for_each_entry(other, &pair_sets, list)
			if (overlaps_any(other, other->npairs, p))
				return -EEXIST;
	}
	for (i = 0; i < s->nprograms; i++)
		if (s->program[i] % PAIR_PROGRAM_ALIGN || !check_program(s->owner, s->program[i])) {
			pr_warn("module %s declares a program at %pS: not 16-aligned, or not in "
				"text "
				"that stays\n",
				s->owner->name, (void *)(unsigned long)s->program[i]);
			return -EINVAL;
		}
	return 0;
}

/* The kernel knows where its instructions begin and which it patches itself. */
static int ask_kernel(const struct pair_set *s)
{
	struct poke_job *jobs = kvcalloc(2 * s->npairs, sizeof(*jobs), GFP_KERNEL);
	int r = jobs ? 0 : -ENOMEM;
	u32 i, n = 0;

	for (i = 0; jobs && i < s->npairs; i++) {
		jobs[n++] = (struct poke_job){.addr = s->pair[i].pair.target, .len = PAIR_SLOT};
		if (s->pair[i].pair.bypass)
			jobs[n++] =
				(struct poke_job){.addr = s->pair[i].pair.bypass, .len = PAIR_SLOT};
	}
	if (jobs)
		check_instructions(jobs, n);
	for (i = 0; i < n && !r; i++)
		r = jobs[i].status == AGENT_OK		? 0
		    : jobs[i].status == AGENT_BUSY	? -EBUSY
		    : jobs[i].status == AGENT_NO_MEMORY ? -ENOMEM
							: -EPERM;
	kvfree(jobs);
	return r;
}

static struct pair_set *set_new(const struct hotrail_pairs *p)
{
	struct pair_set *s = kvzalloc(struct_size(s, pair, p->npairs), GFP_KERNEL);
	u32 i;

	if (!s)
		return NULL;
	s->program = kvcalloc(p->nprograms, sizeof(*s->program), GFP_KERNEL);
	if (!s->program) {
		kvfree(s);
		return NULL;
	}
	s->by = p;
	s->owner = p->owner;
	s->npairs = p->npairs;
	s->nprograms = p->nprograms;
	for (i = 0; i < p->npairs; i++)
		s->pair[i].pair = (struct pair){.bypass = (unsigned long)p->pair[i].bypass,
						.target = (unsigned long)p->pair[i].target,
						.slow = (unsigned long)p->pair[i].slow};
	for (i = 0; i < p->nprograms; i++)
		s->program[i] = (unsigned long)p->program[i];
	return s;
}

static struct pair_set *set_of(const struct hotrail_pairs *p)
{
	struct pair_set *s;

	list_for_each_entry(s, &pair_sets, list)
		if (s->by == p)
			return s;
	return NULL;
}

static int add(struct pair_set *s)
{
	int r;

	if (set_of(s->by))
		return -EEXIST;
	if (declared + s->npairs > PAIRS_IN_ALL)
		return -ENOSPC;
	r = check_set(s);
	if (!r)
		r = ask_kernel(s);
	if (r)
		return r;
	s->id = ++last_id;
	declared += s->npairs;
	list_add_tail(&s->list, &pair_sets);
	return 0;
}

int hotrail_pairs_register(const struct hotrail_pairs *p)
{
	struct pair_set *s;
	int r;

	if (!p->owner || !p->npairs || p->npairs > PAIRS_IN_SET || !p->nprograms ||
	    p->nprograms > PROGRAMS_IN_SET)
		return -EINVAL;
	if (!(kernel.features & AGENT_CAN_PAIRS))
		return -EOPNOTSUPP;
	s = set_new(p);
	if (!s)
		return -ENOMEM;
	mutex_lock(&hotrail_lock);
	r = add(s);
	mutex_unlock(&hotrail_lock);
	if (r) {
		kvfree(s->program);
		kvfree(s);
	}
	return r;
}
EXPORT_SYMBOL_GPL(hotrail_pairs_register);

static bool is_of(const struct pair_set *s, const struct pair_declared *d, const void *ctx)
{
	return s == ctx;
}

static bool changing(const struct pair_set *s)
{
	u32 i;

	for (i = 0; i < s->npairs; i++)
		if (s->pair[i].changing)
			return true;
	return false;
}

/* Who changes one of them goes on with it afterwards: the set has to stay for as long, also where
 * that pair leads nowhere, or the change has failed. */
static void wait_for_changes(const struct pair_set *s)
{
	while (changing(s)) {
		mutex_unlock(&hotrail_lock);
		msleep(20);
		mutex_lock(&hotrail_lock);
	}
}

void hotrail_pairs_unregister(const struct hotrail_pairs *p)
{
	struct pair_set *s;

	mutex_lock(&hotrail_lock);
	s = set_of(p);
	if (s) {
		s->leaving = true;
		pairs_restore_surely(is_of, s, s->owner->name);
		/* None can begin any more: all lead nowhere, or are lost. */
		wait_for_changes(s);
		drop(s);
	}
	mutex_unlock(&hotrail_lock);
}
EXPORT_SYMBOL_GPL(hotrail_pairs_unregister);

static bool leads_into(const struct pair_set *s, const struct pair_declared *d, const void *ctx)
{
	return modules_text_of(ctx, d->program, 1);
}

static struct pair_set *set_owned_by(const struct module *mod)
{
	struct pair_set *s;

	list_for_each_entry(s, &pair_sets, list)
		if (s->owner == mod)
			return s;
	return NULL;
}

/* It should have taken its slots back; they go with it, whatever is on them. */
static void take_back(struct pair_set *s)
{
	u32 left;

	pr_warn("module %s leaves with its pairs declared\n", s->owner->name);
	s->leaving = true;
	do { /* others may lead back meanwhile what was probed at first */
		wait_for_changes(s);
		counts.undone += pairs_restore_some(is_of, s, &left);
		pairs_grace(); /* nobody is in a program that is not its own, which may go next */
	} while (changing(s));
	drop(s);
}

static bool named_in(const struct module *mod)
{
	struct pair_set *s;
	u32 i;

	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; i < s->nprograms; i++)
			if (modules_text_of(mod, s->program[i], 1))
				return true;
	return false;
}

void pairs_module_leaves(const struct module *mod)
{
	struct pair_set *s;
	u32 i;

	while ((s = set_owned_by(mod)))
		take_back(s);
	if (!named_in(mod))
		return;
	pairs_restore_surely(leads_into, mod, mod->name);
	list_for_each_entry(s, &pair_sets, list)
		for (i = 0; i < s->nprograms; i++)
			if (modules_text_of(mod, s->program[i], 1))
				s->program[i] = 0;
}
