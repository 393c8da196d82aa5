// SPDX-License-Identifier: GPL-2.0-only
/* Reading the guest's statistics, which it may spoil at will, and checking its work. */
#include "guest/yard.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "guest/yard_state.h"

/*
 * A vCPU inside its few-instruction update may lose its core for a scheduling
 * round, so after some immediate tries the reader sleeps: 20 ms in all.
 */
#define QUICK_TRIES 64
#define SLOW_TRIES  200
#define SLOW_NS	    100000

#define STATS_WORDS (offsetof(struct yard_stats, slots) / 8 + YARD_PHASES * YARD_SEEDS * 2)

_Static_assert(sizeof(struct yard_slot) == 16 && offsetof(struct yard_stats, sequence) == 0,
	       "statistics are copied as 64-bit words, the sequence first");
_Static_assert(STATS_WORDS * 8 <= sizeof(struct yard_stats), "statistics are inside their pages");

static bool copy_once(const uint64_t *from, uint64_t *to)
{
	uint64_t before = __atomic_load_n(from, __ATOMIC_ACQUIRE);
	size_t i;

	if (before & 1)
		return false;
	for (i = 1; i < STATS_WORDS; i++)
		to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* the words before the second look */
	to[0] = before;
	return __atomic_load_n(from, __ATOMIC_RELAXED) == before;
}

int yard_read_stats(struct yard *y, unsigned vcpu, struct yard_stats *out)
{
	const struct timespec nap = {.tv_nsec = SLOW_NS};
	const uint64_t *from;
	unsigned tries;

	if (vcpu >= y->vcpus)
		return -EINVAL;
	from = (const uint64_t *)&y->stats[vcpu];
	memset(out, 0, sizeof(*out));
	for (tries = 0; tries < QUICK_TRIES + SLOW_TRIES; tries++) {
		if (copy_once(from, (uint64_t *)out))
			return 0;
		if (tries < QUICK_TRIES)
			__builtin_ia32_pause();
		else
			nanosleep(&nap, NULL);
	}
	memset(out, 0, sizeof(*out));
	return -EAGAIN;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t yard_ops(struct yard *y)
{
	uint64_t now, sum = 0;
	unsigned vcpu;

	pthread_mutex_lock(&y->lock);
	for (vcpu = 0; vcpu < y->vcpus; vcpu++) {
		/* One aligned word needs no sequence. */
		now = __atomic_load_n(&y->stats[vcpu].ops, __ATOMIC_RELAXED);
		if (now > y->ops[vcpu])
			y->ops[vcpu] = now;
		sum = add_saturated(sum, y->ops[vcpu]);
	}
	pthread_mutex_unlock(&y->lock);
	return sum;
}

static uint64_t reference(struct yard *y, unsigned phase, unsigned slot)
{
	uint64_t value;

	pthread_mutex_lock(&y->lock);
	if (!y->known[phase][slot]) {
		y->reference[phase][slot] = yard_reference(y->seed, slot, phase);
		y->known[phase][slot] = true;
	}
	value = y->reference[phase][slot];
	pthread_mutex_unlock(&y->lock);
	return value;
}

static void check_slot(struct yard *y, unsigned vcpu, unsigned phase, unsigned slot,
		       const struct yard_slot *s, struct yard_check *out)
{
	uint64_t expected = s->batches ? s->batches * reference(y, phase, slot) : 0;

	out->batches = add_saturated(out->batches, s->batches);
	if (s->digest_sum == expected)
		return;
	if (!out->wrong)
		snprintf(out->text, sizeof(out->text),
			 "vCPU %u, phase %c, slot %u: %llu batches give 0x%llx, expected 0x%llx",
			 vcpu, 'A' + (int)phase, slot, (unsigned long long)s->batches,
			 (unsigned long long)s->digest_sum, (unsigned long long)expected);
	out->wrong = add_saturated(out->wrong, 1);
}

static void check_flow(struct yard *y, unsigned vcpu, const struct yard_stats *s,
		       struct yard_check *out)
{
	uint64_t expected;

	if (!s->flow_runs && !s->flow_sum)
		return;
	expected = yard_flow_expected(y->seed, s->flow_runs);
	out->packets = add_saturated(out->packets, s->flow_runs);
	if (s->flow_sum == expected)
		return;
	if (!out->wrong)
		snprintf(out->text, sizeof(out->text),
			 "vCPU %u: %llu packets give 0x%llx, expected 0x%llx", vcpu,
			 (unsigned long long)s->flow_runs, (unsigned long long)s->flow_sum,
			 (unsigned long long)expected);
	out->wrong = add_saturated(out->wrong, 1);
}

static void check_vcpu(struct yard *y, unsigned vcpu, const struct yard_stats *s,
		       struct yard_check *out)
{
	unsigned phase, slot;

	for (phase = 0; phase < YARD_PHASES; phase++)
		for (slot = 0; slot < YARD_SEEDS; slot++)
			check_slot(y, vcpu, phase, slot, &s->slots[phase][slot], out);
	check_flow(y, vcpu, s, out);
	if (!s->wrong_calls)
		return;
	if (!out->wrong)
		snprintf(out->text, sizeof(out->text), "vCPU %u saw %llu wrong calls itself", vcpu,
			 (unsigned long long)s->wrong_calls);
	out->wrong = add_saturated(out->wrong, s->wrong_calls);
}

int yard_check(struct yard *y, struct yard_check *out)
{
	struct yard_stats stats;
	unsigned vcpu;
	int ret;

	*out = (struct yard_check){0};
	for (vcpu = 0; vcpu < y->vcpus; vcpu++) {
		ret = yard_read_stats(y, vcpu, &stats);
		if (ret) {
			snprintf(out->text, sizeof(out->text),
				 "the statistics of vCPU %u never stood still", vcpu);
			return ret;
		}
		check_vcpu(y, vcpu, &stats, out);
	}
	if (!out->wrong)
		snprintf(out->text, sizeof(out->text), "%llu batches, all digests agree",
			 (unsigned long long)out->batches);
	return 0;
}
