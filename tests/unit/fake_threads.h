/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A target whose vCPUs are spinning threads. SIGUSR1 interrupts one: its handler
 * gives the sample hook registers that say "in the retpoline of site 0".
 */
#ifndef HOTRAIL_TESTS_FAKE_THREADS_H
#define HOTRAIL_TESTS_FAKE_THREADS_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/guest.h"

#define FAKE_TEXT     0xffffffff81000000ull
#define FAKE_SITE     (FAKE_TEXT + 0x100)
#define FAKE_RET      (FAKE_SITE + 5)
#define FAKE_THUNK    (FAKE_TEXT + 0x800)
#define FAKE_FUNCTION (FAKE_TEXT + 0x400)
#define FAKE_STACK    0x7000ull /* one page, ends at 0x8000 */

struct fake {
	struct target target;
	struct guest guest;
	struct site site;
	unsigned vcpus;
	bool deaf;	  /* kicks reach nobody */
	bool blind;	  /* signals arrive, nobody looks */
	unsigned slow_us; /* what passes before a kick has its effect */
	_Atomic bool stop;
	pthread_t thread[HOTRAIL_MAX_VCPUS];
	_Atomic pid_t tid[HOTRAIL_MAX_VCPUS];
	_Atomic(machine_sample_fn) hook;
	_Atomic(void *) ctx;
	_Atomic unsigned inside;
	_Atomic unsigned kicks, reads;
	struct machine_regs regs;
	uint64_t stack[512];
};

static struct fake fake;
static __thread int fake_vcpu = -1;

static unsigned fake_vcpus(struct target *t)
{
	return fake.vcpus;
}

static int fake_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	fake.reads++;
	if (gva < FAKE_STACK || gva - FAKE_STACK > sizeof(fake.stack) ||
	    len > sizeof(fake.stack) - (gva - FAKE_STACK))
		return -EFAULT;
	memcpy(buf, (uint8_t *)fake.stack + (gva - FAKE_STACK), len);
	return 0;
}

static void fake_set_hook(struct target *t, machine_sample_fn fn, void *ctx)
{
	fake.hook = NULL;
	while (fake.inside)
		sched_yield();
	fake.ctx = ctx;
	fake.hook = fn;
}

static void fake_kick(struct target *t, unsigned vcpu)
{
	fake.kicks++;
	if (!fake.deaf)
		syscall(SYS_tgkill, getpid(), fake.tid[vcpu], SIGUSR1);
}

static pid_t fake_tid(struct target *t, unsigned vcpu)
{
	return fake.tid[vcpu];
}

static int fake_kick_signal(struct target *t)
{
	return SIGUSR1;
}

static bool fake_user(struct target *t)
{
	return true;
}

static const struct target_ops fake_target_ops = {
	.name = "fake",
	.vcpus = fake_vcpus,
	.read = fake_read,
	.set_sample_hook = fake_set_hook,
	.kick = fake_kick,
	.vcpu_tid = fake_tid,
	.kick_signal = fake_kick_signal,
	.guest_counts_as_user = fake_user,
};

static bool fake_is_target(struct guest *g, gva_t addr)
{
	return addr == FAKE_FUNCTION;
}

static const struct guest_ops fake_guest_ops = {.name = "fake", .is_target = fake_is_target};

static void fake_on_signal(int sig)
{
	machine_sample_fn fn;

	if (fake.slow_us)
		usleep(fake.slow_us); /* async-signal-safe here: a plain nanosleep */
	fake.inside++;
	fn = fake.hook;
	if (fn && fake_vcpu >= 0 && !fake.blind)
		fn(fake.ctx, (unsigned)fake_vcpu, &fake.regs);
	fake.inside--;
}

static void *fake_run(void *arg)
{
	volatile unsigned work = 0;

	fake_vcpu = (int)(intptr_t)arg;
	fake.tid[fake_vcpu] = (pid_t)syscall(SYS_gettid);
	while (!fake.stop)
		work = work + 1;
	return NULL;
}

/* At the thunk's `ret`: [rsp] = target, [rsp+8] = the site's return address. */
static void fake_start(unsigned vcpus)
{
	struct sigaction sa = {.sa_handler = fake_on_signal, .sa_flags = SA_RESTART};
	unsigned i;

	memset(&fake, 0, sizeof(fake));
	fake.target.ops = &fake_target_ops;
	fake.vcpus = vcpus;
	fake.site =
		(struct site){.addr = FAKE_SITE, .thunk = FAKE_THUNK, .len = 5, .reg = HOTRAIL_RDX};
	fake.guest = (struct guest){.ops = &fake_guest_ops,
				    .target = &fake.target,
				    .text_start = FAKE_TEXT,
				    .text_end = FAKE_TEXT + 0x1000};
	fake.guest.sites = (struct site_table){.sites = &fake.site,
					       .count = 1,
					       .text_start = FAKE_TEXT,
					       .text_end = FAKE_TEXT + 0x1000};
	fake.regs.rip = FAKE_THUNK + 16;
	fake.regs.gpr[HOTRAIL_RDX] = FAKE_FUNCTION;
	fake.regs.gpr[HOTRAIL_RSP] = FAKE_STACK + 64;
	fake.stack[8] = FAKE_FUNCTION;
	fake.stack[9] = FAKE_RET;
	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < vcpus; i++) {
		pthread_create(&fake.thread[i], NULL, fake_run, (void *)(intptr_t)i);
		while (!fake.tid[i])
			sched_yield();
	}
}

static void fake_stop(void)
{
	unsigned i;

	fake.stop = true;
	for (i = 0; i < fake.vcpus; i++)
		pthread_join(fake.thread[i], NULL);
}

#endif
