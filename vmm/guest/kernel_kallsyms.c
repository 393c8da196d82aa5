// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own symbol table, read from the image (scripts/kallsyms.c). The token
 * table is found by its shape; all else by what the tables must say about each other:
 *
 *   to 6.3    offsets, relative_base, num_syms, names, markers, [seqs], token_table, token_index
 *   from 6.4  num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs
 *
 * Each table is aligned to 8 bytes. markers[i] is the offset of name 256 * i, so a
 * wrong num_syms cannot pass. 6.1.60 brought seqs (3 bytes a symbol) to 6.1.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest/kernel_view.h"

#define MIN_SYMBOLS 8
#define MAX_NAME    512 /* KSYM_NAME_LEN */
#define MAX_NAMES   (1u << KERNEL_NAME_BITS)
#define MAX_STEPS                                                                                  \
	(64u << 20) /* places and names tried while looking for num_syms: bounds hostile files */
#define MAX_IMAGE (1ull << 30) /* KERNEL_IMAGE_SIZE */
#define MIN_BASE  0xffffffff80000000ull

struct kallsyms {
	const uint8_t *bytes; /* of the segment that holds them */
	size_t size;
	struct kernel_tokens tokens;
	size_t names, names_end;
	uint32_t count;
	const uint8_t *offsets;
	gva_t base;
	bool absolute_percpu; /* CONFIG_KALLSYMS_ABSOLUTE_PERCPU */
};

static size_t align8(size_t at)
{
	return (at + 7) & ~(size_t)7;
}

/* Length of a name in tokens: one byte, or two of 7 bits ("big" symbols, since 6.1). */
static bool next_name(const uint8_t *bytes, size_t end, size_t *at, unsigned *len)
{
	if (*at >= end)
		return false;
	*len = bytes[(*at)++];
	if (*len & 0x80) {
		if (*at >= end)
			return false;
		*len = (*len & 0x7f) | (unsigned)bytes[(*at)++] << 7;
	}
	return *len && *len <= end - *at;
}

static bool is_type(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '?';
}

/* Do `count` names start here, and do the markers behind them agree? */
static bool names_fit(struct kallsyms *s, size_t names, uint32_t count, size_t *steps)
{
	size_t at = names, end = s->tokens.table_at, markers, after, seqs = align8(3ull * count);
	unsigned len;
	uint32_t i;

	for (i = 0; i < count; i++, at += len) {
		const char *first;

		if (++*steps > MAX_STEPS || !next_name(s->bytes, end, &at, &len))
			return false;
		first = s->tokens.text[s->bytes[at]];
		if (!is_type(*first))
			return false;
	}
	s->names_end = at;
	markers = align8(at);
	after = align8(markers + (count + 255ull) / 256 * 4);
	if (after != end && after + seqs != end)
		return false;
	for (i = 0, at = names; i < count; i++, at += len) {
		if (i % 256 == 0 && kernel_u32(s->bytes + markers + i / 256 * 4) != at - names)
			return false;
		next_name(s->bytes, end, &at, &len);
	}
	return true;
}

static bool find_names(struct kallsyms *s, size_t *steps)
{
	size_t at;

	for (at = s->tokens.table_at & ~(size_t)7; at >= 8; at -= 8) {
		uint64_t count = kernel_u64(s->bytes + at - 8);

		if (++*steps > MAX_STEPS || s->tokens.table_at - at > MAX_NAMES)
			break;
		/* A 32-bit count and its padding. */
		if (count < MIN_SYMBOLS || count > KERNEL_MAX_SYMBOLS)
			continue;
		if (!names_fit(s, at, (uint32_t)count, steps))
			continue;
		s->names = at;
		s->count = (uint32_t)count;
		return true;
	}
	return false;
}

static gva_t symbol_addr(const struct kallsyms *s, uint32_t i)
{
	uint32_t offset = kernel_u32(s->offsets + 4ull * i);

	if (!s->absolute_percpu)
		return s->base + offset;
	/* Per-CPU symbols are offsets from 0; all else is stored negative. */
	return (int32_t)offset >= 0 ? offset : s->base - 1 - (gva_t)(int64_t)(int32_t)offset;
}

static bool offsets_fit(struct kallsyms *s, size_t offsets, size_t base)
{
	uint32_t i;
	gva_t last = 0;

	s->base = kernel_u64(s->bytes + base);
	s->offsets = s->bytes + offsets;
	if (s->base < MIN_BASE || s->base > 0 - MAX_IMAGE)
		return false;
	s->absolute_percpu = false;
	for (i = 0; i < s->count && !s->absolute_percpu; i++)
		s->absolute_percpu = (int32_t)kernel_u32(s->offsets + 4ull * i) < 0;
	for (i = 0; i < s->count; i++) {
		gva_t addr = symbol_addr(s, i);

		if (addr < last || (addr >= s->base && addr - s->base > MAX_IMAGE))
			return false;
		last = addr;
	}
	return last >= s->base;
}

static bool find_offsets(struct kallsyms *s)
{
	size_t bytes = align8(4ull * s->count), after = s->tokens.index_at + 512;

	/* Before the names: offsets, relative_base, num_syms. */
	if (s->names >= 16 + bytes && offsets_fit(s, s->names - 16 - bytes, s->names - 16))
		return true;
	/* After the token index: offsets, relative_base. */
	return after + bytes + 8 <= s->size && offsets_fit(s, after, after + bytes);
}

static bool find_tables(const struct kernel_view *v, struct kallsyms *s)
{
	size_t steps = 0, from;
	unsigned i;

	for (i = 0; i < v->loads; i++) {
		s->bytes = v->load[i].bytes;
		s->size = v->load[i].size;
		for (from = 0;
		     steps <= MAX_STEPS && kernel_find_tokens(s->bytes, s->size, from, &s->tokens);
		     from = s->tokens.index_at + 1)
			if (find_names(s, &steps) && find_offsets(s))
				return true;
	}
	return false;
}

/* Expand one name into buf[MAX_NAME]: its length without the type letter, or 0. */
static unsigned expand(const struct kallsyms *s, size_t at, unsigned tokens, char *buf)
{
	unsigned used = 0, i;

	for (i = 0; i < tokens; i++) {
		unsigned token = s->bytes[at + i], len = s->tokens.len[token];

		if (len >= MAX_NAME - used)
			return 0;
		memcpy(buf + used, s->tokens.text[token], len);
		used += len;
	}
	buf[used] = '\0';
	return used > 1 ? used - 1 : 0;
}

static int reserve(const struct kernel_view *v, struct kernel *k, size_t used, size_t *capacity)
{
	char *grown;

	if (*capacity - used >= MAX_NAME)
		return 0;
	if (*capacity >= MAX_NAMES)
		return kernel_broken(v, "kallsyms: more than %u bytes of names", MAX_NAMES);
	*capacity = *capacity ? *capacity * 2 : 256u << 10;
	grown = realloc(k->names, *capacity);
	if (!grown)
		return kernel_no_memory(v, "symbol names");
	k->names = grown;
	return 0;
}

/* Give back what doubling took too much; a failure changes nothing. */
static void trim(struct kernel *k, size_t used)
{
	char *names = realloc(k->names, used);

	if (names)
		k->names = names;
}

static int decode(const struct kernel_view *v, const struct kallsyms *s, struct kernel *k)
{
	size_t at = s->names, used = 0, capacity = 0;
	unsigned tokens, len;
	char name[MAX_NAME];
	int ret;

	k->symbols = calloc(s->count, sizeof(*k->symbols));
	if (!k->symbols)
		return kernel_no_memory(v, "symbols");
	for (k->symbols_count = 0; k->symbols_count < s->count; k->symbols_count++, at += tokens) {
		if (!next_name(s->bytes, s->names_end, &at, &tokens) ||
		    !(len = expand(s, at, tokens, name)))
			return kernel_broken(v, "kallsyms: symbol %zu has no name",
					     k->symbols_count);
		ret = reserve(v, k, used, &capacity);
		if (ret)
			return ret;
		memcpy(k->names + used, name + 1, len + 1);
		k->symbols[k->symbols_count] = (struct kernel_symbol){
			.addr = (int32_t)symbol_addr(s, (uint32_t)k->symbols_count),
			.name = (uint32_t)used & (MAX_NAMES - 1),
			.type = (uint8_t)name[0] & 0x7f,
		};
		used += len + 1;
	}
	trim(k, used);
	return 0;
}

int kernel_read_kallsyms(const struct kernel_view *v, struct kernel *k)
{
	struct kallsyms *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return kernel_no_memory(v, "symbol tables");
	if (find_tables(v, s))
		ret = decode(v, s, k);
	else
		ret = kernel_unknown(v, "unknown kallsyms layout: kernel newer or older than known "
					"(6.1 to 6.12), or built without CONFIG_KALLSYMS");
	free(s);
	return ret;
}
