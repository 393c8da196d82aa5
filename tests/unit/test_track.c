// SPDX-License-Identifier: GPL-2.0-only
/* Tracks by running them under real call sites and real retpolines. */
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "patch/track.h"
#include "x86/encode.h"

#define PAGES 16
/* Offsets in the mapped block: site stubs, thunks, targets, tracks, counters. */
#define CODE	 0x0000
#define THUNK	 0x1000
#define TARGET	 0x2000
#define TRACK	 0x3000
#define COUNTERS 0x4000
#define FAR	 0xf000 /* a target that no track names */

static uint8_t *block; /* below 2 GiB, as in the process backend */

/* rax..r15 before and after the call; what the target saw as its return address. */
struct context {
	uint64_t in[HOTRAIL_REGS], out[HOTRAIL_REGS];
	uint64_t returned_to, hit, stack;
};

static gva_t addr(size_t offset)
{
	return (gva_t)(uintptr_t)(block + offset);
}

static void map_block(void)
{
	if (block)
		return;
	block = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (block == MAP_FAILED)
		SUITE_SKIP("no executable and writable memory below 2 GiB here");
}

static void emit1(struct x86_emit *e, unsigned n, ...)
{
	va_list ap;

	va_start(ap, n);
	while (n--) {
		uint8_t b = (uint8_t)va_arg(ap, int);

		x86_emit_bytes(e, &b, 1);
	}
	va_end(ap);
}

/* mov between a register and absolute memory. */
static void emit_mov_mem(struct x86_emit *e, bool load, unsigned reg, gva_t at)
{
	uint32_t disp = (uint32_t)at;

	emit1(e, 4, 0x48 | (reg >> 3) << 2, load ? 0x8b : 0x89, 0x04 | (reg & 7) << 3, 0x25);
	x86_emit_bytes(e, &disp, 4);
}

static struct context *context(void)
{
	return (struct context *)(block + COUNTERS + 0x800);
}

/* call 1f; 2: pause; lfence; jmp 2b; 1: mov %R, (%rsp); ret */
static gva_t build_thunk(unsigned reg)
{
	size_t at = THUNK + reg * 64;
	struct x86_emit e = {.buf = block + at, .cap = 64, .at = addr(at)};

	emit1(&e, 5, 0xe8, 7, 0, 0, 0);
	emit1(&e, 7, 0xf3, 0x90, 0x0f, 0xae, 0xe8, 0xeb, 0xf9);
	if (reg == HOTRAIL_RSP)
		return 0;
	emit1(&e, 4, 0x48 | (reg >> 3) << 2, 0x89, 0x04 | (reg & 7) << 3, 0x24);
	emit1(&e, 1, 0xc3);
	return addr(at);
}

/* A target notes its number, its return address and all registers, in static memory. */
static gva_t build_target(unsigned n, size_t at)
{
	struct x86_emit e = {.buf = block + at, .cap = 512, .at = addr(at)};
	uint32_t disp;
	unsigned r;

	for (r = 0; r < HOTRAIL_REGS; r++)
		emit_mov_mem(&e, false, r, (gva_t)(uintptr_t)&context()->out[r]);
	emit1(&e, 4, 0x48, 0x8b, 0x04, 0x24); /* mov (%rsp), %rax */
	emit_mov_mem(&e, false, HOTRAIL_RAX, (gva_t)(uintptr_t)&context()->returned_to);
	disp = (uint32_t)(uintptr_t)&context()->hit;
	emit1(&e, 4, 0x48, 0xc7, 0x04, 0x25); /* movq $n, hit */
	x86_emit_bytes(&e, &disp, 4);
	disp = n;
	x86_emit_bytes(&e, &disp, 4);
	emit1(&e, 1, 0xc3);
	CU_ASSERT_FALSE(e.failed);
	return addr(at);
}

/*
 * A C-callable stub: save callee-saved registers, load all registers but rsp from
 * context->in, run the site (call, cs call, or jmp reached by a call), restore.
 */
static gva_t build_site(unsigned len, bool jump, gva_t to, gva_t *site, gva_t *returns)
{
	struct x86_emit e = {.buf = block + CODE, .cap = 0x800, .at = addr(CODE)};
	static const uint8_t push[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
	static const uint8_t pop[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b};
	uint8_t insn[6] = {0x2e, 0xe8}, out[6];
	unsigned r;

	insn[1] = jump ? 0xe9 : 0xe8;
	x86_emit_bytes(&e, push, sizeof(push));
	emit_mov_mem(&e, false, HOTRAIL_RSP, (gva_t)(uintptr_t)&context()->stack);
	for (r = 0; r < HOTRAIL_REGS; r++)
		if (r != HOTRAIL_RSP)
			emit_mov_mem(&e, true, r, (gva_t)(uintptr_t)&context()->in[r]);
	if (jump) { /* a function that only tail-calls, at CODE + 0x900 */
		emit1(&e, 1, 0xe8);
		uint32_t rel = (uint32_t)(addr(CODE + 0x900) - (e.at + e.len + 4));

		x86_emit_bytes(&e, &rel, 4);
		*returns = e.at + e.len;
		*site = addr(CODE + 0x900);
	} else {
		*site = e.at + e.len;
		*returns = *site + len;
	}
	CU_ASSERT_EQUAL(x86_retarget(insn + 6 - len, len, *site, to, out), 0);
	if (jump)
		memcpy(block + CODE + 0x900, out, len);
	else
		x86_emit_bytes(&e, out, len);
	emit_mov_mem(&e, true, HOTRAIL_RSP, (gva_t)(uintptr_t)&context()->stack);
	x86_emit_bytes(&e, pop, sizeof(pop));
	emit1(&e, 1, 0xc3);
	CU_ASSERT_FALSE(e.failed);
	return addr(CODE);
}

/* Run the site with R = target; checks everything that law 1 promises. `clobber` may change. */
static void run(gva_t stub, unsigned reg, gva_t target, unsigned number, gva_t returns, int clobber)
{
	struct context *c = context();
	unsigned r, changed = 0;

	for (r = 0; r < HOTRAIL_REGS; r++)
		c->in[r] = 0x1111111111111111ull * (r + 1);
	c->in[reg] = target;
	c->hit = ~0ull;
	((void (*)(void))(uintptr_t)stub)();
	CU_ASSERT_EQUAL(c->hit, number);
	CU_ASSERT_EQUAL(c->returned_to, returns);
	CU_ASSERT_EQUAL(c->out[HOTRAIL_RSP], c->stack - 8);
	for (r = 0; r < HOTRAIL_REGS; r++)
		if (r != HOTRAIL_RSP && (int)r != clobber)
			changed += c->out[r] != c->in[r];
	CU_ASSERT_EQUAL(changed, 0);
}

/* Which word is counted depends on this thread's stack: the sum is what matters. */
static uint32_t take_misses(void)
{
	uint32_t sum = 0;
	unsigned i;

	for (i = 0; i < TRACK_MISS_WORDS; i++) {
		uint32_t *word = (uint32_t *)(block + COUNTERS + i * TRACK_MISS_STRIDE);

		sum += *word;
		*word = 0;
	}
	return sum;
}

static void law_1_a_track_never_changes_meaning(void)
{
	unsigned reg, k, i, shape;

	map_block();
	build_target(99, FAR);
	for (i = 0; i < HOTRAIL_MAX_TARGETS; i++)
		build_target(i, TARGET + i * 512);
	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		gva_t thunk = build_thunk(reg), site, returns, stub;

		if (reg == HOTRAIL_RSP)
			continue;
		for (k = 1; k <= HOTRAIL_MAX_TARGETS; k++)
			for (shape = 0; shape < 4; shape++) {
				struct track_spec s = {.reg = reg,
						       .thunk = thunk,
						       .ntargets = k,
						       .miss = addr(COUNTERS)};

				for (i = 0; i < k; i++)
					s.targets[i] = addr(TARGET + i * 512);
				CU_ASSERT(track_encode(&s, addr(TRACK), block + TRACK, 0x1000) > 0);
				stub = build_site(5 + (shape & 1), shape >> 1, addr(TRACK), &site,
						  &returns);
				take_misses();
				for (i = 0; i < k; i++)
					run(stub, reg, addr(TARGET + i * 512), i, returns, -1);
				CU_ASSERT_EQUAL(take_misses(), 0);
				run(stub, reg, addr(FAR), 99, returns, -1);
				CU_ASSERT_EQUAL(take_misses(), 1);
			}
	}
}

static struct track_learn_table *table(void)
{
	return (struct track_learn_table *)(block + COUNTERS);
}

static uint32_t counted(gva_t target)
{
	uint32_t sum = 0;
	unsigned i;

	for (i = 0; i < TRACK_LEARN_SLOTS; i++)
		if (table()->slot[i].target == (uint32_t)target)
			sum += table()->slot[i].count;
	return sum;
}

static void law_1_a_learning_track_counts_and_keeps_its_promise(void)
{
	unsigned reg, i, shape;

	map_block();
	for (i = 0; i < HOTRAIL_MAX_TARGETS; i++)
		build_target(i, TARGET + i * 512);
	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		gva_t thunk = build_thunk(reg), site, returns, stub;
		int scratch = reg == HOTRAIL_R11 ? HOTRAIL_R10 : HOTRAIL_R11;

		if (reg == HOTRAIL_RSP)
			continue;
		for (shape = 0; shape < 4; shape++) {
			memset(table(), 0, sizeof(*table()));
			CU_ASSERT(track_encode_learn(reg, thunk, addr(COUNTERS), 0, addr(TRACK),
						     block + TRACK, 0x1000) > 0);
			stub = build_site(5 + (shape & 1), shape >> 1, addr(TRACK), &site,
					  &returns);
			for (i = 0; i < 20; i++)
				run(stub, reg, addr(TARGET + i % 3 * 512), i % 3, returns, scratch);
			CU_ASSERT_EQUAL(counted(addr(TARGET)), 7);
			CU_ASSERT_EQUAL(counted(addr(TARGET + 512)), 7);
			CU_ASSERT_EQUAL(counted(addr(TARGET + 1024)), 6);
			CU_ASSERT_EQUAL(table()->other, 0);
		}
	}
}

/* A CPU is whoever has its offset at %gs: two of them count the same calls, each in its own copy.
 */
static void law_1_each_cpu_counts_in_its_own_table(void)
{
	uint64_t *offset;
	const struct track_learn_table *own;
	unsigned reg, i, cpu;

	map_block();
	offset = (uint64_t *)(block + COUNTERS + 0x7c0);
	CU_ASSERT_EQUAL_FATAL(syscall(SYS_arch_prctl, ARCH_SET_GS, addr(COUNTERS)), 0);
	for (i = 0; i < 3; i++)
		build_target(i, TARGET + i * 512);
	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		int scratch = reg == HOTRAIL_R11 ? HOTRAIL_R10 : HOTRAIL_R11;
		gva_t thunk = build_thunk(reg), site, returns, stub;

		if (reg == HOTRAIL_RSP)
			continue;
		memset(block + COUNTERS, 0, 3 * 0x200);
		CU_ASSERT(track_encode_learn(reg, thunk, addr(COUNTERS), 0x7c0, addr(TRACK),
					     block + TRACK, 0x1000) > 0);
		stub = build_site(5, false, addr(TRACK), &site, &returns);
		for (cpu = 0; cpu < 3; cpu++) {
			*offset = cpu * 0x200;
			for (i = 0; i <= cpu; i++)
				run(stub, reg, addr(TARGET + cpu * 512), cpu, returns, scratch);
		}
		for (cpu = 0; cpu < 3; cpu++) {
			uint32_t sum = 0, others = 0;

			own = (const void *)(block + COUNTERS + cpu * 0x200);
			for (i = 0; i < TRACK_LEARN_SLOTS; i++)
				if (own->slot[i].target == (uint32_t)addr(TARGET + cpu * 512))
					sum += own->slot[i].count;
				else
					others += own->slot[i].count;
			CU_ASSERT_EQUAL(sum, cpu + 1);
			CU_ASSERT_EQUAL(others, 0);
		}
	}
}

/* Everything learned goes to a thunk that only returns, so that any value can be learned. */
static void learn_values(const uint64_t *values, unsigned n)
{
	gva_t site, returns, stub;
	unsigned i;

	block[THUNK] = 0xc3;
	memset(table(), 0, sizeof(*table()));
	CU_ASSERT(track_encode_learn(HOTRAIL_RAX, addr(THUNK), addr(COUNTERS), 0, addr(TRACK),
				     block + TRACK, 0x1000) > 0);
	stub = build_site(5, false, addr(TRACK), &site, &returns);
	for (i = 0; i < n; i++) {
		context()->in[HOTRAIL_RAX] = values[i];
		((void (*)(void))(uintptr_t)stub)();
	}
}

static void values_that_32_bits_do_not_name_are_not_recorded(void)
{
	const uint64_t wide[] = {0x123400000ull, 0xdeadbeefcafebabeull, 0x80000000ull,
				 0xffffffff7fffffffull, 0xffff888000001000ull};
	const uint64_t narrow[] = {0xffffffff81000000ull, 0x7fffffff, 0xffffffff80000000ull};
	unsigned i;

	map_block();
	learn_values(wide, 5);
	CU_ASSERT_EQUAL(table()->other, 5);
	for (i = 0; i < TRACK_LEARN_SLOTS; i++)
		CU_ASSERT_EQUAL(table()->slot[i].target | table()->slot[i].count, 0);
	learn_values(narrow, 3);
	CU_ASSERT_EQUAL(table()->other, 0);
	for (i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(counted(narrow[i]), 1);
}

static void a_full_table_counts_others(void)
{
	uint64_t values[400];
	uint32_t total = 0, used = 0;
	unsigned i;

	map_block();
	for (i = 0; i < 400; i++)
		values[i] = 0xffffffff81000000ull + (i % 100) * 0x40;
	learn_values(values, 400);
	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		total += table()->slot[i].count;
		used += table()->slot[i].target != 0;
		CU_ASSERT(!table()->slot[i].target ||
			  (table()->slot[i].target - 0x81000000u) % 0x40 == 0);
	}
	CU_ASSERT_EQUAL(used, TRACK_LEARN_SLOTS);
	CU_ASSERT_EQUAL(total + table()->other, 400); /* one vCPU loses nothing */
	CU_ASSERT_EQUAL(total, used * 4);
	CU_ASSERT_EQUAL(table()->pad[0] | table()->pad[1] | table()->pad[2], 0);
}

/* Two vCPUs in one table, while a third hand keeps clearing it. */
#define HAMMER_ROUNDS 400000
static volatile bool hammering;

static void *hammer(void *arg)
{
	uint64_t value = (uintptr_t)arg;
	unsigned i;

	for (i = 0; i < HAMMER_ROUNDS; i++) {
		uint64_t v = 0xffffffff81000000ull + (value + i % 7 * 2) * 0x10;

		__asm__ volatile("sub $128, %%rsp; call *%1; add $128, %%rsp"
				 : "+a"(v)
				 : "r"((uintptr_t)addr(TRACK))
				 : "r10", "r11", "memory", "cc");
	}
	return NULL;
}

static void *clear_often(void *arg)
{
	while (hammering) {
		memset(table(), 0, sizeof(*table()));
		usleep(200);
	}
	return NULL;
}

static unsigned wrong_targets(void)
{
	unsigned i, wrong = 0;

	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		uint32_t t = __atomic_load_n(&table()->slot[i].target, __ATOMIC_RELAXED);

		wrong += t && (t < 0x81000000u || t > 0x810000d0u || t & 15);
	}
	return wrong;
}

static void racing_threads_lose_counts_but_never_invent_targets(void)
{
	pthread_t two[2], cleaner;
	unsigned i, wrong = 0;
	uint64_t total = 0;

	map_block();
	learn_values(NULL, 0);
	hammering = true;
	pthread_create(&cleaner, NULL, clear_often, NULL);
	for (i = 0; i < 2; i++)
		pthread_create(&two[i], NULL, hammer, (void *)(uintptr_t)i);
	for (i = 0; i < 1000; i++) {
		wrong += wrong_targets();
		usleep(20);
	}
	for (i = 0; i < 2; i++)
		pthread_join(two[i], NULL);
	hammering = false;
	pthread_join(cleaner, NULL);
	CU_ASSERT_EQUAL(wrong + wrong_targets(), 0);

	learn_values(NULL, 0);
	for (i = 0; i < 2; i++)
		pthread_create(&two[i], NULL, hammer, (void *)(uintptr_t)i);
	for (i = 0; i < 2; i++)
		pthread_join(two[i], NULL);
	for (i = 0; i < TRACK_LEARN_SLOTS; i++)
		total += table()->slot[i].count;
	total += table()->other;
	CU_ASSERT_EQUAL(wrong_targets(), 0);
	CU_ASSERT(total > 0 && total <= 2 * HAMMER_ROUNDS);
	CU_ASSERT(total > HAMMER_ROUNDS / 2); /* lossy, but a measurement still */
}

static const struct suite_test tests[] = {
	{"law 1 - each cpu counts in its own table", law_1_each_cpu_counts_in_its_own_table},
	{"law 1 - a track never changes meaning", law_1_a_track_never_changes_meaning},
	{"law 1 - a learning track counts and keeps its promise",
	 law_1_a_learning_track_counts_and_keeps_its_promise},
	{"values that 32 bits do not name are not recorded",
	 values_that_32_bits_do_not_name_are_not_recorded},
	{"a full table counts others", a_full_table_counts_others},
	{"racing threads lose counts but never invent targets",
	 racing_threads_lose_counts_but_never_invent_targets},
};

SUITE_MAIN("track", tests, 60)
