// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites in modules. The agent says which modules there are and when one comes or goes; the guest's
 * own memory says what is in them. What it says decides which places are looked at, and no more: it
 * alone writes there, after checking by itself.
 */
#include "engine/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "util/clock.h"

/* A look decodes the text of what is new, with the engine locked: some 40 ns a byte. A guest whose
 * modules come and go all the time is looked at for a tenth of the time. */
#define REST_NS_A_BYTE 400
#define REST_FREE      (256u << 10) /* bytes in one look that need no rest */

int modules_init(struct engine *e, struct error *err)
{
	if (!e->config.agent || !e->guest->ops->module_add)
		return 0;
	e->modules.known = calloc(ENGINE_MODULES, sizeof(*e->modules.known));
	if (!e->modules.known ||
	    (!e->guest->sites.room && site_table_reserve(&e->guest->sites, ENGINE_SLOTS)))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the sites of modules");
	return 0;
}

/* The guest stays as it is, as do the journal and what it says; another engine may come. */
void modules_free(struct engine *e)
{
	struct engine_modules *ms = &e->modules;

	while (ms->count)
		e->guest->ops->module_remove(e->guest, ms->known[--ms->count].id, NULL, NULL);
	free(ms->known);
}

bool modules_has(const struct engine *e, uint32_t site)
{
	return site_is_slot(&e->guest->sites, site);
}

/* --- one comes --- */

struct coming {
	struct engine *e;
	uint64_t *addr; /* of its sites; NULL: no memory for their names */
	size_t n, room;
};

static void note_address(struct coming *c, uint64_t addr)
{
	uint64_t *grown;

	if (c->n == c->room) {
		c->room = c->room ? 2 * c->room : 64;
		grown = reallocarray(c->addr, c->room, sizeof(*grown));
		if (!grown) {
			c->room = c->n;
			return;
		}
		c->addr = grown;
	}
	c->addr[c->n++] = addr;
}

static void sites_came(void *ctx, const uint32_t *sites, size_t n)
{
	struct coming *c = ctx;
	struct engine *e = c->e;
	size_t i;

	for (i = 0; i < n; i++) {
		e->info[sites[i]] = (struct site_info){0};
		patch_site_came(e->patcher, sites[i]);
		note_address(c, e->guest->sites.sites[sites[i]].addr);
	}
}

/* Names are for people only: without them sites are shown by module and offset. */
static void modules_name(struct engine *e, const uint64_t *addr, size_t n)
{
	struct agent_function *said = calloc(n + 1, sizeof(*said));
	struct guest_function *f = calloc(n + 1, sizeof(*f));
	size_t i, named = 0;

	if (said && f && n && e->guest->ops->module_name &&
	    !agent_name_functions(e->config.agent, addr, n, said, NULL))
		for (i = 0; i < n; i++)
			if (said[i].start)
				f[named++] = (struct guest_function){said[i].start, said[i].size,
								     said[i].name};
	if (named)
		e->guest->ops->module_name(e->guest, f, named);
	free(said);
	free(f);
}

static void trouble(struct engine *e, const struct error *why)
{
	snprintf(e->modules.trouble, sizeof(e->modules.trouble), "%.159s", why->text);
}

static bool apart(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? a_size <= b - a : b_size <= a - b;
}

/* What is said to be a module must not be where the agent itself lays tracks. */
static bool in_arena(const struct engine *e, const struct agent_module *m)
{
	struct agent_state s;

	agent_get_state(e->config.agent, &s);
	return !apart(m->text, m->text_size, s.hello.arena_code, s.hello.arena_code_size) ||
	       !apart(m->text, m->text_size, s.hello.arena_data, s.hello.arena_data_size);
}

static void add(struct engine *e, const struct agent_module *m)
{
	const struct guest_module module = {
		.text = m->text, .text_size = m->text_size, .id = m->id, .name = m->name};
	struct engine_module *known = &e->modules.known[e->modules.count++];
	struct coming coming = {.e = e};
	struct guest_found found = {0};
	struct error why = {0};
	int ret;

	*known = (struct engine_module){.id = m->id};
	if (!m->text_size) /* nothing but data */
		return;
	if (in_arena(e, m))
		ret = error_set(&why, HOTRAIL_EXIT_REFUSED, -EEXIST,
				"module %s is said to be in the agent's arena", m->name);
	else
		ret = e->guest->ops->module_add(e->guest, &module, &found, sites_came, &coming,
						&why);
	e->sites = e->guest->sites.count; /* also slots that were filled and emptied at once */
	known->left = found.left;
	known->left_alone = ret != 0;
	if (!ret || ret == -EFAULT) /* that one shows only at the end */
		e->modules.decoded += m->text_size;
	if (ret)
		trouble(e, &why);
	else
		modules_name(e, coming.addr, coming.n);
	free(coming.addr);
}

/* --- one goes --- */

/* They are booked out before their slots are emptied. */
static void sites_go(void *ctx, const uint32_t *sites, size_t n)
{
	struct engine *e = ctx;
	size_t i;

	patch_sites_go(e->patcher, sites, n);
	for (i = 0; i < n; i++)
		e->info[sites[i]] = (struct site_info){0};
}

static bool is_gone(const void *ctx, uint32_t site)
{
	return !site_is_there(ctx, site);
}

static void forget_edges(struct engine *e)
{
	edge_forget_where(&e->learned, is_gone, &e->guest->sites);
	edge_forget_where(&e->sampled, is_gone, &e->guest->sites);
}

void modules_forget(struct engine *e)
{
	struct engine_modules *ms = &e->modules;

	if (!ms->count)
		return;
	while (ms->count)
		e->guest->ops->module_remove(e->guest, ms->known[--ms->count].id, sites_go, e);
	forget_edges(e);
	ms->trouble[0] = '\0';
}

/* --- looking --- */

/* Both ascend. Those that are still there stay known, the others go, then the new ones come: first
 * the one that left, then the one that lies where it was. */
static void compare(struct engine *e, const struct agent_module *list, size_t n)
{
	struct engine_modules *ms = &e->modules;
	uint32_t last = ms->count ? ms->known[ms->count - 1].id : 0;
	size_t i, at = 0, kept = 0, before = ms->count;

	for (i = 0; i < before; i++) {
		while (at < n && list[at].id < ms->known[i].id)
			at++;
		if (at < n && list[at].id == ms->known[i].id)
			ms->known[kept++] = ms->known[i];
		else
			e->guest->ops->module_remove(e->guest, ms->known[i].id, sites_go, e);
	}
	ms->count = kept;
	if (kept < before)
		forget_edges(e);
	for (i = 0; i < n && ms->count < ENGINE_MODULES; i++)
		if (list[i].id > last && list[i].state == AGENT_MODULE_LIVE)
			add(e, &list[i]);
}

/* By the books, or by a request that was on its way when the agent was lost. */
static bool led_any(const struct engine *e)
{
	const struct site_table *t = &e->guest->sites;
	size_t i;

	for (i = t->count - t->slots; i < t->count; i++)
		if (patch_site_led(e->patcher, (uint32_t)i))
			return true;
	return false;
}

static void list_modules(struct engine *e)
{
	struct agent_module *list = calloc(ENGINE_MODULES, sizeof(*list));
	size_t n = ENGINE_MODULES;
	struct error why;
	int ret;

	if (!list)
		return;
	ret = agent_list_modules(e->config.agent, list, &n, &why);
	if (!ret || ret == -ENOSPC)
		compare(e, list, n);
	if (ret)
		trouble(e, &why);
	free(list);
}

static void look(struct engine *e)
{
	uint64_t before = e->modules.decoded, now;

	list_modules(e);
	now = e->modules.decoded - before;
	e->modules.rest_ns = now > REST_FREE ? clock_ns() + now * REST_NS_A_BYTE : 0;
}

void modules_watch(struct engine *e, bool ask)
{
	struct engine_modules *ms = &e->modules;
	struct agent_unpatch_reply undone;
	struct agent_state now;

	if (!ms->known || e->gone || e->refused)
		return;
	agent_get_state(e->config.agent, &now);
	if (now.health != AGENT_ALIVE || now.generation != ms->generation) {
		/* Another one has no part in what the first did, and that one undid it. */
		ms->led = now.generation == ms->generation && (ms->led || led_any(e));
		modules_forget(e);
		ms->generation = now.generation;
		ms->due = true;
	}
	ms->due |= now.events != ms->events || now.greetings != ms->greetings;
	if (now.health != AGENT_ALIVE || !(ask || (ms->due && clock_ns() >= ms->rest_ns)))
		return;
	/* Of an agent that may not be used, as it speaks of another kernel, nothing is believed. */
	if (patch_ready(e->patcher, PATCH_WAY_AGENT, NULL)) {
		modules_forget(e);
		return;
	}
	/* It may still lead sites that nobody has in his books any more. */
	if (ms->led && agent_unpatch_all(e->config.agent, &undone, NULL))
		return;
	ms->led = false;
	ms->due = false;
	ms->events = now.events;
	ms->greetings = now.greetings;
	look(e);
}

void modules_status(const struct engine *e, struct engine_status *s)
{
	const struct engine_modules *ms = &e->modules;
	size_t i;

	s->agent.modules = (unsigned)ms->count;
	s->agent.module_sites = (unsigned)e->guest->sites.filled;
	for (i = 0; i < ms->count; i++) {
		s->agent.modules_left_alone += ms->known[i].left_alone;
		s->agent.module_sites_left += ms->known[i].left;
	}
	snprintf(s->agent.module_trouble, sizeof(s->agent.module_trouble), "%s", ms->trouble);
}
