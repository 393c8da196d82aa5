// SPDX-License-Identifier: GPL-2.0-only
/* Running and stepping a vCPU of the process backend, and what each of its stops means. */
#include "machine/process.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifndef PTRACE_SYSEMU /* <asm/ptrace-abi.h>, which clashes with <sys/ptrace.h> */
#define PTRACE_SYSEMU		 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif

#define SYSCALL_STOP (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD, ptrace(2) */
#define OUT_LEN	     2		      /* e6 ib, e7 ib */
#define STEP_TRIES   64		      /* queued real-time signals are dropped one a try */

/* One byte of guest text through RAM, by the machine's own maps; -1 outside. */
static int text_byte(const struct process *p, gva_t gva)
{
	const struct machine_map *m;
	unsigned i;

	for (i = 0; i < p->config->maps_count; i++) {
		m = &p->config->maps[i];
		if (gva >= m->gva && gva - m->gva < m->size && m->prot & MACHINE_X)
			return p->ram[m->gpa + (gva - m->gva)];
	}
	return -1;
}

static bool is_port_write(const struct process *p, const struct user_regs_struct *r,
			  struct vcpu_exit_info *exit)
{
	int opcode = text_byte(p, r->rip), port = text_byte(p, r->rip + 1);

	if ((opcode != 0xe6 && opcode != 0xe7) || port < 0) /* out %al / %eax, $imm8 */
		return false;
	exit->port = (uint16_t)port;
	exit->value = opcode == 0xe6 ? (uint8_t)r->rax : (uint32_t)r->rax;
	return true;
}

static enum vcpu_exit fault(struct backend_vcpu *v, const siginfo_t *info,
			    struct vcpu_exit_info *exit)
{
	struct user_regs_struct r = {0};
	const char *what;

	/* #GP has no address and SI_KERNEL; a page fault has SEGV_MAPERR or SEGV_ACCERR. */
	if (!process_user_regs(v, &r) && info->si_signo == SIGSEGV && info->si_code == SI_KERNEL &&
	    is_port_write(v->process, &r, exit)) {
		v->io_pending = true;
		return VCPU_EXIT_PORT;
	}
	exit->end = MACHINE_END_FAULT;
	if (info->si_signo == SIGSEGV && info->si_code != SI_KERNEL) {
		snprintf(exit->text, sizeof(exit->text),
			 "memory access the guest may not make, at address %#llx",
			 (unsigned long long)(uintptr_t)info->si_addr);
		return VCPU_EXIT_END;
	}
	switch (info->si_signo) {
	case SIGSEGV:
		what = "general protection: privileged instruction or bad address";
		break;
	case SIGILL:
		what = "invalid instruction";
		break;
	case SIGBUS:
		what = "bus error: alignment, stack or memory failure";
		break;
	default: /* a trap that a guest without handlers does not survive */
		exit->end = MACHINE_END_SHUTDOWN;
		what = info->si_signo == SIGFPE ? "arithmetic exception"
						: "breakpoint or debug trap";
	}
	snprintf(exit->text, sizeof(exit->text), "%s, at address %#llx", what,
		 (unsigned long long)(uintptr_t)info->si_addr);
	return VCPU_EXIT_END;
}

static enum vcpu_exit system_call(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	struct user_regs_struct r = {0};

	exit->end = MACHINE_END_FAULT;
	if (!process_user_regs(v, &r)) {
		/* Report the instruction (0f 05, cd 80 or 0f 34: two bytes), not what follows. */
		ptrace(PTRACE_POKEUSER, v->child.pid, offsetof(struct user, regs.rip), r.rip - 2);
	}
	snprintf(exit->text, sizeof(exit->text),
		 "system call %lld, which a guest may not make; it was not executed",
		 (long long)r.orig_rax);
	return VCPU_EXIT_END;
}

static enum vcpu_exit gone(const struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	/* Past the tracer only the vsyscall page makes system calls: the filter's work. */
	if (WIFSIGNALED(v->died) && WTERMSIG(v->died) == SIGSYS) {
		exit->end = MACHINE_END_FAULT;
		snprintf(exit->text, sizeof(exit->text),
			 "system call through the vsyscall page, which a guest may not make");
		return VCPU_EXIT_END;
	}
	exit->end = MACHINE_END_INTERNAL;
	snprintf(exit->text, sizeof(exit->text),
		 "the vCPU process was ended from outside (wait status %#x)", (unsigned)v->died);
	return VCPU_EXIT_END;
}

/* The kernel's report of what the guest did, as opposed to a signal somebody sent. */
static bool is_guest_fault(const struct backend_vcpu *v, int sig, siginfo_t *info)
{
	if (sig != SIGSEGV && sig != SIGILL && sig != SIGBUS && sig != SIGFPE && sig != SIGTRAP)
		return false;
	/* si_code <= 0: kill, tgkill, sigqueue and other user space (sigaction(2)). */
	return !ptrace(PTRACE_GETSIGINFO, v->child.pid, NULL, info) && info->si_code > 0;
}

/* Resume with `request` and wait for the next stop. 0, or v->died is set. */
static int resume(struct backend_vcpu *v, int request, int *sig)
{
	int status = 0;

	/* Signal 0: nothing is ever delivered to the guest, it has no handlers and dies of none.
	 * ESRCH: the process was killed, and the wait tells. Anything else would leave it stopped
	 * and the wait without an end. */
	if (ptrace(request, v->child.pid, NULL, NULL) && errno != ESRCH)
		kill(v->child.pid, SIGKILL);
	if (process_wait(v->child.pid, &status) || !WIFSTOPPED(status)) {
		v->died = status ? status : W_EXITCODE(255, 0);
		v->child.pid = 0;
		return -ESRCH;
	}
	*sig = WSTOPSIG(status);
	return 0;
}

void process_finish_io(struct backend_vcpu *v)
{
	struct user_regs_struct r;

	if (!v->io_pending)
		return;
	v->io_pending = false;
	if (!process_user_regs(v, &r))
		ptrace(PTRACE_POKEUSER, v->child.pid, offsetof(struct user, regs.rip),
		       r.rip + OUT_LEN);
}

enum vcpu_exit process_run(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	siginfo_t info;
	int sig;

	process_finish_io(v);
	for (;;) {
		/* A kick that came first is a pending signal: the child stops before its first
		 * instruction, so it is not lost. */
		if (!v->died)
			process_debug_apply(&v->debug, v->child.pid);
		if (v->died || resume(v, PTRACE_SYSEMU, &sig))
			return gone(v, exit);
		if (sig == SYSCALL_STOP)
			return system_call(v, exit);
		if (sig == KICK_SIGNAL) {
			if (atomic_exchange(&v->kick, KICK_IDLE) == KICK_STALE)
				continue;
			return VCPU_EXIT_INTERRUPTED;
		}
		if (!is_guest_fault(v, sig, &info))
			return VCPU_EXIT_INTERRUPTED; /* a counter's overflow, or a stranger */
		if (sig == SIGTRAP && process_debug_hit(&v->debug, v->child.pid, info.si_code))
			return VCPU_EXIT_INTERRUPTED;
		return fault(v, &info, exit);
	}
}

static int step_result(struct backend_vcpu *v, int sig, const siginfo_t *info, struct error *err)
{
	struct vcpu_exit_info exit = {0};

	if (sig == SIGTRAP && info->si_code != SI_KERNEL) /* SI_KERNEL: the guest's own int3 */
		return 0;
	if (fault(v, info, &exit) == VCPU_EXIT_PORT) {
		v->io_pending = false; /* nobody took the value: the next run() meets it again */
		return error_set(err, HOTRAIL_EXIT_BUSY, -EAGAIN,
				 "the next instruction writes a port: only a running vCPU may");
	}
	return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT, "single step: %s", exit.text);
}

int process_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err)
{
	struct vcpu_exit_info exit;
	siginfo_t info;
	int tries, sig, ret;

	process_finish_io(v);
	for (tries = 0; tries < STEP_TRIES; tries++) {
		if (v->died || resume(v, PTRACE_SYSEMU_SINGLESTEP, &sig))
			return error_set(err, HOTRAIL_EXIT_FAILED, -ESRCH,
					 "the vCPU process is gone");
		if (sig == SYSCALL_STOP) {
			system_call(v, &exit);
			return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT, "single step: %s",
					 exit.text);
		}
		if (is_guest_fault(v, sig, &info)) {
			/* Met before the instruction: it is still to be stepped. */
			if (sig == SIGTRAP &&
			    process_debug_hit(&v->debug, v->child.pid, info.si_code))
				continue;
			ret = step_result(v, sig, &info, err);
			return ret ? ret : process_get_regs(v, regs);
		}
		if (sig == KICK_SIGNAL) /* parked: whoever kicked asks again or has what he wants */
			atomic_exchange(&v->kick, KICK_IDLE);
	}
	return error_set(err, HOTRAIL_EXIT_BUSY, -EINTR, "single step: too many signals");
}
