// SPDX-License-Identifier: GPL-2.0-only
/* The engine and sites in modules: they come, are promoted by the agent alone, and go. */
#include "suite.h"

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

static void fake_take(void *ctx, const struct site *s)
{
	struct fake_search *w = ctx;
	uint32_t index;

	CU_ASSERT_EQUAL_FATAL(site_table_put(&w->g->sites, s, &index), 0);
	if (s->addr - torn < MODULE_SIZE)
		return;
	w->found->sites++;
	w->fn(w->ctx, &index, 1);
}

static int fake_module_add(struct guest *g, const struct guest_module *m, struct guest_found *found,
			   guest_sites_fn fn, void *ctx, struct error *error)
{
	struct fake_search w = {g, found, fn, ctx};
	struct site_search s = {.take = fake_take, .ctx = &w};
	unsigned i;

	if (m->text < MODULE || m->text_size != MODULE_SIZE)
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

static void fake_module_remove(struct guest *g, uint32_t id, guest_sites_fn fn, void *ctx)
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

static void fake_module_name(struct guest *g, const struct guest_function *fn, size_t n)
{
	while (n--)
		named += fn[n].start >= MODULE && fn[n].size == 64 && fn[n].name[0] == 'f';
}

/* Every table that is read was counted in; what is gone cannot be read; who writes there shows. */
static int on_access(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	struct track_learn_table table = {.slot[0] = {(uint32_t)fake_function(1), 1000}};

	if (what == FAKE_READ && len == sizeof(table) && gva - AGENT_DATA < AGENT_STRIDE)
		memcpy(fake_bytes(t, gva), &table, sizeof(table));
	host_writes += what == FAKE_WRITE && gva >= MODULE;
	return gone && gva - gone < MODULE_SIZE ? -EFAULT : 0;
}

/* --- the agent's side --- */

static void make_text(gva_t text, unsigned shift)
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

static void insmod(uint32_t id, gva_t text, const char *name)
{
	struct agent_module *m = &agent.module[agent.modules++];

	*m = (struct agent_module){.text = text, .text_size = MODULE_SIZE, .id = id};
	snprintf(m->name, sizeof(m->name), "%s", name);
	agent.s.events++;
}

/* The agent led its sites back; then its memory went. */
static void rmmod(void)
{
	agent.modules--;
	gone = agent.module[agent.modules].text;
	memset(fake_bytes(&f, gone), 0xf4, MODULE_SIZE);
	agent.s.events++;
}

static void start(enum engine_via via)
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

static void end(void)
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

static struct engine_status *status(void)
{
	engine_get_status(e, &st);
	return &st;
}

/* How many rows lie in [text, + MODULE_SIZE), of them promoted. */
static unsigned in_module(gva_t text, unsigned *promoted)
{
	unsigned n = 0;
	size_t i;

	*promoted = 0;
	status(); /* looks at what has happened */
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(e, &rows, &nrows, NULL), 0);
	CU_ASSERT_EQUAL(nrows, st.sites);
	for (i = 0; i < nrows; i++) {
		if (rows[i].site.addr - text >= MODULE_SIZE)
			continue;
		n++;
		*promoted += rows[i].patch.state == PATCH_PROMOTED;
		CU_ASSERT(rows[i].patch.state == PATCH_ORIGINAL ||
			  rows[i].patch.way == PATCH_WAY_AGENT);
	}
	free(rows);
	return n;
}

static int promote_named(gva_t text, unsigned n, enum engine_via via)
{
	uint32_t sites[IN_EACH];
	struct engine_promote q = {.sites = sites, .nsites = n, .via = via};
	unsigned i;

	status();
	for (i = 0; i < n; i++) {
		long at = site_find(&f.guest.sites, text + 64 * i + (text == MODULE ? 0 : 3));

		CU_ASSERT_FATAL(at >= SITES);
		sites[i] = (uint32_t)at;
	}
	engine_result_free(&res);
	memset(&err, 0, sizeof(err));
	return engine_promote(e, &q, &res, &err);
}

static void verified(unsigned sites)
{
	struct patch_verify v;

	CU_ASSERT_EQUAL(engine_verify(e, &v, &err), 0);
	CU_ASSERT_EQUAL(v.sites, sites);
	CU_ASSERT_EQUAL(v.agree, sites);
}

/* --- */

static void come_and_are_promoted(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	insmod(5, MODULE, "fat");
	insmod(9, MODULE + MODULE_SIZE, "vfat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE + MODULE_SIZE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules, 2);
	CU_ASSERT(agent.names == 2 * IN_EACH && named == 2 * IN_EACH);
	CU_ASSERT_EQUAL(st.agent.module_sites, 2 * IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules_left_alone + st.agent.module_sites_left, 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, IN_EACH);
	CU_ASSERT_EQUAL(st.promoted, IN_EACH);
	CU_ASSERT_EQUAL(st.pauses, 0);
	verified(SITES + 2 * IN_EACH);
	engine_result_free(&res);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
	verified(SITES + 2 * IN_EACH);
	CU_ASSERT_EQUAL(status()->agent.arena_used[0], 0);
	end();
}

static void even_one_goes_by_the_agent(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AUTO);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, 1, ENGINE_VIA_DEFAULT), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], 1);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 1);
	end();
}

static void never_by_the_host(void)
{
	unsigned promoted;

	start(ENGINE_VIA_HOST);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_HOST), 0);
	CU_ASSERT_EQUAL(res.applied, 0);
	CU_ASSERT_EQUAL_FATAL(res.count, 2); /* who named them hears why */
	CU_ASSERT(res.changes[0].result == PATCH_SKIPPED &&
		  res.changes[0].reason == PATCH_REASON_MODULE);
	CU_ASSERT_PTR_NOT_NULL(strstr(patch_reason_text(PATCH_REASON_MODULE), "--via agent"));
	CU_ASSERT_EQUAL(agent.pokes, 0);
	/* What the agent has promoted the host's way takes away from nobody. */
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_HOST), 0);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 2);
	end();
}

static unsigned journal_promoted(void)
{
	struct journal_summary s;

	CU_ASSERT_EQUAL_FATAL(journal_describe(journal, &s, &err), 0);
	return s.promoted;
}

static void go_with_their_module(void)
{
	unsigned promoted, blocks, reclaimed;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(journal_promoted(), IN_EACH);
	rmmod();
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(st.promoted + st.quarantined + st.learning, 0);
	CU_ASSERT_EQUAL(st.sites, SITES);
	CU_ASSERT_EQUAL(st.agent.modules, 0);
	CU_ASSERT_EQUAL(journal_promoted(), 0);
	verified(SITES);
	/* Its tracks are given back, after a grace period; law 4. */
	blocks = agent.blocks;
	reclaimed = agent.reclaims;
	CU_ASSERT(blocks >= 2 * IN_EACH);
	CU_ASSERT(st.agent.arena_used[0] > 0);
	engine_result_free(&res);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(agent.reclaims, reclaimed + 1);
	CU_ASSERT_EQUAL(status()->agent.arena_used[0], 0);
	end();
}

static void verify_notices_by_itself(void)
{
	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	rmmod();
	agent.s.events--; /* the event has not come yet */
	verified(SITES);
	CU_ASSERT_EQUAL(status()->quarantined, 0);
	end();
}

static void another_module_lies_there(void)
{
	unsigned promoted, i;

	start(ENGINE_VIA_AGENT);
	for (i = 0; i < 100; i++) {
		insmod(5 + i, MODULE, i % 2 ? "fat" : "vfat");
		CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
		CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
		rmmod();
		gone = 0;
		make_text(MODULE, 0);
	}
	insmod(5 + i, MODULE, "nls");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(f.guest.sites.count, SITES + IN_EACH);
	CU_ASSERT_EQUAL(st.quarantined, 0);
	verified(SITES + IN_EACH);
	end();
}

static void a_lost_agent_takes_them_along(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	agent.s.health = AGENT_LOST;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(st.promoted, 0);
	CU_ASSERT_EQUAL(journal_promoted(), 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	make_text(MODULE, 0); /* as its lease ends, or as it is asked below */
	agent.s.health = AGENT_ALIVE;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(agent.unpatched, 1); /* what it still led is in nobody's books */
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	make_text(MODULE, 0); /* it is unloaded and loaded: numbers begin anew */
	fake_agent_reborn();
	insmod(1, MODULE, "fat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	verified(SITES + IN_EACH);
	end();
}

/* Nobody has in his books that it leads sites; when it answers again it may do so all the same. */
static void what_a_lost_agent_may_have_done_is_undone(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	agent.lose = true;
	(void)promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT);
	CU_ASSERT_EQUAL(agent.nlate, IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	agent.lose = false;
	agent.s.health = AGENT_ALIVE;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(agent.unpatched, 1);
	end();
}

static void sites_of_a_module_that_cannot_be_read_count_nowhere(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	torn = MODULE;
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(status()->sites, SITES);
	CU_ASSERT(st.agent.modules_left_alone == 1 && st.agent.module_sites == 0);
	insmod(6, MODULE + MODULE_SIZE, "vfat");
	CU_ASSERT_EQUAL(in_module(MODULE + MODULE_SIZE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.sites, SITES + IN_EACH);
	verified(SITES + IN_EACH);
	end();
}

static void lies_are_left_alone(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, AGENT_CODE, "liar");
	insmod(6, MODULE, "fat");
	insmod(7, FAKE_BASE, "core");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.sites, SITES + IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules, 3);
	CU_ASSERT_EQUAL(st.agent.modules_left_alone, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(st.agent.module_trouble, "no module can be there"));
	end();
}

static void a_liar_is_not_asked(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AUTO);
	agent.s.hello.build_id[0] ^= 1; /* the agent of another kernel */
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(agent.lists, 0);
	agent.s.hello.build_id[0] ^= 1;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	agent.s.hello.build_id[0] ^= 1;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	end();
}

static void a_number_is_not_taken_for_another_site(void)
{
	uint32_t site;
	struct engine_promote q = {.sites = &site, .nsites = 1};

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	status();
	engine_hold_sites(e);
	site = (uint32_t)site_find(&f.guest.sites, MODULE);
	q.as_of = f.guest.sites.changes;
	engine_release_sites(e);
	rmmod();
	gone = 0;
	make_text(MODULE + MODULE_SIZE, 3);
	insmod(6, MODULE + MODULE_SIZE, "vfat"); /* in the same slots */
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), -EAGAIN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, q.as_of, &res, &err), -EAGAIN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, f.guest.sites.changes, &res, &err), 0);
	engine_result_free(&res);
	site = 0; /* in core text a number is for ever */
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, q.as_of, &res, &err), 0);
	site = SITES;
	rmmod();
	q.as_of = 0;
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), -EINVAL); /* no such site */
	CU_ASSERT_EQUAL(agent.pokes, 0);
	end();
}

/* The monitor dies; its journal speaks of a module that may be another one by now. */
static void a_later_monitor_takes_nothing_over(void)
{
	char left[80];
	struct patcher *later;
	struct journal_summary s;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	snprintf(left, sizeof(left), "%s.left", journal);
	unlink(left);
	CU_ASSERT_EQUAL_FATAL(link(journal, left), 0);
	unlink(journal);
	end();
	CU_ASSERT_EQUAL(journal_describe(left, &s, &err), 0);
	CU_ASSERT_EQUAL(s.promoted, IN_EACH); /* nobody said that they are back */
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, left, &later, &err), 0);
	CU_ASSERT_EQUAL(patch_count(later, PATCH_ORIGINAL), SITES);
	CU_ASSERT_EQUAL(patch_count(later, PATCH_QUARANTINED), 0);
	patcher_destroy(later);
	fake_free(&f);
	unlink(left);
}

static const struct suite_test tests[] = {
	{"sites come with a module and are promoted", come_and_are_promoted},
	{"even one goes by the agent", even_one_goes_by_the_agent},
	{"never by the host", never_by_the_host},
	{"sites go with their module", go_with_their_module},
	{"verify notices by itself", verify_notices_by_itself},
	{"another module lies there", another_module_lies_there},
	{"a lost agent takes them along", a_lost_agent_takes_them_along},
	{"what a lost agent may have done is undone", what_a_lost_agent_may_have_done_is_undone},
	{"sites of a module that cannot be read count nowhere",
	 sites_of_a_module_that_cannot_be_read_count_nowhere},
	{"a liar is not asked", a_liar_is_not_asked},
	{"lies are left alone", lies_are_left_alone},
	{"a later monitor takes nothing over", a_later_monitor_takes_nothing_over},
	{"a number is not taken for another site", a_number_is_not_taken_for_another_site},
};

SUITE_MAIN("engine modules", tests, 60)
