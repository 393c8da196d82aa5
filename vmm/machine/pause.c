// SPDX-License-Identifier: GPL-2.0-only
/* Parking and thawing vCPU threads: one word a vCPU, futexes, no spinning. */
#include "machine/pause.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/clock.h"

#define WORD_REQUEST 1u	 /* set and cleared by the pauser */
#define WORD_PARKED  2u	 /* set by the vCPU, only while REQUEST; cleared by the pauser */
#define WORD_DEAD    4u	 /* set by the vCPU, for good */
#define WORD_STOP    8u	 /* set by anyone, for good */
#define WORD_TASK    16u /* set by the pauser while PARKED, cleared by the vCPU */

static _Thread_local const struct pause *inside; /* whose vCPU loop this thread runs */

/*
 * The kernel compares *word with `value` under its own lock before it sleeps, so a change made
 * before the matching futex_wake() is never slept through. Spurious returns are fine: all
 * callers look again. ns = relative time-out (CLOCK_MONOTONIC), 0 = none.
 */
static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns ? &ts : NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool all_quiet(struct pause *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		if (!(atomic_load(&p->vcpu[i].word) & (WORD_PARKED | WORD_DEAD)))
			return false;
	return true;
}

static bool all_dead(struct pause *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		if (!(atomic_load(&p->vcpu[i].word) & WORD_DEAD))
			return false;
	return true;
}

int pause_init(struct pause *p, const struct pause_ops *ops, void *ctx, unsigned count)
{
	pthread_mutexattr_t attr;
	unsigned i;

	if (!count || count > HOTRAIL_MAX_VCPUS)
		return -EINVAL;
	memset(p, 0, sizeof(*p));
	p->ops = ops;
	p->ctx = ctx;
	p->count = count;
	/* Error checking: a nested pause is an answer (EDEADLK), not a hang. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&p->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_mutex_init(&p->task_lock, NULL);
	for (i = 0; i < count; i++)
		atomic_init(&p->vcpu[i].word, WORD_REQUEST | WORD_PARKED);
	return 0;
}

void pause_fini(struct pause *p)
{
	pthread_mutex_destroy(&p->task_lock);
	pthread_mutex_destroy(&p->lock);
}

bool pause_on_vcpu(const struct pause *p)
{
	return inside == p;
}

/* --- the vCPU's side --- */

static void run_task(struct pause *p, struct pause_vcpu *v)
{
	/* fn and arg are ordered by the acquiring load that saw TASK; the result, and all the
	 * task did, by the releasing fetch_and below. */
	v->result = v->fn(v->arg);
	atomic_fetch_and(&v->word, ~WORD_TASK);
	atomic_fetch_add(&p->events, 1);
	futex_wake(&p->events);
}

static void sleep_parked(struct pause *p, struct pause_vcpu *v)
{
	uint32_t word;

	for (;;) {
		word = atomic_load(&v->word);
		if (word & WORD_TASK)
			run_task(p, v);
		else if (!(word & WORD_PARKED) || (word & WORD_STOP))
			return;
		else
			futex_wait(&v->word, word, 0);
	}
}

static void park(struct pause *p, unsigned vcpu)
{
	struct pause_vcpu *v = &p->vcpu[vcpu];
	uint32_t word;

	p->ops->finish_io(p->ctx, vcpu);
	if (p->ops->parking)
		p->ops->parking(p->ctx, vcpu);
	/* Published last, and only if still asked: a pauser that gave up cleared REQUEST in this
	 * same word, so nobody parks for a pause that is over. The compare-exchange releases
	 * everything this thread did (guest registers, finished I/O) to the pauser. */
	word = atomic_load(&v->word);
	do {
		if (!(word & WORD_REQUEST) || (word & WORD_STOP))
			return;
	} while (!atomic_compare_exchange_weak(&v->word, &word, word | WORD_PARKED));
	/* Only the last one wakes the pauser; waking it for each would take a core from a vCPU
	 * still on its way. Two that park at once cannot both miss each other: publish and scan
	 * are sequentially consistent, so the later publisher sees the earlier. */
	atomic_fetch_add(&p->events, 1);
	if (all_quiet(p))
		futex_wake(&p->events);
	sleep_parked(p, v);
}

void pause_vcpu_loop(struct pause *p, unsigned vcpu)
{
	struct pause_vcpu *v = &p->vcpu[vcpu];
	bool interrupted = false;
	enum pause_ran ran;
	uint32_t word;

	inside = p;
	sleep_parked(p, v);
	for (;;) {
		p->ops->clear_kick(p->ctx, vcpu);
		/*
		 * clear_kick, THEN read the request; the pauser stores the request, THEN kicks.
		 * Either this load sees the request, or the kick came after the clear and run()
		 * honours it. clear_kick may be a plain store (immediate_exit), which the
		 * processor may delay past the load: hence the full fence.
		 */
		atomic_thread_fence(memory_order_seq_cst);
		word = atomic_load(&v->word);
		if (word & WORD_STOP)
			break;
		if (word & WORD_REQUEST) {
			park(p, vcpu);
			interrupted = false;
			continue;
		}
		if (atomic_exchange(&v->sample, false) || interrupted) {
			p->ops->finish_io(p->ctx, vcpu);
			p->ops->sample(p->ctx, vcpu);
		}
		ran = p->ops->run(p->ctx, vcpu);
		if (ran == PAUSE_RAN_ENDED)
			break;
		interrupted = ran == PAUSE_RAN_INTERRUPTED;
	}
}

void pause_vcpu_dead(struct pause *p, unsigned vcpu)
{
	inside = NULL;
	/* No task is left behind: pause_task() refuses after STOP, sleep_parked() serves those
	 * accepted before it, and a vCPU that ended by itself was not parked. */
	atomic_fetch_or(&p->vcpu[vcpu].word, WORD_DEAD);
	atomic_fetch_add(&p->events, 1);
	futex_wake(&p->events);
}

/* --- the other side --- */

static void thaw(struct pause *p)
{
	unsigned i;
	uint32_t old;

	pthread_mutex_lock(&p->task_lock);
	for (i = 0; i < p->count; i++) {
		/* Releases what was written to guest memory during the pause to the vCPU. Both
		 * bits go at once: a vCPU about to park sees no REQUEST and stays running. */
		old = atomic_fetch_and(&p->vcpu[i].word, ~(WORD_REQUEST | WORD_PARKED));
		if (old & WORD_PARKED)
			futex_wake(&p->vcpu[i].word);
	}
	pthread_mutex_unlock(&p->task_lock);
}

void pause_start(struct pause *p)
{
	atomic_store(&p->started, true);
	thaw(p);
}

void pause_stop(struct pause *p)
{
	unsigned i;

	atomic_store(&p->ended, true);
	for (i = 0; i < p->count; i++) {
		atomic_fetch_or(&p->vcpu[i].word, WORD_STOP); /* before the kick, as a request */
		futex_wake(&p->vcpu[i].word);
		p->ops->kick(p->ctx, i);
	}
}

static void kick_loud(struct pause *p)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		if (!(atomic_load(&p->vcpu[i].word) & (WORD_PARKED | WORD_DEAD)))
			p->ops->kick(p->ctx, i);
}

void pause_wait_dead(struct pause *p)
{
	uint32_t seen;

	for (;;) {
		/* Read the event count before the scan: an event after the scan changes it, and
		 * futex_wait() refuses to sleep on the old value. */
		seen = atomic_load(&p->events);
		if (all_dead(p))
			return;
		futex_wait(&p->events, seen, PAUSE_KICK_AGAIN_MS * 1000000ull);
		kick_loud(p);
	}
}

/* 0 when all are parked or dead, -ETIMEDOUT at the deadline. */
static int wait_quiet(struct pause *p, uint64_t deadline)
{
	uint64_t now = clock_ns(), again = now + PAUSE_KICK_AGAIN_MS * 1000000ull, until;
	uint32_t seen;

	for (;;) {
		seen = atomic_load(&p->events); /* before the scan, see pause_wait_dead() */
		if (all_quiet(p))
			return 0;
		now = clock_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		if (now >= again) {
			kick_loud(p);
			again = now + PAUSE_KICK_AGAIN_MS * 1000000ull;
		}
		until = again < deadline ? again : deadline;
		futex_wait(&p->events, seen, until - now);
	}
}

static int take_lock(struct pause *p, uint32_t budget_us, struct error *err)
{
	uint64_t at = clock_ns() + budget_us * 1000ull;
	struct timespec ts = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
	int ret;

	if (pause_on_vcpu(p))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EDEADLK,
				 "a vCPU thread cannot pause its own machine");
	ret = pthread_mutex_clocklock(&p->lock, CLOCK_MONOTONIC, &ts);
	if (ret == ETIMEDOUT)
		return error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
				 "another pause lasted longer than %u us; try again", budget_us);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ret,
				 "this thread already holds the machine paused");
	return 0;
}

static int refuse_late(struct pause *p, uint32_t budget_us, struct error *err)
{
	unsigned i;

	for (i = 0; i < p->count; i++)
		if (!(atomic_load(&p->vcpu[i].word) & (WORD_PARKED | WORD_DEAD)))
			break;
	thaw(p);
	return error_set(
		err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
		"vCPU %u did not stop within %u us; the guest goes on unchanged, try again",
		i < p->count ? i : p->count - 1, budget_us);
}

int pause_begin(struct pause *p, uint32_t budget_us, struct machine_pause *out, struct error *err)
{
	unsigned i;
	int ret = take_lock(p, budget_us, err);

	if (ret)
		return ret;
	if (!atomic_load(&p->started)) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "the machine is not started");
		goto out_unlock;
	}
	if (atomic_load(&p->ended) || all_dead(p))
		goto out_ended;
	out->begin_ns = clock_ns();
	/* All requests first, then all kicks: the vCPUs stop side by side. */
	for (i = 0; i < p->count; i++)
		atomic_fetch_or(&p->vcpu[i].word, WORD_REQUEST);
	for (i = 0; i < p->count; i++)
		p->ops->kick(p->ctx, i);
	if (wait_quiet(p, out->begin_ns + budget_us * 1000ull)) {
		ret = refuse_late(p, budget_us, err);
		goto out_unlock;
	}
	if (atomic_load(&p->ended)) {
		thaw(p);
		goto out_ended;
	}
	out->parked_ns = clock_ns();
	out->token = ++p->last_token;
	p->owner = pthread_self();
	atomic_store(&p->token, out->token);
	return 0;
out_ended:
	ret = error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN, "the guest has ended");
out_unlock:
	pthread_mutex_unlock(&p->lock);
	return ret;
}

int64_t pause_end(struct pause *p, struct machine_pause *pause)
{
	uint64_t token = pause->token, now;

	if (!token || atomic_load(&p->token) != token) /* orders the read of owner */
		return -EINVAL;
	if (!pthread_equal(p->owner, pthread_self()))
		return -EPERM;
	/* A second end finds 0. */
	if (!atomic_compare_exchange_strong(&p->token, &token, 0))
		return -EINVAL;
	thaw(p);
	now = clock_ns();
	pause->token = 0;
	pthread_mutex_unlock(&p->lock);
	return (int64_t)((now - pause->begin_ns) / 1000);
}

int pause_task(struct pause *p, unsigned vcpu, int (*fn)(void *arg), void *arg)
{
	struct pause_vcpu *v;
	uint32_t word, seen;
	int ret;

	if (vcpu >= p->count)
		return -EINVAL;
	if (pause_on_vcpu(p))
		return -EDEADLK;
	v = &p->vcpu[vcpu];
	pthread_mutex_lock(&p->task_lock);
	v->fn = fn;
	v->arg = arg;
	word = atomic_load(&v->word);
	do { /* only a parked vCPU looks for tasks; thaw() cannot come between, see task_lock */
		ret = word & (WORD_DEAD | WORD_STOP) ? -ESRCH : word & WORD_PARKED ? 0 : -EINVAL;
		if (ret)
			goto out_unlock;
	} while (!atomic_compare_exchange_weak(&v->word, &word, word | WORD_TASK));
	futex_wake(&v->word);
	for (;;) {
		seen = atomic_load(&p->events); /* before the look, see pause_wait_dead() */
		if (!(atomic_load(&v->word) & WORD_TASK))
			break;
		futex_wait(&p->events, seen, 0);
	}
	ret = v->result;
out_unlock:
	pthread_mutex_unlock(&p->task_lock);
	return ret;
}

void pause_sample(struct pause *p, unsigned vcpu)
{
	if (vcpu >= p->count)
		return;
	atomic_store(&p->vcpu[vcpu].sample, true); /* before the kick, as a request */
	p->ops->kick(p->ctx, vcpu);
}
