// SPDX-License-Identifier: GPL-2.0-only
/* System calls on tasks, time and ordered sets; and the dispatch of all system calls. */
#include "env.h"

SYSCALL(yield)
{
	SYS_ENTER(yield);
	return task_schedule(e);
}

SYSCALL(nanosleep)
{
	SYS_ENTER(nanosleep);
	timer_arm(e, r->a % TIMERS, 4 + r->b % 20);
	return task_schedule(e) + clock_now(e);
}

SYSCALL(clock)
{
	SYS_ENTER(clock);
	return clock_now(e);
}

SYSCALL(timer_set)
{
	SYS_ENTER(timer_set);
	return timer_arm(e, r->a % TIMERS, 2 + r->b % 12) + clock_now(e);
}

SYSCALL(timer_delete)
{
	SYS_ENTER(timer_delete);
	return timer_cancel(e, r->a % TIMERS) + mem_crc32(r->buffer, 24, 0);
}

SYSCALL(futex)
{
	u32 key = (u32)mem_hash(r->buffer, 96, r->a);

	SYS_ENTER(futex);
	return task_wake(e, key % TASKS) + inet_sum(r->buffer, 128, key & 0xff);
}

SYSCALL(wake)
{
	u64 sum = 0;
	u32 i;

	SYS_ENTER(wake);
	for (i = 0; i < 3; i++)
		sum += task_wake(e, (u32)r->a + i * 5);
	return sum;
}

SYSCALL(kill)
{
	SYS_ENTER(kill);
	return hook_task_signal(e, (u32)r->a & 63, (u32)r->b % TASKS) + task_wake(e, (u32)r->b);
}

SYSCALL(nice)
{
	SYS_ENTER(nice);
	return task_renice(e, (u32)r->a, 1 + r->b % 40);
}

SYSCALL(clone)
{
	struct task *t = &e->sched.tasks[r->a % TASKS];

	SYS_ENTER(clone);
	FOLD(e, hook_task_signal(e, t->number, t->prio));
	t->runtime = 0;
	return ICALL(e, OP_TASK_ENQUEUE, t->ops->enqueue(e, t));
}

SYSCALL(exit)
{
	struct task *t = &e->sched.tasks[r->a % TASKS];

	SYS_ENTER(exit);
	FOLD(e, vfs_release(e, fs_pick_file(e)));
	return ICALL(e, OP_TASK_DEQUEUE, t->ops->dequeue(e, t));
}

SYSCALL(wait)
{
	struct task *t = &e->sched.tasks[r->a % TASKS];

	SYS_ENTER(wait);
	t = ICALL(e, OP_TASK_PICK, t->ops->pick(e, t->class));
	return t->number + ICALL(e, OP_TASK_TICK, t->ops->tick(e, t));
}

SYSCALL(sort)
{
	SYS_ENTER(sort);
	return order_sort(e, r->a % 10 < 7 ? 0 : r->a % KEYS, 6 + r->b % 6);
}

SYSCALL(epoll_add)
{
	SYS_ENTER(epoll_add);
	return order_insert(e, 0, r->a & 0xffff);
}

SYSCALL(epoll_find)
{
	SYS_ENTER(epoll_find);
	return order_find(e, 0, r->a & 0xffff);
}

SYSCALL(epoll_walk)
{
	SYS_ENTER(epoll_walk);
	return order_walk(e, 0, r->a % 8 == 0);
}

SYSCALL(keyctl)
{
	const struct digest_ops *d = digest_get(e, 2 - (r->a % 6 == 0));
	u64 state;

	SYS_ENTER(keyctl);
	state = DIGEST_INIT(e, d, r->b);
	state = DIGEST_UPDATE(e, d, state, r->buffer, 64);
	return DIGEST_FINAL(e, d, state);
}

SYSCALL(digest)
{
	const struct digest_ops *d = digest_get(e, r->a % 10 < 7 ? 0 : r->a % DIGEST_COUNT);
	u64 state;

	SYS_ENTER(digest);
	state = DIGEST_INIT(e, d, r->b);
	state = DIGEST_UPDATE(e, d, state, r->buffer, 160);
	return DIGEST_FINAL(e, d, state);
}

SYSCALL(schedule_work)
{
	SYS_ENTER(schedule_work);
	work_queue(e, (u32)r->a & 0xff, (u32)r->b & 0xffff);
	return inet_sum(r->buffer, 192, 0);
}

SYSCALL(getrandom)
{
	u64 state = r->a;
	u32 i;

	SYS_ENTER(getrandom);
	for (i = 0; i < 32; i++) {
		u64 v = RANDOM(e);

		mem_copy(r->buffer + i * 8, &v, 8);
		state ^= v;
	}
	return state;
}

YARD_FN void sys_task_init(struct env *e)
{
#define X(name, a, b) e->sys.table[SYS_##name] = sys_##name;
	SYSCALLS_TASK(X)
#undef X
}

YARD_FN void syscalls_reset(struct env *e)
{
	static const u16 weights[SYS_COUNT][2] = {
#define X(name, a, b) {a, b},
		SYSCALLS(X)
#undef X
	};
	u32 sum = 0, i;

	for (i = 0; i < SYS_COUNT; i++) {
		sum += weights[i][e->core.phase];
		e->sys.limits[i] = sum;
	}
	e->sys.used = 0;
}

static u32 pick_number(struct env *e)
{
	const u32 *limits = e->sys.limits;
	u32 at = BELOW(e, limits[SYS_COUNT - 1]), low = 0, high = SYS_COUNT - 1;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (at < limits[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

YARD_FN void syscall_run(struct env *e)
{
	struct args r;
	u32 n = pick_number(e);

	r.class = CLASS_SYSCALL;
	r.number = n;
	r.a = RANDOM(e);
	r.b = RANDOM(e);
	mem_fill(r.buffer, r.a ^ r.b << 7, sizeof(r.buffer));
	e->sys.used |= 1ull << n;
	FOLD(e, ICALL(e, OP_SYSCALL + n, e->sys.table[n](e, &r)));
	/* The caller looks at what it got before it goes on. */
	FOLD(e, mem_hash(r.buffer, sizeof(r.buffer), mem_crc32(r.buffer, 24, n)));
}
