// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables by which a kernel patches its own text, or finds its way out of a fault:
 * one protected range for each instruction they name.
 */
#include <errno.h>
#include <stdlib.h>

#include "guest/kernel_view.h"
#include "x86/decode.h"

#define MAX_TABLE	  (64u << 20) /* bytes; the largest real one, BTF, has 5 MiB */
#define MAX_RANGES	  4000000
#define EXTABLE_ENTRY	  12 /* struct exception_table_entry: insn, fixup, data (since 5.16) */
#define JUMP_ENTRY	  16 /* struct jump_entry: s32 code, s32 target, long key */
#define STATIC_CALL_ENTRY 8  /* struct static_call_site: s32 addr, s32 key */
#define PARAVIRT_ENTRY	  16 /* struct paravirt_patch_site: u8 *instr, u8 type, u8 len (to 6.7) */
#define ALTERNATIVE_OLD	  12 /* struct alt_instr with a 16-bit feature, to 6.2 */
#define ALTERNATIVE_NEW	  14 /* with 32 bits of feature and flags, since 6.3 */
#define FENTRY_BYTES	  5  /* call __fentry__ */
#define LONGEST_INSN	  15

int kernel_range_add(struct kernel_range_list *l, gva_t start, uint64_t len,
		     enum kernel_range_kind kind)
{
	struct kernel_range *grown;

	if (!len || start + len < start)
		return 0;
	if (l->count == l->capacity) {
		if (l->count >= MAX_RANGES)
			return -E2BIG;
		l->capacity = l->capacity ? l->capacity * 2 : 1u << 12;
		grown = realloc(l->ranges, l->capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->ranges = grown;
	}
	l->ranges[l->count++] = (struct kernel_range){start, start + len, kind};
	return 0;
}

int kernel_table(const struct kernel_view *v, const struct kernel *k, const char *from,
		 const char *to, const char *section, struct kernel_span *out)
{
	gva_t start = kernel_lookup(k, from), end = kernel_lookup(k, to);

	if (!start && !end)
		return section && kernel_view_section(v, section, out);
	if (!start || end < start)
		return kernel_broken(v, "%s and %s: the end lies before the start", from, to);
	if (start == end)
		return 0;
	if (end - start > MAX_TABLE)
		return kernel_broken(v, "%s to %s: more than %u bytes", from, to, MAX_TABLE);
	*out = (struct kernel_span){start, end - start, kernel_view_bytes(v, start, end - start)};
	if (!out->bytes)
		return kernel_broken(v, "%s to %s: %llu bytes that are not in the image", from, to,
				     (unsigned long long)(end - start));
	return 1;
}

/* The whole instruction at addr, as long as it may be if the bytes tell nothing. */
static int add_insn(const struct kernel_view *v, struct kernel_range_list *l, gva_t addr,
		    enum kernel_range_kind kind)
{
	const uint8_t *bytes = kernel_view_bytes(v, addr, LONGEST_INSN);
	struct x86_insn in;

	if (!bytes || x86_decode(bytes, LONGEST_INSN, addr, &in))
		in.len = LONGEST_INSN;
	return kernel_range_add(l, addr, in.len, kind);
}

/* Tables whose entries begin with a distance to an instruction. */
static int read_relative(const struct kernel_view *v, const struct kernel_span *table,
			 unsigned entry, enum kernel_range_kind kind, struct kernel_range_list *l)
{
	uint64_t at;
	int ret = 0;

	for (at = 0; !ret && at + entry <= table->size; at += entry)
		ret = add_insn(v, l, kernel_relative(table, at), kind);
	return ret;
}

/* Do all entries, taken as this long, name code and a replacement no longer than it? */
static bool alternatives_fit(const struct kernel_view *v, const struct kernel_span *t,
			     unsigned entry)
{
	uint64_t at;

	if (t->size % entry)
		return false;
	for (at = 0; at < t->size; at += entry) {
		unsigned len = t->bytes[at + entry - 2], with = t->bytes[at + entry - 1];

		if (!len || with > len || !kernel_view_exec(v, kernel_relative(t, at)) ||
		    (with && !kernel_view_exec(v, kernel_relative(t, at + 4))))
			return false;
	}
	return true;
}

static int read_alternatives(const struct kernel_view *v, const struct kernel_span *t,
			     struct kernel_range_list *l)
{
	unsigned entry = ALTERNATIVE_OLD;
	uint64_t at;
	int ret = 0;

	if (!alternatives_fit(v, t, entry))
		entry = ALTERNATIVE_NEW;
	if (!alternatives_fit(v, t, entry))
		return kernel_unknown(v,
				      ".altinstructions: entries of an unknown form: kernel newer "
				      "or older than known");
	for (at = 0; !ret && at < t->size; at += entry)
		ret = kernel_range_add(l, kernel_relative(t, at), t->bytes[at + entry - 2],
				       KERNEL_RANGE_ALTERNATIVE);
	return ret;
}

static int read_paravirt(const struct kernel_view *v, const struct kernel_span *t,
			 struct kernel_range_list *l)
{
	uint64_t at;
	int ret = 0;

	for (at = 0; !ret && at + PARAVIRT_ENTRY <= t->size; at += PARAVIRT_ENTRY)
		ret = kernel_range_add(l, kernel_u64(t->bytes + at) - v->slide, t->bytes[at + 9],
				       KERNEL_RANGE_ALTERNATIVE);
	return ret;
}

static int read_mcount(const struct kernel_view *v, const struct kernel_span *t,
		       struct kernel_range_list *l)
{
	uint64_t at;
	int ret = 0;

	for (at = 0; !ret && at + 8 <= t->size; at += 8)
		ret = kernel_range_add(l, kernel_u64(t->bytes + at) - v->slide, FENTRY_BYTES,
				       KERNEL_RANGE_FTRACE);
	return ret;
}

/*
 * A table that every kernel has may not be missing: without CONFIG_KALLSYMS_ALL its
 * place is unknown, and so are the instructions that must be left alone.
 */
static int find(const struct kernel_view *v, const struct kernel *k, const char *from,
		const char *to, const char *section, bool required, struct kernel_span *t)
{
	int ret = kernel_table(v, k, from, to, section, t);

	if (!ret && required && !kernel_lookup(k, from))
		return kernel_unknown(v,
				      "no symbol %s: kernel newer or older than known, or built "
				      "without CONFIG_KALLSYMS_ALL",
				      from);
	return ret;
}

static int read_all(const struct kernel_view *v, const struct kernel *k,
		    struct kernel_range_list *l)
{
	struct kernel_span t;
	int ret;

	ret = find(v, k, "__alt_instructions", "__alt_instructions_end", ".altinstructions", true,
		   &t);
	if (ret > 0)
		ret = read_alternatives(v, &t, l);
	if (ret >= 0)
		ret = find(v, k, "__parainstructions", "__parainstructions_end",
			   ".parainstructions", false, &t);
	if (ret > 0)
		ret = read_paravirt(v, &t, l);
	if (ret >= 0)
		ret = find(v, k, "__start___jump_table", "__stop___jump_table", NULL, true, &t);
	if (ret > 0)
		ret = read_relative(v, &t, JUMP_ENTRY, KERNEL_RANGE_JUMP_LABEL, l);
	if (ret >= 0)
		ret = find(v, k, "__start_static_call_sites", "__stop_static_call_sites", NULL,
			   true, &t);
	if (ret > 0)
		ret = read_relative(v, &t, STATIC_CALL_ENTRY, KERNEL_RANGE_STATIC_CALL, l);
	if (ret >= 0)
		ret = find(v, k, "__start___ex_table", "__stop___ex_table", "__ex_table", true, &t);
	if (ret > 0)
		ret = read_relative(v, &t, EXTABLE_ENTRY, KERNEL_RANGE_EXTABLE, l);
	if (ret >= 0)
		ret = find(v, k, "__start_mcount_loc", "__stop_mcount_loc", NULL, false, &t);
	if (ret > 0)
		ret = read_mcount(v, &t, l);
	return ret < 0 ? ret : 0;
}

int kernel_read_tables(const struct kernel_view *v, const struct kernel *k,
		       struct kernel_range_list *l)
{
	int ret = read_all(v, k, l);

	if (ret == -ENOMEM)
		return kernel_no_memory(v, "protected ranges");
	if (ret == -E2BIG)
		return kernel_broken(v, "patch tables: more than %u entries", MAX_RANGES);
	return ret;
}
