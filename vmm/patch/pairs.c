// SPDX-License-Identifier: GPL-2.0-only
/* Pairs in a running guest: the steps of a change in their order, and what memory says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "patch/applier.h"
#include "patch/pairs.h"

#define TEXT_FLOOR 0xffffffff80000000ull /* kernel and modules live in the top 2 GiB */

/* 0, or why it is unreadable now. */
static int read_pair(struct pairs *p, size_t i, enum pair_state *state, gva_t *program)
{
	const struct pair *pair = &p->list[i];
	uint8_t bypass[PAIR_SLOT] = {0}, target[PAIR_SLOT];
	struct applier *a = p->applier;
	int rc = pair->bypass ? a->ops->look(a, pair->bypass, bypass, PAIR_SLOT) : 0;

	if (!rc)
		rc = a->ops->look(a, pair->target, target, PAIR_SLOT);
	*program = 0;
	*state = rc ? PAIR_FOREIGN : pair_classify(pair, bypass, target, program);
	return rc;
}

enum pair_state pairs_look(struct pairs *p, size_t i, gva_t *program)
{
	enum pair_state state;

	(void)read_pair(p, i, &state, program);
	return state;
}

/* It says nothing about the pair, so nothing is held against it. */
static int unreadable(const struct pairs *p, size_t i, int rc, struct error *err)
{
	bool later = rc == -ENOTCONN || rc == -ETIMEDOUT;

	return error_set(err, later ? HOTRAIL_EXIT_BUSY : HOTRAIL_EXIT_FAILED, rc,
			 "the pair whose target is at 0x%llx cannot be read%s",
			 (unsigned long long)p->list[i].target,
			 later ? ", as the guest's agent does not answer: try again later" : "");
}

enum pair_state pairs_state(struct pairs *p, size_t i, gva_t *program)
{
	gva_t none;

	return i < p->count ? pairs_look(p, i, program ? program : &none) : PAIR_FOREIGN;
}

size_t pairs_count(const struct pairs *p)
{
	return p->count;
}

/* --- the list --- */

struct span {
	gva_t at;
	size_t len;
};

static int by_address(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Slots and sites together: no byte may belong to two of them. */
static int check_overlaps(const struct pairs *p, struct error *err)
{
	const struct site_table *sites = &p->guest->sites;
	struct span *all = calloc(2 * p->count + sites->count + 1, sizeof(*all));
	size_t i, n = 0;
	int ret = 0;

	if (!all)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for pairs");
	for (i = 0; i < p->count; i++) {
		all[n++] = (struct span){p->list[i].target, PAIR_SLOT};
		if (p->list[i].bypass)
			all[n++] = (struct span){p->list[i].bypass, PAIR_SLOT};
	}
	for (i = 0; i < sites->count; i++)
		if (site_is_there(sites, i))
			all[n++] = (struct span){sites->sites[i].addr, sites->sites[i].len};
	qsort(all, n, sizeof(*all), by_address);
	for (i = 1; !ret && i < n; i++)
		if (all[i].at - all[i - 1].at < all[i - 1].len)
			ret = error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
					"the slot at 0x%llx is named twice, or overlaps another "
					"slot or site",
					(unsigned long long)all[i].at);
	free(all);
	return ret;
}

static int check_list(struct pairs *p, struct error *err)
{
	gva_t program;
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < p->count; i++)
		ret = pair_check(&p->list[i], p->start, p->end, err);
	if (!ret)
		ret = check_overlaps(p, err);
	for (i = 0; !ret && i < p->count; i++) {
		enum pair_state s = pairs_look(p, i, &program);

		if (s > PAIR_DIRECT && s != PAIR_BUSY)
			ret = error_set(err, HOTRAIL_EXIT_REFUSED, -EUCLEAN,
					"the pair whose target is at 0x%llx is %s",
					(unsigned long long)p->list[i].target, pair_state_text(s));
	}
	return ret;
}

/* --- a change --- */

/* Why a slot is as it was. */
static int errno_of(enum patch_reason reason)
{
	switch (reason) {
	case PATCH_REASON_BUSY:
		return -EBUSY;
	case PATCH_REASON_PAUSE:
		return -ETIMEDOUT;
	case PATCH_REASON_UNREADABLE:
		return -EFAULT;
	default:
		return -EIO;
	}
}

static int write_step(struct pairs *p, const struct pair *pair, const struct pair_step *s,
		      struct pair_done *done, bool *spoiled, struct error *err)
{
	struct applier_write w = {
		.addr = s->kind == PAIR_POKE_TARGET ? pair->target : pair->bypass,
		.len = PAIR_SLOT,
		.whole = true,
	};
	struct applier_done stood = {0};
	int rc;

	memcpy(w.old, s->old, PAIR_SLOT);
	memcpy(w.new, s->new, PAIR_SLOT);
	rc = p->applier->ops->write(p->applier, &w, 1, &stood, err);
	if (rc)
		return rc;
	done->pause_us += stood.pause_us;
	if (w.result == PATCH_APPLIED)
		return 0;
	*spoiled = w.spoiled || w.doubt || w.reason == PATCH_REASON_MISMATCH;
	rc = *spoiled ? -EUCLEAN : errno_of(w.reason);
	return error_set(err,
			 rc == -EUCLEAN			    ? HOTRAIL_EXIT_REFUSED
			 : rc == -EBUSY || rc == -ETIMEDOUT ? HOTRAIL_EXIT_BUSY
							    : HOTRAIL_EXIT_FAILED,
			 rc, "the slot at 0x%llx was not changed: %s", (unsigned long long)w.addr,
			 patch_reason_text(w.reason));
}

/* Nobody between the bypass and the end of the target who was there before. */
static int wait_grace(struct pairs *p, const struct pair *pair, struct error *err)
{
	int rc = p->applier->ops->grace(p->applier, pair->bypass + PAIR_SLOT,
					pair->target + PAIR_SLOT, err);

	return rc == -ETIMEDOUT ? -EBUSY : rc;
}

/* What is there is neither a pair nor a breakpoint in one. Where an agent writes it may be a probe
 * of the guest's own, which goes again; where we alone do, nobody else has business there. */
static int foreign(struct pairs *p, size_t i, enum pair_state state, struct error *err)
{
	bool probed = state == PAIR_FOREIGN && p->applier->ops->lead;

	p->quarantined[i] |= !probed;
	return error_set(err, probed ? HOTRAIL_EXIT_BUSY : HOTRAIL_EXIT_REFUSED,
			 probed ? -EBUSY : -EUCLEAN, "the pair whose target is at 0x%llx is %s%s",
			 (unsigned long long)p->list[i].target, pair_state_text(state),
			 probed ? ": if a probe is on it, try again later" : "");
}

/* Steps up to the first that fails; *taken counts pokes that happened. */
static int take_steps(struct pairs *p, size_t i, const struct pair_step *steps, unsigned n,
		      struct pair_done *done, unsigned *taken, struct error *err)
{
	bool spoiled = false;
	unsigned s;
	int rc = 0;

	for (s = 0; !rc && s < n; s++) {
		if (steps[s].kind == PAIR_GRACE) {
			rc = wait_grace(p, &p->list[i], err);
			done->graces += !rc;
			continue;
		}
		rc = write_step(p, &p->list[i], &steps[s], done, &spoiled, err);
		*taken += !rc;
		done->steps += !rc;
	}
	p->quarantined[i] |= spoiled;
	return rc;
}

/* Who writes takes them, all or as far as it comes. */
static int lead(struct pairs *p, size_t i, const struct pair_step *steps, unsigned n, gva_t from,
		gva_t want, struct pair_done *done, struct error *err)
{
	int rc = p->applier->ops->lead(p->applier, &p->list[i], from, want, err);
	enum pair_state state;
	gva_t program;
	unsigned s;

	p->quarantined[i] |= rc == -EUCLEAN;
	if (rc)
		return rc;
	rc = read_pair(p, i, &state, &program);
	if (rc)
		return unreadable(p, i, rc, err);
	if (state > PAIR_BUSY)
		return foreign(p, i, state, err);
	if (state != PAIR_BUSY && program != want) {
		p->quarantined[i] = true;
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EUCLEAN,
				 "the pair whose target is at 0x%llx was changed, and leads to "
				 "0x%llx",
				 (unsigned long long)p->list[i].target,
				 (unsigned long long)program);
	}
	for (s = 0; s < n; s++)
		if (steps[s].kind == PAIR_GRACE)
			done->graces++;
		else
			done->steps++;
	return 0;
}

static int change(struct pairs *p, size_t i, const struct pair_step *steps, unsigned n, gva_t from,
		  gva_t want, struct pair_done *done, struct error *err)
{
	struct journal_intent intents[PAIR_MAX_STEPS];
	struct journal_result unapplied[PAIR_MAX_STEPS];
	unsigned s, pokes = 0, taken = 0;
	int rc = 0;

	for (s = 0; s < n; s++)
		if (steps[s].kind != PAIR_GRACE)
			intents[pokes++] = pairs_intent(&p->list[i], &steps[s], want);
	pairs_shorten_journal(p);
	if (p->journal)
		rc = journal_intend(p->journal, intents, pokes, err);
	if (rc)
		return rc;
	if (p->applier->ops->lead) {
		rc = lead(p, i, steps, n, from, want, done, err);
		if (rc) /* how far it came memory says, to us and to a replay */
			return rc;
		taken = pokes;
	} else {
		rc = take_steps(p, i, steps, n, done, &taken, err);
	}
	for (s = taken; s < pokes; s++)
		unapplied[s - taken] =
			(struct journal_result){.seq = intents[s].seq, .result = PATCH_FAILED};
	/* Without a commit record replay asks memory, which is right anyway. */
	if (p->journal)
		(void)journal_commit(p->journal, unapplied, pokes - taken, taken, 0, pokes - taken,
				     NULL);
	return rc;
}

static int set_locked(struct pairs *p, size_t i, gva_t want, struct pair_done *done,
		      struct error *err)
{
	struct pair_step steps[PAIR_MAX_STEPS];
	enum pair_state state;
	gva_t program;
	unsigned n;
	int rc;

	if (p->quarantined[i])
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EUCLEAN,
				 "the pair whose target is at 0x%llx is in quarantine: memory and "
				 "what was written there disagree",
				 (unsigned long long)p->list[i].target);
	rc = read_pair(p, i, &state, &program);
	if (rc)
		return unreadable(p, i, rc, err);
	if (state == PAIR_BUSY)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "the pair whose target is at 0x%llx is %s: try again later",
				 (unsigned long long)p->list[i].target, pair_state_text(state));
	if (state > PAIR_BUSY)
		return foreign(p, i, state, err);
	n = pair_plan(&p->list[i], state, program, want, steps);
	return n ? change(p, i, steps, n, program, want, done, err) : 0;
}

int pairs_set(struct pairs *p, size_t i, gva_t program, struct pair_done *done, struct error *err)
{
	struct pair_done unused = {0};
	int rc = 0;

	if (i >= p->count)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "there is no pair %zu", i);
	if (program)
		rc = pair_check_program(&p->list[i], program, p->start, p->end, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&p->lock);
	rc = set_locked(p, i, program, done ? done : &unused, err);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* --- life --- */

static struct pairs *pairs_new(struct guest *g, struct applier *a, size_t n)
{
	struct pairs *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	p->guest = g;
	p->applier = a;
	p->start = g->text_start;
	p->end = g->text_end;
	p->count = n;
	p->list = calloc(n + 1, sizeof(*p->list));
	p->quarantined = calloc(n + 1, sizeof(*p->quarantined));
	if (p->list && p->quarantined)
		return p;
	pairs_destroy(p);
	return NULL;
}

static int no_memory(size_t n, struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu pairs", n);
}

/* What is in the list is checked; takes `p`. */
static int begin(struct pairs *p, const char *journal_path, struct pairs **out, struct error *err)
{
	int rc = check_list(p, err);

	if (!rc && journal_path)
		rc = pairs_open_journal(p, journal_path, err);
	if (rc)
		pairs_destroy(p);
	else
		*out = p;
	return rc;
}

int pairs_create(struct guest *g, struct applier *a, const struct pair *list, size_t n,
		 const char *journal_path, struct pairs **out, struct error *err)
{
	struct pairs *p = pairs_new(g, a, n);

	*out = NULL;
	if (!p)
		return no_memory(n, err);
	memcpy(p->list, list, n * sizeof(*list));
	return begin(p, journal_path, out, err);
}

int pairs_create_declared(struct guest *g, struct agent *agent, const struct agent_pair *list,
			  size_t n, const char *journal_path, struct pairs **out, struct error *err)
{
	struct applier *a = NULL;
	struct pairs *p;
	size_t i;
	int rc = applier_agent_create(g, agent, &a, err);

	*out = NULL;
	if (rc)
		return rc;
	p = pairs_new(g, a, n);
	if (!p) {
		a->ops->destroy(a);
		return no_memory(n, err);
	}
	p->own = a;
	/* In modules, too: whose text it is the agent has checked, who alone writes there. */
	p->start = TEXT_FLOOR;
	p->end = ~0ull;
	for (i = 0; i < n; i++)
		p->list[i] = (struct pair){
			.bypass = list[i].bypass, .target = list[i].target, .slow = list[i].slow};
	return begin(p, journal_path, out, err);
}

static void free_pairs(struct pairs *p)
{
	if (p->own)
		p->own->ops->destroy(p->own);
	pthread_mutex_destroy(&p->lock);
	free(p->quarantined);
	free(p->list);
	free(p);
}

void pairs_destroy(struct pairs *p)
{
	if (!p)
		return;
	journal_close(p->journal);
	free_pairs(p);
}

void pairs_drop(struct pairs *p)
{
	if (!p)
		return;
	if (p->journal)
		journal_drop(p->journal);
	free_pairs(p);
}
