// SPDX-License-Identifier: GPL-2.0-only
/* The pause machine, driven by a fake run function whose timing the tests choose. */
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "machine/pause.h"
#include "util/clock.h"

#define VCPUS	3
#define PATIENT 5000000u /* us: only a lost pause takes that long */

/* What is measured or set per fake vCPU. A kick works as immediate_exit does: it stays until
 * clear_kick() and makes every run() return at once. */
struct fake_vcpu {
	pthread_t thread;
	_Atomic pid_t tid;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool kicked;
	_Atomic unsigned kicks, clears, parkings, samples, runs;
	_Atomic unsigned ignore_kicks;	/* so many more are lost */
	_Atomic unsigned kicks_allowed; /* 0 = any number; else later ones are ignored */
	_Atomic bool stuck;		/* run() does not come back */
	_Atomic bool end;		/* run() ends at the next kick */
	_Atomic bool io_pending;
	_Atomic unsigned parked_with_io, sampled_with_io;
	_Atomic unsigned before_clear_us, after_clear_us, before_run_us,
		parking_us;	     /* widen the windows */
	_Atomic int begin_from_vcpu; /* 1 = try a pause_begin() inside run(); then its result */
	_Atomic uint64_t work;
	unsigned seed;
};

static struct pause machine;
static struct fake_vcpu fake[VCPUS];
static unsigned running;

static void delay_us(unsigned us)
{
	if (us)
		usleep(us);
}

static enum pause_ran fake_run(void *ctx, unsigned vcpu)
{
	struct fake_vcpu *f = &fake[vcpu];
	struct machine_pause pause;
	enum pause_ran ran;

	delay_us(f->before_run_us ? rand_r(&f->seed) % f->before_run_us : 0);
	f->runs++;
	f->io_pending = false; /* entering completes what was pending */
	if (f->begin_from_vcpu == 1)
		f->begin_from_vcpu = pause_begin(&machine, 1000, &pause, NULL);
	pthread_mutex_lock(&f->lock);
	while (!f->kicked || f->stuck) {
		struct timespec ts;

		f->work++;
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 200000;
		if (ts.tv_nsec >= 1000000000)
			ts.tv_sec++, ts.tv_nsec -= 1000000000;
		pthread_cond_timedwait(&f->cond, &f->lock, &ts);
	}
	ran = f->end ? PAUSE_RAN_ENDED : PAUSE_RAN_INTERRUPTED;
	if (ran == PAUSE_RAN_INTERRUPTED && rand_r(&f->seed) % 4 == 0) {
		f->io_pending = true; /* the guest made a request just before the kick */
		ran = PAUSE_RAN_AGAIN;
	}
	pthread_mutex_unlock(&f->lock);
	return ran;
}

static void fake_kick(void *ctx, unsigned vcpu)
{
	struct fake_vcpu *f = &fake[vcpu];
	unsigned n = ++f->kicks;

	if (f->ignore_kicks) {
		f->ignore_kicks--;
		return;
	}
	if (f->kicks_allowed && n > f->kicks_allowed)
		return;
	pthread_mutex_lock(&f->lock);
	f->kicked = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

static void fake_clear_kick(void *ctx, unsigned vcpu)
{
	struct fake_vcpu *f = &fake[vcpu];

	delay_us(f->before_clear_us ? rand_r(&f->seed) % f->before_clear_us : 0);
	pthread_mutex_lock(&f->lock);
	f->kicked = false;
	pthread_mutex_unlock(&f->lock);
	f->clears++;
	delay_us(f->after_clear_us ? rand_r(&f->seed) % f->after_clear_us : 0);
}

static void fake_finish_io(void *ctx, unsigned vcpu)
{
	fake[vcpu].io_pending = false;
}

static void fake_parking(void *ctx, unsigned vcpu)
{
	fake[vcpu].parkings++;
	fake[vcpu].parked_with_io += fake[vcpu].io_pending;
	delay_us(fake[vcpu].parking_us ? rand_r(&fake[vcpu].seed) % fake[vcpu].parking_us : 0);
}

static void fake_sample(void *ctx, unsigned vcpu)
{
	fake[vcpu].samples++;
	fake[vcpu].sampled_with_io += fake[vcpu].io_pending;
}

static const struct pause_ops ops = {
	.run = fake_run,
	.kick = fake_kick,
	.clear_kick = fake_clear_kick,
	.finish_io = fake_finish_io,
	.parking = fake_parking,
	.sample = fake_sample,
};

static void *vcpu_thread(void *arg)
{
	unsigned vcpu = (unsigned)(uintptr_t)arg;

	fake[vcpu].tid = (pid_t)syscall(SYS_gettid);
	pause_vcpu_loop(&machine, vcpu);
	pause_vcpu_dead(&machine, vcpu);
	return NULL;
}

static void setup(unsigned vcpus, bool start)
{
	unsigned i;

	memset(fake, 0, sizeof(fake));
	CU_ASSERT_EQUAL_FATAL(pause_init(&machine, &ops, NULL, vcpus), 0);
	running = vcpus;
	for (i = 0; i < vcpus; i++) {
		pthread_mutex_init(&fake[i].lock, NULL);
		pthread_cond_init(&fake[i].cond, NULL);
		fake[i].seed = 17 + i;
		pthread_create(&fake[i].thread, NULL, vcpu_thread, (void *)(uintptr_t)i);
	}
	if (start)
		pause_start(&machine);
}

static void teardown(void)
{
	unsigned i;

	for (i = 0; i < running; i++)
		fake[i].kicks_allowed = fake[i].stuck = 0;
	pause_stop(&machine);
	pause_wait_dead(&machine);
	for (i = 0; i < running; i++) {
		pthread_join(fake[i].thread, NULL);
		CU_ASSERT_EQUAL(fake[i].parked_with_io, 0);
		CU_ASSERT_EQUAL(fake[i].sampled_with_io, 0);
	}
	pause_fini(&machine);
}

static bool works_on(unsigned vcpu)
{
	uint64_t before = fake[vcpu].work, until = clock_ns() + PATIENT * 1000ull;

	while (fake[vcpu].work == before && clock_ns() < until)
		usleep(100);
	return fake[vcpu].work != before;
}

/* One pause in which nothing may move. */
static void pause_once(unsigned hold_us)
{
	struct machine_pause p = {0};
	uint64_t work[VCPUS];
	unsigned parkings[VCPUS], i;

	for (i = 0; i < running; i++)
		parkings[i] = fake[i].parkings;
	CU_ASSERT_EQUAL_FATAL(pause_begin(&machine, PATIENT, &p, NULL), 0);
	CU_ASSERT_TRUE(p.token != 0 && p.parked_ns >= p.begin_ns);
	for (i = 0; i < running; i++) {
		work[i] = fake[i].work;
		CU_ASSERT_EQUAL(fake[i].parkings, parkings[i] + 1);
	}
	delay_us(hold_us);
	for (i = 0; i < running; i++)
		CU_ASSERT_EQUAL(fake[i].work, work[i]);
	CU_ASSERT_TRUE(pause_end(&machine, &p) >= 0);
}

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
	{"a vCPU that dies during a pause", test_dead},
	{"stop wakes parked vCPUs", test_stop},
	{"before the start", test_before_start},
	{"tokens", test_tokens},
	{"tasks run on the right thread", test_tasks},
	{"samples", test_samples},
	{"two pausers never overlap", test_rivals},
	{"nobody spins", test_nobody_spins},
};

SUITE_MAIN("pause", tests, 120)
