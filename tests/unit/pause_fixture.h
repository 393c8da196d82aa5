/* SPDX-License-Identifier: GPL-2.0-only */
/* The pause machine over a fake run function whose timing the tests choose. */
#ifndef HOTRAIL_TESTS_PAUSE_FIXTURE_H
#define HOTRAIL_TESTS_PAUSE_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

#include "machine/pause.h"
#include "suite.h"
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

static inline void delay_us(unsigned us)
{
	if (us)
		usleep(us);
}

static inline enum pause_ran fake_run(void *ctx, unsigned vcpu)
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

static inline void fake_kick(void *ctx, unsigned vcpu)
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

static inline void fake_clear_kick(void *ctx, unsigned vcpu)
{
	struct fake_vcpu *f = &fake[vcpu];

	delay_us(f->before_clear_us ? rand_r(&f->seed) % f->before_clear_us : 0);
	pthread_mutex_lock(&f->lock);
	f->kicked = false;
	pthread_mutex_unlock(&f->lock);
	f->clears++;
	delay_us(f->after_clear_us ? rand_r(&f->seed) % f->after_clear_us : 0);
}

static inline void fake_finish_io(void *ctx, unsigned vcpu)
{
	fake[vcpu].io_pending = false;
}

static inline void fake_parking(void *ctx, unsigned vcpu)
{
	fake[vcpu].parkings++;
	fake[vcpu].parked_with_io += fake[vcpu].io_pending;
	delay_us(fake[vcpu].parking_us ? rand_r(&fake[vcpu].seed) % fake[vcpu].parking_us : 0);
}

static inline void fake_sample(void *ctx, unsigned vcpu)
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

static inline void *vcpu_thread(void *arg)
{
	unsigned vcpu = (unsigned)(uintptr_t)arg;

	fake[vcpu].tid = (pid_t)syscall(SYS_gettid);
	pause_vcpu_loop(&machine, vcpu);
	pause_vcpu_dead(&machine, vcpu);
	return NULL;
}

static inline void setup(unsigned vcpus, bool start)
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

static inline void teardown(void)
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

static inline bool works_on(unsigned vcpu)
{
	uint64_t before = fake[vcpu].work, until = clock_ns() + PATIENT * 1000ull;

	while (fake[vcpu].work == before && clock_ns() < until)
		usleep(100);
	return fake[vcpu].work != before;
}

/* One pause in which nothing may move. */
static inline void pause_once(unsigned hold_us)
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

#endif
