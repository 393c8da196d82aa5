// SPDX-License-Identifier: GPL-2.0-only
/* The journal of pairs: two slots, each an instruction of its own, and one decision. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "patch/pairs.h"
#include "patch/patcher.h"

static int read_guest(void *ctx, gva_t gva, void *buf, size_t len)
{
	struct target *t = ctx;

	return t->ops->read(t, gva, buf, len);
}

/* An intent's `track` names the pair by its target slot. */
struct journal_intent pairs_intent(const struct pair *pair, const struct pair_step *s, gva_t want)
{
	bool on = s->kind == PAIR_POKE_TARGET ? want != 0 : !memcmp(s->new, pair_nop, PAIR_SLOT);
	struct journal_intent in = {
		.site = s->kind == PAIR_POKE_TARGET ? pair->target : pair->bypass,
		.track = pair->target,
		.len = PAIR_SLOT,
		.state = on ? PATCH_PROMOTED : PATCH_ORIGINAL,
		.ntargets = on,
		.targets = {on ? want : 0},
	};

	memcpy(in.old, s->old, PAIR_SLOT);
	memcpy(in.new, s->new, PAIR_SLOT);
	return in;
}

/* What leads from original text to what is there now is all that still matters. */
void pairs_shorten_journal(struct pairs *p)
{
	struct journal_intent *all;
	struct pair_step steps[PAIR_MAX_STEPS];
	struct journal_identity id;
	size_t i, n = 0;
	unsigned s, count;

	if (!p->journal || !journal_grown(p->journal))
		return;
	all = calloc(p->count * PAIR_MAX_STEPS + 1, sizeof(*all));
	if (!all)
		return;
	for (i = 0; i < p->count; i++) {
		gva_t program;
		enum pair_state state = pairs_look(p, i, &program);

		if (state != PAIR_BYPASSED && state != PAIR_DIRECT)
			continue;
		count = pair_plan(&p->list[i], PAIR_EMPTY, 0, program, steps);
		for (s = 0; s < count && (state == PAIR_DIRECT || !s); s++)
			all[n++] = pairs_intent(&p->list[i], &steps[s], program);
	}
	patcher_identify(p->guest, &id);
	(void)journal_rewrite(p->journal, &id, all, n, NULL); /* the long one is as good */
	free(all);
}

static const struct journal_site *replayed(const struct journal_site *sites, size_t n, gva_t addr)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (sites[i].addr == addr)
			return &sites[i];
	return NULL;
}

/* Is what memory holds in this slot something that the journal led us to expect? */
static bool expected(const struct journal_site *js)
{
	return js && js->verdict != JOURNAL_QUARANTINED;
}

/* Original text needs no journal: the guest may have started anew, and a bypass that nobody
 * changed yet is a jmp. */
static bool pair_expected(const struct pair *pair, enum pair_state state,
			  const struct journal_site *sites, size_t n)
{
	const struct journal_site *bypass = replayed(sites, n, pair->bypass);

	if (state == PAIR_EMPTY)
		return true;
	if (!expected(replayed(sites, n, pair->target)))
		return false;
	return !pair->bypass || expected(bypass) || (!bypass && state == PAIR_BYPASSED);
}

/* What an earlier monitor left. *fresh: nothing of it is in this guest. */
static int adopt(void *ctx, const struct journal_log *log, bool *fresh, struct error *err)
{
	struct pairs *p = ctx;
	struct journal_site *sites;
	gva_t program;
	size_t i, n;

	if (journal_replay(log, read_guest, p->guest->target, &sites, &n))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the journal");
	for (i = 0; i < p->count; i++) {
		enum pair_state state = pairs_look(p, i, &program);

		*fresh &= state == PAIR_EMPTY;
		p->quarantined[i] = !pair_expected(&p->list[i], state, sites, n);
	}
	free(sites);
	return 0;
}

int pairs_open_journal(struct pairs *p, const char *path, struct error *err)
{
	return patcher_open_journal(p->guest, path, adopt, p, &p->journal, err);
}
