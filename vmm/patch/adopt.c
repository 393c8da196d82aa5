// SPDX-License-Identifier: GPL-2.0-only
/* Taking over from an earlier monitor: its journal says what may be in the guest, memory says what
 * is. */
#include "patch/patcher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct patch_place *host(struct patcher *p)
{
	return &p->place[PATCH_WAY_HOST];
}

static int read_guest(void *ctx, gva_t gva, void *buf, size_t len)
{
	struct target *t = ctx;

	return t->ops->read(t, gva, buf, len);
}

static int unusable(struct error *err, const struct journal_intent *in, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EBADMSG,
			 "the journal's record %" PRIu64 " names %s; remove the journal once its "
			 "guest is gone",
			 in->seq, what);
}

/*
 * In a module, which may be another one by now: only an agent wrote there, and it leads back what
 * it made when it loses its host. Nothing of it is taken over.
 */
static bool in_module(const struct patcher *p, gva_t site, enum patch_way way)
{
	return way == PATCH_WAY_AGENT && site >= p->guest->text_end;
}

/* Nothing an intent says is used before it agrees with this guest. */
static int check_intent(struct patcher *p, const struct journal_intent *in, long *site,
			struct error *err)
{
	const struct site *s;

	*site = site_find(&p->guest->sites, in->site);
	if (*site < 0)
		return unusable(err, in, "a site that this guest does not have");
	s = &p->guest->sites.sites[*site];
	if (s->addr != in->site || s->len != in->len || memcmp(s->bytes, in->old, in->len - 4u) ||
	    memcmp(in->old, in->new, in->len - 4u))
		return unusable(err, in, "other bytes than this guest's at a site");
	if (in->state == PATCH_ORIGINAL)
		return 0;
	if ((in->state == PATCH_PROMOTED) != (in->ntargets > 0))
		return unusable(err, in, "a promotion without targets");
	/* Where an agent's arena was, nobody knows before one answers. */
	if (in->way == PATCH_WAY_AGENT)
		return 0;
	if (arena_reserve_data(&host(p)->arena, in->counter,
			       in->state == PATCH_PROMOTED
				       ? TRACK_MISS_SPAN - TRACK_MISS_STRIDE + sizeof(uint32_t)
				       : sizeof(struct track_learn_table)))
		return unusable(err, in, "a counter outside the arena");
	return 0;
}

static struct patch_track *find_track(struct patcher *p, uint32_t site, gva_t at)
{
	uint32_t i;

	for (i = host(p)->own[site].tracks; i; i = p->tracks[i - 1].next)
		if (patcher_address(p->tracks[i - 1].at) == at)
			return &p->tracks[i - 1];
	return NULL;
}

/* Learn one block from an intent. *seen is set when its bytes are in this guest. */
static int adopt_track(struct patcher *p, const struct journal_intent *in, uint32_t site,
		       bool *seen, struct error *err)
{
	uint8_t want[TRACK_MAX_BYTES], have[TRACK_MAX_BYTES];
	struct patch_track t = {.written = true};
	struct patch_own *own = &host(p)->own[site];
	int32_t *counter = in->ntargets ? &own->miss : &own->table;
	int32_t old = *counter;
	int len;

	if (find_track(p, site, in->track))
		return 0;
	if (!patcher_shorten_address(in->counter, counter) || (old && old != *counter))
		return unusable(err, in, "a second counter for a site");
	if (!patcher_shorten_address(in->track, &t.at) ||
	    !patcher_set_targets(&t, in->targets, in->ntargets))
		return unusable(err, in, "a track out of reach");
	len = patcher_track_bytes(p, site, &t, want);
	if (len < 0 || arena_reserve_code(&host(p)->arena, in->track, (size_t)len))
		return unusable(err, in, "a track outside the arena");
	t.len = (uint8_t)len;
	t.bad = read_guest(p->guest->target, in->track, have, t.len) || memcmp(want, have, t.len);
	*seen |= !t.bad;
	if (!patcher_add_track(p, site, &t))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the journal");
	return 0;
}

/*
 * The state of one site, as memory has it. A site on a track that is not there is not trusted. An
 * agent is expected to have led back its own; what it has not is led back by the host, at the
 * latest before another agent is used.
 */
static void adopt_site(struct patcher *p, const struct journal_site *js)
{
	uint32_t site = (uint32_t)site_find(&p->guest->sites, js->addr);
	struct patch_slot *slot = &p->slots[site];
	const struct journal_intent *in = js->intent;
	const struct patch_track *t;

	patcher_set_state(p, site, js->state,
			  in && in->state != PATCH_ORIGINAL ? (enum patch_way)in->way
							    : PATCH_WAY_HOST);
	if (!in || in->state == PATCH_ORIGINAL)
		return;
	t = find_track(p, site, in->track);
	memcpy(slot->bytes, in->new, sizeof(slot->bytes));
	slot->now.track = in->track;
	slot->now.counter = in->counter;
	slot->now.ntargets = in->ntargets;
	memcpy(slot->now.targets, in->targets, sizeof(slot->now.targets));
	if (in->way == PATCH_WAY_HOST && js->state != PATCH_QUARANTINED && (!t || t->bad))
		patcher_set_state(p, site, PATCH_QUARANTINED, PATCH_WAY_HOST);
}

/* As created: for a journal whose guest is not this one although the build is. */
static int forget(struct patcher *p, struct error *err)
{
	memset(host(p)->own, 0, p->guest->sites.count * sizeof(*host(p)->own));
	p->tracks_count = p->tracks_free = 0;
	return arena_init(&host(p)->arena, &p->guest->arena, p->guest->text_start,
			  p->guest->text_end, err);
}

int patcher_adopt(struct patcher *p, const struct journal_log *log, bool *fresh, struct error *err)
{
	struct journal_site *sites;
	bool seen = false;
	size_t i, n;
	long site;
	int rc = 0;

	for (i = 0; !rc && i < log->count; i++) {
		if (in_module(p, log->intents[i].site, log->intents[i].way))
			continue;
		rc = check_intent(p, &log->intents[i], &site, err);
		if (!rc && log->intents[i].state != PATCH_ORIGINAL &&
		    log->intents[i].way == PATCH_WAY_HOST)
			rc = adopt_track(p, &log->intents[i], (uint32_t)site, &seen, err);
	}
	if (rc)
		return rc;
	if (journal_replay(log, read_guest, p->guest->target, &sites, &n))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the journal");
	for (i = 0; i < n; i++)
		seen |= sites[i].addr < p->guest->text_end && sites[i].state != PATCH_ORIGINAL;
	*fresh = !seen; /* the same build started anew: neither a track nor a changed site is there
			 */
	for (i = 0; seen && i < n; i++)
		if (sites[i].addr < p->guest->text_end)
			adopt_site(p, &sites[i]);
	free(sites);
	return seen ? 0 : forget(p, err);
}
