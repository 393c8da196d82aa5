/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of the process backend: process.c runs vCPUs, process_spawn.c starts
 * and ends the processes they are.
 */
#ifndef HOTRAIL_MACHINE_PROCESS_H
#define HOTRAIL_MACHINE_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "machine/machine.h"

#define PROCESS_LOWEST	0x20000ull	  /* below are the stub and vm.mmap_min_addr */
#define PROCESS_HIGHEST 0x7ffffffff000ull /* end of user space with 4-level paging */

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

/* A memfd with the stub program; negative errno. */
int process_stub_open(struct error *err);

/* waitpid() on a traced child without EINTR; -ECHILD and the like as negative errno. */
int process_wait(pid_t pid, int *status);

#endif
