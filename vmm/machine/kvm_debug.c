// SPDX-License-Identifier: GPL-2.0-only
/* Breakpoints of the KVM backend: debug register 0 through KVM_SET_GUEST_DEBUG. */
#include "machine/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"

#define DR7_EXECUTE_0                                                                              \
	0x402 /* G0 and the bit that reads as 1; R/W0 and LEN0 = 0: on execution (SDM 18.2.4) */
#define TRIAL_LIMIT_NS 1000000000ull /* ten times what the trial allows itself */
#define TRIAL_POLL_MS  2
#define TRIAL_NS       100000000ull

/* nop ; nop ; spin */
static const uint8_t code[] = {0x90, 0x90, 0xeb, 0xfe};

static int load(struct backend_vcpu *v, gva_t addr)
{
	struct kvm_guest_debug debug = {0};

	if (addr) {
		debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[0] = addr;
		debug.arch.debugreg[7] = DR7_EXECUTE_0;
	}
	return ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug) ? -errno : 0;
}

void kvm_debug_apply(struct backend_vcpu *v)
{
	gva_t wanted = __atomic_load_n(&v->debug.wanted, __ATOMIC_SEQ_CST);
	int ret;

	if (wanted == v->debug.set)
		return;
	ret = load(v, wanted);
	if (ret)
		__atomic_store_n(&v->debug.failed, -ret, __ATOMIC_SEQ_CST);
	v->debug.set = wanted; /* failed too: not tried again on every run */
}

bool kvm_debug_hit(struct backend_vcpu *v)
{
	gva_t was = v->debug.set;

	if (!was)
		return false;
	load(v, 0);
	v->debug.set = 0;
	/* Unless a new one is wanted already. */
	__atomic_compare_exchange_n(&v->debug.wanted, &was, 0, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return true;
}

/* Run until the instruction pointer is past `from`; where it is then, 0 when the guest ended. */
static gva_t run_past(struct kvm_scratch *s, gva_t from, uint64_t deadline)
{
	struct vcpu_exit_info exit;
	struct machine_regs regs;

	do {
		if (backend_kvm.run(s->v, &exit) != VCPU_EXIT_INTERRUPTED ||
		    kvm_vcpu_get_regs(s->v, &regs))
			return 0;
	} while (regs.rip <= from && clock_ns() < deadline);
	return regs.rip;
}

/* It must stop at the second nop, and go on from there. */
static bool trial_here(int cpl)
{
	struct kvm_scratch s = {.catch_faults = false};
	uint64_t deadline = clock_ns() + TRIAL_NS;
	bool fired;

	if (kvm_scratch_open(&s, cpl, code, sizeof(code), NULL))
		return false;
	s.v->debug.wanted = KVM_SCRATCH_CODE + 1;
	fired = run_past(&s, KVM_SCRATCH_CODE, deadline) == KVM_SCRATCH_CODE + 1 &&
		!s.v->debug.set && !s.v->debug.failed &&
		run_past(&s, KVM_SCRATCH_CODE + 1, deadline) == KVM_SCRATCH_CODE + 2;
	kvm_scratch_close(&s);
	return fired;
}

/* Ended within the time? Its wait status then. */
static bool ended(pid_t pid, int *status, uint64_t limit_ns)
{
	uint64_t until = clock_ns() + limit_ns;
	pid_t got;

	do {
		got = waitpid(pid, status, WNOHANG);
		if (got)
			return got == pid;
		clock_sleep_ms(TRIAL_POLL_MS);
	} while (clock_ns() < until);
	return false;
}

/*
 * In a process of its own: under QEMU's emulated SVM, KVM_RUN with a breakpoint set was seen
 * not to come back at all, signals or not, until it is killed.
 */
static bool trial(int cpl)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(trial_here(cpl) ? 0 : 1); /* lint: child */
	if (pid < 0)
		return false;
	if (ended(pid, &status, TRIAL_LIMIT_NS))
		return WIFEXITED(status) && !WEXITSTATUS(status);
	kill(pid, SIGKILL);
	ended(pid, &status, TRIAL_LIMIT_NS); /* one that cannot even be killed is left behind */
	return false;
}

static bool works(int cpl)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int known[2]; /* 0 not tried, 1 works, -1 does not */
	int *k = &known[cpl == 3];
	bool yes;

	pthread_mutex_lock(&lock);
	if (!*k)
		*k = trial(cpl) ? 1 : -1;
	yes = *k > 0;
	pthread_mutex_unlock(&lock);
	return yes;
}

int kvm_debug_want(struct backend_vcpu *v, gva_t addr, struct error *err)
{
	int failed = __atomic_load_n(&v->debug.failed, __ATOMIC_SEQ_CST);

	if (!v->vm->debug || !works(v->vm->cpl))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "breakpoints never fire on this KVM at level %d: a trial on a "
				 "scratch machine failed",
				 v->vm->cpl);
	if (failed)
		return error_set(err, HOTRAIL_EXIT_FAILED, -failed,
				 "KVM refused a breakpoint of vCPU %u: %s", v->index,
				 strerror(failed));
	__atomic_store_n(&v->debug.wanted, addr, __ATOMIC_SEQ_CST);
	return 0;
}
