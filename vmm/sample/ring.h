/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw samples on their way from a vCPU's thread (the one producer) to whoever
 * drains (the one consumer). Bounded, lock-free, never blocks: a full ring refuses.
 */
#ifndef HOTRAIL_SAMPLE_RING_H
#define HOTRAIL_SAMPLE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>

#define RAW_STACK_WORDS 32
#define RING_SLOTS	256 /* a power of two; over 250 ms of samples at 1 kHz, 104 KiB */

struct raw_sample {
	uint64_t rip;
	uint64_t gpr[HOTRAIL_REGS];
	uint32_t words;			 /* valid in stack, 0..RAW_STACK_WORDS */
	uint64_t stack[RAW_STACK_WORDS]; /* from [rsp] upwards */
};

struct ring {
	_Atomic uint32_t head; /* next to write; the producer's */
	_Atomic uint32_t tail; /* next to read; the consumer's */
	struct raw_sample slot[RING_SLOTS];
};

/* Producer: the slot to fill, or NULL when full. ring_push() makes it visible. */
static inline struct raw_sample *ring_reserve(struct ring *r)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	/* Acquire: the consumer's reads of the slot are over before it is written again. */
	if (head - atomic_load_explicit(&r->tail, memory_order_acquire) >= RING_SLOTS)
		return NULL;
	return &r->slot[head % RING_SLOTS];
}

static inline void ring_push(struct ring *r)
{
	/* Release: the sample's words are there before the new head is. */
	atomic_fetch_add_explicit(&r->head, 1, memory_order_release);
}

/* Consumer: the oldest sample, or NULL when empty; valid until ring_pop(). */
static inline const struct raw_sample *ring_peek(struct ring *r)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
		return NULL;
	return &r->slot[tail % RING_SLOTS];
}

static inline void ring_pop(struct ring *r)
{
	atomic_fetch_add_explicit(&r->tail, 1, memory_order_release);
}

#endif
