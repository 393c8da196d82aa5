// SPDX-License-Identifier: GPL-2.0-only
/* Tasks: three scheduling classes, and two clocks. */
#include "env.h"

/* Fair: the smallest run time of its class goes next. */
static struct task *smallest(struct env *e, u32 class, u32 from)
{
	struct task *best = NULL;
	u32 i;

	for (i = 0; i < TASKS; i++) {
		struct task *t = &e->sched.tasks[(from + i) % TASKS];

		if (t->class == class && (!best || t->runtime < best->runtime))
			best = t;
	}
	return best;
}

static u64 fair_enqueue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_FAIR, OP_TASK_ENQUEUE);
	t->state = 1;
	e->sched.load[t->number % 8] += t->prio;
	return mem_hash(e->sched.load, sizeof(e->sched.load), t->number);
}

static u64 fair_dequeue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_FAIR, OP_TASK_DEQUEUE);
	t->state = 0;
	e->sched.load[t->number % 8] -= t->prio;
	return inet_sum(e->sched.load, sizeof(e->sched.load), t->number);
}

static struct task *fair_pick(struct env *e, u32 class)
{
	ENTER(e, class, CLASS_FAIR, OP_TASK_PICK);
	return smallest(e, CLASS_FAIR, 0);
}

static u64 fair_tick(struct env *e, struct task *t)
{
	u32 i;

	ENTER(e, t->class, CLASS_FAIR, OP_TASK_TICK);
	t->runtime += 1024 / (t->prio + 1) + 1;
	for (i = 0; i < 8; i++) /* decayed load, as a scheduler tracks it */
		e->sched.load[i] = e->sched.load[i] * 1002 / 1024 + i * t->prio;
	return t->runtime;
}

static u64 fair_wake(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_FAIR, OP_TASK_WAKE);
	t->runtime = t->runtime * 15 / 16 + e->core.now;
	return t->runtime + mem_hash(e->sched.load, sizeof(e->sched.load), t->state);
}

static u64 fair_prio(struct env *e, struct task *t, u32 prio)
{
	ENTER(e, t->class, CLASS_FAIR, OP_TASK_PRIO);
	e->sched.load[t->number % 8] += prio - t->prio;
	t->prio = prio;
	return mem_hash(e->sched.load, sizeof(e->sched.load), prio);
}

/* Real time: highest priority goes next. */
static u64 rt_enqueue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_RT, OP_TASK_ENQUEUE);
	t->state = 2;
	t->deadline = e->core.now + t->prio;
	return mem_crc32(e->sched.load, 12, t->number);
}

static u64 rt_dequeue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_RT, OP_TASK_DEQUEUE);
	t->state = 0;
	return t->deadline - e->core.now;
}

static struct task *rt_pick(struct env *e, u32 class)
{
	struct task *best = NULL;
	u32 i;

	ENTER(e, class, CLASS_RT, OP_TASK_PICK);
	for (i = 0; i < TASKS; i++) {
		struct task *t = &e->sched.tasks[i];

		if (t->class == CLASS_RT &&
		    (!best || t->prio * 8 + t->runtime % 8 > best->prio * 8))
			best = t;
	}
	return best;
}

static u64 rt_tick(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_RT, OP_TASK_TICK);
	t->runtime++;
	return inet_sum(e->sched.load, sizeof(e->sched.load), (u32)t->runtime & 0xff);
}

static u64 rt_wake(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_RT, OP_TASK_WAKE);
	t->deadline = e->core.now + 5;
	return inet_sum(e->sched.load, sizeof(e->sched.load), t->prio);
}

static u64 rt_prio(struct env *e, struct task *t, u32 prio)
{
	ENTER(e, t->class, CLASS_RT, OP_TASK_PRIO);
	t->prio = 50 + prio % 50;
	return inet_sum(e->sched.load, sizeof(e->sched.load), prio);
}

/* Batch: round robin with long slices. */
static u64 batch_enqueue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_BATCH, OP_TASK_ENQUEUE);
	t->state = 3;
	return mem_hash(e->sched.load, 40, t->prio);
}

static u64 batch_dequeue(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_BATCH, OP_TASK_DEQUEUE);
	t->state = 0;
	t->deadline++;
	return mem_hash(e->sched.load, 48, t->number);
}

static struct task *batch_pick(struct env *e, u32 class)
{
	ENTER(e, class, CLASS_BATCH, OP_TASK_PICK);
	return smallest(e, CLASS_BATCH, (u32)e->core.now % TASKS);
}

static u64 batch_tick(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_BATCH, OP_TASK_TICK);
	t->runtime += 64;
	e->sched.load[7] ^= t->runtime;
	return mem_hash(e->sched.load, sizeof(e->sched.load), 7);
}

static u64 batch_wake(struct env *e, struct task *t)
{
	ENTER(e, t->class, CLASS_BATCH, OP_TASK_WAKE);
	t->runtime += t->number;
	return mem_crc32(e->sched.load, 16, t->number);
}

static u64 batch_prio(struct env *e, struct task *t, u32 prio)
{
	ENTER(e, t->class, CLASS_BATCH, OP_TASK_PRIO);
	t->prio = prio / 2;
	return mem_hash(e->sched.load, 56, prio);
}

static u64 tsc_read(struct env *e, const struct clock_ops *c)
{
	ENTER(e, c->class, CLASS_CLOCK_TSC, OP_CLOCK_READ);
	return e->core.now * 2100 + mem_hash(&e->core.now, 8, 1) % 2100;
}

static u64 tsc_scale(struct env *e, const struct clock_ops *c, u64 cycles)
{
	u32 i;

	ENTER(e, c->class, CLASS_CLOCK_TSC, OP_CLOCK_SCALE);
	for (i = 0; i < 12; i++)
		cycles = (cycles * 0x7a120 >> 20) + i * 3 + cycles / 2;
	return cycles;
}

static u64 ticks_read(struct env *e, const struct clock_ops *c)
{
	ENTER(e, c->class, CLASS_CLOCK_TICK, OP_CLOCK_READ);
	return e->core.now * 1000000 + inet_sum(e->sched.load, 48, 0);
}

static u64 ticks_scale(struct env *e, const struct clock_ops *c, u64 cycles)
{
	ENTER(e, c->class, CLASS_CLOCK_TICK, OP_CLOCK_SCALE);
	return cycles / 1000 + cycles % 1000 + mem_hash(&cycles, 8, 3) % 10;
}

static const struct task_ops fair_ops = {fair_enqueue, fair_dequeue, fair_pick,
					 fair_tick,    fair_wake,    fair_prio};
static const struct task_ops rt_ops = {rt_enqueue, rt_dequeue, rt_pick, rt_tick, rt_wake, rt_prio};
static const struct task_ops batch_ops = {batch_enqueue, batch_dequeue, batch_pick,
					  batch_tick,	 batch_wake,	batch_prio};
static const struct clock_ops tsc_ops = {CLASS_CLOCK_TSC, tsc_read, tsc_scale};
static const struct clock_ops ticks_ops = {CLASS_CLOCK_TICK, ticks_read, ticks_scale};

YARD_FN void task_init(struct env *e)
{
	e->sched.task_ops[0] = &fair_ops;
	e->sched.task_ops[1] = &rt_ops;
	e->sched.task_ops[2] = &batch_ops;
	e->sched.clocks[0] = &tsc_ops;
	e->sched.clocks[1] = &ticks_ops;
}

YARD_FN void task_reset(struct env *e)
{
	struct sched *s = &e->sched;
	u32 i;

	for (i = 0; i < TASKS; i++) {
		struct task *t = &s->tasks[i];
		/* Two thirds in the phase's main class. */
		u32 class = i % 8 == 7	 ? 1
			    : i % 8 >= 5 ? (e->core.phase ? 0 : 2)
					 : e->core.phase * 2;

		t->class = CLASS_FAIR + class;
		t->number = i;
		t->prio = 1 + BELOW(e, 40);
		t->state = 0;
		t->runtime = BELOW(e, 1000);
		t->deadline = 0;
		t->ops = s->task_ops[class];
	}
	s->clock = e->core.phase;
	s->current = 0;
	for (i = 0; i < 8; i++)
		s->load[i] = RANDOM(e) >> 40;
}

YARD_FN u64 task_wake(struct env *e, u32 number)
{
	struct task *t = &e->sched.tasks[number % TASKS];
	u64 sum = ICALL(e, OP_TASK_WAKE, t->ops->wake(e, t));

	if (!t->state)
		sum += ICALL(e, OP_TASK_ENQUEUE, t->ops->enqueue(e, t));
	return sum;
}

YARD_FN void task_account(struct env *e, u32 amount)
{
	struct task *t = &e->sched.tasks[e->sched.current];

	t->deadline += amount;
	FOLD(e, ICALL(e, OP_TASK_TICK, t->ops->tick(e, t)));
}

/* Most picks are from the class that ran last; now and then another gets its turn. */
YARD_FN u64 task_schedule(struct env *e)
{
	struct task *old = &e->sched.tasks[e->sched.current], *t = old;
	u64 sum = hook_task_switch(e, old->number, old->prio);

	if (!BELOW(e, 8))
		t = &e->sched.tasks[BELOW(e, TASKS)];
	if (old->state)
		sum += ICALL(e, OP_TASK_DEQUEUE, old->ops->dequeue(e, old));
	t = ICALL(e, OP_TASK_PICK, t->ops->pick(e, t->class));
	sum += ICALL(e, OP_TASK_ENQUEUE, t->ops->enqueue(e, t));
	e->sched.current = t->number;
	return sum;
}

YARD_FN u64 task_renice(struct env *e, u32 number, u32 prio)
{
	struct task *t = &e->sched.tasks[number % TASKS];

	return ICALL(e, OP_TASK_PRIO, t->ops->prio(e, t, prio));
}

YARD_FN u64 clock_now(struct env *e)
{
	const struct clock_ops *c = e->sched.clocks[e->sched.clock];
	u64 cycles = ICALL(e, OP_CLOCK_READ, c->read(e, c));

	return ICALL(e, OP_CLOCK_SCALE, c->scale(e, c, cycles));
}
