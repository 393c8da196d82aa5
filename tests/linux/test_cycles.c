// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every site of the kernel that has a known target is promoted and demoted over and over, by the
 * host, while nginx, redis and dbench work, and what they give stays the same: $HOTRAIL_CYCLES
 * times (make check-cycles), else a few.
 */
#include "programs.h"

#define CYCLES	  15
#define ROUNDS	  8    /* of learning */
#define SITES_MIN 100  /* with a target */
#define LOOK_EACH 10   /* cycles; how often the programs are asked for their turns */
#define TURNS_MIN 1    /* of each program, from the first cycle to the last */
#define REST_MS	  3000 /* more cycles than asked wait for the turns, without haste */

#define PROGRAMS 3
static const char *const program[PROGRAMS] = {"nginx", "redis", "dbench"};
static char before[PROGRAMS][64]; /* results */
static struct profile *profile;
static unsigned asked_cycles;

static struct linux_answer ask_of(const char *what, unsigned p)
{
	char command[64];

	snprintf(command, sizeof(command), "%s %s", what, program[p]);
	return ask(command);
}

static void results_as_before(const char *when)
{
	unsigned p;

	for (p = 0; p < PROGRAMS; p++) {
		struct linux_answer a = ask_of("result", p);

		if (strcmp(a.text, before[p]))
			printf("    %s: %s gives %s, gave %s\n", when, program[p], a.text,
			       before[p]);
		CU_ASSERT_STRING_EQUAL(a.text, before[p]);
	}
}

static void programs_work(void)
{
	uint64_t begin = clock_ns();
	unsigned p;

	open_programs();
	for (p = 0; p < PROGRAMS; p++) {
		struct linux_answer a = ask_of("result", p);

		CU_ASSERT_EQUAL(strlen(a.text), 32); /* an md5 */
		snprintf(before[p], sizeof(before[p]), "%s", a.text);
	}
	CU_ASSERT_EQUAL(tell("work nginx redis dbench"), 0);
	printf("    booted in %.1f s, at work after %.1f s\n", g.boot_s,
	       (clock_ns() - begin) / 1e9);
}

/* What this round learned, on top of what all before it did: a site that rests is forgotten. */
static void remember(void)
{
	struct error err = {0};
	struct profile *now;

	CU_ASSERT_EQUAL_FATAL(engine_profile(e, &now, &err), 0);
	if (!profile) {
		profile = now;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(profile_merge(profile, now, &err), 0);
	profile_free(now);
}

/* However cold a site is. */
static void the_whole_set_is_learned(void)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .sampler = "timer"};
	uint64_t begin = clock_ns();
	struct engine_status s;
	struct error err = {0};
	unsigned i;

	go_on();
	c.policy.coverage = 1;
	c.policy.min_calls = 1;
	CU_ASSERT_EQUAL_FATAL(engine_create(g.guest, &c, &e, &err), 0);
	for (i = 0; i < ROUNDS; i++) {
		promote(ENGINE_VIA_HOST);
		remember();
	}
	engine_get_status(e, &s);
	printf("    promoted %u, coverage %.3f, after %.1f s\n", s.promoted, s.coverage,
	       (clock_ns() - begin) / 1e9);
	CU_ASSERT_EQUAL(s.quarantined, 0);
	verified("learned");
	results_as_before("promoted");
	demote_all(false);
	verified("demoted");
}

/* Promoted, compared, led back, compared. How many sites were promoted. */
static unsigned cycle(void)
{
	struct engine_result r;
	struct error err = {0};
	unsigned tries = 0, applied;

	while (again(engine_warm(e, profile, ENGINE_VIA_HOST, &r, &err), &err, &tries))
		;
	applied = r.applied;
	engine_result_free(&r);
	verified("promoted");
	demote_all(false);
	verified("demoted");
	return applied;
}

/* Turns since the start, of the program that has the fewest; what failed in any. */
static unsigned fewest_turns(uint64_t *errors)
{
	unsigned p, fewest = UINT32_MAX;

	*errors = 0;
	for (p = 0; p < PROGRAMS; p++) {
		struct linux_answer a = ask_of("turns", p);

		*errors += a.errors;
		if (a.value < fewest)
			fewest = (unsigned)a.value;
	}
	return fewest;
}

static void cycles_under_load(void)
{
	unsigned count = asked_cycles ? asked_cycles : CYCLES, failures, i, most = 0;
	uint64_t begin = clock_ns(), errors = 0, sum = 0;
	unsigned first, now;

	go_on();
	first = now = fewest_turns(&errors);
	CU_ASSERT_EQUAL(errors, 0);
	failures = CU_get_number_of_failures();
	for (i = 0; (i < count || now < first + TURNS_MIN) && !errors &&
		    CU_get_number_of_failures() == failures;
	     i++) {
		unsigned applied = cycle();

		sum += applied;
		most = applied > most ? applied : most;
		if (i >= count)
			clock_sleep_ms(REST_MS);
		if (i % LOOK_EACH != LOOK_EACH - 1 && i + 1 < count)
			continue;
		now = fewest_turns(&errors);
		printf("    cycle %u: %llu promotions in %.1f s\n", i + 1, (unsigned long long)sum,
		       (clock_ns() - begin) / 1e9);
	}
	printf("    %u cycles of up to %u sites, %llu promotions in %.1f s\n", i, most,
	       (unsigned long long)sum, (clock_ns() - begin) / 1e9);
	CU_ASSERT_EQUAL(errors, 0);
	CU_ASSERT_TRUE(i >= count);
	CU_ASSERT_TRUE(most >= SITES_MIN);
	CU_ASSERT_TRUE(sum >= (uint64_t)most / 2 * i);
	CU_ASSERT_EQUAL(tell("dmesg-check"), 0);
}

static void the_guest_noticed_nothing(void)
{
	struct engine_status s;
	uint64_t errors;

	go_on();
	tell("rest");
	fewest_turns(&errors);
	CU_ASSERT_EQUAL(errors, 0);
	results_as_before("at rest");
	CU_ASSERT_EQUAL(tell("dmesg-check"), 0);
	engine_get_status(e, &s);
	printf("    pauses %u, p50 %.0f us, p99 %.0f us\n", s.pauses, s.pause_p50_us,
	       s.pause_p99_us);
	CU_ASSERT_EQUAL(s.quarantined, 0);
	engine_destroy(e);
	profile_free(profile);
	linux_bench_close(&g);
}

static const struct suite_test tests[] = {
	{"nginx, redis and dbench work", programs_work},
	{"the whole set is learned", the_whole_set_is_learned},
	{"cycles of the whole set under load", cycles_under_load},
	{"the guest noticed nothing", the_guest_noticed_nothing},
};

int main(void)
{
	const char *asked = getenv("HOTRAIL_CYCLES");

	asked_cycles = asked && atoi(asked) > 0 ? (unsigned)atoi(asked) : 0;
	return suite_run("linux cycles", tests, sizeof(tests) / sizeof(tests[0]),
			 900 + 5 * asked_cycles);
}
