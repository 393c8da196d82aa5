/* SPDX-License-Identifier: GPL-2.0-only */
/* Tasks in three scheduling classes, timers, deferred work, and what uses comparison callbacks. */
#ifndef YARD_SCHED_H
#define YARD_SCHED_H

#include "kernel.h"

#define TASKS  24
#define TIMERS 16
#define WHEEL  16
#define WORKS  16
#define NODES  48

enum sched_class {
	CLASS_FAIR = 0xa0,
	CLASS_RT,
	CLASS_BATCH,
	CLASS_TIMER,	      /* + kind */
	CLASS_WORK = 0xb0,    /* + kind */
	CLASS_SOFTIRQ = 0xc0, /* + number */
	CLASS_CLOCK_TSC = 0xd0,
	CLASS_CLOCK_TICK,
	CLASS_KEY = 0xe0, /* + comparator */
};
#define TIMER_KINDS 5
#define WORK_KINDS  5
#define SOFTIRQS    4
#define KEYS	    4

enum sched_op {
	OP_TASK_ENQUEUE = 0x300,
	OP_TASK_DEQUEUE,
	OP_TASK_PICK,
	OP_TASK_TICK,
	OP_TASK_WAKE,
	OP_TASK_PRIO,
	OP_TIMER,
	OP_WORK,
	OP_SOFTIRQ,
	OP_CLOCK_READ,
	OP_CLOCK_SCALE,
	OP_COMPARE,
	OP_SWAP,
	OP_VISIT,
	OP_VISIT_TOUCH,
};

struct task {
	u32 class, number, prio, state;
	u64 runtime, deadline;
	const struct task_ops *ops;
};

struct task_ops {
	u64 (*enqueue)(struct env *e, struct task *t);
	u64 (*dequeue)(struct env *e, struct task *t);
	struct task *(*pick)(struct env *e, u32 class);
	u64 (*tick)(struct env *e, struct task *t);
	u64 (*wake)(struct env *e, struct task *t);
	u64 (*prio)(struct env *e, struct task *t, u32 prio);
};

struct timer {
	u32 class, number, armed, next;
	u64 expires, data;
	u64 (*fn)(struct env *e, struct timer *t);
};

struct work {
	u32 class, arg;
	u64 (*fn)(struct env *e, struct work *w);
};

struct softirq {
	u32 class, raised;
	u64 (*fn)(struct env *e, struct softirq *s);
};

struct clock_ops {
	u32 class;
	u64 (*read)(struct env *e, const struct clock_ops *c);
	u64 (*scale)(struct env *e, const struct clock_ops *c, u64 cycles);
};

/* A record that sort and tree order by one of several keys. */
struct record {
	u64 key;
	u32 size, stamp;
	char name[16];
};

struct order {
	u32 class;
	int (*compare)(struct env *e, const struct order *o, const struct record *a,
		       const struct record *b);
	void (*swap)(struct env *e, const struct order *o, struct record *a, struct record *b);
};

struct node {
	struct record r;
	u32 left, right;
};

typedef u64 (*visit_fn)(struct env *e, const struct order *o, struct node *n, u64 sum);

struct sched {
	struct task tasks[TASKS];
	struct timer timers[TIMERS];
	u32 wheel[WHEEL];
	struct work works[WORKS];
	u32 works_head, works_tail;
	struct softirq softirqs[SOFTIRQS];
	const struct task_ops *task_ops[3];
	u64 (*timer_fns[TIMER_KINDS])(struct env *e, struct timer *t);
	u64 (*work_fns[WORK_KINDS])(struct env *e, struct work *w);
	u64 (*softirq_fns[SOFTIRQS])(struct env *e, struct softirq *s);
	const struct clock_ops *clocks[2];
	u32 clock, current;
	struct record records[16];
	struct node nodes[NODES];
	u32 root, nodes_used;
	const struct order *orders[KEYS];
	visit_fn visits[2];
	u64 load[8];
};

/* task.c */
YARD_FN void task_init(struct env *e);
YARD_FN void task_reset(struct env *e);
YARD_FN u64 task_wake(struct env *e, u32 number);
YARD_FN void task_account(struct env *e, u32 amount);
YARD_FN u64 task_schedule(struct env *e);
YARD_FN u64 task_renice(struct env *e, u32 number, u32 prio);
YARD_FN u64 clock_now(struct env *e);

/* timer.c */
YARD_FN void timer_init(struct env *e);
YARD_FN void timer_reset(struct env *e);
YARD_FN u64 timer_arm(struct env *e, u32 number, u32 delay);
YARD_FN u64 timer_cancel(struct env *e, u32 number);
YARD_FN void work_queue(struct env *e, u32 kind, u32 arg);
/* After every operation: expired timers, then raised softirqs, then some deferred work. */
YARD_FN void timer_tick(struct env *e);

/* order.c: sort and tree, for the records of `set` (0..KEYS-1 picks the comparator) */
YARD_FN void order_init(struct env *e);
YARD_FN void order_reset(struct env *e);
YARD_FN u64 order_sort(struct env *e, u32 key, u32 count);
YARD_FN u64 order_insert(struct env *e, u32 key, u64 value);
YARD_FN u64 order_find(struct env *e, u32 key, u64 value);
YARD_FN u64 order_walk(struct env *e, u32 key, u32 visit);

#endif
