// SPDX-License-Identifier: GPL-2.0-only
/* A patcher's life, and what can be read from it. */
#include "patch/patcher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

void patcher_get_targets(const struct patch_track *t, gva_t *out)
{
	unsigned i;

	for (i = 0; i < HOTRAIL_MAX_TARGETS; i++)
		out[i] = patcher_address(t->targets[i]);
}

bool patcher_set_targets(struct patch_track *t, const gva_t *targets, unsigned n)
{
	bool kept = n <= HOTRAIL_MAX_TARGETS;
	unsigned i;

	for (i = 0; kept && i < n; i++)
		kept = patcher_shorten_address(targets[i], &t->targets[i]);
	t->ntargets = (uint8_t)n;
	return kept;
}

int patcher_track_bytes(const struct patcher *p, uint32_t site, const struct patch_track *t,
			uint8_t buf[TRACK_MAX_BYTES])
{
	const struct site *s = &p->guest->sites.sites[site];
	const struct patch_own *own = &p->place[t->way].own[site];
	struct track_spec spec = {.reg = s->reg,
				  .thunk = s->thunk,
				  .ntargets = t->ntargets,
				  .miss = patcher_address(own->miss)};

	if (!t->ntargets)
		return track_encode_learn(s->reg, s->thunk, patcher_address(own->table),
					  p->place[t->way].layout.gs, patcher_address(t->at), buf,
					  TRACK_MAX_BYTES);
	patcher_get_targets(t, spec.targets);
	return track_encode(&spec, patcher_address(t->at), buf, TRACK_MAX_BYTES);
}

uint32_t *patcher_list(struct patcher *p, enum patch_way way, uint32_t site)
{
	return site == PATCHER_NO_SITE ? &p->place[way].ownerless : &p->place[way].own[site].tracks;
}

uint32_t patcher_add_track(struct patcher *p, uint32_t site, const struct patch_track *t)
{
	uint32_t *list = patcher_list(p, t->way, site);
	struct patch_track *more;
	uint32_t free_one = p->tracks_free;
	size_t cap;

	if (free_one) {
		p->tracks_free = p->tracks[free_one - 1].next;
		p->tracks[free_one - 1] = *t;
		p->tracks[free_one - 1].next = *list;
		return *list = free_one;
	}
	if (p->tracks_count == p->tracks_cap) {
		cap = p->tracks_cap ? p->tracks_cap * 2 : 64;
		more = reallocarray(p->tracks, cap, sizeof(*more));
		if (!more)
			return 0;
		p->tracks = more;
		p->tracks_cap = cap;
	}
	p->tracks[p->tracks_count] = *t;
	p->tracks[p->tracks_count].next = *list;
	*list = (uint32_t)++p->tracks_count;
	return *list;
}

void patcher_drop_track(struct patcher *p, uint32_t site, uint32_t track)
{
	uint32_t *at = patcher_list(p, p->tracks[track - 1].way, site);

	while (*at != track)
		at = &p->tracks[*at - 1].next;
	*at = p->tracks[track - 1].next;
	p->tracks[track - 1].next = p->tracks_free;
	p->tracks_free = track;
}

void patcher_book(struct patcher *p, uint32_t site, uint32_t track, const uint8_t *bytes)
{
	const struct patch_track *t = track ? &p->tracks[track - 1] : NULL;
	enum patch_way way = t ? (enum patch_way)t->way : PATCH_WAY_HOST;
	struct patch_slot *slot = &p->slots[site];
	const struct patch_own *own = &p->place[way].own[site];
	enum patch_state state = !t	       ? PATCH_ORIGINAL
				 : t->ntargets ? PATCH_PROMOTED
					       : PATCH_LEARNING;

	memcpy(slot->bytes, bytes, sizeof(slot->bytes));
	patcher_set_state(p, site, state, way);
	slot->now = (struct patch_site){.state = state, .way = way, .applied_ns = clock_ns()};
	slot->doubt = 0;
	if (!t)
		return;
	slot->now.track = patcher_address(t->at);
	slot->now.ntargets = t->ntargets;
	slot->now.counter = patcher_address(t->ntargets ? own->miss : own->table);
	patcher_get_targets(t, slot->now.targets);
	/* Misses of an earlier promotion do not count against this one. A guest that made its
	 * counters unwritable only spoils its own figures. */
	if (t->ntargets)
		(void)patcher_zero_misses(p, slot->now.counter);
}

void patcher_set_state(struct patcher *p, uint32_t site, enum patch_state state, enum patch_way way)
{
	struct patch_site *now = &p->slots[site].now;

	p->counts[now->state][now->way]--;
	p->counts[state][way]++;
	now->state = state;
	now->way = way;
}

void patcher_identify(const struct guest *g, struct journal_identity *id)
{
	*id = (struct journal_identity){.text_start = g->text_start, .text_end = g->text_end};
	id->build_id_len =
		g->build_id_len < sizeof(id->build_id) ? g->build_id_len : sizeof(id->build_id);
	memcpy(id->build_id, g->build_id, id->build_id_len);
}

bool patcher_same_guest(const struct journal_identity *a, const struct journal_identity *b)
{
	return a->build_id_len == b->build_id_len && a->text_start == b->text_start &&
	       a->text_end == b->text_end && !memcmp(a->build_id, b->build_id, a->build_id_len);
}

int patcher_open_journal(const struct guest *g, const char *path, patcher_adopter adopt, void *ctx,
			 struct journal **out, struct error *err)
{
	struct journal_identity id;
	struct journal_log log;
	bool fresh = true;
	int rc = journal_open(path, out, &log, err);

	if (rc)
		return rc;
	patcher_identify(g, &id);
	if (log.records && patcher_same_guest(&id, &log.identity))
		rc = adopt(ctx, &log, &fresh, err);
	else if (log.records && !log.closed)
		rc = error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE,
			       "the journal %s belongs to another kernel build, and its monitor "
			       "did not end in order; remove it once that guest is gone",
			       path);
	journal_log_free(&log);
	if (!rc && fresh)
		rc = journal_start(*out, &id, err);
	if (rc) {
		journal_drop(*out);
		*out = NULL;
	}
	return rc;
}

static int adopt(void *ctx, const struct journal_log *log, bool *fresh, struct error *err)
{
	return patcher_adopt(ctx, log, fresh, err);
}

/* The host's way: its arena is in the description of the guest. */
static int open_host(struct patcher *p, struct error *err)
{
	struct patch_place *place = &p->place[PATCH_WAY_HOST];
	int rc;

	applier_host_init(&p->host, p->guest);
	place->applier = &p->host;
	rc = p->host.ops->arena(&p->host, &place->layout, err);
	return rc ? rc : patcher_open_arena(p, PATCH_WAY_HOST, &place->layout, err);
}

int patcher_create(struct guest *guest, const char *journal_path, struct patcher **out,
		   struct error *err)
{
	struct patcher *p = calloc(1, sizeof(*p));
	size_t i;
	int rc;

	*out = NULL;
	if (!p || guest->sites.count >= UINT32_MAX) {
		rc = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a patcher");
		goto out_destroy;
	}
	p->guest = guest;
	p->slots = calloc(site_table_room(&guest->sites) + 1, sizeof(*p->slots));
	if (!p->slots) {
		rc = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu sites",
			       guest->sites.count);
		goto out_destroy;
	}
	for (i = 0; i < guest->sites.count; i++)
		memcpy(p->slots[i].bytes, guest->sites.sites[i].bytes, SITE_MAX_LEN);
	p->counts[PATCH_ORIGINAL][PATCH_WAY_HOST] = (unsigned)guest->sites.count;
	rc = open_host(p, err);
	if (!rc && journal_path)
		rc = patcher_open_journal(guest, journal_path, adopt, p, &p->journal, err);
	if (rc)
		goto out_destroy;
	*out = p;
	return 0;

out_destroy:
	patcher_destroy(p);
	return rc;
}

void patch_forget(struct patcher *p)
{
	size_t n = p->guest->sites.count, i;
	unsigned way, live = 0;

	for (i = 0; i < n; i++) {
		live += site_is_there(&p->guest->sites, i);
		p->slots[i] = (struct patch_slot){0};
		memcpy(p->slots[i].bytes, p->guest->sites.sites[i].bytes, SITE_MAX_LEN);
	}
	memset(p->counts, 0, sizeof(p->counts));
	p->counts[PATCH_ORIGINAL][PATCH_WAY_HOST] = live;
	for (way = 0; way < PATCH_WAYS; way++) {
		p->place[way].ownerless = 0;
		if (p->place[way].own)
			memset(p->place[way].own, 0, n * sizeof(*p->place[way].own));
	}
	p->tracks_count = p->tracks_free = 0;
	journal_close(p->journal);
	p->journal = NULL;
}

void patcher_destroy(struct patcher *p)
{
	unsigned way;

	if (!p)
		return;
	journal_close(p->journal);
	for (way = 0; way < PATCH_WAYS; way++) {
		struct applier *a = p->place[way].applier;

		if (a && a->ops->destroy)
			a->ops->destroy(a);
		arena_fini(&p->place[way].arena);
		free(p->place[way].own);
	}
	free(p->tracks);
	free(p->slots);
	free(p);
}

const struct patch_site *patch_site_state(const struct patcher *p, uint32_t site)
{
	return site < p->guest->sites.count ? &p->slots[site].now : NULL;
}

unsigned patch_count(const struct patcher *p, enum patch_state state)
{
	return patch_count_by(p, state, PATCH_WAY_HOST) + patch_count_by(p, state, PATCH_WAY_AGENT);
}

unsigned patch_count_by(const struct patcher *p, enum patch_state state, enum patch_way way)
{
	return (unsigned)state <= PATCH_QUARANTINED && (unsigned)way < PATCH_WAYS
		       ? p->counts[state][way]
		       : 0;
}

void patch_arena_usage(const struct patcher *p, enum patch_way way, uint64_t used[2],
		       uint64_t total[2])
{
	const struct arena *a = &p->place[way].arena;

	used[0] = arena_code_used(a);
	used[1] = a->data_used;
	if (a->table_size) /* the copies stand for one */
		used[1] += a->table_used - p->place[way].layout.copies * a->table_size;
	total[0] = a->where.code_size;
	total[1] = a->where.data_size;
	if (a->table_size)
		total[1] -= (p->place[way].layout.copies - 1) * a->table_size;
}

const char *patch_way_text(enum patch_way w)
{
	return w == PATCH_WAY_AGENT ? "agent" : "host";
}

const char *patch_reason_text(enum patch_reason r)
{
	static const char *const text[PATCH_REASONS] = {
		[PATCH_REASON_NONE] = "no reason",
		[PATCH_REASON_SAME] = "already so",
		[PATCH_REASON_MISMATCH] = "the bytes in the guest are not the expected ones",
		[PATCH_REASON_BUSY] = "the guest is changing or executing the instruction",
		[PATCH_REASON_TARGET] = "a target is not a function in guest text",
		[PATCH_REASON_ARENA_FULL] = "the arena is full",
		[PATCH_REASON_RANGE] = "out of reach of a 32-bit displacement",
		[PATCH_REASON_UNREADABLE] = "guest memory is not mapped there",
		[PATCH_REASON_READBACK] = "what was written did not read back",
		[PATCH_REASON_QUARANTINED] = "in quarantine: memory and journal disagreed before",
		[PATCH_REASON_PAUSE] = "the guest could not be paused long enough",
		[PATCH_REASON_PROTECTED] = "in code that must not be patched",
		[PATCH_REASON_OWNER] = "in neither the kernel nor a module that is loaded",
		[PATCH_REASON_AGENT] = "the guest's agent refuses it",
		[PATCH_REASON_LOST] = "the guest's agent did not answer",
		[PATCH_REASON_MODULE] = "in a module, where only the guest's agent may write: see "
					"to it that it runs, and promote with --via agent or auto",
	};

	return (unsigned)r < PATCH_REASONS && text[r] ? text[r] : "unknown reason";
}
