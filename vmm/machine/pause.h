/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parks all vCPU threads at an instruction boundary and thaws them again. Knows
 * nothing of machines: how a vCPU runs, is kicked and finishes its I/O comes through a
 * table, so that a fake run function can drive every path.
 *
 * All state of a vCPU is one word, changed only by atomic read-modify-writes:
 *
 *   running --request--> asked --vCPU--> parked --thaw--> running
 *   any     --stop-----> asked to die --vCPU--> dead (for good)
 *
 * Lock order: lock, then task_lock. vCPU threads take neither.
 */
#ifndef HOTRAIL_MACHINE_PAUSE_H
#define HOTRAIL_MACHINE_PAUSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hotrail/types.h>
#include "machine/machine.h" /* struct machine_pause */
#include "util/error.h"

#define PAUSE_KICK_AGAIN_MS 10

enum pause_ran {
	PAUSE_RAN_AGAIN,       /* something was handled: go round the loop */
	PAUSE_RAN_INTERRUPTED, /* kick or signal, the guest asked for nothing */
	PAUSE_RAN_ENDED,       /* never run this vCPU again */
};

/* All but kick() are called on the vCPU's own thread. */
struct pause_ops {
	/* Honours a kick that came after the last clear_kick(), even before the call. */
	enum pause_ran (*run)(void *ctx, unsigned vcpu);
	void (*kick)(void *ctx, unsigned vcpu); /* any thread, any time, must not block */
	void (*clear_kick)(void *ctx, unsigned vcpu);
	void (*finish_io)(void *ctx,
			  unsigned vcpu); /* no guest instruction; no-op when none pends */
	void (*parking)(void *ctx,
			unsigned vcpu);		  /* just before it counts as parked; may be NULL */
	void (*sample)(void *ctx, unsigned vcpu); /* interrupted, not asked to park, I/O finished */
};

struct pause_vcpu {
	_Atomic uint32_t word; /* PAUSE_WORD_*; the vCPU's futex */
	_Atomic bool sample;   /* pause_sample() asked */
	int (*fn)(void *arg);  /* task: written before, read after the TASK bit */
	void *arg;
	int result;
} __attribute__((aligned(64))); /* one vCPU's parking does not disturb another's line */

struct pause {
	const struct pause_ops *ops;
	void *ctx;
	unsigned count;
	pthread_mutex_t lock;	   /* held from begin to end of a pause */
	pthread_mutex_t task_lock; /* one task at a time; keeps a thaw away from a running task */
	_Atomic uint32_t events;   /* futex: bumped when a vCPU parks, dies or finishes a task */
	_Atomic uint64_t token;	   /* of the current pause, 0 = none */
	uint64_t last_token;	   /* under lock */
	pthread_t owner;	   /* who may end it; stored before token */
	_Atomic bool started, ended;
	struct pause_vcpu vcpu[HOTRAIL_MAX_VCPUS];
};

/* All vCPUs begin parked; pause_start() lets them go. */
int pause_init(struct pause *p, const struct pause_ops *ops, void *ctx, unsigned count);
void pause_fini(struct pause *p);

/* The vCPU thread's loop: returns when run() ended or pause_stop() was called. Call
 * pause_vcpu_dead() last: from then on nobody waits for this thread. */
void pause_vcpu_loop(struct pause *p, unsigned vcpu);
void pause_vcpu_dead(struct pause *p, unsigned vcpu);

void pause_start(struct pause *p);
/* Ask all vCPUs to die. Any thread, does not wait; wakes parked ones too. */
void pause_stop(struct pause *p);
/* Block until all vCPUs are dead; not on a vCPU thread. */
void pause_wait_dead(struct pause *p);
/* Is the caller one of the threads inside pause_vcpu_loop() of p? */
bool pause_on_vcpu(const struct pause *p);

/* See machine_pause_begin(). Also -EDEADLK on a vCPU thread or inside this thread's own pause,
 * -EINVAL before start. The thread that began a pause ends it (-EPERM for another). */
int pause_begin(struct pause *p, uint32_t budget_us, struct machine_pause *out, struct error *err);
int64_t pause_end(struct pause *p, struct machine_pause *pause);

/* Run fn on a parked (or not yet started) vCPU's thread, wait, return its result. -EINVAL when
 * it is not parked, -ESRCH when it is dead, -EDEADLK on a vCPU thread. */
int pause_task(struct pause *p, unsigned vcpu, int (*fn)(void *arg), void *arg);

/* Interrupt a vCPU so that its sample() runs. Never lost; several may fall together. */
void pause_sample(struct pause *p, unsigned vcpu);

#endif
