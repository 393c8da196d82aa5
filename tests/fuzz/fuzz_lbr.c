// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as a perf ring buffer of branch stacks: head and tail, records, and the joining of
 * what is in them over guest memory that is made of the same bytes. Addresses are folded into the
 * guest's, or nothing would ever join.
 */
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>

#include "sample/lbr_ring.h"

#define PAGE	 4096u
#define TEXT	 0xffffffff81000000ull
#define SITES	 4
#define THUNK	 (TEXT + 0x100)
#define FUNCTION (TEXT + 0x200)
#define ARENA	 (TEXT + 0x300)
#define END	 (TEXT + 0x400)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t text[END - TEXT];
	uint64_t edges, with_target;
};

static void check(int truth)
{
	if (!truth)
		abort();
}

static bool is_target(void *ctx, gva_t addr)
{
	return addr >= FUNCTION && addr < ARENA && addr % 16 == 0;
}

static int read_text(void *ctx, gva_t gva, void *buf, size_t len)
{
	const struct input *in = ctx;

	if (gva < TEXT || gva > END || len > END - gva)
		return -1;
	memcpy(buf, in->text + (gva - TEXT), len);
	return 0;
}

static void on_edge(void *ctx, uint32_t site, gva_t target)
{
	struct input *in = ctx;

	check(site < SITES && (!target || is_target(NULL, target)));
	in->edges++;
	in->with_target += target != 0;
}

static void make_text(struct input *in, struct site *sites)
{
	static const uint8_t thunk[] = {0xe8, 7,    0,	  0,	0,    0xf3, 0x90, 0x0f, 0xae,
					0xe8, 0xeb, 0xf9, 0x48, 0x89, 0x04, 0x24, 0xc3};
	unsigned i;

	memset(in, 0, sizeof(*in));
	memcpy(in->text + 0x100, thunk, sizeof(thunk));
	for (i = 0; i < SITES; i++) {
		uint8_t insn[5] = {i == 3 ? 0xe9 : 0xe8};
		int32_t rel = (int32_t)(0x100 - (i * 16 + 5));

		memcpy(insn + 1, &rel, 4);
		memcpy(in->text + i * 16, insn, 5);
		sites[i] = (struct site){.addr = TEXT + i * 16,
					 .thunk = THUNK,
					 .len = 5,
					 .is_jump = i == 3,
					 .reg = HOTRAIL_RAX};
	}
}

/* Addresses of most branches become ones of the guest. */
static void fold(uint8_t *bytes, size_t size)
{
	uint64_t word;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		memcpy(&word, bytes + i, 8);
		if (word >> 56 != 0x81)
			continue;
		word = TEXT + (word & 0x3ff);
		memcpy(bytes + i, &word, 8);
	}
}

static void drain(uint8_t *map, struct input *in, const struct attribute *a)
{
	struct lbr_join join = {.attribute = a, .read = read_text, .ctx = in};
	struct lbr_totals t = {0};
	struct lbr_ring ring;

	if (lbr_ring_init(&ring, map, 2 * PAGE))
		return;
	lbr_ring_read(&ring, &join, on_edge, in, &t);
	check(ring.tail == ((struct perf_event_mmap_page *)(void *)map)->data_head);
	check(t.named <= t.stacks && t.in_guest <= t.stacks);
	check(in->edges == t.calls.pairs + t.calls.partial && in->with_target == t.calls.pairs);
	check(t.stacks <= PAGE / 16 && in->edges <= PAGE / 24);
}

/* First word: head (folded into reach or not), second: tail, third: data_size; then the data. The
 * last part of the guest's text, the arena, is made of the input's end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perf_event_mmap_page *page;
	struct site sites[SITES];
	struct site_table table = {
		.sites = sites, .count = SITES, .text_start = TEXT, .text_end = END};
	struct attribute a;
	struct input in;
	uint64_t word[3];
	uint8_t *map;
	size_t n;

	if (size < sizeof(word))
		return 0;
	map = aligned_alloc(PAGE, 2 * PAGE);
	if (!map)
		return 0;
	memset(map, 0, 2 * PAGE);
	memcpy(word, data, sizeof(word));
	data += sizeof(word);
	size -= sizeof(word);
	make_text(&in, sites);
	n = size < 0x80 ? size : 0x80;
	memcpy(in.text + 0x300, data + size - n, n);
	n = size < PAGE ? size : PAGE;
	memcpy(map + PAGE, data, n);
	fold(map + PAGE, PAGE);
	page = (struct perf_event_mmap_page *)(void *)map;
	page->data_tail = word[1] & 1 ? word[1] : 0;
	page->data_head = word[0] & 1 ? word[0] : page->data_tail + word[0] % (n + 1);
	if (word[2] & 1) {
		page->data_size = word[2];
		page->data_offset = word[2] & 2 ? PAGE : word[2] >> 32;
	}
	if (!attribute_init(&a, &table, ARENA, END, is_target, NULL)) {
		drain(map, &in, &a);
		attribute_free(&a);
	}
	free(map);
	return 0;
}
