// SPDX-License-Identifier: GPL-2.0-only
/* Does guest memory still hold what was put there? */
#include "patch/patcher.h"

#include <string.h>

enum finding { AGREES, BUSY, DIFFERS, UNREADABLE };

static enum finding compare(struct patcher *p, gva_t at, const uint8_t *want, size_t len)
{
	struct target *t = p->guest->target;
	uint8_t have[TRACK_MAX_BYTES];

	if (t->ops->read(t, at, have, len))
		return UNREADABLE;
	return memcmp(have, want, len) ? DIFFERS : AGREES;
}

/* A probe or the guest's own patching puts an int3 over the first byte, or over the opcode after a
 * prefix, and takes it away again: with it gone, is this site as it should be? */
static enum finding compare_site(struct patcher *p, uint32_t site)
{
	const struct site *s = &p->guest->sites.sites[site];
	const uint8_t *want = p->slots[site].bytes;
	struct target *t = p->guest->target;
	size_t opcode = s->len - sizeof(int32_t) - 1; /* the last four are the displacement */
	uint8_t have[SITE_MAX_LEN];
	bool poked = false;

	if (t->ops->read(t, s->addr, have, s->len))
		return UNREADABLE;
	if (have[0] == 0xcc) {
		have[0] = want[0];
		poked = true;
	}
	if (have[opcode] == 0xcc) {
		have[opcode] = want[opcode];
		poked = true;
	}
	if (memcmp(have, want, s->len))
		return DIFFERS;
	return poked ? BUSY : AGREES;
}

static enum finding worse(enum finding a, enum finding b)
{
	if (a == DIFFERS || b == DIFFERS)
		return DIFFERS;
	return a > b ? a : b;
}

/* Every written block counts, used or not: a preempted task may still be in an old one. */
static enum finding check_tracks(struct patcher *p, enum patch_way way, bool usable, uint32_t site)
{
	enum finding all = AGREES, f;
	const struct patch_own *own = p->place[way].own;
	uint8_t want[TRACK_MAX_BYTES];
	uint32_t i;
	bool led;

	for (i = own ? own[site].tracks : 0; i; i = p->tracks[i - 1].next) {
		struct patch_track *t = &p->tracks[i - 1];

		/* What an agent that is gone had laid may be anything by now. */
		led = p->slots[site].now.track == patcher_address(t->at);
		if (!t->written || (!usable && !led))
			continue;
		if (t->bad) { /* found before; it matters while the site leads there */
			f = led ? DIFFERS : AGREES;
		} else {
			f = patcher_track_bytes(p, site, t, want) == t->len
				    ? compare(p, patcher_address(t->at), want, t->len)
				    : DIFFERS;
			t->bad = f == DIFFERS; /* never led to again */
		}
		all = worse(all, f);
	}
	return all;
}

int patch_verify(struct patcher *p, struct patch_verify *v, struct error *err)
{
	bool agent = patcher_usable(p, PATCH_WAY_AGENT);
	struct patch_reconciled unused;
	uint32_t i;

	(void)err; /* what is wrong is in *v */
	memset(v, 0, sizeof(*v));
	patch_reconcile(p, &unused);
	for (i = 0; i < p->guest->sites.count; i++) {
		enum finding f;

		if (!site_is_there(&p->guest->sites, i))
			continue;
		f = compare_site(p, i);
		f = worse(f, check_tracks(p, PATCH_WAY_HOST, true, i));
		f = worse(f, check_tracks(p, PATCH_WAY_AGENT, agent, i));
		v->sites++;
		if (p->slots[i].now.track)
			v->by[p->slots[i].now.way]++;
		if (f > BUSY && !v->differ && !v->unreadable)
			v->first_bad = i, v->first_bad_addr = p->guest->sites.sites[i].addr;
		v->agree += f == AGREES;
		v->busy += f == BUSY;
		v->differ += f == DIFFERS;
		v->unreadable += f == UNREADABLE;
		if (f == DIFFERS)
			patcher_set_state(p, i, PATCH_QUARANTINED, p->slots[i].now.way);
	}
	return 0;
}
