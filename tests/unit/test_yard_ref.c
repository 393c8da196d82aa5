// SPDX-License-Identifier: GPL-2.0-only
/*
 * The yard kernel's workload, compiled for the host: a digest is a function of
 * seed, slot and phase and of nothing else, and a call that goes astray shows.
 */
#include "../../vm-images/yard/reference.c"

#include <pthread.h>
#include <string.h>

#include "suite.h"
#include "util/rss.h"

#define IDLE 16

static struct env env;

static u64 run_after(u8 poison, u64 seed, u32 slot, u32 phase)
{
	memset(&env, poison, sizeof(env));
	env.core.wrong = 0;
	kernel_init(&env);
	return kernel_batch(&env, seed, slot, phase);
}

static void test_history(void)
{
	u32 slot, phase;

	for (phase = 0; phase < YARD_PHASES; phase++) {
		for (slot = 0; slot < YARD_SEEDS; slot++) {
			u64 fresh = run_after(0, 7, slot, phase);

			CU_ASSERT_EQUAL(run_after(0x5a, 7, slot, phase), fresh);
			CU_ASSERT_EQUAL(run_after(0xff, 7, slot, phase), fresh);
			/* The same state again, after a batch of the other phase. */
			kernel_batch(&env, 99, slot + 1, !phase);
			CU_ASSERT_EQUAL(kernel_batch(&env, 7, slot, phase), fresh);
			CU_ASSERT_EQUAL(yard_reference(7, slot, phase), fresh);
			CU_ASSERT_EQUAL(env.core.wrong, 0);
		}
	}
}

static void test_differ(void)
{
	u64 seen[4 * YARD_SEEDS * YARD_PHASES];
	u32 n = 0, i, seed, slot, phase;

	for (seed = 0; seed < 4; seed++)
		for (slot = 0; slot < YARD_SEEDS; slot++)
			for (phase = 0; phase < YARD_PHASES; phase++) {
				u64 digest = yard_reference(seed, slot, phase);

				for (i = 0; i < n; i++)
					CU_ASSERT_NOT_EQUAL(seen[i], digest);
				seen[n++] = digest;
			}
}

static void *sum_all(void *arg)
{
	u64 *sum = arg;
	u32 i;

	for (i = 0; i < 2 * YARD_SEEDS; i++)
		*sum += yard_reference(3, i % YARD_SEEDS, i / YARD_SEEDS);
	return NULL;
}

static void test_threads(void)
{
	u64 here = 0, there[3] = {0};
	pthread_t threads[3];
	u32 i;

	for (i = 0; i < 3; i++)
		CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, sum_all, &there[i]) == 0);
	sum_all(&here);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(there[i], here);
	}
}

static void *wait_for(void *barrier)
{
	pthread_barrier_wait(barrier); /* begun */
	pthread_barrier_wait(barrier); /* measured */
	return NULL;
}

/* A monitor has many threads that never compute a reference. */
static void test_idle_threads(void)
{
	pthread_t threads[IDLE];
	pthread_barrier_t barrier;
	uint64_t before, now;
	u32 i;

#ifdef __SANITIZE_ADDRESS__
	return; /* whose own memory a thread would be measured with */
#endif
	pthread_barrier_init(&barrier, NULL, IDLE + 1);
	before = rss_beyond_guest(NULL, 0);
	for (i = 0; i < IDLE; i++)
		CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, wait_for, &barrier) == 0);
	pthread_barrier_wait(&barrier);
	now = rss_beyond_guest(NULL, 0);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < IDLE; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	CU_ASSERT(now < before + IDLE * sizeof(env) / 2);
}

static void test_table(void)
{
	u32 phase, slot;

	for (phase = 0; phase < YARD_PHASES; phase++) {
		u64 used = 0;

		for (slot = 0; slot < YARD_SEEDS; slot++) {
			run_after(0, 1, slot, phase);
			used |= env.sys.used;
		}
		CU_ASSERT_EQUAL(used, ~0ull);
	}
}

/* Run slot 0 with one table spoilt by `spoil`: noticed by the guest itself and by the digest. */
static void check_spoilt(void (*spoil)(void))
{
	u32 phase;

	for (phase = 0; phase < YARD_PHASES; phase++) {
		u64 honest = run_after(0, 5, 0, phase);

		kernel_init(&env);
		spoil();
		CU_ASSERT_NOT_EQUAL(kernel_batch(&env, 5, 0, phase), honest);
		CU_ASSERT(env.core.wrong > 0);
	}
}

static void spoil_syscall(void)
{
	env.sys.table[SYS_read] = env.sys.table[SYS_write];
}

static void spoil_file(void)
{
	env.fs.fops[0] = env.fs.fops[1];
	env.fs.fops[2] = env.fs.fops[1];
}

static void spoil_hook(void)
{
	env.hooks.modules[2] = env.hooks.modules[0];
	env.hooks.modules[6] = env.hooks.modules[5];
}

static void spoil_stage(void)
{
	env.filter.stages[STAGE_NETWORK] = env.filter.stages[STAGE_LOG];
}

static void spoil_protocol(void)
{
	env.net.protos[0] = env.net.protos[1];
	env.net.protos[1] = env.net.protos[2];
}

static void spoil_task(void)
{
	env.sched.task_ops[0] = env.sched.task_ops[2];
}

static void spoil_timer(void)
{
	env.sched.timer_fns[0] = env.sched.timer_fns[4];
	env.sched.timer_fns[4] = env.sched.timer_fns[1];
}

/* The right object's wrong function, as a promoted site with a wrong target would call. */
static void spoil_operation(void)
{
	static struct file_ops mixed[FS_COUNT];
	u32 i;

	for (i = 0; i < FS_COUNT; i++) {
		mixed[i] = *env.fs.fops[i];
		mixed[i].release = mixed[i].fsync;
		env.fs.fops[i] = &mixed[i];
	}
}

static void test_wrong(void)
{
	check_spoilt(spoil_syscall);
	check_spoilt(spoil_file);
	check_spoilt(spoil_hook);
	check_spoilt(spoil_stage);
	check_spoilt(spoil_protocol);
	check_spoilt(spoil_task);
	check_spoilt(spoil_timer);
	check_spoilt(spoil_operation);
}

static void test_micro(void)
{
	u32 i, j;

	for (i = 0; i < YARD_MICRO_TARGETS; i++) {
		CU_ASSERT_NOT_EQUAL(yard_micro_expected(i), 0);
		for (j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(yard_micro_expected(i), yard_micro_expected(j));
	}
}

/* Parsing stops where a packet is too short, and every byte that was parsed counts. */
static void test_flow(void)
{
	struct flow f, other;
	u64 seen[YARD_FLOW_SHAPES], sum = 0, cut;
	u32 i, j;

	flow_init(&f, 5);
	flow_init(&other, 6);
	for (i = 0; i < YARD_FLOW_SHAPES; i++) {
		CU_ASSERT_TRUE(f.packets[i].len <= FLOW_BYTES);
		seen[i] = flow_reference(i, &f.packets[i]);
		CU_ASSERT_NOT_EQUAL(seen[i], flow_reference(i, &other.packets[i]));
		for (j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(seen[i], seen[j]);
		sum += seen[i];
		CU_ASSERT_EQUAL(yard_flow_expected(5, i + 1), sum);
	}
	CU_ASSERT_EQUAL(yard_flow_expected(5, 0), 0);
	CU_ASSERT_EQUAL(yard_flow_expected(5, 3 * YARD_FLOW_SHAPES + 1), 3 * sum + seen[0]);
	cut = f.packets[0].len;
	for (i = 0; i < 14 + 20 + 20; i++) { /* Ethernet, IPv4, TCP */
		f.packets[0].len = i;
		CU_ASSERT_NOT_EQUAL(flow_reference(0, &f.packets[0]), seen[0]);
	}
	f.packets[0].len = (u32)cut;
	f.packets[0].bytes[14 + 12] ^= 1; /* source address */
	CU_ASSERT_NOT_EQUAL(flow_reference(0, &f.packets[0]), seen[0]);
}

static const struct suite_test tests[] = {
	{"a digest does not depend on history", test_history},
	{"every seed slot and phase has its own digest", test_differ},
	{"threads agree", test_threads},
	{"idle threads have no memory of it", test_idle_threads},
	{"both phases use every system call", test_table},
	{"a wrong call is noticed", test_wrong},
	{"micro targets return different values", test_micro},
	{"packets and their digests", test_flow},
};

SUITE_MAIN("yard-ref", tests, 60)
