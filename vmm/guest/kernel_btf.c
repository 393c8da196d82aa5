// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which functions a C compiler made, by the kernel's BTF (Documentation/bpf/btf.rst).
 * An assembler describes its functions too, but knows no prototype for them: they are
 * all `void f(void)`. So parameters or a result prove C; nothing proves the contrary.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest/kernel_view.h"

#define BTF_MAGIC      0xeb9f
#define BTF_HEADER     24
#define BTF_TYPE       12 /* struct btf_type: name_off, info, size or type */
#define BTF_FUNC       12
#define BTF_FUNC_PROTO 13
#define BTF_MAX_TYPES  4000000

struct btf {
	const uint8_t *types;
	uint32_t types_size;
	const char *strings; /* ends with NUL */
	uint32_t strings_size;
	uint32_t *at; /* offset of type number i + 1 */
	uint32_t count, functions;
};

/* Bytes behind struct btf_type for each kind: fixed, and for each of vlen members. */
static const struct {
	uint8_t fixed, each;
} extra[] = {
	[1] = {4, 0},  [3] = {12, 0}, [4] = {0, 12},  [5] = {0, 12}, [6] = {0, 8},
	[13] = {0, 8}, [14] = {4, 0}, [15] = {0, 12}, [17] = {4, 0}, [19] = {0, 12},
};

static unsigned kind(const struct btf *b, uint32_t at)
{
	return kernel_u32(b->types + at + 4) >> 24 & 0x1f;
}

static unsigned members(const struct btf *b, uint32_t at)
{
	return kernel_u32(b->types + at + 4) & 0xffff;
}

static bool open_btf(struct btf *b, const struct kernel_span *s)
{
	uint64_t header, types, strings;

	if (s->size < BTF_HEADER || kernel_u16(s->bytes) != BTF_MAGIC || s->bytes[2] != 1)
		return false;
	header = kernel_u32(s->bytes + 4);
	types = header + kernel_u32(s->bytes + 8);
	b->types_size = kernel_u32(s->bytes + 12);
	strings = header + kernel_u32(s->bytes + 16);
	b->strings_size = kernel_u32(s->bytes + 20);
	if (types > s->size || b->types_size > s->size - types || strings > s->size ||
	    b->strings_size > s->size - strings || !b->strings_size)
		return false;
	b->types = s->bytes + types;
	b->strings = (const char *)s->bytes + strings;
	return !b->strings[b->strings_size - 1];
}

/* Types follow each other without an index; number them once. False if they end askew. */
static bool number_types(struct btf *b)
{
	uint32_t at, n = 0;

	for (at = 0; at < b->types_size; n++) {
		unsigned k, size;

		if (b->types_size - at < BTF_TYPE || n == BTF_MAX_TYPES)
			return false;
		k = kind(b, at);
		if (k > 19)
			return false;
		size = BTF_TYPE;
		if (k < sizeof(extra) / sizeof(extra[0]))
			size += extra[k].fixed + extra[k].each * members(b, at);
		if (size > b->types_size - at)
			return false;
		if (b->at)
			b->at[n] = at;
		b->functions += k == BTF_FUNC;
		at += size;
	}
	b->count = n;
	return true;
}

/* Has the function at `at` a parameter or a result? */
static bool has_prototype(const struct btf *b, uint32_t at)
{
	uint32_t proto = kernel_u32(b->types + at + 8);

	if (!proto || proto > b->count || kind(b, b->at[proto - 1]) != BTF_FUNC_PROTO)
		return false;
	at = b->at[proto - 1];
	return members(b, at) || kernel_u32(b->types + at + 8);
}

/* FNV-1a */
static uint32_t hash(const char *name)
{
	uint32_t h = 2166136261u;

	while (*name)
		h = (h ^ (uint8_t)*name++) * 16777619u;
	return h;
}

static void fill(struct kernel_c_functions *c, const struct btf *b)
{
	uint32_t i, slot, name;

	for (i = 0; i < b->count; i++) {
		if (kind(b, b->at[i]) != BTF_FUNC || !has_prototype(b, b->at[i]))
			continue;
		name = kernel_u32(b->types + b->at[i]);
		if (!name || name >= b->strings_size)
			continue;
		slot = hash(b->strings + name) & c->mask;
		while (c->slots[slot])
			slot = (slot + 1) & c->mask;
		c->slots[slot] = name;
	}
}

int kernel_read_c_functions(const struct kernel_view *v, const struct kernel *k,
			    struct kernel_c_functions *c)
{
	struct kernel_span span;
	struct btf b = {0};
	int ret;

	*c = (struct kernel_c_functions){0};
	ret = kernel_table(v, k, "__start_BTF", "__stop_BTF", ".BTF", &span);
	if (ret <= 0)
		return ret;
	/* Unknown BTF proves nothing, which is safe. */
	if (!open_btf(&b, &span) || !number_types(&b) || !b.functions)
		return 0;
	for (c->mask = 1; c->mask < 2 * b.functions; c->mask = c->mask * 2 + 1)
		;
	b.at = malloc((size_t)b.count * sizeof(*b.at));
	c->slots = calloc((size_t)c->mask + 1, sizeof(*c->slots));
	c->strings = b.strings;
	if (!b.at || !c->slots) {
		free(b.at);
		free(c->slots);
		return kernel_no_memory(v, "function types");
	}
	number_types(&b);
	fill(c, &b);
	free(b.at);
	return 0;
}

bool kernel_is_c_function(const struct kernel_c_functions *c, const char *name)
{
	uint32_t slot;

	if (!c->slots)
		return false;
	for (slot = hash(name) & c->mask; c->slots[slot]; slot = (slot + 1) & c->mask)
		if (!strcmp(c->strings + c->slots[slot], name))
			return true;
	return false;
}
