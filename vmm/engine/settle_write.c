// SPDX-License-Identifier: GPL-2.0-only
/* How what is settled reaches the guest: in pauses that fit, and with the books kept. */
#include "engine/state.h"

#include <errno.h>
#include <string.h>

#include "util/clock.h"

/* Sites moved in one pause: with more, the pause of a slow host would run out of its budget. */
#define PAUSE_SITES 256
/* A pause that did not fit is tried again so often, so much later. */
#define PAUSE_TRIES    4
#define PAUSE_AGAIN_MS 20

static void count_outcomes(struct engine *e, const struct patch_request *requests,
			   const struct patch_outcome *outcomes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct patch_outcome *o = &outcomes[i];

		if (o->result == PATCH_APPLIED && requests[i].to == PATCH_PROMOTED) {
			e->applied++;
			e->info[requests[i].site].has_base = false;
			e->info[requests[i].site].by_agent = o->way == PATCH_WAY_AGENT;
			if (!e->first_gain_ns)
				e->first_gain_ns = clock_ns();
		} else if (o->result == PATCH_SKIPPED && o->reason != PATCH_REASON_SAME) {
			e->skipped++;
			e->skipped_by[o->reason]++;
		} else if (o->result == PATCH_FAILED) {
			e->failed++;
		}
	}
}

static void add_pause(struct engine *e, const struct patch_summary *one, struct patch_summary *sum)
{
	if (one->pause_us)
		e->pause_ns[e->pauses++ % ENGINE_PAUSES] = (uint32_t)(one->pause_us * 1000);
	sum->applied += one->applied;
	sum->pause_ns += one->pause_ns;
	sum->write_ns += one->write_ns;
	if (one->pause_us > sum->pause_us)
		sum->pause_us = one->pause_us;
	sum->agent_ns += one->agent_ns;
	sum->rounds += one->rounds;
}

struct chunk { /* what is left to do of one pause's worth */
	struct patch_request requests[PAUSE_SITES];
	struct patch_outcome outcomes[PAUSE_SITES];
	uint16_t index[PAUSE_SITES]; /* in what was asked */
	size_t n;
};

/* Another try: the pause had no time for it, or the agent's arena, which is small, no room. */
static bool try_again(const struct engine *e, struct patch_request *r,
		      const struct patch_outcome *o)
{
	if (o->result == PATCH_FAILED && o->reason == PATCH_REASON_PAUSE)
		return true;
	if (o->result != PATCH_SKIPPED || o->reason != PATCH_REASON_ARENA_FULL ||
	    r->way != PATCH_WAY_AGENT || e->via == ENGINE_VIA_AGENT || modules_has(e, r->site))
		return false;
	r->way = PATCH_WAY_HOST;
	return true;
}

/* Hand the outcomes back and keep what gets another try. */
static void keep_rest(const struct engine *e, struct chunk *c, struct patch_outcome *outcomes)
{
	size_t i, left = 0;

	for (i = 0; i < c->n; i++) {
		outcomes[c->index[i]] = c->outcomes[i];
		if (!try_again(e, &c->requests[i], &c->outcomes[i]))
			continue;
		c->requests[left] = c->requests[i];
		c->index[left++] = c->index[i];
	}
	c->n = left;
}

/* A loaded host stops its guest too late, or a pause is over before all is written: what is left
 * gets another. */
static int write_chunk(struct engine *e, enum patch_way way, const struct patch_request *requests,
		       size_t n, struct patch_outcome *outcomes, struct patch_summary *sum,
		       struct error *err)
{
	struct patch_summary one;
	struct chunk c = {.n = n};
	unsigned try;
	size_t i;
	int ret = 0;

	memcpy(c.requests, requests, n * sizeof(*requests));
	for (i = 0; i < n; i++) {
		c.requests[i].way = via_site(e, c.requests[i].site, way);
		c.index[i] = (uint16_t)i;
	}
	for (try = 0; c.n && try < PAUSE_TRIES; try++) {
		if (try)
			clock_sleep_ms(PAUSE_AGAIN_MS);
		ret = patch_apply(e->patcher, c.requests, c.n, c.outcomes, &one, err);
		if (ret == -ETIMEDOUT)
			continue;
		if (ret)
			return ret;
		add_pause(e, &one, sum);
		keep_rest(e, &c, outcomes);
	}
	for (i = 0; !ret && i < n; i++) {
		sum->skipped += outcomes[i].result == PATCH_SKIPPED;
		sum->failed += outcomes[i].result == PATCH_FAILED;
	}
	return ret;
}

int settle_write(struct engine *e, const struct patch_request *requests, size_t n,
		 struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err)
{
	enum patch_way way = via_way(e, n);
	size_t at, count;
	int ret = 0;

	memset(sum, 0, sizeof(*sum));
	for (at = 0; !ret && at < n; at += count) {
		count = n - at < PAUSE_SITES ? n - at : PAUSE_SITES;
		ret = write_chunk(e, way, requests + at, count, outcomes + at, sum, err);
	}
	if (ret == -ESTALE)
		(void)gone_check(e, NULL); /* the same words as in *err */
	return ret;
}

int settle_apply(struct engine *e, const struct patch_request *requests, size_t n,
		 struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err)
{
	int ret = settle_write(e, requests, n, outcomes, sum, err);

	if (!ret)
		count_outcomes(e, requests, outcomes, n);
	return ret;
}
