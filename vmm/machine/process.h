/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the process backend: process.c has the vCPUs, process_run.c runs them,
 * process_spawn.c starts and ends the processes they are.
 */
#ifndef HOTRAIL_MACHINE_PROCESS_H
#define HOTRAIL_MACHINE_PROCESS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "machine/backend.h"
#include "machine/machine.h"

#define PROCESS_LOWEST	0x20000ull	  /* below are the stub and vm.mmap_min_addr */
#define PROCESS_HIGHEST 0x7ffffffff000ull /* end of user space with 4-level paging */
#define KICK_SIGNAL	SIGUSR1

/* One vCPU process, traced by the thread that started it. */
struct process_child {
	pid_t pid; /* 0 = none, or already reaped */
	int pidfd; /* signals through it never reach a stranger who got the same pid */
};

/* Start a stub with RAM mapped as `maps` say; it is stopped, without system calls, ready for
 * registers. Only the calling thread may trace it from now on. */
int process_spawn(int stub_fd, int ram_fd, const struct machine_map *maps, unsigned count,
		  struct process_child *out, struct error *err);
void process_kill(struct process_child *child); /* waits for it; the tracer's thread only */

/* process_debug.c: one breakpoint of a vCPU in its process's debug registers. */
struct process_debug {
	_Atomic gva_t wanted; /* 0 = none */
	_Atomic int failed;   /* errno of a debug register that could not be written */
	gva_t set;	      /* in the register; the tracer's */
};
/* Any thread. -ENOTSUP where breakpoints of processes never fire, or negative errno. */
int process_debug_want(struct process_debug *d, gva_t addr, struct error *err);
/* The tracer, while the process is stopped. */
void process_debug_apply(struct process_debug *d, pid_t pid);
/* Was this SIGTRAP ours? Then the breakpoint is removed. */
bool process_debug_hit(struct process_debug *d, pid_t pid, int si_code);

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

struct user_regs_struct;
/* All of a stopped vCPU's registers as ptrace gives them; -ESRCH once it has died. */
int process_user_regs(struct backend_vcpu *v, struct user_regs_struct *r);
int process_get_regs(struct backend_vcpu *v, struct machine_regs *regs);

/* process_run.c: of backend_ops. */
void process_finish_io(struct backend_vcpu *v);
enum vcpu_exit process_run(struct backend_vcpu *v, struct vcpu_exit_info *exit);
int process_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err);

/* A memfd with the stub program; negative errno. */
int process_stub_open(struct error *err);

/* waitpid() on a traced child without EINTR; -ECHILD and the like as negative errno. */
int process_wait(pid_t pid, int *status);

#endif
