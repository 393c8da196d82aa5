// SPDX-License-Identifier: GPL-2.0-only
/* Breakpoints of the process backend: debug register 0 of the traced process, through ptrace. */
#include "machine/process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define DR7_EXECUTE_0 1ul /* L0; R/W0 and LEN0 = 0: on execution (Intel SDM vol. 3B, 18.2.4) */
#ifndef TRAP_HWBKPT
#define TRAP_HWBKPT 4 /* <asm-generic/siginfo.h> */
#endif

static int poke(pid_t pid, unsigned reg, unsigned long value)
{
	size_t offset = offsetof(struct user, u_debugreg) + reg * sizeof(long);

	return ptrace(PTRACE_POKEUSER, pid, offset, value) ? -errno : 0;
}

static int load(pid_t pid, gva_t addr)
{
	/* Off first: the kernel checks an address that is in force. */
	int ret = poke(pid, 7, 0);

	if (!ret && addr)
		ret = poke(pid, 0, addr);
	if (!ret && addr)
		ret = poke(pid, 7, DR7_EXECUTE_0);
	return ret;
}

static void __attribute__((noinline, noclone)) trial_place(void)
{
	__asm__ volatile("nop" ::: "memory");
}

/* Async-signal-safe: the monitor has threads. */
static void trial_child(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1); /* lint: child */
	raise(SIGSTOP);
	trial_place();
	_exit(0); /* lint: child */
}

/* Does a breakpoint fire, and does the process go on once it is removed? */
static bool trial(void)
{
	siginfo_t info = {0};
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		trial_child();
	if (pid < 0)
		return false;
	if (process_wait(pid, &status) || !WIFSTOPPED(status))
		return false; /* ended by itself, and reaped */
	if (!load(pid, (gva_t)(uintptr_t)trial_place))
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	else
		kill(pid, SIGKILL);
	if (process_wait(pid, &status) || !WIFSTOPPED(status))
		return false;
	if (WSTOPSIG(status) != SIGTRAP || ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) ||
	    info.si_code != TRAP_HWBKPT || load(pid, 0)) {
		kill(pid, SIGKILL);
		process_wait(pid, &status);
		return false;
	}
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	return !process_wait(pid, &status) && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool works(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int known; /* 0 not tried, 1 works, -1 does not */
	bool yes;

	pthread_mutex_lock(&lock);
	if (!known)
		known = trial() ? 1 : -1;
	yes = known > 0;
	pthread_mutex_unlock(&lock);
	return yes;
}

int process_debug_want(struct process_debug *d, gva_t addr, struct error *err)
{
	int failed = atomic_load(&d->failed);

	if (!works())
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "breakpoints in debug registers never fire here: a trial on a "
				 "process failed (a virtual machine without them?)");
	if (failed)
		return error_set(err, HOTRAIL_EXIT_FAILED, -failed,
				 "a debug register of the vCPU process cannot be written: %s",
				 strerror(failed));
	if (addr >= PROCESS_HIGHEST)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "no breakpoint at %#llx: outside of a process",
				 (unsigned long long)addr);
	atomic_store(&d->wanted, addr);
	return 0;
}

void process_debug_apply(struct process_debug *d, pid_t pid)
{
	gva_t wanted = atomic_load(&d->wanted);
	int ret;

	if (wanted == d->set)
		return;
	ret = load(pid, wanted);
	if (ret)
		atomic_store(&d->failed, -ret);
	d->set = wanted; /* failed too: not tried again on every run */
}

bool process_debug_hit(struct process_debug *d, pid_t pid, int si_code)
{
	gva_t was = d->set;

	if (!was || si_code != TRAP_HWBKPT)
		return false;
	load(pid, 0);
	d->set = 0;
	atomic_compare_exchange_strong(&d->wanted, &was,
				       0); /* unless a new one is wanted already */
	return true;
}
