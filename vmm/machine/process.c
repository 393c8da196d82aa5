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

#define RFLAGS_RF    (1ull << 16) /* set in the saved flags of every fault */
#define RFLAGS_ARITH 0xcd5ull	  /* CF PF AF ZF SF DF OF: all a start state may choose */
#define RFLAGS_ONE   2ull

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

int process_user_regs(struct backend_vcpu *v, struct user_regs_struct *r)
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

int process_get_regs(struct backend_vcpu *v, struct machine_regs *regs)
{
	struct user_regs_struct r;
	unsigned i;
	int ret = process_user_regs(v, &r);

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
	int ret = process_user_regs(v, &r);

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
