/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of struct machine: machine.c creates and destroys it, machine_vcpu.c is a vCPU thread's
 * life, machine_call.c what other threads ask of vCPUs. Nobody else includes this.
 */
#ifndef HOTRAIL_MACHINE_MACHINE_STATE_H
#define HOTRAIL_MACHINE_MACHINE_STATE_H

#include <pthread.h>

#include "machine/backend.h"
#include "machine/memory.h"
#include "machine/pause.h"

struct machine_vcpu {
	struct machine *m;
	unsigned index;
	pthread_t thread;
	struct backend_vcpu *bv; /* set before `created`, constant until teardown */
	bool created;		 /* under machine.lock, as the next two */
	int create_ret;
	struct error *create_err; /* the creator's, while it waits */
	bool told;		  /* the report is this vCPU's; own thread only */
};

#define MACHINE_SLOTS 8 /* machine_slot_add() */

struct machine_slot {
	_Atomic uint64_t size; /* 0 = free; stored last, so that readers need no lock */
	gpa_t gpa;
	struct memory mem;
};

struct machine {
	const struct backend_ops *ops;
	enum machine_backend backend;
	struct machine_config config; /* maps points to our own copy */
	struct machine_map *maps;
	struct machine_pc pc; /* config.pc points to it, if it is one */
	struct memory mem;
	gpa_t root;
	int cpl;
	void *state; /* the backend's */
	struct pause pause;
	struct machine_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	unsigned threads; /* vcpu[0..threads) have a thread to join */

	/* A leaf: nothing else is locked and no callback is called under it. */
	pthread_mutex_t lock;
	pthread_cond_t cond; /* created, report, finished or teardown changed; CLOCK_MONOTONIC */
	struct machine_report report; /* filled once */
	unsigned live, finished; /* threads with a vCPU; those of them that kick nobody any more */
	bool teardown;
	bool untold; /* the report is of a thread that is no vCPU's: some vCPU calls on_end */
	void (*on_end)(void *ctx);
	void *on_end_ctx;

	pthread_mutex_t slot_lock; /* who adds and removes slots */
	struct machine_slot slot[MACHINE_SLOTS];

	/* Read-held while a vCPU is inside the hook: taking it for writing waits for them. */
	pthread_rwlock_t hook_lock;
	machine_sample_fn hook;
	void *hook_ctx;
};

extern const struct pause_ops machine_pause_ops; /* ctx: struct machine */

/* A vCPU thread's start routine; arg: struct machine_vcpu. */
void *machine_vcpu_main(void *arg);

/* machine_pc.c */
int machine_pc_check(const struct machine_config *c, struct error *err);
void *machine_slot_range(const struct machine *m, gpa_t gpa, uint64_t len);
void machine_slot_free_all(struct machine *m); /* the backend is gone */
/* The first end is the one that is told: true for it. `v` NULL: not on a vCPU's thread. */
bool machine_record_end(struct machine *m, struct machine_vcpu *v, enum machine_end end,
			const char *text);

#endif
