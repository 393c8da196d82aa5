// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-guest agent for real: an unmodified Debian kernel, the module, its relay and our engine,
 * while nginx and redis work, another process changes the kernel's text all the time, and a module
 * comes and goes. $HOTRAIL_CYCLES for more rounds (make check-agent).
 */
#include "programs.h"

#include <errno.h>

#define CYCLES	     10
#define CHURNS	     2
#define ALIVE_MS     60000
#define MODULE_MS    60000
#define STORM_SITES  4
#define MODULE_SITES 512
#define WHOLE_EACH   10 /* comings of the module; then the whole kernel is learned again */

static unsigned asked_cycles;

static unsigned cycles(unsigned few, unsigned divisor)
{
	return asked_cycles ? (asked_cycles + divisor - 1) / divisor : few;
}

static bool wait_health(enum agent_health wanted, unsigned ms)
{
	uint64_t until = clock_ns() + ms * 1000000ull;
	struct agent_state s;

	do {
		agent_get_state(g.agent.agent, &s);
		if (s.health == wanted)
			return true;
		clock_sleep_ms(50);
	} while (clock_ns() < until);
	printf("    the agent is %s, not %s: %s\n", agent_health_text(s.health),
	       agent_health_text(wanted), s.trouble);
	return false;
}

static void create_engine(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .sampler = "timer"};
	struct error err = {0};
	int ret;

	c.agent = g.agent.agent;
	ret = engine_create(g.guest, &c, &e, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

static void comes_alive(void)
{
	struct error err = {0};
	struct agent_state s;

	open_programs();
	CU_ASSERT_EQUAL(agent_ready(g.agent.agent, &err), -ENOTCONN);
	CU_ASSERT_EQUAL_FATAL(tell("agent"), 0);
	CU_ASSERT_TRUE_FATAL(wait_health(AGENT_ALIVE, ALIVE_MS));
	agent_get_state(g.agent.agent, &s);
	CU_ASSERT_EQUAL(s.hello.refusals, 0);
	CU_ASSERT_EQUAL(s.hello.pokes, 0);
	CU_ASSERT_STRING_EQUAL(s.hello.release, g.kernel->release);
	CU_ASSERT_EQUAL(agent_ready(g.agent.agent, &err), 0);
	printf("    agent of %s: features %#x, arena %u + %u KiB\n", s.hello.release,
	       s.hello.features, s.hello.arena_code_size >> 10, s.hello.arena_data_size >> 10);
	create_engine();
}

static void promotes_under_load(void)
{
	struct engine_status s;
	unsigned i, applied = 0;

	go_on();
	CU_ASSERT_EQUAL(tell("start redis"), 0);
	for (i = 0; i < 12; i++)
		applied += promote(ENGINE_VIA_AGENT);
	engine_get_status(e, &s);
	printf("    promoted %u (host %u, agent %u), coverage %.3f, pauses %u\n", s.promoted,
	       s.promoted_by[PATCH_WAY_HOST], s.promoted_by[PATCH_WAY_AGENT], s.coverage, s.pauses);
	CU_ASSERT_TRUE(applied >= 20);
	CU_ASSERT_TRUE(s.promoted_by[PATCH_WAY_AGENT] >= 20);
	CU_ASSERT_EQUAL(s.promoted_by[PATCH_WAY_HOST], 0);
	CU_ASSERT_EQUAL(s.pauses, 0); /* no vCPU was stopped by the host */
	CU_ASSERT_EQUAL(s.quarantined, 0);
	verified("promoted by the agent");
	CU_ASSERT_EQUAL(tell("run nginx 2"), 0);
}

/* Sites in the text of the modules that come and go; returns how many, *promoted of them. */
static unsigned module_sites(uint32_t sites[MODULE_SITES], unsigned *promoted)
{
	struct engine_row *rows;
	unsigned found = 0;
	size_t n, i;

	*promoted = 0;
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(e, &rows, &n, NULL), 0);
	for (i = 0; i < n && found < MODULE_SITES; i++) {
		const char *in = rows[i].subsystem;

		if (strcmp(in, "fat") && strcmp(in, "vfat") && strcmp(in, "loop"))
			continue;
		CU_ASSERT_TRUE(rows[i].site.addr >= 0xffffffffc0000000ull);
		sites[found++] = rows[i].index;
		if (rows[i].patch.state != PATCH_PROMOTED)
			continue;
		CU_ASSERT_EQUAL(rows[i].patch.way, PATCH_WAY_AGENT);
		printf("    %s to %s, %llu calls/s\n", rows[i].name, rows[i].edges[0].name,
		       (unsigned long long)rows[i].calls);
		++*promoted;
	}
	free(rows);
	return found;
}

/* While the module works: those of its sites that are called. */
static void promote_in_module(void)
{
	uint32_t sites[MODULE_SITES];
	struct engine_promote p = {.sites = sites, .via = ENGINE_VIA_AGENT};
	unsigned promoted = 0, turn, tries = 0;
	struct error err = {0};
	struct engine_result r;

	for (turn = 0; turn < TRIES && !promoted; turn++) {
		p.nsites = module_sites(sites, &promoted);
		CU_ASSERT_TRUE_FATAL(p.nsites > 0);
		while (again(engine_promote(e, &p, &r, &err), &err, &tries))
			;
		engine_result_free(&r);
		module_sites(sites, &promoted);
	}
	printf("    %u of %zu sites in the module promoted after %u turns\n", promoted, p.nsites,
	       turn);
	CU_ASSERT_TRUE(promoted > 0);
	verified("promoted in the module");
}

/* Whatever is promoted in a module or leads to its functions is led back before it leaves. */
static void a_module_comes_and_goes(void)
{
	unsigned count = cycles(CHURNS, 10), i, promoted;
	uint32_t sites[MODULE_SITES];
	struct engine_status s;

	go_on();
	for (i = 0; i < count; i++) {
		CU_ASSERT_EQUAL(tell("module-in"), 0);
		if (i % WHOLE_EACH == 0)
			promote(ENGINE_VIA_AGENT);
		promote_in_module();
		engine_get_status(e, &s);
		CU_ASSERT_TRUE(s.promoted > 0);
		CU_ASSERT_EQUAL(tell("module-out"), 0);
		verified("without the module");
		CU_ASSERT_EQUAL(module_sites(sites, &promoted), 0);
	}
	CU_ASSERT_EQUAL(tell("dmesg-check"), 0);
}

/* Some promoted places, for probes to be put on. */
static void storm_on_promoted(void)
{
	struct engine_row *rows;
	char command[120]; /* what linux_console_ask() takes */
	size_t n, i, len;
	unsigned sites = 0;

	CU_ASSERT_EQUAL_FATAL(engine_get_rows(e, &rows, &n, NULL), 0);
	len = (size_t)snprintf(command, sizeof(command), "storm probes+returns+tracer+keys");
	for (i = 0; i < n && sites < STORM_SITES; i++) {
		/* Half of them on the very call, half on the function's entry. */
		size_t room = sizeof(command) - len, cut = strcspn(rows[i].name, "+"),
		       want = sites % 2 ? cut : strlen(rows[i].name);

		if (rows[i].patch.state != PATCH_PROMOTED || want + 2 > room ||
		    strchr(rows[i].name, '['))
			continue;
		len += (size_t)snprintf(command + len, room, " %.*s", (int)want, rows[i].name);
		sites++;
	}
	free(rows);
	printf("    %s\n", command);
	CU_ASSERT_TRUE(sites > 0);
	CU_ASSERT_EQUAL(tell(command), 0);
}

/* Promoted from a profile, compared, led back, compared. */
static bool cycle(const struct profile *profile, enum engine_via via, unsigned by[PATCH_WAYS])
{
	struct engine_result r;
	struct error err = {0};
	unsigned tries = 0, failures = CU_get_number_of_failures();

	while (again(engine_warm(e, profile, via, &r, &err), &err, &tries))
		;
	by[PATCH_WAY_HOST] += r.by[PATCH_WAY_HOST];
	by[PATCH_WAY_AGENT] += r.by[PATCH_WAY_AGENT];
	engine_result_free(&r);
	verified("promoted");
	demote_all(true);
	verified("demoted");
	return CU_get_number_of_failures() == failures;
}

/* `count` cycles, each by the next way of two. */
static void cycles_by(const struct profile *profile, enum engine_via first, enum engine_via second,
		      unsigned count, unsigned by[PATCH_WAYS])
{
	uint64_t begin = clock_ns();
	unsigned i;

	memset(by, 0, PATCH_WAYS * sizeof(*by));
	for (i = 0; i < count && cycle(profile, i % 2 ? second : first, by); i++)
		if (i % 100 == 50) {
			printf("    cycle %u, %.1f s: %u promotions by the host, %u by the agent\n",
			       i, (clock_ns() - begin) / 1e9, by[PATCH_WAY_HOST],
			       by[PATCH_WAY_AGENT]);
			CU_ASSERT_EQUAL(tell("run nginx 2"), 0);
		}
	printf("    %u cycles: %u promotions by the host, %u by the agent in %.1f s\n", i,
	       by[PATCH_WAY_HOST], by[PATCH_WAY_AGENT], (clock_ns() - begin) / 1e9);
	CU_ASSERT_EQUAL_FATAL(i, count);
}

static void cycles_by_agent_and_host(void)
{
	unsigned count = cycles(CYCLES, 1), by[PATCH_WAYS];
	struct profile *profile;

	go_on();
	CU_ASSERT_EQUAL_FATAL(engine_profile(e, &profile, NULL), 0);
	storm_on_promoted();
	demote_all(true);
	cycles_by(profile, ENGINE_VIA_AGENT, ENGINE_VIA_AGENT, count, by);
	CU_ASSERT_TRUE(by[PATCH_WAY_AGENT] >= 10 * count);
	CU_ASSERT_EQUAL(by[PATCH_WAY_HOST], 0);
	cycles_by(profile, ENGINE_VIA_HOST, ENGINE_VIA_AGENT, count, by);
	CU_ASSERT_TRUE(by[PATCH_WAY_HOST] > 0 && by[PATCH_WAY_AGENT] > 0);
	profile_free(profile);
	CU_ASSERT_EQUAL(tell("calm"), 0);
	CU_ASSERT_EQUAL(tell("run nginx 2"), 0);
	CU_ASSERT_EQUAL(tell("run redis 2"), 0);
	CU_ASSERT_EQUAL(tell("dmesg-check"), 0);
}

static bool wait_promoted(unsigned wanted, unsigned ms)
{
	uint64_t until = clock_ns() + ms * 1000000ull;
	struct engine_status s;

	do {
		engine_get_status(e, &s);
		if (s.promoted == wanted)
			return true;
		clock_sleep_ms(100);
	} while (clock_ns() < until);
	printf("    %u are promoted, not %u\n", s.promoted, wanted);
	return false;
}

/* The module leaves with promotions in place: it has undone them, and the engine sees it. */
static void the_agent_leaves_and_returns(void)
{
	struct agent_state before, after;
	struct error err = {0};
	unsigned i;

	go_on();
	for (i = 0; i < 4; i++)
		promote(ENGINE_VIA_AGENT);
	CU_ASSERT_FALSE(wait_promoted(0, 0));
	agent_get_state(g.agent.agent, &before);
	CU_ASSERT_EQUAL(tell("agent-out"), 0);
	CU_ASSERT_TRUE(wait_promoted(0, MODULE_MS));
	verified("the agent left");
	CU_ASSERT_EQUAL(agent_ready(g.agent.agent, &err), -ENOTCONN);
	CU_ASSERT_EQUAL(tell("agent"), 0);
	CU_ASSERT_TRUE_FATAL(wait_health(AGENT_ALIVE, ALIVE_MS));
	agent_get_state(g.agent.agent, &after);
	CU_ASSERT_NOT_EQUAL(before.generation, after.generation);
	for (i = 0; i < 4; i++)
		promote(ENGINE_VIA_AGENT);
	verified("a new agent");
	CU_ASSERT_FALSE(wait_promoted(0, 0));
	demote_all(false);
}

static void the_guest_noticed_nothing(void)
{
	go_on();
	tell("stop");
	CU_ASSERT_EQUAL(tell("dmesg-check"), 0);
	engine_destroy(e);
	linux_bench_close(&g);
}

static const struct suite_test tests[] = {
	{"comes alive", comes_alive},
	{"promotes under load and stops nobody", promotes_under_load},
	{"a module comes and goes", a_module_comes_and_goes},
	{"cycles by the agent and in turn with the host", cycles_by_agent_and_host},
	{"the agent leaves and returns", the_agent_leaves_and_returns},
	{"the guest noticed nothing", the_guest_noticed_nothing},
};

int main(void)
{
	const char *asked = getenv("HOTRAIL_CYCLES");

	asked_cycles = asked && atoi(asked) > 0 ? (unsigned)atoi(asked) : 0;
	return suite_run("linux agent", tests, sizeof(tests) / sizeof(tests[0]),
			 asked_cycles ? 7200 : 900);
}
