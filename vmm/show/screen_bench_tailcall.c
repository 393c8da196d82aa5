// SPDX-License-Identifier: GPL-2.0-only
/* bench tailcall: the three kinds of tail jump, side by side. */
#include "show/screens.h"

#include <math.h>

#include "show/doc.h"
#include "show/number.h"

#define GOAL 1.02

static void row(struct table *t, const char *what, const json_t *v)
{
	table_row(t);
	table_cell(t, STYLE_PLAIN, what);
	table_number(t, number_fixed(doc_number(v, "ns"), 2));
	table_number(t, number_percent(doc_number(v, "ns_spread")));
	table_number(t, number_fixed(doc_number(v, "cycles"), 1));
	table_number(t, number_fixed(doc_number(v, "instructions"), 1));
	table_number(t, number_fixed(doc_number(v, "branches"), 2));
	table_number(t, number_fixed(doc_number(v, "branch_misses"), 3));
	table_number(t, number_fixed(doc_number(v, "itlb_misses"), 4));
	table_number(t, number_fixed(doc_number(v, "l1i_misses"), 4));
}

void screen_bench_tailcall(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"ONE PACKET", false, 0, 0}, {"NS", true, 0, 0},
		{"+-", true, 0, 0},	     {"CYCLES", true, 0, 0},
		{"INSNS", true, 0, 0},	     {"BRANCHES", true, 0, 2},
		{"MISSED", true, 0, 0},	     {"ITLB MISSES", true, 0, 3},
		{"L1I MISSES", true, 0, 3},
	};
	static const struct {
		const char *key, *what;
	} ways[] = {
		{"indirect", "indirect"},
		{"poke", "one slot"},
		{"poke2", "two slots"},
	};
	const json_t *variants = doc_get(doc, "variants"), *ratios = doc_get(doc, "ratios");
	double ratio = doc_number(ratios, "poke2_over_poke"),
	       wrong = doc_number(doc, "wrong_calls");
	const char *why = doc_string(doc, "counters_why");
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	unsigned i;

	lines_text(s, 0, STYLE_HEAD,
		   "Tail jumps from parser to parser, %s machine, %s rounds in %s guests, medians",
		   style_clean(s, doc_string(doc, "machine")).s,
		   number_count(doc_number(doc, "rounds")).s,
		   number_count(doc_number(doc, "guests")).s);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		row(t, ways[i].what, doc_get(variants, ways[i].key));
	table_print(t, 0);
	if (why && *why)
		lines_text(s, 0, STYLE_WARN, "Counters: %s", why);
	lines_blank(s);
	lines_text(s, 0,
		   !isfinite(ratio) ? STYLE_WARN
		   : ratio <= GOAL  ? STYLE_GOOD
				    : STYLE_BAD,
		   "two slots / one slot %.100s +-%.100s, goal <= 1.02 x: %s",
		   number_fixed(ratio, 3).s,
		   number_percent(doc_number(ratios, "poke2_over_poke_spread")).s,
		   !isfinite(ratio) ? "not known"
		   : ratio <= GOAL  ? "met"
				    : "missed");
	lines_text(s, 0, STYLE_PLAIN,
		   "indirect (program array, retpoline) / two slots %.100s +-%.100s",
		   number_ratio(doc_number(ratios, "indirect_over_poke2")).s,
		   number_percent(doc_number(ratios, "indirect_over_poke2_spread")).s);
	lines_text(s, 0, wrong == 0 ? STYLE_GOOD : STYLE_BAD, "wrong calls %s",
		   number_count(wrong).s);
}
