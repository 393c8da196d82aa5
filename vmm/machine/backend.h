/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a machine backend provides. machine.c owns RAM, threads, pausing and
 * reports; a backend runs one vCPU until something happens. All vCPU functions but
 * kick are called on that vCPU's thread only.
 */
#ifndef HOTRAIL_MACHINE_BACKEND_H
#define HOTRAIL_MACHINE_BACKEND_H

#include "machine/machine.h"
#include "machine/pc.h"

enum vcpu_exit {
	VCPU_EXIT_INTERRUPTED, /* kick or signal; the guest made no request */
	VCPU_EXIT_PORT,	   /* fills exit->port/value; the access is complete once run() is entered
			      again */
	VCPU_EXIT_END,	   /* fills exit->end and exit->text */
	VCPU_EXIT_HANDLED, /* the backend saw to it; a PC's access handler was called */
};

struct vcpu_exit_info {
	uint16_t port;
	uint32_t value;
	enum machine_end end;
	char text[160];
};

struct backend_vcpu; /* backend's own */

struct backend_ops {
	const char *name;
	int (*probe)(struct error *err);
	/* RAM is allocated (mapped at `ram`; memfd `ram_fd`, -1 for a PC), page tables for
	 * config->maps are built at `root`. Returns backend state in *out. Decides the privilege
	 * level. */
	int (*create)(const struct machine_config *config, int ram_fd, void *ram, gpa_t root,
		      void **out, int *cpl, struct error *err);
	void (*destroy)(void *state);
	/* On the vCPU's thread: create it, later free it. */
	int (*vcpu_create)(void *state, unsigned index, struct backend_vcpu **out,
			   struct error *err);
	void (*vcpu_destroy)(struct backend_vcpu *v);
	/* Enter the guest. Honours a kick() that came before it: then it returns INTERRUPTED. */
	enum vcpu_exit (*run)(struct backend_vcpu *v, struct vcpu_exit_info *exit);
	/* Complete a pending port access without running guest code (registers become true). */
	void (*finish_io)(struct backend_vcpu *v);
	/* Before the request word is read, at the top of the loop: forget earlier kicks. */
	void (*clear_kick)(struct backend_vcpu *v);
	/* Make run() return soon. Any thread. */
	void (*kick)(struct backend_vcpu *v);
	int (*get_regs)(struct backend_vcpu *v, struct machine_regs *regs);
	int (*set_regs)(struct backend_vcpu *v, const struct machine_regs *regs);
	int (*step)(struct backend_vcpu *v, struct machine_regs *regs, struct error *err);
	/* See machine_set_breakpoint(). Any thread; run() puts it into force, the caller kicks. On
	 * a hit run() has removed it and returns INTERRUPTED with RIP at addr. May be NULL. */
	int (*breakpoint)(struct backend_vcpu *v, gva_t addr, struct error *err);
	pid_t (*event_tid)(struct backend_vcpu *v); /* see machine_vcpu_tid() */
	void (*paused)(struct backend_vcpu *v);	    /* tell the guest clock; may be NULL */
	int (*kick_signal)(void); /* see machine_kick_signal(); NULL = none would do */

	/* A PC's, machine/pc.h; all NULL where a backend cannot be one. 0 or negative errno. */
	int (*get_paging)(struct backend_vcpu *v, struct machine_paging *paging);
	int (*get_msr)(struct backend_vcpu *v, uint32_t index, uint64_t *value);
	int (*get_cpl)(struct backend_vcpu *v);
	int (*irq)(void *state, unsigned gsi, bool level);
	int (*irqfd)(void *state, unsigned gsi, int fd, bool on);
	int (*ioeventfd)(void *state, gpa_t gpa, uint32_t value, int fd, bool on);
	/* Memory slot number `slot` (the machine's RAM is not among them); size 0 removes it. */
	int (*slot)(void *state, unsigned slot, gpa_t gpa, void *host, uint64_t size,
		    bool readonly);
};

extern const struct backend_ops backend_kvm;
extern const struct backend_ops backend_process;

#endif
