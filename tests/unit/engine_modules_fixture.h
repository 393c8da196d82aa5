/* SPDX-License-Identifier: GPL-2.0-only */
/* An engine over a fake guest whose modules come and go, with an agent that tells of them. */
#ifndef HOTRAIL_TESTS_ENGINE_MODULES_FIXTURE_H
#define HOTRAIL_TESTS_ENGINE_MODULES_FIXTURE_H

#include "engine/engine.h"
#include "patch_agent_fixture.h"

#define MODULE	    (FAKE_BASE + FAKE_MODULE)
#define MODULE_SIZE 0x1000u
#define IN_EACH	    6 /* sites */

static struct engine *e;
static struct engine_status st;
static struct engine_result res;
static struct engine_row *rows;
static size_t nrows;
static unsigned host_writes; /* into modules' text */
static gva_t gone;	     /* a page that is not mapped any more */
static gva_t torn;	     /* a module that cannot be read to its end */

/* --- a guest with modules: as linux_modules.c, in small --- */

static struct {
	gva_t text;
	uint32_t id;
} there[4];

struct fake_search {
	struct guest *g;
	struct guest_found *found;
	guest_sites_fn fn;
	void *ctx;
};

static inline void fake_take(void *ctx, const struct site *s)
{
	struct fake_search *w = ctx;
	uint32_t index;

	CU_ASSERT_EQUAL_FATAL(site_table_put(&w->g->sites, s, &index), 0);
	if (s->addr - torn < MODULE_SIZE)
		return;
	w->found->sites++;
	w->fn(w->ctx, &index, 1);
}

static inline int fake_module_add(struct guest *g, const struct guest_module *m,
				  struct guest_found *found, guest_sites_fn fn, void *ctx,
				  struct error *error)
{
	struct fake_search w = {g, found, fn, ctx};
	struct site_search s = {.take = fake_take, .ctx = &w};
	unsigned i;

	if (m->text < MODULE || m->text_size < MODULE_SIZE)
		return error_set(error, HOTRAIL_EXIT_REFUSED, -EINVAL, "no module can be there");
	for (i = 0; i < HOTRAIL_REGS; i++)
		s.thunks[i] = FAKE_BASE + FAKE_THUNK + i * 64ull;
	for (i = 0; there[i].id; i++)
		CU_ASSERT_NOT_EQUAL(there[i].text, m->text);
	there[i].text = m->text;
	there[i].id = m->id;
	site_search(&s, fake_bytes(&f, m->text), MODULE_SIZE, m->text, true);
	if (m->text != torn)
		return 0;
	g->ops->module_remove(g, m->id, NULL, NULL);
	return error_set(error, HOTRAIL_EXIT_FAILED, -EFAULT, "cannot be read");
}

static inline void fake_module_remove(struct guest *g, uint32_t id, guest_sites_fn fn, void *ctx)
{
	uint32_t sites[64];
	size_t i, n = 0;

	for (i = 0; i < 4 && there[i].id != id; i++)
		;
	if (i == 4)
		return;
	for (; n < g->sites.filled; n++)
		sites[n] = g->sites.by_addr[n];
	for (n = 0; n < g->sites.filled; n++)
		if (g->sites.sites[sites[n]].addr - there[i].text >= MODULE_SIZE)
			sites[n] = UINT32_MAX;
	for (i = 0; i < n; i++)
		if (sites[i] != UINT32_MAX && fn)
			fn(ctx, &sites[i], 1);
	for (i = 0; i < n; i++)
		if (sites[i] != UINT32_MAX)
			site_table_empty(&g->sites, sites[i]);
	for (i = 0; i < 4; i++)
		if (there[i].id == id)
			memset(&there[i], 0, sizeof(there[i]));
}

static unsigned named;

static inline void fake_module_name(struct guest *g, const struct guest_function *fn, size_t n)
{
	while (n--)
		named += fn[n].start >= MODULE && fn[n].size == 64 && fn[n].name[0] == 'f';
}

/* Every table that is read was counted in; what is gone cannot be read; who writes there shows. */
static inline int on_access(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	struct track_learn_table table = {.slot[0] = {(uint32_t)fake_function(1), 1000}};

	if (what == FAKE_READ && len == sizeof(table) && gva - AGENT_DATA < AGENT_STRIDE)
		memcpy(fake_bytes(t, gva), &table, sizeof(table));
	host_writes += what == FAKE_WRITE && gva >= MODULE;
	return gone && gva - gone < MODULE_SIZE ? -EFAULT : 0;
}

/* --- the agent's side --- */

static inline void make_text(gva_t text, unsigned shift)
{
	unsigned i;

	memset(fake_bytes(&f, text), 0x90, MODULE_SIZE);
	for (i = 0; i < IN_EACH; i++) {
		uint8_t insn[5] = {i % 2 ? 0xe9 : 0xe8};
		gva_t at = text + 64 * i + shift;

		x86_retarget(insn, 5, at, FAKE_BASE + FAKE_THUNK + (i % 2 ? 0 : 3 * 64),
			     fake_bytes(&f, at));
	}
}

static inline void insmod(uint32_t id, gva_t text, const char *name)
{
	struct agent_module *m = &agent.module[agent.modules++];

	*m = (struct agent_module){.text = text, .text_size = MODULE_SIZE, .id = id};
	snprintf(m->name, sizeof(m->name), "%s", name);
	agent.s.events++;
}

/* The agent led its sites back; then its memory went. */
static inline void rmmod(void)
{
	agent.modules--;
	gone = agent.module[agent.modules].text;
	memset(fake_bytes(&f, gone), 0xf4, MODULE_SIZE);
	agent.s.events++;
}

static inline void start(enum engine_via via)
{
	struct engine_config c = {
		.policy = POLICY_DEFAULT, .sampler = "off", .via = via, .learn_ms = 5};

	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	fake_agent_init();
	memset(there, 0, sizeof(there));
	memset(&res, 0, sizeof(res));
	host_writes = named = 0;
	gone = torn = 0;
	f.access = on_access;
	f.guest_ops.module_add = fake_module_add;
	f.guest_ops.module_remove = fake_module_remove;
	f.guest_ops.module_name = fake_module_name;
	make_text(MODULE, 0);
	make_text(MODULE + MODULE_SIZE, 3);
	snprintf(journal, sizeof(journal), "/tmp/hotrail-modules-%d.journal", (int)getpid());
	unlink(journal);
	c.agent = &agent;
	c.journal = journal;
	CU_ASSERT_EQUAL_FATAL(engine_create(&f.guest, &c, &e, &err), 0);
	CU_ASSERT_EQUAL(f.guest.sites.count, SITES);
}

static inline void end(void)
{
	CU_ASSERT_EQUAL(host_writes, 0);
	engine_result_free(&res);
	engine_destroy(e);
	CU_ASSERT_EQUAL(f.guest.sites.filled, 0);
	free(f.guest.sites.by_addr);
	f.guest.sites.by_addr = NULL;
	unlink(journal);
	fake_free(&f);
}

#endif
