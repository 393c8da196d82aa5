// SPDX-License-Identifier: GPL-2.0-only
/* The pause machine: vCPUs that end or have not begun, tokens, tasks and samples. */
#include "pause_fixture.h"

static int task_tid(void *arg)
{
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	return 7;
}

static void test_dead(void)
{
	struct machine_pause p;
	pid_t tid = 0;

	setup(VCPUS, true);
	CU_ASSERT_TRUE(works_on(1));
	fake[1].end = true; /* dies of the kick instead of parking */
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_EQUAL(pause_task(&machine, 1, task_tid, &tid), -ESRCH);
	CU_ASSERT_EQUAL(pause_task(&machine, 0, task_tid, &tid), 7);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_TRUE(works_on(0) && works_on(2));
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_TRUE(works_on(0) && works_on(2)); /* inside run(): the kick ends them */
	fake[0].end = fake[2].end = true;
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_EQUAL(pause_begin(&machine, PATIENT, &p, NULL), -ESHUTDOWN);
	teardown();
}

static void test_stop(void)
{
	struct machine_pause p;
	struct error err;
	pid_t tid;

	setup(VCPUS, true);
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	pause_stop(&machine); /* does not wait for the end of the pause */
	pause_wait_dead(&machine);
	CU_ASSERT_EQUAL(pause_task(&machine, 0, task_tid, &tid), -ESRCH);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_EQUAL(pause_begin(&machine, PATIENT, &p, &err), -ESHUTDOWN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ended"));
	teardown();
}

static void test_before_start(void)
{
	struct machine_pause p;
	pid_t tid = 0;

	setup(2, false);
	CU_ASSERT_EQUAL(pause_begin(&machine, PATIENT, &p, NULL), -EINVAL);
	CU_ASSERT_EQUAL(pause_task(&machine, 1, task_tid, &tid), 7);
	CU_ASSERT_EQUAL(tid, fake[1].tid);
	CU_ASSERT_EQUAL(fake[0].runs + fake[1].runs, 0);
	pause_start(&machine);
	CU_ASSERT_TRUE(works_on(0) && works_on(1));
	teardown();
	setup(2, false); /* stopped before it ever ran */
	teardown();
	CU_ASSERT_EQUAL(fake[0].runs + fake[1].runs, 0);
	CU_ASSERT_EQUAL(pause_init(&machine, &ops, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(pause_init(&machine, &ops, NULL, HOTRAIL_MAX_VCPUS + 1), -EINVAL);
}

static void *end_elsewhere(void *arg)
{
	return (void *)(intptr_t)pause_end(&machine, arg);
}

static void test_tokens(void)
{
	struct machine_pause p, wrong, copy, none = {0};
	pthread_t other;
	void *ret;

	setup(2, true);
	CU_ASSERT_EQUAL(pause_end(&machine, &none), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	wrong = copy = p;
	wrong.token++;
	CU_ASSERT_EQUAL(pause_end(&machine, &wrong), -EINVAL);
	CU_ASSERT_EQUAL(pause_end(&machine, &none), -EINVAL);
	pthread_create(&other, NULL, end_elsewhere, &copy);
	pthread_join(other, &ret);
	CU_ASSERT_EQUAL((intptr_t)ret, -EPERM);
	CU_ASSERT_EQUAL(pause_begin(&machine, PATIENT, &wrong, NULL), -EDEADLK);
	CU_ASSERT_EQUAL(pause_task(&machine, 0, task_tid, &(pid_t){0}), 7); /* still paused */
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_EQUAL(pause_end(&machine, &p), -EINVAL);
	CU_ASSERT_EQUAL(pause_end(&machine, &copy), -EINVAL); /* yesterday's token */
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_EQUAL(pause_end(&machine, &copy), -EINVAL);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	teardown();
}

static int task_nested(void *arg)
{
	return pause_task(&machine, 0, task_tid, arg);
}

static void test_tasks(void)
{
	struct machine_pause p;
	unsigned i, v;
	pid_t tid;

	setup(VCPUS, true);
	CU_ASSERT_EQUAL(pause_task(&machine, 0, task_tid, &tid), -EINVAL); /* running */
	CU_ASSERT_EQUAL(pause_task(&machine, VCPUS, task_tid, &tid), -EINVAL);
	for (i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
		for (v = 0; v < VCPUS; v++) {
			tid = 0;
			CU_ASSERT_EQUAL(pause_task(&machine, v, task_tid, &tid), 7);
			CU_ASSERT_EQUAL(tid, fake[v].tid);
		}
		CU_ASSERT_EQUAL(pause_task(&machine, 1, task_nested, &tid), -EDEADLK);
		CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	}
	fake[2].begin_from_vcpu = 1;
	pause_once(0); /* gets vCPU 2 into run() once more */
	CU_ASSERT_TRUE(works_on(2));
	CU_ASSERT_EQUAL(fake[2].begin_from_vcpu, -EDEADLK);
	teardown();
}

static bool sampled(unsigned vcpu, unsigned want)
{
	uint64_t until = clock_ns() + PATIENT * 1000ull;

	while (fake[vcpu].samples < want && clock_ns() < until)
		usleep(100);
	return fake[vcpu].samples >= want;
}

static void test_samples(void)
{
	struct machine_pause p;
	unsigned i, before;

	setup(2, true);
	fake[1].after_clear_us = 500; /* kicks that fall into the window count too */
	for (i = 1; i <= 100; i++) {
		before = fake[1].samples;
		pause_sample(&machine, 1);
		CU_ASSERT_TRUE(sampled(1, before + 1));
	}
	CU_ASSERT_EQUAL(fake[0].samples, 0);
	pause_sample(&machine, 2); /* no such vCPU: nothing happens */
	/* Asked for while parked: comes after the pause, not during it. */
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	before = fake[1].samples;
	pause_sample(&machine, 1);
	usleep(5000);
	CU_ASSERT_EQUAL(fake[1].samples, before);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
	CU_ASSERT_TRUE(sampled(1, before + 1));
	CU_ASSERT_EQUAL(fake[0].samples, 0); /* a pause is no sample */
	/* An interruption nobody asked for (a counter's overflow) is one. */
	do {
		fake_kick(NULL, 0);
		usleep(1000);
	} while (!fake[0].samples && fake[0].kicks < 1000);
	CU_ASSERT_TRUE(fake[0].samples > 0);
	teardown();
}

static const struct suite_test tests[] = {
	{"a vCPU that dies during a pause", test_dead}, {"stop wakes parked vCPUs", test_stop},
	{"before the start", test_before_start},	{"tokens", test_tokens},
	{"tasks run on the right thread", test_tasks},	{"samples", test_samples},
};

SUITE_MAIN("pause-vcpu", tests, 120)
