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

struct machine {
	const struct backend_ops *ops;
	enum machine_backend backend;
	struct machine_config config; /* maps points to our own copy */
	struct machine_map *maps;
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
	void (*on_end)(void *ctx);
	void *on_end_ctx;

	/* Read-held while a vCPU is inside the hook: taking it for writing waits for them. */
	pthread_rwlock_t hook_lock;
	machine_sample_fn hook;
	void *hook_ctx;
};

extern const struct pause_ops machine_pause_ops; /* ctx: struct machine */

/* A vCPU thread's start routine; arg: struct machine_vcpu. */
void *machine_vcpu_main(void *arg);

#endif
