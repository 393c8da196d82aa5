/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a running guest is reached. One table of functions, implemented by our own
 * machine (target_machine.c); a libvirt domain fits the same table. Callers above
 * this seam never see struct machine.
 */
#ifndef HOTRAIL_TARGET_TARGET_H
#define HOTRAIL_TARGET_TARGET_H

#include "machine/machine.h" /* struct machine_regs, struct machine_pause, hooks */
#include "machine/pc.h"	     /* struct machine_paging */
#include "util/error.h"

struct target;

struct target_ops {
	const char *name;
	unsigned (*vcpus)(struct target *t);
	int (*pause)(struct target *t, uint32_t budget_us, struct machine_pause *p,
		     struct error *err);
	int64_t (*resume)(struct target *t, struct machine_pause *p);
	int (*get_regs)(struct target *t, unsigned vcpu, struct machine_regs *regs);
	/* 0 or -EFAULT; whole range or nothing. Running or paused. */
	int (*read)(struct target *t, gva_t gva, void *buf, size_t len);
	/* Ignores guest page permissions (it is the host's write). Paused only, except for counters
	 * and for arena bytes that nothing in the guest leads to yet. */
	int (*write)(struct target *t, gva_t gva, const void *buf, size_t len);
	int (*translate)(struct target *t, gva_t gva, gpa_t *gpa);
	void (*set_sample_hook)(struct target *t, machine_sample_fn fn,
				void *ctx);		    /* may be NULL */
	void (*kick)(struct target *t, unsigned vcpu);	    /* may be NULL */
	pid_t (*vcpu_tid)(struct target *t, unsigned vcpu); /* may be NULL */
	int (*kick_signal)(struct target *t); /* interrupts the vCPU when sent to vcpu_tid; 0 =
						 none; may be NULL */
	int (*step)(struct target *t, unsigned vcpu, struct machine_regs *r,
		    struct error *err); /* may be NULL */
	/* machine_step_while(); may be NULL */
	int (*step_while)(struct target *t, unsigned vcpu, machine_step_fn more, void *ctx,
			  struct error *err);
	/* machine_set_breakpoint(); may be NULL */
	int (*breakpoint)(struct target *t, unsigned vcpu, gva_t addr, struct error *err);
	bool (*guest_counts_as_user)(
		struct target *t); /* perf: is guest text user mode for the PMU? */

	/* --- for a guest with page tables of its own; all NULL where there is no such --- */

	int (*get_paging)(struct target *t, unsigned vcpu, struct machine_paging *p); /* paused */
	int (*get_msr)(struct target *t, unsigned vcpu, uint32_t index,
		       uint64_t *value); /* paused */
	/* Where read, write and translate begin to walk from now on, 4 or 5 levels; root 0 = as
	 * created. Before other threads use the target. */
	void (*set_root)(struct target *t, gpa_t root, unsigned levels);
	/* 0 or -EFAULT; whole range or nothing; an aligned word in one access. */
	int (*read_phys)(struct target *t, gpa_t gpa, void *buf, size_t len);
	int (*write_phys)(struct target *t, gpa_t gpa, const void *buf, size_t len);
	/* `size` zeroed bytes of the host's, outside guest RAM, aligned to 2 MiB, at *gpa. With
	 * `readonly` guest writes are dropped. Reached by all of the above like RAM. Removing them
	 * also flushes what vCPUs may have cached of their mapping. */
	int (*slot_add)(struct target *t, uint64_t size, bool readonly, gpa_t *gpa,
			struct error *err);
	int (*slot_remove)(struct target *t, gpa_t gpa);
};

struct target {
	const struct target_ops *ops;
};

/* A target over one of our machines. Does not own the machine. NULL on no memory. */
struct target *target_machine_create(struct machine *m);
void target_machine_destroy(struct target *t);

/* Pause used everywhere unless the caller knows better: law 7. */
#define TARGET_PAUSE_BUDGET_US 100000

#endif
