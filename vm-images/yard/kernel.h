/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core of the yard kernel: how functions account for themselves, and the library.
 *
 * The workload compiles twice from the same sources: into the guest, and into the
 * host's reference (reference.c includes the sources, YARD_FN makes every function
 * static there). So nothing here may depend on addresses, on time or on state
 * outside struct env.
 */
#ifndef YARD_KERNEL_H
#define YARD_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef YARD_HOST
#define YARD_FN static __attribute__((unused))
#else
#define YARD_FN
#endif

#define noinline      __attribute__((noinline))
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

struct env;

/* The head of struct env: what every function needs. */
struct core {
	u64 digest;
	u64 rng;
	u64 now;   /* operations since the start of the batch */
	u64 wrong; /* calls that reached a function not meant */
	u32 want;  /* what the next indirect call is for, see ICALL */
	u32 phase;
};

/* Rotate and multiply: order matters, every bit spreads. */
static inline void core_fold(struct core *c, u64 v)
{
	c->digest = (((c->digest << 23) | (c->digest >> 41)) ^ v) * 0x9e3779b97f4a7c15ull;
}

YARD_FN void core_wrong(struct core *c);

/*
 * An indirect call states what it is for; the function reached compares that and
 * the class of the object it was given with its own, and folds its identity.
 */
#define ICALL(e, op, call)                                                                         \
	({                                                                                         \
		CORE(e)->want = (op);                                                              \
		(call);                                                                            \
	})
#define CORE(e) ((struct core *)(e))

static inline void core_arrived(struct core *c, u32 class, u32 own_class, u32 own_op)
{
	if (unlikely((class ^ own_class) | (c->want ^ own_op)))
		core_wrong(c);
	core_fold(c, (u64)own_class << 32 | own_op);
}
#define ENTER(e, class, own_class, own_op) core_arrived(CORE(e), class, own_class, own_op)
#define FOLD(e, v)			   core_fold(CORE(e), v)

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline u64 core_random(struct core *c)
{
	u64 z = (c->rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
#define RANDOM(e)   core_random(CORE(e))
#define BELOW(e, n) ((u32)(((RANDOM(e) >> 32) * (u64)(n)) >> 32))

/* lib.c */
YARD_FN void mem_copy(void *to, const void *from, u32 len);
YARD_FN void mem_fill(void *to, u64 pattern, u32 len);
YARD_FN int mem_compare(const void *a, const void *b, u32 len);
YARD_FN u64 mem_hash(const void *p, u32 len, u64 seed);
YARD_FN u32 mem_crc32(const void *p, u32 len, u32 crc);
YARD_FN u16 inet_sum(const void *p, u32 len, u32 start);
YARD_FN int str_compare(const char *a, const char *b);
YARD_FN u32 str_hash(const char *s);
YARD_FN void name_make(char *to, u32 number);

/* batch.c */
YARD_FN void kernel_init(struct env *e);
YARD_FN u64 kernel_batch(struct env *e, u64 seed, u32 slot, u32 phase);

#endif
