// SPDX-License-Identifier: GPL-2.0-only
/* The arena: nothing handed out twice, alignment and cache lines, bounds of hostile headers. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "patch/arena.h"
#include "patch/track.h"

#define TEXT	 0xffffffff81000000ull
#define TEXT_END 0xffffffff81010000ull

static const struct guest_arena good = {.code = 0xffffffff82000000ull,
					.code_size = 0x1000,
					.data = 0xffffffff82001000ull,
					.data_size = 0x1000};

static int init(struct guest_arena where, gva_t start, gva_t end)
{
	struct error err = {0};
	struct arena a;
	int rc = arena_init(&a, &where, start, end, &err);

	CU_ASSERT_EQUAL(rc != 0, err.text[0] != 0);
	return rc;
}

static void law_4_nothing_is_handed_out_twice(void)
{
	static uint8_t code[0x1000], data[0x1000];
	static const size_t lens[] = {19, 26, 39, 52, 64, 83, 96, 7, 16};
	unsigned i, twice = 0, blocks = 0;
	struct arena a;
	gva_t at;
	size_t n;

	memset(code, 0, sizeof(code));
	memset(data, 0, sizeof(data));
	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	for (i = 0; !arena_alloc_code(&a, lens[i % 9], &at); i++, blocks++)
		for (n = 0; n < lens[i % 9]; n++)
			twice += code[at - good.code + n]++;
	CU_ASSERT(blocks > 40);
	for (i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL(arena_alloc_table(&a, sizeof(struct track_learn_table), &at), 0);
		CU_ASSERT_EQUAL(at % 64, 0);
		for (n = 0; n < sizeof(struct track_learn_table); n++)
			twice += data[at - good.data + n]++;
	}
	for (blocks = 0; !arena_alloc_misses(&a, &at); blocks++)
		for (n = 0; n < TRACK_MISS_SPAN; n += n % TRACK_MISS_STRIDE == 3 ? 61 : 1)
			twice += data[at - good.data + n]++;
	CU_ASSERT(blocks > 8);
	CU_ASSERT_EQUAL(twice, 0);
	CU_ASSERT_EQUAL(arena_alloc_misses(&a, &at), -ENOSPC);
	CU_ASSERT_EQUAL(arena_alloc_table(&a, TRACK_MISS_SPAN, &at), -ENOSPC);
	CU_ASSERT(a.code_used <= good.code_size && a.data_used <= good.data_size);
}

static void blocks_are_aligned_and_cross_as_few_lines_as_possible(void)
{
	struct arena a;
	size_t len;
	gva_t at;

	for (len = 1; len <= TRACK_MAX_BYTES; len++) {
		CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
		CU_ASSERT_EQUAL(arena_alloc_code(&a, 17, &at), 0);
		while (!arena_alloc_code(&a, len, &at)) {
			CU_ASSERT_EQUAL(at % TRACK_ALIGN, 0);
			CU_ASSERT_EQUAL((at % 64 + len - 1) / 64, (len - 1) / 64);
		}
	}
	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 20, &at), 0); /* two short ones share a line */
	CU_ASSERT_EQUAL(at, good.code);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 20, &at), 0);
	CU_ASSERT_EQUAL(at, good.code + 32);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 0, &at), -EINVAL);
}

/* Sixteen sites share a group of lines; each has a word in every one of them. */
static void miss_counters_are_packed_in_groups(void)
{
	gva_t at, first = 0;
	struct arena a;
	unsigned n;

	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	for (n = 0; !arena_alloc_misses(&a, &at); n++) {
		if (n % 16 == 0)
			first = at;
		CU_ASSERT_EQUAL(at, first + 4 * (n % 16));
		CU_ASSERT_EQUAL(first % 64, 0);
	}
	CU_ASSERT_EQUAL(n, 4096 / TRACK_MISS_SPAN * 16); /* nothing is wasted */
}

static void reserved_bytes_are_not_handed_out(void)
{
	struct arena a;
	gva_t at;

	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, good.code + 0x400, 70), 0);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 16, &at), 0);
	CU_ASSERT(at >= good.code + 0x446);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, good.code, 16), 0); /* an older one: no way back */
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 16, &at), 0);
	CU_ASSERT(at > good.code + 0x446);
	CU_ASSERT_EQUAL(arena_reserve_data(&a, good.data + 0x100, 4), 0);
	CU_ASSERT_EQUAL(arena_alloc_misses(&a, &at), 0);
	CU_ASSERT(at >= good.data + 0x140);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, good.code - 16, 16), -EINVAL);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, good.code + 0xff0, 17), -EINVAL);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, good.code + 8, 16), -EINVAL);
	CU_ASSERT_EQUAL(arena_reserve_data(&a, good.data + 0xffd, 4), -EINVAL);
	CU_ASSERT_EQUAL(arena_reserve_data(&a, good.data + 0x1000, 4), -EINVAL);
	CU_ASSERT_EQUAL(arena_reserve_data(&a, 0, 4), -EINVAL);
}

static void what_is_given_back_is_handed_out_again(void)
{
	gva_t at, blocks[8];
	struct arena a;
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	for (i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(arena_alloc_code(&a, 60, &blocks[i]), 0);
	CU_ASSERT_EQUAL(arena_code_used(&a), 8 * 64 - 4);
	CU_ASSERT_EQUAL(arena_release_code(&a, blocks[2], 60), 0);
	CU_ASSERT_EQUAL(arena_release_code(&a, blocks[4], 60), 0);
	CU_ASSERT_EQUAL(a.holes_count, 2);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 90, &at), 0); /* in neither: they do not touch */
	CU_ASSERT(at > blocks[7]);
	CU_ASSERT_EQUAL(arena_release_code(&a, blocks[3], 60), 0);
	CU_ASSERT_EQUAL(a.holes_count, 1); /* now they do */
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 96, &at), 0);
	CU_ASSERT_EQUAL(at, blocks[2]);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 20, &at), 0);
	CU_ASSERT_EQUAL(at, blocks[2] + 96);
	CU_ASSERT_EQUAL(arena_release_code(&a, at, 20), 0); /* before the hole that follows */
	CU_ASSERT_EQUAL(a.holes_count, 1);
	CU_ASSERT_EQUAL(arena_release_code(&a, blocks[2], 96), 0);
	CU_ASSERT_EQUAL(a.holes_count, 1);
	CU_ASSERT_EQUAL(a.holes[0].len, 3 * 64);
	CU_ASSERT_EQUAL(arena_release_code(&a, blocks[0], 60), 0);
	CU_ASSERT_EQUAL(a.holes_count, 2);
	CU_ASSERT_EQUAL(a.holes[0].offset, 0);
	arena_fini(&a);
}

static void tables_have_a_place_of_their_own(void)
{
	struct arena a;
	unsigned n;
	gva_t at;

	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &good, TEXT, TEXT_END, NULL), 0);
	CU_ASSERT_EQUAL(arena_set_tables(&a, 2, 0x400, NULL), 0);
	CU_ASSERT_EQUAL(arena_alloc_misses(&a, &at), 0);
	CU_ASSERT_EQUAL(at, good.data + 2 * 0x400); /* behind all copies */
	for (n = 0; !arena_alloc_table(&a, sizeof(struct track_learn_table), &at); n++)
		CU_ASSERT(at + sizeof(struct track_learn_table) <= good.data + 0x400);
	CU_ASSERT_EQUAL(n, 0x400 / 320); /* whole lines */
	CU_ASSERT_EQUAL(arena_alloc_misses(&a, &at), 0);
	CU_ASSERT_EQUAL(arena_set_tables(&a, 5, 0x400, NULL), -EINVAL);
	CU_ASSERT_EQUAL(arena_set_tables(&a, UINT64_MAX / 2, 0x400, NULL), -EINVAL);
	CU_ASSERT_EQUAL(arena_set_tables(&a, 0, 0x400, NULL), -EINVAL);
	CU_ASSERT_EQUAL(arena_set_tables(&a, 1, 0, NULL), -EINVAL);
	CU_ASSERT_EQUAL(arena_set_tables(&a, 1, 0x410, NULL), -EINVAL);
	arena_fini(&a);
}

static void broken_headers_are_refused(void)
{
	struct guest_arena g = good;

	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), 0);
	CU_ASSERT_EQUAL(init(g, TEXT, good.code + 1), -EINVAL); /* text runs into the code half */
	CU_ASSERT_EQUAL(init(g, TEXT_END, TEXT), -EINVAL);
	g.data = good.code + 0xfc0;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL); /* halves overlap */
	g = good;
	g.data = TEXT + 0x1000;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL); /* counters in text */
	g = good;
	g.code += 1;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL);
	g = good;
	g.code_size = -0x1000ull;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL);
	g = good;
	g.data = 0xfffffffffffff000ull;
	g.data_size = 0x2000;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL); /* wraps to 0 */
	g = good;
	g.code = 0xffff888000000000ull;
	CU_ASSERT_EQUAL(init(g, TEXT, TEXT_END), -EINVAL);
	g = good;
	g.data = 0x7fff0000;
	CU_ASSERT_EQUAL(init(g, 0x40000000, 0x40010000), -EINVAL); /* low text, high tracks */
	g.code = 0x7ffff000;
	g.code_size = 0x2000;
	CU_ASSERT_EQUAL(init(g, 0x40000000, 0x40010000), -EINVAL); /* passes 2 GiB */
}

static void an_empty_arena_is_always_full(void)
{
	const struct guest_arena none = {0};
	struct arena a;
	gva_t at;

	CU_ASSERT_EQUAL_FATAL(arena_init(&a, &none, TEXT, TEXT_END, NULL), 0);
	CU_ASSERT_EQUAL(arena_alloc_code(&a, 1, &at), -ENOSPC);
	CU_ASSERT_EQUAL(arena_alloc_misses(&a, &at), -ENOSPC);
	CU_ASSERT_EQUAL(arena_alloc_table(&a, 64, &at), -ENOSPC);
	CU_ASSERT_EQUAL(arena_reserve_code(&a, 0, 1), -EINVAL);
}

static const struct suite_test tests[] = {
	{"law 4 - nothing is handed out twice", law_4_nothing_is_handed_out_twice},
	{"blocks are aligned and cross as few lines as possible",
	 blocks_are_aligned_and_cross_as_few_lines_as_possible},
	{"miss counters are packed in groups", miss_counters_are_packed_in_groups},
	{"reserved bytes are not handed out", reserved_bytes_are_not_handed_out},
	{"what is given back is handed out again", what_is_given_back_is_handed_out_again},
	{"tables have a place of their own", tables_have_a_place_of_their_own},
	{"broken headers are refused", broken_headers_are_refused},
	{"an empty arena is always full", an_empty_arena_is_always_full},
};
SUITE_MAIN("arena", tests, 20)
