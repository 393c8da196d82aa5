/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An agent inside the fake target `f` of patcher_fixture.h: what vmm/agent offers, answered on the
 * spot and by the rules of the protocol. Stands in for the client when the program is linked.
 */
#ifndef HOTRAIL_TESTS_PATCH_AGENT_FIXTURE_H
#define HOTRAIL_TESTS_PATCH_AGENT_FIXTURE_H

#include "agent/agent.h"
#include "patch/patcher.h"
#include "patcher_fixture.h"
#include "x86/decode.h"

#define AGENT_CODE	(FAKE_BASE + FAKE_AGENT)
#define AGENT_CODE_SIZE 0x4000u
#define AGENT_DATA	(AGENT_CODE + 0x8000)
#define AGENT_DATA_SIZE 0x8000u
#define AGENT_CPUS	4u
#define AGENT_STRIDE	0x1000u

struct agent {
	struct agent_state s;
	uint8_t taken[AGENT_CODE_SIZE / 16]; /* by a block; 2 = it begins here */
	unsigned pokes, blocks, reclaims, learn_starts, learn_stops;
	unsigned messages, longest; /* of pokes; sites in the longest */
	/* The next poke message: this many are done, then nobody answers. */
	bool lose;
	unsigned lose_after;
	struct agent_poke late[SITES]; /* what was not done then */
	size_t nlate;
	uint8_t status; /* not AGENT_OK: the answer for all that comes */
	bool lie;	/* says OK and does nothing */
	bool keep_blocks;
	struct agent_module module[4]; /* ascending by id */
	size_t modules;
	unsigned lists, unpatched, names; /* asked so often */
	/* Pairs that are declared to it, and the one program they may lead to. */
	struct pair pair[2];
	unsigned npairs, leads;
	uint64_t programs[2];
	bool lead_late; /* it does what it is asked, and nobody hears of it */
};

static struct agent agent;

static inline void fake_agent_init(void)
{
	memset(&agent, 0, sizeof(agent));
	memset(fake_bytes(&f, AGENT_CODE), 0xcc, AGENT_CODE_SIZE);
	memset(fake_bytes(&f, AGENT_DATA), 0xa5, AGENT_DATA_SIZE);
	agent.s.health = AGENT_ALIVE;
	agent.s.generation = 77;
	agent.s.greetings = 1;
	agent.s.hello = (struct agent_hello_reply){
		.features = AGENT_CAN_BATCH | AGENT_CAN_RECLAIM | AGENT_CAN_PER_CPU,
		.instance = 77,
		.text_start = FAKE_BASE,
		.text_end = FAKE_BASE + FAKE_TEXT,
		.arena_code = AGENT_CODE,
		.arena_data = AGENT_DATA,
		.arena_code_size = AGENT_CODE_SIZE,
		.arena_data_size = AGENT_DATA_SIZE,
		.cpu_disp = 0x1234,
		.cpus = AGENT_CPUS,
		.table_stride = AGENT_STRIDE,
		.build_id_len = 20,
	};
	memset(agent.s.hello.build_id, 0x42, sizeof(agent.s.hello.build_id));
}

/* The module was unloaded, which led everything back, and loaded again. */
static inline void fake_agent_reborn(void)
{
	uint64_t generation = agent.s.generation + 1;
	unsigned i;

	for (i = 0; i < SITES; i++)
		memcpy(site_bytes(i), f.guest.sites.sites[i].bytes, f.guest.sites.sites[i].len);
	fake_agent_init();
	agent.s.generation = generation;
}

void agent_get_state(struct agent *a, struct agent_state *s)
{
	*s = a->s;
}

const char *agent_health_text(enum agent_health h)
{
	static const char *const text[] = {"absent", "alive", "refusing", "lost"};

	return text[h];
}

int agent_ready(struct agent *a, struct error *e)
{
	if (a->s.health == AGENT_LOST)
		return error_set(e, HOTRAIL_EXIT_BUSY, -ENOTCONN, "lost");
	if (a->s.health == AGENT_REFUSING)
		return error_set(e, HOTRAIL_EXIT_REFUSED, -EPERM, "refuses");
	return 0;
}

static inline bool fake_agent_may_lead_to(struct agent *a, uint64_t site, const uint8_t *new,
					  size_t len)
{
	struct x86_insn in;
	long i = site_find(&f.guest.sites, site);

	CU_ASSERT_FATAL(i >= 0);
	if (!memcmp(new, f.guest.sites.sites[i].bytes, len))
		return true;
	return !x86_decode(new, len, site, &in) && in.target - AGENT_CODE < AGENT_CODE_SIZE &&
	       a->taken[(in.target - AGENT_CODE) / 16] == 2;
}

static inline uint8_t fake_agent_poke_one(struct agent *a, enum agent_poking how,
					  const struct agent_poke *k)
{
	uint8_t *at = fake_bytes(&f, k->site);
	unsigned c;

	if (a->status)
		return a->status;
	if (a->lie)
		return AGENT_OK;
	if (at[0] == 0xcc || at[k->len - 5] == 0xcc)
		return AGENT_BUSY;
	if (memcmp(at, k->old, k->len))
		return AGENT_MISMATCH;
	if (memcmp(k->old, k->new, k->len - 4u))
		return AGENT_OPCODE;
	if (!fake_agent_may_lead_to(a, k->site, k->new, k->len))
		return AGENT_TARGET;
	if (how == AGENT_POKE_LEARN_START)
		for (c = 0; c < AGENT_CPUS; c++)
			memset(fake_bytes(&f, AGENT_DATA + c * AGENT_STRIDE + k->table), 0,
			       sizeof(struct track_learn_table));
	memcpy(at, k->new, k->len);
	return AGENT_OK;
}

int agent_poke(struct agent *a, enum agent_poking how, const struct agent_poke *pokes, size_t n,
	       uint8_t *status, struct agent_poked *done, struct error *e)
{
	size_t i;

	memset(status, AGENT_STATUSES, n);
	if (a->s.health != AGENT_ALIVE)
		return error_set(e, HOTRAIL_EXIT_BUSY, -ENOTCONN, "lost");
	a->messages++;
	if (n > a->longest)
		a->longest = (unsigned)n;
	a->learn_starts += how == AGENT_POKE_LEARN_START ? n : 0;
	a->learn_stops += how == AGENT_POKE_LEARN_STOP ? n : 0;
	for (i = 0; i < n; i++) {
		CU_ASSERT(!i || pokes[i].site > pokes[i - 1].site);
		CU_ASSERT_EQUAL(f.paused, false);
		if (a->lose && i == a->lose_after) {
			a->s.health = AGENT_LOST;
			memcpy(a->late, pokes + i, (n - i) * sizeof(*pokes));
			a->nlate = n - i;
			memset(status, AGENT_STATUSES, n); /* no answer came at all */
			return error_set(e, HOTRAIL_EXIT_BUSY, -ETIMEDOUT, "no answer");
		}
		status[i] = fake_agent_poke_one(a, how, &pokes[i]);
		a->pokes++;
	}
	done->ns += n * 1000;
	done->rounds++;
	return 0;
}

/* What was on its way when the host gave up arrives now, and the agent is greeted again. */
static inline void fake_agent_late(void)
{
	size_t i;

	for (i = 0; i < agent.nlate; i++)
		CU_ASSERT_EQUAL(fake_agent_poke_one(&agent, AGENT_POKE_ONLY, &agent.late[i]),
				AGENT_OK);
	agent.nlate = 0;
	agent.lose = false;
	agent.s.health = AGENT_ALIVE;
	agent.s.greetings++;
}

int agent_write_blocks(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		       struct error *e)
{
	size_t i, at;

	memset(status, AGENT_STATUSES, n);
	if (a->s.health != AGENT_ALIVE)
		return error_set(e, HOTRAIL_EXIT_BUSY, -ENOTCONN, "lost");
	for (i = 0; i < n; i++) {
		size_t first = blocks[i].offset / 16,
		       last = (blocks[i].offset + blocks[i].len - 1) / 16;

		status[i] = AGENT_OK;
		if (blocks[i].offset % 16 || last >= sizeof(a->taken))
			status[i] = AGENT_RANGE;
		for (at = first; !status[i] && at <= last; at++)
			if (a->taken[at])
				status[i] = AGENT_RANGE;
		if (status[i] || a->lie)
			continue;
		memset(a->taken + first, 1, last - first + 1);
		a->taken[first] = 2;
		memcpy(fake_bytes(&f, AGENT_CODE + blocks[i].offset), blocks[i].bytes,
		       blocks[i].len);
		a->blocks++;
	}
	return 0;
}

static inline bool fake_agent_led_to(uint64_t block)
{
	struct x86_insn in;
	unsigned i;

	for (i = 0; i < f.guest.sites.count; i++)
		if (site_is_there(&f.guest.sites, i) &&
		    !x86_decode(site_bytes(i), f.guest.sites.sites[i].len,
				f.guest.sites.sites[i].addr, &in) &&
		    in.target == block)
			return true;
	return false;
}

int agent_reclaim(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		  struct error *e)
{
	size_t i;

	(void)e;
	a->reclaims++;
	for (i = 0; i < n; i++) {
		size_t first = blocks[i].offset / 16,
		       last = (blocks[i].offset + blocks[i].len - 1) / 16;

		status[i] = a->keep_blocks				       ? AGENT_IN_USE
			    : last >= sizeof(a->taken)			       ? AGENT_RANGE
			    : a->taken[first] != 2			       ? AGENT_RANGE
			    : fake_agent_led_to(AGENT_CODE + blocks[i].offset) ? AGENT_IN_USE
									       : AGENT_OK;
		if (status[i])
			continue;
		memset(a->taken + first, 0, last - first + 1);
		memset(fake_bytes(&f, AGENT_CODE + first * 16), 0xcc, (last - first + 1) * 16);
	}
	return 0;
}

int agent_grace(struct agent *a, struct error *e)
{
	(void)e;
	return a->s.health == AGENT_ALIVE ? 0 : -ENOTCONN;
}

int agent_read_tables(struct agent *a, const uint32_t *tables, size_t n, struct agent_counted *out,
		      struct error *e)
{
	struct track_learn_table all = {0}, one;
	unsigned c, i;

	(void)a;
	(void)e;
	CU_ASSERT_EQUAL(n, 1);
	for (c = 0; c < AGENT_CPUS; c++) {
		memcpy(&one, fake_bytes(&f, AGENT_DATA + c * AGENT_STRIDE + tables[0]),
		       sizeof(one));
		track_learn_add(&all, &one);
	}
	*out = (struct agent_counted){.table = tables[0], .other = all.other};
	for (i = 0; i < TRACK_LEARN_SLOTS && all.slot[i].target; i++) {
		out->slot[i].target = all.slot[i].target;
		out->slot[i].count = all.slot[i].count;
		out->used++;
	}
	return 0;
}

int agent_read_text(struct agent *a, uint64_t addr, void *buf, size_t len, struct error *e)
{
	(void)e;
	if (a->s.health != AGENT_ALIVE || !fake_range(addr, len))
		return -ENOTCONN;
	memcpy(buf, fake_bytes(&f, addr), len);
	return 0;
}

int agent_list_modules(struct agent *a, struct agent_module *out, size_t *n, struct error *e)
{
	(void)e;
	CU_ASSERT(*n >= a->modules);
	a->lists++;
	if (a->s.health != AGENT_ALIVE)
		return error_set(e, HOTRAIL_EXIT_BUSY, -ENOTCONN, "lost");
	memcpy(out, a->module, a->modules * sizeof(*out));
	*n = a->modules;
	return 0;
}

/* Every 64 bytes of a module are a function. */
int agent_name_functions(struct agent *a, const uint64_t *addr, size_t n,
			 struct agent_function *out, struct error *e)
{
	size_t i;

	(void)e;
	for (i = 0; i < n; i++) {
		out[i] = (struct agent_function){.start = addr[i] & ~63ull, .size = 64};
		snprintf(out[i].name, sizeof(out[i].name), "f_%x", (unsigned)out[i].start & 0xfff);
	}
	a->names += (unsigned)n;
	return 0;
}

int agent_unpatch_all(struct agent *a, struct agent_unpatch_reply *r, struct error *e)
{
	(void)e;
	a->unpatched++;
	*r = (struct agent_unpatch_reply){0};
	return a->s.health == AGENT_ALIVE ? 0 : -ENOTCONN;
}

static inline enum pair_state fake_pair(const struct pair *q, uint64_t *program)
{
	return pair_classify(q, fake_bytes(&f, q->bypass), fake_bytes(&f, q->target), program);
}

static inline uint8_t fake_agent_lead_one(struct agent *a, const struct agent_lead *l)
{
	struct pair_step step[PAIR_MAX_STEPS];
	enum pair_state state;
	uint64_t program;
	unsigned i, n, s;

	for (i = 0; i < a->npairs && a->pair[i].target != l->target; i++)
		;
	if (i == a->npairs)
		return AGENT_NO_PAIR;
	if (a->status)
		return a->status;
	if (l->to && l->to != a->programs[0] && l->to != a->programs[1])
		return AGENT_TARGET;
	state = fake_pair(&a->pair[i], &program);
	if (state == PAIR_BUSY)
		return AGENT_BUSY;
	if (state > PAIR_BUSY || program != l->from)
		return AGENT_MISMATCH;
	n = a->lie ? 0 : pair_plan(&a->pair[i], state, program, l->to, step);
	for (s = 0; s < n; s++)
		if (step[s].kind != PAIR_GRACE)
			memcpy(fake_bytes(&f, step[s].kind == PAIR_POKE_TARGET ? a->pair[i].target
									       : a->pair[i].bypass),
			       step[s].new, PAIR_SLOT);
	return AGENT_OK;
}

int agent_lead_pairs(struct agent *a, const struct agent_lead *leads, size_t n, uint8_t *status,
		     struct agent_poked *done, struct error *e)
{
	size_t i;

	(void)done;
	memset(status, AGENT_STATUSES, n);
	if (a->s.health != AGENT_ALIVE)
		return error_set(e, HOTRAIL_EXIT_BUSY, -ENOTCONN, "lost");
	for (i = 0; i < n; i++, a->leads++)
		status[i] = fake_agent_lead_one(a, &leads[i]);
	if (!a->lead_late)
		return 0;
	memset(status, AGENT_STATUSES, n);
	return error_set(e, HOTRAIL_EXIT_BUSY, -ETIMEDOUT, "no answer");
}

const char *agent_status_text(enum agent_status status)
{
	return status == AGENT_NO_PAIR ? "no pair" : "some status";
}

/* --- a patcher with both ways --- */

static inline void begin(void)
{
	setup();
	fake_agent_init();
	CU_ASSERT_EQUAL_FATAL(patch_use_agent(p, &agent, &err), 0);
}

static inline struct patch_request by(enum patch_way way, uint32_t site)
{
	struct patch_request q = promote(site);

	q.way = way;
	return q;
}

static inline struct patch_request back(uint32_t site)
{
	return (struct patch_request){.site = site};
}

static inline gva_t leads_to(uint32_t site)
{
	const struct site *s = &f.guest.sites.sites[site];
	struct x86_insn in = {0};

	CU_ASSERT_EQUAL(x86_decode(site_bytes(site), s->len, s->addr, &in), 0);
	return in.target;
}

static inline bool in_agents(gva_t at)
{
	return at - AGENT_CODE < AGENT_CODE_SIZE;
}

static inline int promote_all(enum patch_way way, unsigned from, unsigned n)
{
	struct patch_request q[SITES];
	unsigned i;

	for (i = 0; i < n; i++)
		q[i] = by(way, from + i);
	return apply(q, n);
}

static inline int demote_all(unsigned from, unsigned n)
{
	struct patch_request q[SITES];
	unsigned i;

	for (i = 0; i < n; i++)
		q[i] = back(from + i);
	return apply(q, n);
}

static inline bool clean(void)
{
	struct patch_verify v;

	CU_ASSERT_EQUAL(patch_verify(p, &v, NULL), 0);
	return v.agree == SITES;
}

#endif
