// SPDX-License-Identifier: GPL-2.0-only
/* The client of the in-guest agent, the test being the agent: the talk that goes well. */
#include <errno.h>
#include <pthread.h>

#include "fake_agent.h"
#include "suite.h"

#define MANY 600 /* sites: three messages */

static struct fake f;
static struct agent_state s;

static void up(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_open(&f, (struct agent_config){.lease_ms = 10000}), 0);
	CU_ASSERT_TRUE_FATAL(fake_until(&f, AGENT_ALIVE, &s));
}

static void test_hello(void)
{
	struct error err;

	CU_ASSERT_EQUAL_FATAL(
		fake_open(&f, (struct agent_config){.lease_ms = 7000, .policy = AGENT_LOST_KEEP}),
		0);
	f.no_hello = true;
	while (!f.hellos)
		fake_live(&f, 10);
	agent_get_state(f.agent, &s);
	CU_ASSERT(s.health == AGENT_ABSENT && s.generation == 0 && f.hellos == 1);
	CU_ASSERT_EQUAL(agent_ready(f.agent, &err), -ENOTCONN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hotrail_agent.ko"));
	f.no_hello = false;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s)); /* greeted again */
	CU_ASSERT(f.hellos == 2 && f.asked.lease_ms == 7000);
	CU_ASSERT(f.asked.policy == AGENT_LOST_KEEP && f.asked.host != 0);
	CU_ASSERT_EQUAL(s.generation, f.hello.instance);
	CU_ASSERT_EQUAL(s.greetings, 1);
	CU_ASSERT_STRING_EQUAL(s.hello.release, "6.1.0-99-cloud-amd64");
	CU_ASSERT_EQUAL(agent_ready(f.agent, &err), 0);
	CU_ASSERT_STRING_EQUAL(s.trouble, "");
	fake_close(&f);
}

static void test_refusing(void)
{
	struct agent_ping_reply ping = {.refusals = 0};
	struct error err;

	CU_ASSERT_EQUAL_FATAL(fake_open(&f, (struct agent_config){0}), 0);
	f.hello.refusals = AGENT_NO_LOCKDOWN | AGENT_NO_FINEIBT;
	f.hello.arena_code_size = f.hello.arena_data_size = 0;
	f.no_ping = true;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_REFUSING, &s));
	CU_ASSERT_EQUAL(agent_ready(f.agent, &err), -EPERM);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "locked down"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "FineIBT"));
	/* The reason went away: only a new greeting can say where the arena is. */
	while (f.h.type != AGENT_MSG_PING)
		CU_ASSERT_TRUE_FATAL(fake_frame(&f, 5000));
	fixture_hello_reply(&f.hello);
	fake_reply(&f, &ping, sizeof(ping));
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	CU_ASSERT_EQUAL(s.greetings, 2);
	fake_close(&f);
}

struct job {
	pthread_t thread;
	struct agent_poke poke[MANY];
	uint8_t status[MANY];
	size_t n;
	struct agent_poked done;
	struct error err;
	int ret;
};

static void *poke_job(void *job)
{
	struct job *j = job;

	j->ret = agent_poke(f.agent, AGENT_POKE_ONLY, j->poke, j->n, j->status, &j->done, &j->err);
	return NULL;
}

static void start(struct job *j, size_t n, uint64_t site)
{
	size_t i;

	memset(j, 0, sizeof(*j));
	j->n = n;
	for (i = 0; i < n; i++)
		j->poke[i] = (struct agent_poke){.site = site + 16 * i, .len = 5};
	CU_ASSERT_EQUAL_FATAL(pthread_create(&j->thread, NULL, poke_job, j), 0);
}

/* Answers the request taken last: each status is what the site's address says. */
static void answer_pokes(uint32_t count)
{
	static union wire_payload p;
	uint32_t i;

	p.pokes_reply = (struct agent_pokes_reply){.count = count, .rounds = 1, .ns = 1000};
	for (i = 0; i < count; i++)
		p.pokes_reply.status[i] = f.payload.pokes.poke[i].site >> 4 & 7;
	fake_reply(&f, &p, (uint32_t)sizeof(p.pokes_reply) + count);
}

static void check_job(struct job *j)
{
	size_t i, wrong = 0;

	pthread_join(j->thread, NULL);
	CU_ASSERT_EQUAL(j->ret, 0);
	for (i = 0; i < j->n; i++)
		wrong += j->status[i] != (j->poke[i].site >> 4 & 7);
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_pokes(void)
{
	static const uint32_t counts[] = {256, 256, 88};
	static struct job j;
	unsigned i;

	up();
	start(&j, MANY, FIXTURE_SITE);
	for (i = 0; i < 3; i++) {
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
		CU_ASSERT_EQUAL(f.payload.pokes.count, counts[i]);
		CU_ASSERT_EQUAL(f.payload.pokes.poke[0].site, FIXTURE_SITE + 16 * 256 * i);
		answer_pokes(counts[i]);
	}
	check_job(&j);
	CU_ASSERT(j.done.rounds == 3 && j.done.ns == 3000);
	fake_close(&f);
}

/* Four ask at once and are answered last first. */
static void test_out_of_order(void)
{
	static struct job jobs[4];
	static struct fake taken[4];
	int i;

	up();
	for (i = 0; i < 4; i++)
		start(&jobs[i], 10 + (size_t)i, FIXTURE_SITE + 0x10000 * (uint64_t)i);
	for (i = 0; i < 4; i++) {
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
		taken[i] = f;
	}
	for (i = 3; i >= 0; i--) {
		f.h = taken[i].h;
		f.payload = taken[i].payload;
		answer_pokes(f.payload.pokes.count);
	}
	for (i = 0; i < 4; i++)
		check_job(&jobs[i]);
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.bad, 0);
	fake_close(&f);
}

/* --- every other request, against the fixtures --- */

static int failures;

static void *ask_all(void *unused)
{
	struct agent_block block = {.offset = 0x120, .len = 48};
	struct agent_range ranges[4];
	struct agent_module modules[2];
	const uint64_t addr[] = {0xffffffffc0200040ull, 0xffffffffc0201000ull};
	struct agent_function functions[2];
	struct agent_counted counted;
	struct agent_unpatch_reply undone;
	uint32_t table = 0x300;
	uint8_t status[2] = {9, 9}, text[6];
	struct agent_poke pokes[2] = {{.site = 1}, {.site = 2}};
	size_t n = 4;

	failures += agent_write_blocks(f.agent, &block, 1, status, NULL) != 0;
	failures += status[0] != AGENT_OK;
	failures += agent_poke(f.agent, AGENT_POKE_LEARN_START, pokes, 2, status, NULL, NULL) != 0;
	failures += status[1] != AGENT_MISMATCH;
	failures += agent_poke(f.agent, AGENT_POKE_LEARN_STOP, pokes, 2, status, NULL, NULL) != 0;
	failures += agent_read_tables(f.agent, &table, 1, &counted, NULL) != 0;
	failures += counted.slot[1].count != 100;
	failures += agent_read_text(f.agent, FIXTURE_SITE, text, 6, NULL) != 0;
	failures += text[0] != 0x2e;
	failures += agent_list_protected(f.agent, ranges, &n, NULL) != 0 || n != 2;
	n = 2;
	failures += agent_list_modules(f.agent, modules, &n, NULL) != 0 || n != 2;
	failures += strcmp(modules[1].name, "nf_tables") != 0 || modules[1].id != 8;
	n = 1;
	failures += agent_list_modules(f.agent, modules, &n, NULL) != -ENOSPC || n != 1;
	n = 0;
	failures += agent_list_modules(f.agent, modules, &n, NULL) != -ENOSPC || n != 0;
	failures += agent_name_functions(f.agent, addr, 2, functions, NULL) != 0;
	failures += strcmp(functions[0].name, "nft_do_chain") != 0 || functions[1].start != 0;
	failures += agent_grace(f.agent, NULL) != 0;
	failures += agent_reclaim(f.agent, &block, 1, status, NULL) != 0;
	failures += agent_unpatch_all(f.agent, &undone, NULL) != 0 || undone.undone != 40;
	return NULL;
}

static void answer(uint16_t type)
{
	union wire_payload p = {.bytes = {0}};
	uint32_t len = fixture_answered(type, &p);

	CU_ASSERT_TRUE_FATAL(fake_take(&f, type));
	if (type == AGENT_MSG_PROTECTED) /* two in all, one a message */
		p.protect_reply.total = 2;
	if (type == AGENT_MSG_MODULES) { /* the same: 7 and 8 */
		p.modules_reply.total = f.payload.modules.after ? 1 : 2;
		p.modules_reply.module[0].id += f.payload.modules.after != 0;
	}
	if (type == AGENT_MSG_ARENA_WRITE || type == AGENT_MSG_RECLAIM) {
		p.statuses.count = 1;
		len--;
	}
	fake_reply(&f, &p, len);
}

static void test_requests(void)
{
	static const uint16_t types[] = {
		AGENT_MSG_ARENA_WRITE, AGENT_MSG_LEARN_START, AGENT_MSG_LEARN_STOP,
		AGENT_MSG_COUNTERS,    AGENT_MSG_READ_TEXT,   AGENT_MSG_PROTECTED,
		AGENT_MSG_PROTECTED,   AGENT_MSG_MODULES,     AGENT_MSG_MODULES,
		AGENT_MSG_MODULES,     AGENT_MSG_MODULES,     AGENT_MSG_NAMES,
		AGENT_MSG_GRACE,       AGENT_MSG_RECLAIM,     AGENT_MSG_UNPATCH_ALL,
	};
	pthread_t thread;
	size_t i;

	up();
	failures = 0;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask_all, NULL), 0);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		answer(types[i]);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(failures, 0);
	fake_close(&f);
}

/* --- staying in touch --- */

static void test_ping(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_open(&f, (struct agent_config){.lease_ms = 600}), 0);
	f.hello.pokes = 11;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	fake_live(&f, 1500);
	agent_get_state(f.agent, &s);
	/* One at once, then one each 200 ms; a busy machine may be late. */
	CU_ASSERT(f.pings >= 3 && f.pings <= 10);
	CU_ASSERT(s.ping.uptime_ms + 1 >= f.pings && s.ping.pokes == 11);
	CU_ASSERT_EQUAL(s.health, AGENT_ALIVE);
	fake_close(&f);
}

static void *grace_job(void *ret)
{
	*(int *)ret = agent_grace(f.agent, NULL);
	return NULL;
}

/* A grace period may take its time; requests and pings behind it wait for it. */
static void test_grace_takes_long(void)
{
	static struct job j;
	struct fake grace;
	pthread_t thread;
	int ret = 1;

	CU_ASSERT_EQUAL_FATAL(
		fake_open(&f, (struct agent_config){.lease_ms = 900, .patience_ms = 300}), 0);
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, grace_job, &ret), 0);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_GRACE));
	grace = f;
	start(&j, 3, FIXTURE_SITE);
	clock_sleep_ms(800);
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.health, AGENT_ALIVE);
	fake_reply(&grace, NULL, 0);
	CU_ASSERT_TRUE(fake_take(&f, AGENT_MSG_POKE));
	answer_pokes(3);
	pthread_join(thread, NULL);
	check_job(&j);
	CU_ASSERT_EQUAL(ret, 0);
	fake_close(&f);
}

static unsigned modules_seen, conflicts_seen;

static void on_module(void *ctx, const struct agent_module *m)
{
	__atomic_fetch_add(&modules_seen, !strcmp(m->name, "nf_tables"), __ATOMIC_SEQ_CST);
}

static void on_conflict(void *ctx, const struct agent_conflict *c)
{
	__atomic_fetch_add(&conflicts_seen, c->site == FIXTURE_SITE, __ATOMIC_SEQ_CST);
}

static void test_events(void)
{
	struct agent_config c = {.events = {.module = on_module, .conflict = on_conflict}};
	unsigned i;

	modules_seen = conflicts_seen = 0;
	CU_ASSERT_EQUAL_FATAL(fake_open(&f, c), 0);
	fake_event(&f, AGENT_MSG_MODULE_STATE); /* before the greeting: of an earlier talk */
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	for (i = 0; i < 500; i++)
		fake_event(&f, AGENT_MSG_MODULE_STATE);
	f.event_seq += 3; /* these were lost */
	fake_event(&f, AGENT_MSG_CONFLICT);
	for (i = 0; i < 100 && !__atomic_load_n(&conflicts_seen, __ATOMIC_SEQ_CST); i++)
		fake_live(&f, 20);
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(modules_seen, 500);
	CU_ASSERT_EQUAL(conflicts_seen, 1);
	CU_ASSERT(s.events == 502 && s.events_lost == 3 && s.bad == 0);
	CU_ASSERT_EQUAL(s.health, AGENT_ALIVE);
	fake_close(&f);
}

/* The host's end closes and is opened again over the same socket, with bytes left from before. */
static void test_host_again(void)
{
	struct agent_config c = {.fd = -1};
	uint64_t host;

	up();
	host = f.asked.host;
	agent_close(f.agent);
	fake_event(&f, AGENT_MSG_MODULE_STATE);
	fake_say(&f, AGENT_MSG_PING | AGENT_REPLY, f.hello_seq + 1, &(struct agent_ping_reply){0},
		 sizeof(struct agent_ping_reply));
	fake_raw(&f, "HTRL half a frame", 17);
	c.fd = f.client_fd;
	c.patience_ms = 1000;
	CU_ASSERT_EQUAL_FATAL(agent_open(&c, &f.agent, NULL), 0);
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	CU_ASSERT_NOT_EQUAL(f.asked.host, host);
	CU_ASSERT_EQUAL(s.greetings, 1);
	fake_close(&f);
}

static const struct suite_test tests[] = {
	{"hello until it is answered", test_hello},
	{"a guest in which nothing may be patched", test_refusing},
	{"many sites in several messages", test_pokes},
	{"answers in another order", test_out_of_order},
	{"every request", test_requests},
	{"pings", test_ping},
	{"a grace period takes long", test_grace_takes_long},
	{"events", test_events},
	{"a host that closes and comes back", test_host_again},
};
SUITE_MAIN("agent_client", tests, 120)
