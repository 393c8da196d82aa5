/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest with real retpolines at its thunks, and branch stacks and perf ring buffers
 * over it, built by hand.
 */
#ifndef HOTRAIL_TESTS_LBR_FIXTURE_H
#define HOTRAIL_TESTS_LBR_FIXTURE_H

#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fake_target.h"
#include "sample/lbr_ring.h"
#include "suite.h"

#define SITES	 40
#define INNER	 12						 /* of the thunk's call */
#define RET_LOW	 16						 /* its return */
#define RET_AT	 (FAKE_BASE + FAKE_THUNK + HOTRAIL_REGS * 64ull) /* return thunk */
#define SAFE_RET (RET_AT + 32)
#define TRACK	 (FAKE_BASE + FAKE_CODE)

/* Type bits of perf that say "conditional": whatever the kernel read there, it was not the guest.
 */
#define LIE (1ull << 20)

struct seen {
	unsigned calls;
	uint32_t site[256];
	gva_t target[256];
};

static struct fake_target f;
static struct attribute attribute;
static struct lbr_join join;
static struct lbr_branch stack[512]; /* newest first, as perf gives it */
static size_t depth;
static struct seen seen;
static struct lbr_counts counts;

static inline bool fx_is_target(void *ctx, gva_t addr)
{
	return f.guest_ops.is_target(&f.guest, addr);
}

static inline int fx_read(void *ctx, gva_t gva, void *buf, size_t len)
{
	return f.target.ops->read(&f.target, gva, buf, len);
}

static inline void fx_edge(void *ctx, uint32_t site, gva_t target)
{
	struct seen *s = ctx;

	if (s->calls < 256) {
		s->site[s->calls] = site;
		s->target[s->calls] = target;
	}
	s->calls++;
}

/* call 1f; 2: pause; lfence; jmp 2b; 1: mov %reg,(%rsp); then `ret`, or `jmp RET_AT`. */
static inline void fx_make_thunk(unsigned reg, bool return_thunk)
{
	gva_t at = FAKE_BASE + FAKE_THUNK + reg * 64ull;
	uint8_t *b = fake_bytes(&f, at);
	const uint8_t body[] = {0xe8,
				7,
				0,
				0,
				0,
				0xf3,
				0x90,
				0x0f,
				0xae,
				0xe8,
				0xeb,
				0xf9,
				reg >= 8 ? 0x4c : 0x48,
				0x89,
				(uint8_t)(4 | (reg & 7) << 3),
				0x24};
	int32_t rel = (int32_t)(RET_AT - (at + sizeof(body) + 5));

	memcpy(b, body, sizeof(body));
	b[sizeof(body)] = return_thunk ? 0xe9 : 0xc3;
	if (return_thunk)
		memcpy(b + sizeof(body) + 1, &rel, 4);
}

static inline void fx_begin(bool return_thunk)
{
	static const uint8_t safe[] = {0x48, 0x8d, 0x64, 0x24, 8, 0xc3}; /* lea 8(%rsp),%rsp; ret */
	unsigned reg;

	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	for (reg = 0; reg < HOTRAIL_REGS; reg++)
		fx_make_thunk(reg, return_thunk);
	*fake_bytes(&f, RET_AT) = 0xc3;
	memcpy(fake_bytes(&f, SAFE_RET), safe, sizeof(safe));
	CU_ASSERT_EQUAL_FATAL(attribute_init(&attribute, &f.guest.sites, f.guest.arena.code,
					     f.guest.arena.code + f.guest.arena.code_size,
					     fx_is_target, NULL),
			      0);
	join = (struct lbr_join){.attribute = &attribute, .read = fx_read};
	depth = 0;
}

static inline void fx_end(void)
{
	attribute_free(&attribute);
	fake_free(&f);
}

/* The next branch in time: everything older moves down. */
static inline void branch_flags(gva_t from, gva_t to, uint64_t flags)
{
	memmove(stack + 1, stack, depth * sizeof(stack[0]));
	stack[0] = (struct lbr_branch){from, to, flags};
	depth++;
}

static inline void branch(gva_t from, gva_t to)
{
	branch_flags(from, to, LIE);
}

static inline const struct site *site(unsigned n)
{
	return &f.guest.sites.sites[n];
}

/* From the thunk on. */
static inline void retpoline(unsigned n, gva_t target)
{
	branch(site(n)->thunk, site(n)->thunk + INNER);
	branch(site(n)->thunk + RET_LOW, target);
}

static inline void call(unsigned n, gva_t target)
{
	branch(site(n)->addr, site(n)->thunk);
	retpoline(n, target);
}

static inline void fx_join(void)
{
	memset(&seen, 0, sizeof(seen));
	memset(&counts, 0, sizeof(counts));
	lbr_join_stack(&join, stack, depth, fx_edge, &seen, &counts);
	depth = 0;
}

static inline bool saw(unsigned i, uint32_t n, gva_t target)
{
	return i < seen.calls && seen.site[i] == n && seen.target[i] == target;
}

/* --- ring buffers --- */

struct ring_fixture {
	uint8_t *map;
	size_t bytes, size; /* of the mapping; of the data in it */
};

static inline void ring_open(struct ring_fixture *r, size_t pages, int fd)
{
	r->size = pages * 4096;
	r->bytes = 4096 + r->size;
	r->map = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE,
		      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(r->map, MAP_FAILED);
}

static inline struct perf_event_mmap_page *ring_page(struct ring_fixture *r)
{
	return (struct perf_event_mmap_page *)(void *)r->map;
}

/* Bytes as the kernel writes them: data round the end, then the head. */
static inline void ring_put(struct ring_fixture *r, const void *data, size_t len)
{
	uint64_t head = ring_page(r)->data_head;
	size_t i;

	for (i = 0; i < len; i++)
		r->map[4096 + (head + i) % r->size] = ((const uint8_t *)data)[i];
	__atomic_store_n(&ring_page(r)->data_head, head + len, __ATOMIC_RELEASE);
}

static inline void ring_record(struct ring_fixture *r, uint32_t type, size_t size, const void *body,
			       size_t len)
{
	struct perf_event_header h = {.type = type, .misc = 2, .size = (uint16_t)size};

	ring_put(r, &h, sizeof(h));
	ring_put(r, body, len);
}

/* The stack built so far as a sample; `nr` as claimed. */
static inline void ring_sample_claim(struct ring_fixture *r, uint64_t nr)
{
	uint8_t body[8 + sizeof(stack)];
	size_t len = 8 + depth * sizeof(stack[0]);

	memcpy(body, &nr, 8);
	memcpy(body + 8, stack, depth * sizeof(stack[0]));
	ring_record(r, PERF_RECORD_SAMPLE, 8 + len, body, len);
	depth = 0;
}

static inline void ring_sample(struct ring_fixture *r)
{
	ring_sample_claim(r, depth);
}

#endif
