/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small virtual machine: RAM, up to HOTRAIL_MAX_VCPUS vCPUs on threads of their
 * own, and a pause that parks them all. Two backends stand behind one table:
 *
 *   kvm      /dev/kvm; the real thing.
 *   process  no /dev/kvm: each vCPU is a traced, system-call-less process that
 *            shares the guest's RAM. Level 3 only, guests linked at
 *            HOTRAIL_BASE_LOW only. It runs guest text natively, so the same
 *            instructions cost the same; it is not a privilege boundary for a
 *            kernel and says so wherever a figure is shown.
 *
 * The machine knows no device: port accesses go to the handler it was given.
 */
#ifndef HOTRAIL_MACHINE_MACHINE_H
#define HOTRAIL_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <hotrail/types.h>
#include "util/error.h"

struct machine;
struct machine_pc;

enum machine_backend { MACHINE_AUTO, MACHINE_KVM, MACHINE_PROCESS };
enum machine_cpl { MACHINE_CPL_AUTO = -1, MACHINE_CPL_0 = 0, MACHINE_CPL_3 = 3 };

enum machine_prot { MACHINE_R = 1, MACHINE_W = 2, MACHINE_X = 4 };

/* One stretch of guest virtual memory; all fields multiples of 4096; maps never overlap. */
struct machine_map {
	gva_t gva;
	gpa_t gpa;
	uint64_t size;
	unsigned prot; /* enum machine_prot bits */
};

struct machine_regs {
	uint64_t gpr[HOTRAIL_REGS];
	uint64_t rip, rflags;
};

/* Why a vCPU stopped for good; the run ends, the report is shown. */
enum machine_end {
	MACHINE_END_NONE,     /* still running */
	MACHINE_END_STOPPED,  /* machine_stop() */
	MACHINE_END_SHUTDOWN, /* triple fault, or the process backend's equivalent signal */
	MACHINE_END_FAULT,    /* access, instruction or system call the guest may not make */
	MACHINE_END_INTERNAL, /* KVM_EXIT_INTERNAL_ERROR, unknown exit */
	MACHINE_END_POWEROFF, /* the guest switched itself off: a clean end */
	MACHINE_END_RESET,    /* the guest asked for a reboot */
};

struct machine_report {
	enum machine_end end;
	unsigned vcpu;
	struct machine_regs regs;
	uint8_t bytes[16]; /* at RIP, as far as readable */
	unsigned bytes_len;
	char text[160]; /* in words: what happened */
};

/*
 * Port write by a guest. Runs on the vCPU's thread, no lock held; must not call
 * machine_pause_begin(). 0 = handled, -ENODEV = nobody at that port (ends the
 * run with MACHINE_END_FAULT).
 */
typedef int (*machine_port_fn)(void *ctx, unsigned vcpu, uint16_t port, uint32_t value);

/* A vCPU was interrupted by machine_kick() or by a signal aimed at
 * machine_vcpu_tid() and is not asked to park. On the vCPU's thread. */
typedef void (*machine_sample_fn)(void *ctx, unsigned vcpu, const struct machine_regs *regs);

struct machine_config {
	enum machine_backend backend;
	enum machine_cpl cpl;
	unsigned vcpus;	    /* 1..HOTRAIL_MAX_VCPUS */
	uint64_t ram_bytes; /* multiple of 4096; the low 2 MiB are the monitor's (page tables) */
	bool huge_pages;
	const struct machine_map *maps;
	unsigned maps_count;
	machine_port_fn port;
	void *port_ctx;
	const struct machine_pc
		*pc; /* machine/pc.h: a PC for a real kernel; maps, port are then unused */
};

/* Is this backend usable here? 0, or negative errno with the reason in *err. */
int machine_probe(enum machine_backend backend, struct error *err);

/* Allocate RAM, build page tables, create (not start) vCPUs. On failure nothing is left behind. */
int machine_create(const struct machine_config *config, struct machine **out, struct error *err);
void machine_destroy(struct machine *m); /* stops first; NULL is fine */

enum machine_backend machine_backend(const struct machine *m);
const char *machine_backend_name(enum machine_backend backend);
int machine_cpl(const struct machine *m); /* 0 or 3, as decided */
unsigned machine_vcpus(const struct machine *m);
gpa_t machine_page_table_root(const struct machine *m); /* for x86/pagewalk */

/* Host view of [gpa, gpa+len), or NULL when any byte lies outside RAM. The guest
 * may change it at any moment: copy, check, use. Any thread. */
void *machine_ram_range(const struct machine *m, gpa_t gpa, uint64_t len);
uint64_t machine_ram_bytes(const struct machine *m);

/* Start state of a vCPU; before machine_start() only. */
int machine_set_entry(struct machine *m, unsigned vcpu, const struct machine_regs *regs,
		      struct error *err);
int machine_start(struct machine *m, struct error *err);

/* End the run from any thread; idempotent; returns when all vCPUs are dead. */
void machine_stop(struct machine *m);

/* Block until a vCPU ended or timeout_ms passed (-1 = forever). Returns 1 and
 * fills *report when ended, else 0. Any thread. */
int machine_wait_end(struct machine *m, int timeout_ms, struct machine_report *report);

/* Called once, on the ending vCPU's thread, when the machine ends; before machine_start(). */
void machine_on_end(struct machine *m, void (*fn)(void *ctx), void *ctx);

/* --- pausing; design: request, immediate_exit, signal, futex --- */

struct machine_pause {
	uint64_t token;
	uint64_t begin_ns;  /* CLOCK_MONOTONIC when asked */
	uint64_t parked_ns; /* when all were parked */
};

/*
 * Park every vCPU at an instruction boundary. Not from a vCPU thread. Takes the
 * pause mutex until machine_pause_end(). -ETIMEDOUT after budget_us: all vCPUs
 * are thawed, nothing is held. -ESHUTDOWN: the machine has ended.
 */
int machine_pause_begin(struct machine *m, uint32_t budget_us, struct machine_pause *pause,
			struct error *err);
/* Thaw. Returns microseconds from begin to thaw; -EINVAL for a token that is not the current one.
 */
int64_t machine_pause_end(struct machine *m, struct machine_pause *pause);

/* Run fn on a parked vCPU's own thread and wait for it. Only between pause_begin and pause_end. */
int machine_vcpu_task(struct machine *m, unsigned vcpu,
		      int (*fn)(struct machine *m, unsigned vcpu, void *arg), void *arg);
/* Registers of a parked vCPU. */
int machine_get_regs(struct machine *m, unsigned vcpu, struct machine_regs *regs);

/* --- sampling --- */

/* NULL removes the hook; returns when no thread is inside the old one. Any thread but a vCPU's. */
void machine_set_sample_hook(struct machine *m, machine_sample_fn fn, void *ctx);
void machine_kick(struct machine *m, unsigned vcpu); /* any thread; async-signal-safe not needed */
/* Thread whose user-mode events are the guest's (perf_event_open pid argument);
 * overflow signals sent to it interrupt the vCPU. */
pid_t machine_vcpu_tid(const struct machine *m, unsigned vcpu);
/* The signal that, sent to machine_vcpu_tid(), has the effect of machine_kick(). Better below
 * SIGRTMIN: pending ones then coalesce, where a full real-time queue turns perf's into SIGIO. 0 =
 * none would do. */
int machine_kick_signal(const struct machine *m);
/* Single-step a parked vCPU by one instruction; regs afterwards. -ENOTSUP where impossible. */
int machine_step(struct machine *m, unsigned vcpu, struct machine_regs *regs, struct error *err);
/* The same again and again, as long as more(ctx, registers after the step) says so. On the vCPU's
 * thread: without a hand-over a step, which costs more than the step where cores are few. */
typedef bool (*machine_step_fn)(void *ctx, const struct machine_regs *regs);
int machine_step_while(struct machine *m, unsigned vcpu, machine_step_fn more, void *ctx,
		       struct error *err);
/* Interrupt the vCPU once, when it is about to execute `addr`: the sample hook then finds RIP there
 * and the breakpoint is gone. One a vCPU, in a debug register: no byte of the guest changes. A new
 * one replaces it, 0 removes it. Any thread; a hit that meets a pause is lost. -ENOTSUP with the
 * reason where a trial showed that it never fires (a call with 0 asks just that). */
int machine_set_breakpoint(struct machine *m, unsigned vcpu, gva_t addr, struct error *err);

#endif
