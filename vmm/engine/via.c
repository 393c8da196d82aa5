// SPDX-License-Identifier: GPL-2.0-only
/* By which way: the host's or the agent's. And what the agent did without being asked. */
#include "engine/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "util/clock.h"

/* Undone at one site again and again (a probe comes and goes): waits so long, doubled each time. */
#define CONFLICT_TICKS	   (2000000000ull / ENGINE_TICK_NS)
#define CONFLICT_MAX_SHIFT 6
/* After a promoted site showed an int3: look again so often, whatever the agent says. */
#define AGAIN_NS 200000000ull

int via_check(struct engine *e, enum engine_via via, struct error *err)
{
	if (via == ENGINE_VIA_DEFAULT)
		via = e->config.via;
	if (via != ENGINE_VIA_AGENT)
		return 0;
	return patch_ready(e->patcher, PATCH_WAY_AGENT, err);
}

enum patch_way via_way(struct engine *e, size_t sites)
{
	if (e->via == ENGINE_VIA_HOST || !e->config.agent)
		return PATCH_WAY_HOST;
	if (e->via == ENGINE_VIA_AGENT)
		return PATCH_WAY_AGENT;
	return sites > ENGINE_AUTO_SITES && !patch_ready(e->patcher, PATCH_WAY_AGENT, NULL)
		       ? PATCH_WAY_AGENT
		       : PATCH_WAY_HOST;
}

enum patch_way via_site(const struct engine *e, uint32_t site, enum patch_way way)
{
	/* Who asks for the host's way hears from the plan why not. */
	return modules_has(e, site) && e->via != ENGINE_VIA_HOST ? PATCH_WAY_AGENT : way;
}

bool via_vouched(struct engine *e)
{
	struct agent_state now;

	if (!e->config.agent)
		return false;
	agent_get_state(e->config.agent, &now);
	return now.health == AGENT_ALIVE && now.generation == e->agent.generation;
}

/* Is there anything new to compare memory for? */
static bool something_happened(struct engine *e, const struct agent_state *now)
{
	const struct engine_agent *seen = &e->agent;

	return seen->health != (unsigned)now->health || seen->generation != now->generation ||
	       seen->greetings != now->greetings || seen->events != now->events ||
	       seen->undone_there != now->ping.undone ||
	       (seen->again && clock_ns() - seen->looked_ns >= AGAIN_NS);
}

/* A promotion that is gone is learned again: at once with a new agent, else later and later. */
static void learn_again(struct engine *e, bool reborn)
{
	uint32_t s;

	for (s = 0; s < e->sites; s++) {
		struct site_info *info = &e->info[s];

		if (!info->by_agent || patch_site_state(e->patcher, s)->state != PATCH_ORIGINAL)
			continue;
		info->by_agent = false;
		info->learned = 0;
		info->heat += FIND_MIN_HEAT;
		if (reborn) {
			info->backoff = 0;
			info->retry = 0;
			continue;
		}
		info->retry = engine_tick(e) + (uint32_t)(CONFLICT_TICKS << info->backoff);
		info->backoff += info->backoff < CONFLICT_MAX_SHIFT;
	}
}

static void watch(struct engine *e, bool ask)
{
	struct engine_agent *seen = &e->agent;
	struct patch_reconciled r;
	struct agent_state now;
	bool reborn;

	if (!e->config.agent)
		return;
	/* First: what is not there any more is not to be compared. */
	modules_watch(e, ask);
	agent_get_state(e->config.agent, &now);
	if (!something_happened(e, &now))
		return;
	reborn = seen->generation != now.generation || seen->health != (unsigned)now.health;
	seen->health = now.health;
	seen->generation = now.generation;
	seen->greetings = now.greetings;
	seen->events = now.events;
	seen->undone_there = now.ping.undone;
	seen->looked_ns = clock_ns();
	patch_reconcile(e->patcher, &r);
	seen->again = r.busy > 0;
	seen->undone += r.undone;
	seen->arrived += r.arrived;
	seen->quarantined += r.quarantined;
	if (r.undone)
		learn_again(e, reborn);
}

void via_watch(struct engine *e)
{
	watch(e, false);
}

void via_look(struct engine *e)
{
	watch(e, true);
}

void via_status(struct engine *e, struct engine_status *s)
{
	struct agent_state now;
	struct error why;

	s->via = e->config.via;
	s->promoted_by[PATCH_WAY_HOST] = patch_count_by(e->patcher, PATCH_PROMOTED, PATCH_WAY_HOST);
	s->promoted_by[PATCH_WAY_AGENT] =
		patch_count_by(e->patcher, PATCH_PROMOTED, PATCH_WAY_AGENT);
	if (!e->config.agent)
		return;
	s->agent.port = true;
	agent_get_state(e->config.agent, &now);
	s->agent.health = agent_health_text(now.health);
	s->agent.generation = now.generation;
	s->agent.conflicts = now.ping.conflicts;
	modules_status(e, s);
	s->agent.undone = e->agent.undone;
	s->agent.quarantined = e->agent.quarantined;
	snprintf(s->agent.release, sizeof(s->agent.release), "%.63s", now.hello.release);
	if (e->refused)
		return;
	if (patch_ready(e->patcher, PATCH_WAY_AGENT, &why))
		snprintf(s->agent.why, sizeof(s->agent.why), "%.255s", why.text);
	patch_arena_usage(e->patcher, PATCH_WAY_AGENT, s->agent.arena_used, s->agent.arena_total);
}
