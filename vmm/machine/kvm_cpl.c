// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which privilege level runs guests natively, and does single-stepping work there?
 * A KVM without hardware virtualisation (kvm_pvm) runs level 3 natively and emulates
 * level 0 some thousand times slower; its single steps land in the guest. Nothing of
 * that can be asked for, so both are tried on a scratch machine, once a process.
 */
#include "machine/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define SCRATCH_BYTES 0x10000
#define SCRATCH_ROOT  0x1000 /* PML4, then PDPT and PD in the next pages */
#define SCRATCH_CODE  0x8000
#define TABLE_ENTRY   0x7  /* present, writable, user: Intel SDM vol. 3A 4.5.4 */
#define ENTRY_2M      0x87 /* the same, page size bit */

#define WINDOW_NS 3000000ull /* one measurement */
#define ROUNDS	  3	     /* best of, so that one preempted window does not decide */
#define TICK_NS                                                                                    \
	1000000 /* the timer that ends KVM_RUN; repeats, since one tick can come too early */
#define EMULATED_RATIO                                                                             \
	16 /* emulation was measured 5 000 times slower, nesting less than 2 times                 \
	    */
#define STEP_TRIAL_NS 500000000ull

struct scratch {
	void *ram;
	struct kvm_vm vm;
	struct backend_vcpu *v;
	timer_t timer;
	sigset_t old_mask;
	bool have_timer;
};

/* _: dec %rcx ; jnz _ ; then spin */
static const uint8_t loop_code[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xeb, 0xfe};
/* nop ; nop ; spin */
static const uint8_t step_code[] = {0x90, 0x90, 0xeb, 0xfe};

static int start_timer(struct scratch *s, struct error *err)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal()};
	struct itimerspec tick = {{0, TICK_NS}, {0, TICK_NS}};

	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid); /* glibc 2.36 has no name for it */
	if (timer_create(CLOCK_MONOTONIC, &ev, &s->timer))
		return error_errno(err, "cannot create the timer of the level trial");
	s->have_timer = true;
	if (timer_settime(s->timer, 0, &tick, NULL))
		return error_errno(err, "cannot start the timer of the level trial");
	return 0;
}

static void scratch_close(struct scratch *s)
{
	if (s->have_timer)
		timer_delete(s->timer);
	kvm_vcpu_close(s->v);
	kvm_vm_destroy(&s->vm);
	munmap(s->ram, SCRATCH_BYTES);
	pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

static int scratch_open(struct scratch *s, int cpl, const uint8_t *code, size_t len,
			struct error *err)
{
	struct machine_regs regs = {.rip = SCRATCH_CODE};
	uint64_t *tables;
	int ret;

	*s = (struct scratch){.vm = {.kvm_fd = -1, .fd = -1}};
	s->ram = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (s->ram == MAP_FAILED)
		return error_errno(err, "no memory for a scratch machine");
	pthread_sigmask(SIG_BLOCK, NULL,
			&s->old_mask); /* only asks; the vCPU unblocks its signal */
	tables = (uint64_t *)((uint8_t *)s->ram + SCRATCH_ROOT);
	tables[0] = (SCRATCH_ROOT + 0x1000) | TABLE_ENTRY;
	tables[512] = (SCRATCH_ROOT + 0x2000) | TABLE_ENTRY;
	tables[1024] = ENTRY_2M;
	memcpy((uint8_t *)s->ram + SCRATCH_CODE, code, len);

	ret = kvm_vm_create(&s->vm, s->ram, SCRATCH_BYTES, err);
	if (ret)
		goto out_scratch;
	s->vm.cpl = cpl;
	s->vm.root = SCRATCH_ROOT;
	ret = kvm_vcpu_open(&s->vm, 0, &s->v, err);
	if (ret)
		goto out_scratch;
	regs.gpr[HOTRAIL_RCX] = ~0ull;
	ret = kvm_vcpu_set_regs(s->v, &regs);
	if (ret) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, ret, "KVM_SET_REGS failed: %s",
				strerror(-ret));
		goto out_scratch;
	}
	ret = start_timer(s, err);
	if (ret)
		goto out_scratch;
	return 0;

out_scratch:
	scratch_close(s);
	return ret;
}

/* Loop rounds a millisecond in one window, 0 when the guest ended instead. */
static uint64_t measure_window(struct scratch *s)
{
	struct machine_regs before, after;
	struct vcpu_exit_info exit;
	uint64_t start, spent = 0;

	if (kvm_vcpu_get_regs(s->v, &before))
		return 0;
	start = clock_ns();
	while (spent < WINDOW_NS) {
		if (backend_kvm.run(s->v, &exit) != VCPU_EXIT_INTERRUPTED)
			return 0;
		spent = clock_ns() - start;
	}
	if (kvm_vcpu_get_regs(s->v, &after))
		return 0;
	return (before.gpr[HOTRAIL_RCX] - after.gpr[HOTRAIL_RCX]) * 1000000 / spent;
}

static int measure_level(int cpl, uint64_t *best, struct error *err)
{
	struct scratch s;
	unsigned i;
	int ret = scratch_open(&s, cpl, loop_code, sizeof(loop_code), err);

	*best = 0;
	if (ret)
		return ret;
	for (i = 0; i < ROUNDS; i++) {
		uint64_t rate = measure_window(&s);

		if (rate > *best)
			*best = rate;
	}
	scratch_close(&s);
	return 0;
}

static int measure(int *cpl, struct error *err)
{
	uint64_t rate0, rate3;
	struct error err3;
	int ret0 = measure_level(0, &rate0, err);
	int ret3 = measure_level(3, &rate3, &err3);

	if (ret0 && ret3)
		return ret0; /* neither level could be set up; *err says why */
	if (!rate0 && !rate3)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "this KVM runs a trial loop neither at level 0 nor at level 3");
	*cpl = rate0 && rate0 * EMULATED_RATIO >= rate3 ? 0 : 3;
	return 0;
}

int kvm_cpl_choose(enum machine_cpl wanted, int *cpl, struct error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int known = -1; /* a failure is tried again */
	int ret = 0;

	if (wanted == MACHINE_CPL_0 || wanted == MACHINE_CPL_3) {
		*cpl = (int)wanted;
		return 0;
	}
	pthread_mutex_lock(&lock);
	if (known < 0)
		ret = measure(&known, err);
	if (!ret)
		*cpl = known;
	pthread_mutex_unlock(&lock);
	return ret;
}

static bool step_trial(int cpl)
{
	struct scratch s;
	struct machine_regs regs;
	uint64_t deadline = clock_ns() + STEP_TRIAL_NS;
	unsigned done = 0;
	int ret;

	if (scratch_open(&s, cpl, step_code, sizeof(step_code), NULL))
		return false;
	while (done < 2 && clock_ns() < deadline) {
		ret = kvm_vcpu_step(s.v, &regs, NULL);
		if (ret == -EAGAIN)
			continue;
		if (ret || regs.rip != SCRATCH_CODE + done + 1)
			break;
		done++;
	}
	scratch_close(&s);
	return done == 2;
}

bool kvm_step_works(int cpl)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int known[2]; /* by level 0 and 3; 0 not tried, 1 works, -1 does not */
	int *k = &known[cpl == 3];
	bool works;

	pthread_mutex_lock(&lock);
	if (!*k)
		*k = step_trial(cpl) ? 1 : -1;
	works = *k > 0;
	pthread_mutex_unlock(&lock);
	return works;
}
