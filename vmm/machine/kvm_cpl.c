// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which privilege level runs guests natively, and do single steps
 * and the fault catcher work there?
 * A KVM without hardware virtualisation (kvm_pvm) runs level 3 natively and emulates
 * level 0 some thousand times slower; its single steps land in the guest. Nothing of
 * that can be asked for, so all is tried on a scratch machine, once a process.
 */
#include "machine/kvm.h"

#include <errno.h>
#include <pthread.h>

#include "util/clock.h"

#define WINDOW_NS 3000000ull /* one measurement */
#define ROUNDS	  3	     /* best of, so that one preempted window does not decide */
/* Emulation was measured 5 000 times slower, nesting less than 2 times. */
#define EMULATED_RATIO 16
#define WINDOW_TICK_NS 1000000
/* A trial that fails by silence takes this long; one that works, microseconds. */
#define TRIAL_NS      2000000000ull
#define TRIAL_TICK_NS 50000000

/* _: dec %rcx ; jnz _ ; then spin */
static const uint8_t loop_code[] = {0x48, 0xff, 0xc9, 0x75, 0xfb, 0xeb, 0xfe};
/* nop ; nop ; spin */
static const uint8_t step_code[] = {0x90, 0x90, 0xeb, 0xfe};
/* nop ; ud2 */
static const uint8_t fault_code[] = {0x90, 0x0f, 0x0b};

/* Loop rounds a millisecond in one window, 0 when the guest ended instead. */
static uint64_t measure_window(struct kvm_scratch *s)
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
	struct kvm_scratch s = {.tick_ns = WINDOW_TICK_NS};
	unsigned i;
	int ret = kvm_scratch_open(&s, cpl, loop_code, sizeof(loop_code), err);

	*best = 0;
	if (ret)
		return ret;
	for (i = 0; i < ROUNDS; i++) {
		uint64_t rate = measure_window(&s);

		if (rate > *best)
			*best = rate;
	}
	kvm_scratch_close(&s);
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

int kvm_cpl0_judge(kvm_rate_fn rate_of, void *ctx, struct error *err)
{
	uint64_t rate = 0, best = 0;
	unsigned i;
	int ret;

	for (i = 0; i < KVM_NATIVE_TRIES && best < KVM_NATIVE_RATE_MIN; i++) {
		ret = rate_of(ctx, &rate, err);
		if (ret)
			return ret;
		best = rate > best ? rate : best;
	}
	/* No rate at all is no measurement: whoever starts a guest will see why. */
	if (best && best < KVM_NATIVE_RATE_MIN)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "a Linux guest needs hardware virtualisation: this KVM emulates "
				 "kernel code, at %llu steps a second; --cpl 0 tries all the same",
				 (unsigned long long)best * 1000);
	return 0;
}

static int rate_of_level_0(void *unused, uint64_t *rate, struct error *err)
{
	(void)unused;
	return measure_level(0, rate, err);
}

int kvm_cpl0_check(struct error *err)
{
	return kvm_cpl0_judge(rate_of_level_0, NULL, err);
}

static bool step_trial(int cpl)
{
	struct kvm_scratch s = {.tick_ns = TRIAL_TICK_NS};
	struct machine_regs regs;
	uint64_t deadline = clock_ns() + TRIAL_NS;
	unsigned done = 0;
	int ret;

	if (kvm_scratch_open(&s, cpl, step_code, sizeof(step_code), NULL))
		return false;
	while (done < 2 && clock_ns() < deadline) {
		ret = kvm_vcpu_step(s.v, &regs, NULL);
		if (ret == -EAGAIN)
			continue;
		if (ret || regs.rip != KVM_SCRATCH_CODE + done + 1)
			break;
		done++;
	}
	kvm_scratch_close(&s);
	return done == 2;
}

static bool fault_trial(int cpl)
{
	struct kvm_scratch s = {.tick_ns = TRIAL_TICK_NS, .catch_faults = true};
	struct machine_regs regs;
	struct vcpu_exit_info exit = {0};
	uint64_t deadline = clock_ns() + TRIAL_NS;
	enum vcpu_exit got = VCPU_EXIT_INTERRUPTED;
	bool caught;

	if (kvm_scratch_open(&s, cpl, fault_code, sizeof(fault_code), NULL))
		return false;
	while (got == VCPU_EXIT_INTERRUPTED && clock_ns() < deadline)
		got = backend_kvm.run(s.v, &exit);
	caught = got == VCPU_EXIT_END && exit.end == MACHINE_END_FAULT &&
		 !kvm_vcpu_get_regs(s.v, &regs) && regs.rip == KVM_SCRATCH_CODE + 1;
	kvm_scratch_close(&s);
	return caught;
}

/* Tried once for each level; 0 not tried, 1 works, -1 does not. */
static bool tried(int known[2], int cpl, bool (*trial)(int cpl))
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int *k = &known[cpl == 3];
	bool works;

	pthread_mutex_lock(&lock);
	if (!*k)
		*k = trial(cpl) ? 1 : -1;
	works = *k > 0;
	pthread_mutex_unlock(&lock);
	return works;
}

bool kvm_step_works(int cpl)
{
	static int known[2];

	return tried(known, cpl, step_trial);
}

bool kvm_fault_works(int cpl)
{
	static int known[2];

	return tried(known, cpl, fault_trial);
}
