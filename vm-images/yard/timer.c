// SPDX-License-Identifier: GPL-2.0-only
/* A timer wheel, soft interrupts and deferred work. */
#include "env.h"

static u64 timer_retransmit(struct env *e, struct timer *t)
{
	struct sock *s = &e->net.sockets[t->number % SOCKETS];

	ENTER(e, t->class, CLASS_TIMER + 0, OP_TIMER);
	t->data = mem_hash(&s->st, sizeof(s->st), t->data);
	return inet_sum(s->ring, 128, (u32)t->data & 0xff);
}

static u64 timer_writeback(struct env *e, struct timer *t)
{
	struct super *sb = &e->fs.supers[t->number % FS_COUNT];

	ENTER(e, t->class, CLASS_TIMER + 1, OP_TIMER);
	t->data += sb->used;
	return mem_hash(sb->journal, sizeof(sb->journal), t->data);
}

static u64 timer_wakeup(struct env *e, struct timer *t)
{
	ENTER(e, t->class, CLASS_TIMER + 2, OP_TIMER);
	return task_wake(e, (u32)t->data);
}

static u64 timer_balance(struct env *e, struct timer *t)
{
	u64 sum = 0;
	u32 i;

	ENTER(e, t->class, CLASS_TIMER + 3, OP_TIMER);
	for (i = 0; i < TASKS; i++)
		sum += e->sched.tasks[i].prio * e->sched.tasks[i].state;
	e->sched.load[t->number % 8] += sum;
	return sum;
}

static u64 timer_age(struct env *e, struct timer *t)
{
	u32 i, aged = 0;

	ENTER(e, t->class, CLASS_TIMER + 4, OP_TIMER);
	for (i = 0; i < 32; i++) {
		u32 *flow = &e->filter.flows[(i + t->data) % ARRAY_SIZE(e->filter.flows)];

		aged += *flow & 1;
		if ((*flow & 0x700) == 0x300)
			*flow = 0;
	}
	t->data += 32;
	return aged;
}

static u64 work_writeback(struct env *e, struct work *w)
{
	struct file *f = &e->fs.files[w->arg % FILES_OPEN];

	ENTER(e, w->class, CLASS_WORK + 0, OP_WORK);
	return vfs_fsync(e, f);
}

static u64 work_renew(struct env *e, struct work *w)
{
	struct sock *s = &e->net.sockets[w->arg % SOCKETS];

	ENTER(e, w->class, CLASS_WORK + 1, OP_WORK);
	return ICALL(e, OP_PROTO_HASH, s->proto->hash(e, s));
}

static u64 work_stats(struct env *e, struct work *w)
{
	struct device *d = &e->net.devices[w->arg % DEVICES];

	ENTER(e, w->class, CLASS_WORK + 2, OP_WORK);
	return ICALL(e, OP_DEV_STATS, d->ops->stats(e, d));
}

static u64 work_shrink(struct env *e, struct work *w)
{
	struct inode *i = &e->fs.supers[w->arg % FS_COUNT].inodes[w->arg % FS_INODES];

	ENTER(e, w->class, CLASS_WORK + 3, OP_WORK);
	i->cached &= ~(1u << w->arg % FS_PAGES);
	return mem_hash(i->data, FS_PAGE, i->cached);
}

static u64 work_key(struct env *e, struct work *w)
{
	const struct digest_ops *d = digest_get(e, w->arg % 4 ? 0 : w->arg);
	u64 state;

	ENTER(e, w->class, CLASS_WORK + 4, OP_WORK);
	state = DIGEST_INIT(e, d, w->arg);
	state = DIGEST_UPDATE(e, d, state, (const u8 *)e->hooks.labels, 128);
	return DIGEST_FINAL(e, d, state);
}

static u64 softirq_timer(struct env *e, struct softirq *s)
{
	ENTER(e, s->class, CLASS_SOFTIRQ + 0, OP_SOFTIRQ);
	return clock_now(e);
}

static u64 softirq_net(struct env *e, struct softirq *s)
{
	u64 sum = 0;
	u32 i;

	ENTER(e, s->class, CLASS_SOFTIRQ + 1, OP_SOFTIRQ);
	for (i = 0; i < DEVICES; i++) {
		struct device *d = &e->net.devices[i];

		if (d->queued)
			sum += ICALL(e, OP_DEV_POLL, d->ops->poll(e, d, &d->queue[0]));
	}
	return sum;
}

static u64 softirq_sched(struct env *e, struct softirq *s)
{
	struct task *t = &e->sched.tasks[s->raised % TASKS];

	ENTER(e, s->class, CLASS_SOFTIRQ + 2, OP_SOFTIRQ);
	return ICALL(e, OP_TASK_TICK, t->ops->tick(e, t));
}

static u64 softirq_block(struct env *e, struct softirq *s)
{
	struct disk *d = &e->fs.disks[s->raised & 1];

	ENTER(e, s->class, CLASS_SOFTIRQ + 3, OP_SOFTIRQ);
	return ICALL(e, OP_DISK_FLUSH, d->ops->flush(e, d));
}

YARD_FN void timer_init(struct env *e)
{
	struct sched *s = &e->sched;

	s->timer_fns[0] = timer_retransmit;
	s->timer_fns[1] = timer_writeback;
	s->timer_fns[2] = timer_wakeup;
	s->timer_fns[3] = timer_balance;
	s->timer_fns[4] = timer_age;
	s->work_fns[0] = work_writeback;
	s->work_fns[1] = work_renew;
	s->work_fns[2] = work_stats;
	s->work_fns[3] = work_shrink;
	s->work_fns[4] = work_key;
	s->softirq_fns[0] = softirq_timer;
	s->softirq_fns[1] = softirq_net;
	s->softirq_fns[2] = softirq_sched;
	s->softirq_fns[3] = softirq_block;
}

YARD_FN void timer_reset(struct env *e)
{
	/* Which kind each of the 16 timers is: one kind has most of them. */
	static const u8 kinds[2][TIMERS] = {
		{0, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 1, 0, 2, 0, 0},
		{4, 4, 3, 4, 4, 3, 4, 0, 4, 4, 3, 4, 1, 4, 4, 4},
	};
	struct sched *s = &e->sched;
	u32 i;

	mem_fill(s->wheel, ~0ull, sizeof(s->wheel));
	for (i = 0; i < TIMERS; i++) {
		u32 kind = kinds[e->core.phase][i];

		s->timers[i] = (struct timer){.class = CLASS_TIMER + kind,
					      .number = i,
					      .data = RANDOM(e),
					      .fn = s->timer_fns[kind]};
		timer_arm(e, i, 1 + BELOW(e, 30));
	}
	s->works_head = s->works_tail = 0;
	for (i = 0; i < SOFTIRQS; i++)
		s->softirqs[i] =
			(struct softirq){.class = CLASS_SOFTIRQ + i, .fn = s->softirq_fns[i]};
}

YARD_FN u64 timer_cancel(struct env *e, u32 number)
{
	struct sched *s = &e->sched;
	struct timer *t = &s->timers[number % TIMERS];
	u32 *at = &s->wheel[t->expires % WHEEL];

	if (!t->armed)
		return 0;
	while (*at != ~0u && *at != t->number)
		at = &s->timers[*at].next;
	if (*at == t->number)
		*at = t->next;
	t->armed = 0;
	return t->expires - e->core.now;
}

YARD_FN u64 timer_arm(struct env *e, u32 number, u32 delay)
{
	struct sched *s = &e->sched;
	struct timer *t = &s->timers[number % TIMERS];
	u64 left = timer_cancel(e, number);
	u32 *slot;

	t->expires = e->core.now + 1 + delay;
	slot = &s->wheel[t->expires % WHEEL];
	t->next = *slot;
	*slot = t->number;
	t->armed = 1;
	return left;
}

/* Kinds are skewed towards one that the phase prefers. */
YARD_FN void work_queue(struct env *e, u32 kind, u32 arg)
{
	struct sched *s = &e->sched;
	struct work *w;

	kind = kind % 8 < 5 ? (e->core.phase ? 4 : 1) : kind % WORK_KINDS;
	if (s->works_head - s->works_tail >= WORKS)
		return;
	w = &s->works[s->works_head++ % WORKS];
	w->class = CLASS_WORK + kind;
	w->arg = arg;
	w->fn = s->work_fns[kind];
}

static void run_timers(struct env *e)
{
	struct sched *s = &e->sched;
	u32 n = s->wheel[e->core.now % WHEEL], next;

	for (; n != ~0u; n = next) {
		struct timer *t = &s->timers[n];

		next = t->next;
		if (t->expires > e->core.now)
			continue;
		FOLD(e, ICALL(e, OP_TIMER, t->fn(e, t)));
		timer_arm(e, n, 8 + (t->number * 5 + (u32)e->core.now) % 24);
		s->softirqs[e->core.phase ? 2 - (t->number % 4 == 0) : t->number % 5 == 0].raised++;
		if (t->number == 3)
			s->softirqs[3].raised++;
	}
}

YARD_FN void timer_tick(struct env *e)
{
	struct sched *s = &e->sched;
	u32 i;

	run_timers(e);
	for (i = 0; i < SOFTIRQS; i++) {
		struct softirq *q = &s->softirqs[i];

		if (!q->raised)
			continue;
		FOLD(e, ICALL(e, OP_SOFTIRQ, q->fn(e, q)));
		q->raised = 0;
	}
	for (i = 0; i < 2 && s->works_head != s->works_tail; i++) {
		struct work w = s->works[s->works_tail++ % WORKS];

		FOLD(e, ICALL(e, OP_WORK, w.fn(e, &w)));
	}
}
