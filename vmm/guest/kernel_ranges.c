// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must never be patched: whole parts of the text, single functions, and single
 * instructions (kernel_tables.c), made into one sorted list without overlap.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest/kernel_view.h"

#define ENDBR_BYTES 4

/* Parts of the text between two marks of the linker script. */
static const struct part {
	enum kernel_range_kind kind;
	const char *from, *to;
	bool required;
} parts[] = {
	{KERNEL_RANGE_INIT, "__init_begin", "__init_end", true},
	{KERNEL_RANGE_ENTRY, "__entry_text_start", "__entry_text_end", true},
	{KERNEL_RANGE_NOINSTR, "__noinstr_text_start", "__noinstr_text_end", true},
	{KERNEL_RANGE_KPROBES, "__kprobes_text_start", "__kprobes_text_end", false},
	{KERNEL_RANGE_STATIC_CALL, "__static_call_text_start", "__static_call_text_end", false},
};

static int add_parts(const struct kernel_view *v, const struct kernel *k,
		     struct kernel_range_list *l)
{
	size_t i;
	int ret;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		gva_t from = kernel_lookup(k, parts[i].from), to = kernel_lookup(k, parts[i].to);

		if (parts[i].required && (!from || !to))
			return kernel_unknown(v,
					      "no symbol %s: kernel newer or older than known, or "
					      "built without CONFIG_KALLSYMS_ALL",
					      from ? parts[i].to : parts[i].from);
		if (from > to)
			return kernel_broken(v, "%s: above %s", parts[i].from, parts[i].to);
		ret = kernel_range_add(l, from, to - from, parts[i].kind);
		if (ret)
			return kernel_no_memory(v, "protected ranges");
	}
	return 0;
}

/* Start of the function that covers addr and of the next symbol behind it; false outside text. */
static bool function_around(const struct kernel *k, gva_t addr, gva_t *start, gva_t *end)
{
	uint64_t offset;
	size_t low = 0, high = k->symbols_count;

	if (!kernel_symbol_at(k, addr, &offset))
		return false;
	*start = addr - offset;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (kernel_symbol_addr(&k->symbols[mid]) <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	*end = low < k->symbols_count ? kernel_symbol_addr(&k->symbols[low]) : k->text_end;
	return true;
}

/* Functions that may not be probed: __start_kprobe_blacklist holds their addresses. */
static int add_blacklist(const struct kernel_view *v, const struct kernel *k,
			 struct kernel_range_list *l)
{
	struct kernel_span t;
	gva_t start, end;
	uint64_t at;
	int ret =
		kernel_table(v, k, "__start_kprobe_blacklist", "__stop_kprobe_blacklist", NULL, &t);

	if (ret <= 0)
		return ret;
	for (ret = 0, at = 0; !ret && at + 8 <= t.size; at += 8)
		if (function_around(k, kernel_u64(t.bytes + at) - v->slide, &start, &end))
			ret = kernel_range_add(l, start, end - start, KERNEL_RANGE_KPROBES);
	return ret ? kernel_no_memory(v, "protected ranges") : 0;
}

/* Is there a call to __fentry__ at the very start, behind an endbr64 at most? */
static bool traced(const struct kernel_span *mcount, uint64_t slide, gva_t start)
{
	uint64_t low = 0, high = mcount->size / 8;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (kernel_u64(mcount->bytes + 8 * mid) - slide < start)
			low = mid + 1;
		else
			high = mid;
	}
	return low < mcount->size / 8 &&
	       kernel_u64(mcount->bytes + 8 * low) - slide - start <= ENDBR_BYTES;
}

/* Parts and clones that only a compiler makes: "f.cold", "f.isra.0", "f.part.0". */
static bool is_clone(const char *name)
{
	static const char *const suffixes[] = {".cold", ".isra.", ".constprop.", ".part."};
	size_t i;

	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (strstr(name, suffixes[i]))
			return true;
	return false;
}

/*
 * A site in hand-written code may follow rules of its own (live r10, r11 or flags), so a
 * function is left alone unless something proves that a compiler made it: a call to
 * __fentry__ at its start, the name of a clone, or a prototype in BTF. This also costs
 * some untraced C functions.
 */
static int add_assembly(const struct kernel_view *v, const struct kernel *k,
			struct kernel_range_list *l)
{
	struct kernel_span mcount = {0};
	struct kernel_c_functions c;
	gva_t start, end;
	size_t i;
	int ret = kernel_table(v, k, "__start_mcount_loc", "__stop_mcount_loc", NULL, &mcount);

	if (ret < 0)
		return ret;
	ret = kernel_read_c_functions(v, k, &c);
	if (ret)
		return ret;
	for (i = 0; !ret && i < k->sites.count; i++) {
		const struct site *s = &k->sites.sites[i];
		const char *name = kernel_symbol_at(k, s->addr, NULL);

		if (!name || !function_around(k, s->addr, &start, &end))
			ret = kernel_range_add(l, s->addr, s->len, KERNEL_RANGE_ASSEMBLY);
		else if (!traced(&mcount, v->slide, start) && !is_clone(name) &&
			 !kernel_is_c_function(&c, name))
			ret = kernel_range_add(l, start, end - start, KERNEL_RANGE_ASSEMBLY);
	}
	free(c.slots);
	return ret ? kernel_no_memory(v, "protected ranges") : 0;
}

static int compare(const void *a, const void *b)
{
	const struct kernel_range *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end > y->end ? -1 : x->end < y->end; /* the larger first */
}

/* Of overlapping ranges the earlier keeps its kind; the rest of the later follows it. */
static void merge(struct kernel_range_list *l)
{
	size_t i, kept = 0;

	qsort(l->ranges, l->count, sizeof(*l->ranges), compare);
	for (i = 0; i < l->count; i++) {
		struct kernel_range r = l->ranges[i], *last = kept ? &l->ranges[kept - 1] : NULL;

		if (last && r.end <= last->end)
			continue;
		if (last && r.start <= last->end && r.kind == last->kind) {
			last->end = r.end;
			continue;
		}
		if (last && r.start < last->end)
			r.start = last->end;
		l->ranges[kept++] = r;
	}
	l->count = kept;
}

int kernel_read_ranges(const struct kernel_view *v, struct kernel *k)
{
	struct kernel_range_list l = {0};
	int ret;

	ret = add_parts(v, k, &l);
	if (!ret)
		ret = kernel_read_tables(v, k, &l);
	if (!ret)
		ret = add_blacklist(v, k, &l);
	if (!ret)
		ret = add_assembly(v, k, &l);
	if (ret || !l.count) {
		free(l.ranges);
		return ret;
	}
	merge(&l);
	k->ranges_count = l.count;
	/* Merging left room behind; if it cannot be given back, it is kept. */
	k->ranges = realloc(l.ranges, l.count * sizeof(*l.ranges));
	if (!k->ranges)
		k->ranges = l.ranges;
	return 0;
}
