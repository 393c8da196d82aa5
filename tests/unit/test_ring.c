// SPDX-License-Identifier: GPL-2.0-only
/* The sample ring: order, bound, two threads at once. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "sample/ring.h"
#include "suite.h"

static struct ring ring;

static void push(uint64_t rip)
{
	struct raw_sample *s = ring_reserve(&ring);

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	s->rip = rip;
	ring_push(&ring);
}

static void keeps_order(void)
{
	uint64_t i;

	memset(&ring, 0, sizeof(ring));
	CU_ASSERT_PTR_NULL(ring_peek(&ring));
	for (i = 0; i < 3; i++)
		push(i);
	for (i = 0; i < 3; i++) {
		const struct raw_sample *s = ring_peek(&ring);

		CU_ASSERT_PTR_NOT_NULL_FATAL(s);
		CU_ASSERT_EQUAL(s->rip, i);
		CU_ASSERT_PTR_EQUAL(ring_peek(&ring), s); /* peeking takes nothing */
		ring_pop(&ring);
	}
	CU_ASSERT_PTR_NULL(ring_peek(&ring));
}

static void refuses_when_full(void)
{
	uint64_t i;

	memset(&ring, 0, sizeof(ring));
	for (i = 0; i < RING_SLOTS; i++)
		push(i);
	CU_ASSERT_PTR_NULL(ring_reserve(&ring));
	CU_ASSERT_EQUAL(ring_peek(&ring)->rip, 0); /* nothing was overwritten */
	ring_pop(&ring);
	push(RING_SLOTS);
	CU_ASSERT_PTR_NULL(ring_reserve(&ring));
	for (i = 1; i <= RING_SLOTS; i++) {
		CU_ASSERT_EQUAL(ring_peek(&ring)->rip, i);
		ring_pop(&ring);
	}
	CU_ASSERT_PTR_NULL(ring_peek(&ring));
}

static void counters_wrap(void)
{
	uint64_t i;

	memset(&ring, 0, sizeof(ring));
	atomic_store(&ring.head, UINT32_MAX - 2);
	atomic_store(&ring.tail, UINT32_MAX - 2);
	for (i = 0; i < RING_SLOTS; i++)
		push(i);
	CU_ASSERT_PTR_NULL(ring_reserve(&ring));
	for (i = 0; i < RING_SLOTS; i++) {
		CU_ASSERT_EQUAL(ring_peek(&ring)->rip, i);
		ring_pop(&ring);
	}
	CU_ASSERT_PTR_NULL(ring_peek(&ring));
}

#define MANY 200000ull

static void *producer(void *arg)
{
	uint64_t i;
	unsigned w;

	for (i = 0; i < MANY; i++) {
		struct raw_sample *s;

		while (!(s = ring_reserve(&ring)))
			sched_yield();
		s->rip = i;
		s->words = (uint32_t)i % (RAW_STACK_WORDS + 1);
		for (w = 0; w < RAW_STACK_WORDS; w++)
			s->stack[w] = i * 31 + w;
		ring_push(&ring);
	}
	return NULL;
}

static void two_threads(void)
{
	uint64_t i, torn = 0;
	pthread_t thread;
	unsigned w;

	memset(&ring, 0, sizeof(ring));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, producer, NULL), 0);
	for (i = 0; i < MANY; i++) {
		const struct raw_sample *s;

		while (!(s = ring_peek(&ring)))
			sched_yield();
		torn += s->rip != i || s->words != i % (RAW_STACK_WORDS + 1);
		for (w = 0; w < RAW_STACK_WORDS; w++)
			torn += s->stack[w] != i * 31 + w;
		ring_pop(&ring);
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(torn, 0);
	CU_ASSERT_PTR_NULL(ring_peek(&ring));
}

static const struct suite_test tests[] = {
	{"keeps order", keeps_order},
	{"refuses when full", refuses_when_full},
	{"counters wrap", counters_wrap},
	{"two threads", two_threads},
};
SUITE_MAIN("ring", tests, 60)
