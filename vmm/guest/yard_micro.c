// SPDX-License-Identifier: GPL-2.0-only
/* Micro runs: one call, or one packet, in a loop on vCPU 0, timed by the guest's own TSC. */
#include "guest/yard.h"

#include <errno.h>
#include <time.h>

#include "guest/yard_state.h"
#include "util/clock.h"

#define POLL_NS	      200000
#define LIFE_CHECK_NS 20000000ull

/* The serial last: with it the guest takes the other fields. Never 0, the guest's start value. */
static uint64_t ask(struct yard *y, enum yard_micro kind, unsigned target, uint64_t iterations)
{
	struct yard_control *c = y->control;
	uint64_t serial = c->micro_serial + 1;

	if (!serial)
		serial = 1;
	__atomic_store_n(&c->micro_kind, (uint32_t)kind, __ATOMIC_RELAXED);
	__atomic_store_n(&c->micro_target, target, __ATOMIC_RELAXED);
	__atomic_store_n(&c->micro_iterations, iterations, __ATOMIC_RELAXED);
	__atomic_store_n(&c->micro_serial, serial, __ATOMIC_RELEASE);
	yard_command(y, YARD_CMD_MICRO);
	return serial;
}

static int wait_finished(struct yard *y, uint64_t serial, uint64_t begin, uint64_t limit,
			 struct error *err)
{
	const struct timespec nap = {.tv_nsec = POLL_NS};
	uint64_t now = begin, life = begin;
	struct machine_report report;

	while (__atomic_load_n(&y->stats[0].micro_serial, __ATOMIC_ACQUIRE) != serial) {
		if (now - life >= LIFE_CHECK_NS) {
			if (machine_wait_end(y->m, 0, &report))
				return error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN,
						 "the guest ended during a micro run: %s",
						 report.text);
			life = now;
		}
		if (now - begin >= limit)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT,
					 "the guest did not finish a micro run within %llu ms",
					 (unsigned long long)(limit / 1000000));
		nanosleep(&nap, NULL);
		now = clock_ns();
	}
	return 0;
}

static uint64_t expected(const struct yard *y, enum yard_micro kind, unsigned target,
			 uint64_t iterations)
{
	if (kind >= YARD_MICRO_FLOW_INDIRECT)
		return yard_flow_expected(y->seed, iterations);
	return kind == YARD_MICRO_EMPTY ? 0 : iterations * yard_micro_expected(target);
}

static int run(struct yard *y, enum yard_micro kind, unsigned target, uint64_t iterations,
	       unsigned timeout_ms, struct yard_micro_result *out, struct error *err)
{
	uint32_t before = y->control->cmd;
	uint64_t begin = clock_ns(), serial;
	struct yard_stats stats;
	int ret;

	serial = ask(y, kind, target, iterations);
	ret = wait_finished(y, serial, begin, timeout_ms * 1000000ull, err);
	out->ns = clock_ns() - begin;
	yard_command(y, before);
	if (ret)
		return ret;
	ret = yard_read_stats(y, 0, &stats);
	if (ret || stats.micro_serial != serial)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EAGAIN,
				 "the guest's micro result never stood still");
	out->iterations = iterations;
	out->tsc = stats.micro_tsc;
	out->correct = stats.micro_check == expected(y, kind, target, iterations);
	return 0;
}

int yard_micro(struct yard *y, enum yard_micro kind, unsigned target, uint64_t iterations,
	       unsigned timeout_ms, struct yard_micro_result *out, struct error *err)
{
	int ret;

	*out = (struct yard_micro_result){0};
	if ((unsigned)kind > YARD_MICRO_FLOW_POKE2 || target >= YARD_MICRO_TARGETS || !iterations)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "micro run: kind %d, target %u or iterations %llu out of range",
				 (int)kind, target, (unsigned long long)iterations);
	pthread_mutex_lock(&y->micro_lock);
	ret = run(y, kind, target, iterations, timeout_ms, out, err);
	pthread_mutex_unlock(&y->micro_lock);
	return ret;
}
