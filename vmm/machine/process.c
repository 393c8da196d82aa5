// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process backend: each vCPU is a process without system calls that shares the
 * guest's RAM and runs guest text natively, traced by its vCPU thread. Whatever the guest
 * does that is not plain computing becomes a signal or a system call stop.
 */
#include "machine/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotrail/yard.h> /* HOTRAIL_BASE_LOW */
#include "machine/backend.h"

#ifndef PTRACE_SYSEMU /* <asm/ptrace-abi.h>, which clashes with <sys/ptrace.h> */
#define PTRACE_SYSEMU		 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif

#define KICK_SIGNAL  SIGUSR1
#define SYSCALL_STOP (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD, ptrace(2) */
#define RFLAGS_RF    (1ull << 16)     /* set in the saved flags of every fault */
#define RFLAGS_ARITH 0xcd5ull	      /* CF PF AF ZF SF DF OF: all a start state may choose */
#define RFLAGS_ONE   2ull
#define OUT_LEN	     2	/* e6 ib, e7 ib */
#define STEP_TRIES   64 /* queued real-time signals are dropped one a try */

/*
 * What became of kicks. A kick is a signal; one that clear_kick() must forget may still be on
 * its way or pending in the stopped child, where only a resume can fetch it.
 */
enum kick_state {
	KICK_IDLE,  /* no signal of ours is under way */
	KICK_FRESH, /* one is, and run() owes an INTERRUPTED for it */
	KICK_STALE, /* one is, but clear_kick() has forgotten it: swallow it */
};

struct process {
	const struct machine_config *config;
	int ram_fd, stub_fd;
	const uint8_t *ram;
};

struct backend_vcpu {
	struct process *process;
	struct process_child child;
	_Atomic unsigned kick; /* enum kick_state */
	bool io_pending;       /* RIP is still at the port instruction */
	struct process_debug debug;
	int died; /* wait status once the process is gone, else 0 */
};

/* --- life --- */

static int process_probe(struct error *err)
{
	struct process_child child;
	int stub_fd, ram_fd, ret;

	stub_fd = process_stub_open(err);
	if (stub_fd < 0)
		return stub_fd;
	ram_fd = memfd_create("hotrail-probe", MFD_CLOEXEC);
	if (ram_fd < 0) {
		ret = error_errno(err, "cannot create a memory file");
		goto out_stub;
	}
	ret = process_spawn(stub_fd, ram_fd, NULL, 0, &child, err);
	if (!ret)
		process_kill(&child);
	close(ram_fd);
out_stub:
	close(stub_fd);
	return ret;
}

static int check_maps(const struct machine_config *c, struct error *err)
{
	const struct machine_map *m;
	unsigned i;

	for (i = 0; i < c->maps_count; i++) {
		m = &c->maps[i];
		if (m->gva >= PROCESS_LOWEST && m->gva < PROCESS_HIGHEST &&
		    m->size <= PROCESS_HIGHEST - m->gva)
			continue;
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "guest memory at %#llx cannot be mapped by a process: without "
				 "/dev/kvm only images linked at HOTRAIL_BASE_LOW (%#llx) run",
				 (unsigned long long)m->gva, HOTRAIL_BASE_LOW);
	}
	return 0;
}

static int process_create(const struct machine_config *config, int ram_fd, void *ram, gpa_t root,
			  void **out, int *cpl, struct error *err)
{
	struct process *p;
	int ret;

	(void)root; /* the host's own page tables do the work; the guest's only describe it */
	if (config->cpl == MACHINE_CPL_0)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "privilege level 0 needs /dev/kvm: a process runs at level 3");
	ret = check_maps(config, err);
	if (ret)
		return ret;
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory");
	p->stub_fd = process_stub_open(err);
	if (p->stub_fd < 0) {
		ret = p->stub_fd;
		free(p);
		return ret;
	}
	p->config = config;
	p->ram_fd = ram_fd;
	p->ram = ram;
	*out = p;
	*cpl = 3;
	return 0;
}

static void process_destroy(void *state)
{
	struct process *p = state;

	close(p->stub_fd);
	free(p);
}

/*
 * Ask for the shortest time slice (0.1 ms; Linux 6.12, older kernels ignore it): a vCPU thread
 * or process that waits for a busy CPU is then picked within a tick instead of after others'
 * whole slices, which is most of a pause's tail on a loaded host. The child inherits it.
 * Pinning both to one CPU was measured too: slower, since neither can move to a free CPU.
 */
static void shorten_slice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = sizeof(attr)}; /* struct sched_attr, sched_setattr(2) */

	/* Read first: policy and nice value stay as the user chose them. */
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) || attr.policy != SCHED_OTHER)
		return;
	attr.runtime = 100000;
	syscall(SYS_sched_setattr, 0, &attr, 0); /* only speed depends on it */
}

static int process_vcpu_create(void *state, unsigned index, struct backend_vcpu **out,
			       struct error *err)
{
	struct process *p = state;
	struct backend_vcpu *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory for a vCPU");
	v->process = p;
	shorten_slice();
	ret = process_spawn(p->stub_fd, p->ram_fd, p->config->maps, p->config->maps_count,
			    &v->child, err);
	if (ret) {
		free(v);
		return ret;
	}
	*out = v;
	return 0;
}

static void process_vcpu_destroy(struct backend_vcpu *v)
{
	process_kill(&v->child);
	free(v);
}

/* --- kicks --- */

static void process_kick(struct backend_vcpu *v)
{
	/* One signal of ours at a time. If it is not IDLE, the signal under way becomes fresh
	 * again: run() looks at the state when it arrives, after this exchange. */
	if (atomic_exchange(&v->kick, KICK_FRESH) == KICK_IDLE)
		syscall(SYS_pidfd_send_signal, v->child.pidfd, KICK_SIGNAL, NULL, 0);
}

static void process_clear_kick(struct backend_vcpu *v)
{
	unsigned fresh = KICK_FRESH;

	/* A read-modify-write of the same word as kick(): a kick is either before it, and then
	 * its request is visible to the caller's next load, or after it, and then it is fresh. */
	atomic_compare_exchange_strong(&v->kick, &fresh, KICK_STALE);
}

/* --- registers --- */

static int get_user_regs(struct backend_vcpu *v, struct user_regs_struct *r)
{
	if (v->died)
		return -ESRCH;
	return ptrace(PTRACE_GETREGS, v->child.pid, NULL, r) ? -errno : 0;
}

static unsigned long long *reg_slot(struct user_regs_struct *r, unsigned reg)
{
	unsigned long long *const slots[HOTRAIL_REGS] = {
		[HOTRAIL_RAX] = &r->rax, [HOTRAIL_RCX] = &r->rcx, [HOTRAIL_RDX] = &r->rdx,
		[HOTRAIL_RBX] = &r->rbx, [HOTRAIL_RSP] = &r->rsp, [HOTRAIL_RBP] = &r->rbp,
		[HOTRAIL_RSI] = &r->rsi, [HOTRAIL_RDI] = &r->rdi, [HOTRAIL_R8] = &r->r8,
		[HOTRAIL_R9] = &r->r9,	 [HOTRAIL_R10] = &r->r10, [HOTRAIL_R11] = &r->r11,
		[HOTRAIL_R12] = &r->r12, [HOTRAIL_R13] = &r->r13, [HOTRAIL_R14] = &r->r14,
		[HOTRAIL_R15] = &r->r15,
	};

	return slots[reg];
}

static int process_get_regs(struct backend_vcpu *v, struct machine_regs *regs)
{
	struct user_regs_struct r;
	unsigned i;
	int ret = get_user_regs(v, &r);

	if (ret)
		return ret;
	for (i = 0; i < HOTRAIL_REGS; i++)
		regs->gpr[i] = *reg_slot(&r, i);
	regs->rip = r.rip;
	regs->rflags = r.eflags & ~RFLAGS_RF;
	return 0;
}

static int process_set_regs(struct backend_vcpu *v, const struct machine_regs *regs)
{
	struct user_regs_struct r;
	unsigned i;
	int ret = get_user_regs(v, &r);

	if (ret)
		return ret;
	for (i = 0; i < HOTRAIL_REGS; i++)
		*reg_slot(&r, i) = regs->gpr[i];
	r.rip = regs->rip;
	r.eflags = (regs->rflags & RFLAGS_ARITH) | RFLAGS_ONE;
	r.orig_rax = (unsigned long long)-1; /* no system call to restart */
	v->io_pending = false;
	return ptrace(PTRACE_SETREGS, v->child.pid, NULL, &r) ? -errno : 0;
}

/* --- stops --- */

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
	if (!get_user_regs(v, &r) && info->si_signo == SIGSEGV && info->si_code == SI_KERNEL &&
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
	if (!get_user_regs(v, &r)) {
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

static void process_finish_io(struct backend_vcpu *v)
{
	struct user_regs_struct r;

	if (!v->io_pending)
		return;
	v->io_pending = false;
	if (!get_user_regs(v, &r))
		ptrace(PTRACE_POKEUSER, v->child.pid, offsetof(struct user, regs.rip),
		       r.rip + OUT_LEN);
}

static enum vcpu_exit process_run(struct backend_vcpu *v, struct vcpu_exit_info *exit)
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

static int process_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err)
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

static int process_breakpoint(struct backend_vcpu *v, gva_t addr, struct error *err)
{
	return process_debug_want(&v->debug, addr, err);
}

static int process_kick_signal(void)
{
	return KICK_SIGNAL;
}

static pid_t process_event_tid(struct backend_vcpu *v)
{
	return v->child.pid ? v->child.pid : -1; /* 0 would mean the caller to perf */
}

const struct backend_ops backend_process = {
	.name = "process",
	.probe = process_probe,
	.create = process_create,
	.destroy = process_destroy,
	.vcpu_create = process_vcpu_create,
	.vcpu_destroy = process_vcpu_destroy,
	.run = process_run,
	.finish_io = process_finish_io,
	.clear_kick = process_clear_kick,
	.kick = process_kick,
	.get_regs = process_get_regs,
	.set_regs = process_set_regs,
	.step = process_step,
	.breakpoint = process_breakpoint,
	.event_tid = process_event_tid,
	.kick_signal = process_kick_signal,
};
