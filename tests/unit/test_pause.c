// SPDX-License-Identifier: GPL-2.0-only
/* The pause machine: no pause is lost, none overlaps, none lasts; who is parked sleeps. */
#include "pause_fixture.h"

static void test_many(void)
{
	unsigned i, seed = 3;

	setup(VCPUS, true);
	for (i = 0; i < 500; i++) {
		pause_once(i % 8 ? 0 : 500);
		delay_us(rand_r(&seed) % 300);
	}
	for (i = 0; i < VCPUS; i++)
		CU_ASSERT_TRUE(works_on(i));
	teardown();
}

/* Each pause gets exactly one kick a vCPU: a lost one is not repaired by the second after
 * 10 ms, so the pause would run into its budget. */
static void pauses_with_one_kick(unsigned rounds, unsigned spread_us)
{
	unsigned i, v, seed = 5;

	for (i = 0; i < rounds; i++) {
		for (v = 0; v < running; v++)
			fake[v].kicks_allowed = fake[v].kicks + 1;
		pause_once(0);
		delay_us(rand_r(&seed) % spread_us);
	}
}

/* Fails if the request were read before the kick is cleared: then this clear wipes the kick of
 * a request that nobody has seen. */
static void test_window_before_clear(void)
{
	unsigned i;

	setup(VCPUS, true);
	for (i = 0; i < VCPUS; i++)
		fake[i].before_clear_us = 2000;
	pauses_with_one_kick(200, 1000);
	teardown();
}

static void test_window_clear_to_read(void)
{
	unsigned i;

	setup(VCPUS, true);
	for (i = 0; i < VCPUS; i++)
		fake[i].after_clear_us = 2000;
	pauses_with_one_kick(200, 1000);
	teardown();
}

static void test_window_read_to_run(void)
{
	unsigned i;

	setup(VCPUS, true);
	for (i = 0; i < VCPUS; i++)
		fake[i].before_run_us = 2000;
	pauses_with_one_kick(200, 1000);
	teardown();
}

static void test_second_kick(void)
{
	struct machine_pause p;

	setup(2, true);
	CU_ASSERT_TRUE(works_on(1));
	fake[1].ignore_kicks = 1;
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_TRUE(p.parked_ns - p.begin_ns >= PAUSE_KICK_AGAIN_MS * 1000000ull);
	CU_ASSERT_EQUAL(fake[0].kicks, 1); /* who is parked is left alone */
	CU_ASSERT_TRUE(fake[1].kicks >= 2);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 10000);
	teardown();
}

static void test_timeout(void)
{
	struct machine_pause p;
	struct error err;
	uint64_t start;
	unsigned i;

	setup(VCPUS, true);
	for (i = 0; i < 20; i++) {
		fake[1].stuck = true;
		CU_ASSERT_TRUE(works_on(1)); /* inside run(), not on its way there */
		start = clock_ns();
		CU_ASSERT_EQUAL(pause_begin(&machine, 25000, &p, &err), -ETIMEDOUT);
		CU_ASSERT_TRUE(clock_ns() - start >= 25000000);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "vCPU 1"));
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
		CU_ASSERT_TRUE(works_on(0) && works_on(2)); /* thawed */
		/* The stuck one comes back while nobody pauses: it must not park. */
		fake[1].stuck = false;
		if (i & 1)
			CU_ASSERT_TRUE(works_on(1));
		pause_once(0);
	}
	teardown();
}

/* A budget that ends just when the last vCPU parks must end in one of two clean ways. */
static void test_timeout_race(void)
{
	struct machine_pause p;
	unsigned i, v, timeouts = 0;

	setup(VCPUS, true);
	for (i = 0; i < VCPUS; i++)
		fake[i].before_run_us = fake[i].parking_us = 200;
	for (i = 0; i < 400; i++) {
		if (pause_begin(&machine, 20 + i % 300, &p, NULL) == 0)
			CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0)
		else
			timeouts++;
		/* Who was about to park when the pauser gave up must not sleep now. */
		for (v = 0; v < VCPUS; v++)
			CU_ASSERT_TRUE_FATAL(works_on(v));
		if (i % 10 == 0)
			pause_once(0);
	}
	CU_ASSERT_TRUE(timeouts > 0);
	teardown();
}

static _Atomic unsigned inside_now, overlaps, done;

static void *rival(void *arg)
{
	struct machine_pause p;
	unsigned i;

	for (i = 0; i < 100; i++) {
		if (pause_begin(&machine, PATIENT, &p, NULL))
			break;
		overlaps += inside_now++ != 0;
		usleep(50);
		inside_now--;
		pause_end(&machine, &p);
		done++;
	}
	return NULL;
}

static void *impatient(void *arg)
{
	struct machine_pause p;

	return (void *)(intptr_t)pause_begin(&machine, 3000, &p, arg);
}

static void test_rivals(void)
{
	pthread_t t[3];
	struct machine_pause p;
	struct error err;
	void *ret;
	unsigned i;

	setup(2, true);
	inside_now = overlaps = done = 0;
	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, rival, NULL);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CU_ASSERT_EQUAL(done, 300);
	CU_ASSERT_EQUAL(overlaps, 0);
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	pthread_create(&t[0], NULL, impatient, &err);
	pthread_join(t[0], &ret);
	CU_ASSERT_EQUAL((intptr_t)ret, -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another pause"));
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	teardown();
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void test_nobody_spins(void)
{
	struct machine_pause p;
	uint64_t cpu;

	setup(2, true);
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	usleep(100000);
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	CU_ASSERT_TRUE(cpu < 20000000); /* parked: all asleep */
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	fake[0].stuck = true;
	CU_ASSERT_TRUE(works_on(0));
	cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	CU_ASSERT_EQUAL(pause_begin(&machine, 100000, &p, NULL), -ETIMEDOUT);
	cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	CU_ASSERT_TRUE(cpu < 20000000); /* the pauser sleeps too */
	teardown();
}

static const struct suite_test tests[] = {
	{"many pauses with random delays", test_many},
	{"no pause lost before the clear", test_window_before_clear},
	{"no pause lost between clear and read", test_window_clear_to_read},
	{"no pause lost between read and run", test_window_read_to_run},
	{"a lost kick is repeated after 10 ms", test_second_kick},
	{"time-out thaws and the next pause works", test_timeout},
	{"time-out races with parking", test_timeout_race},
	{"two pausers never overlap", test_rivals},
	{"nobody spins", test_nobody_spins},
};

SUITE_MAIN("pause", tests, 120)
