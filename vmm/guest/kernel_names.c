// SPDX-License-Identifier: GPL-2.0-only
/* Questions about a parsed kernel: symbols by name and address, what is protected. */
#include "guest/kernel_view.h"

#include <string.h>

/* Names of one address that are looked at; a hostile table may give it a million. */
#define MAX_ALIASES 64

gva_t kernel_lookup(const struct kernel *k, const char *name)
{
	size_t i, len = strlen(name) + 1;

	for (i = 0; i < k->symbols_count; i++) {
		const char *have = k->names + k->symbols[i].name;

		if (*have == *name && !strncmp(have, name, len))
			return kernel_symbol_addr(&k->symbols[i]);
	}
	return 0;
}

/* Number of symbols at or below addr. */
static size_t symbols_to(const struct kernel *k, gva_t addr)
{
	size_t low = 0, high = k->symbols_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (kernel_symbol_addr(&k->symbols[mid]) <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool kernel_names_padding(const char *name)
{
	return !strncmp(name, "__pfx_", 6);
}

/* A symbol in text, and a function. */
static bool names_code(const struct kernel *k, size_t i)
{
	const struct kernel_symbol *s = &k->symbols[i];

	return strchr("tTwW", s->type) && !kernel_names_padding(k->names + s->name);
}

/*
 * Of several names of one address kallsyms lists the best one first, but marks like
 * _stext share addresses with functions: a name that no linker script made is better.
 */
static size_t best_name(const struct kernel *k, size_t last)
{
	size_t best = last, i;

	for (i = last + 1;
	     i-- > 0 && last - i < MAX_ALIASES && k->symbols[i].addr == k->symbols[last].addr;) {
		const char *name = k->names + k->symbols[i].name;
		size_t len = strlen(name);

		if (names_code(k, i) && !(len > 4 && !strcmp(name + len - 4, "text")) &&
		    !(len > 6 && !strcmp(name + len - 6, "_start")) &&
		    !(len > 4 && !strcmp(name + len - 4, "_end")))
			best = i;
	}
	return best;
}

const char *kernel_symbol_at(const struct kernel *k, gva_t addr, uint64_t *offset)
{
	bool core = addr >= k->text_start && addr < k->text_end;
	bool init = addr >= k->init_start && addr < k->init_end;
	size_t n = symbols_to(k, addr);
	gva_t start;

	if (!n || (!core && !init))
		return NULL;
	n = best_name(k, n - 1);
	start = kernel_symbol_addr(&k->symbols[n]);
	if (start < (core ? k->text_start : k->init_start))
		return NULL;
	if (offset)
		*offset = addr - start;
	return k->names + k->symbols[n].name;
}

bool kernel_is_function(const struct kernel *k, gva_t addr)
{
	size_t i = symbols_to(k, addr), tries = 0;

	if (addr < k->text_start || addr >= k->text_end)
		return false;
	while (i-- > 0 && kernel_symbol_addr(&k->symbols[i]) == addr && tries++ < MAX_ALIASES)
		if (names_code(k, i))
			return true;
	return false;
}

const struct kernel_range *kernel_protected(const struct kernel *k, gva_t addr, uint64_t len)
{
	size_t low = 0, high = k->ranges_count;

	/* The first range that ends behind addr; ranges do not overlap. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (k->ranges[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == k->ranges_count || !len)
		return NULL;
	if (k->ranges[low].start > addr && k->ranges[low].start - addr >= len)
		return NULL;
	return &k->ranges[low];
}

const char *kernel_range_text(enum kernel_range_kind kind)
{
	static const char *const text[KERNEL_RANGES] = {
		[KERNEL_RANGE_INIT] = "init text",
		[KERNEL_RANGE_ENTRY] = "entry text",
		[KERNEL_RANGE_NOINSTR] = "noinstr text",
		[KERNEL_RANGE_ALTERNATIVE] = "alternative",
		[KERNEL_RANGE_JUMP_LABEL] = "jump label",
		[KERNEL_RANGE_STATIC_CALL] = "static call",
		[KERNEL_RANGE_FTRACE] = "ftrace entry",
		[KERNEL_RANGE_EXTABLE] = "exception table",
		[KERNEL_RANGE_KPROBES] = "kprobe blacklist",
		[KERNEL_RANGE_ASSEMBLY] = "hand-written assembly",
	};

	return (unsigned)kind < KERNEL_RANGES ? text[kind] : "unknown";
}
