// SPDX-License-Identifier: GPL-2.0-only
/* Pieces that several screens share: samples, results, the table of sites. */
#include "show/screens.h"

#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

struct text part_samples(const json_t *samples)
{
	struct text t;

	snprintf(t.s, sizeof(t.s), "taken %.40s = attributed %.40s + elsewhere %.40s, lost %.40s",
		 number_count(doc_number(samples, "taken")).s,
		 number_count(doc_number(samples, "attributed")).s,
		 number_count(doc_number(samples, "elsewhere")).s,
		 number_count(doc_number(samples, "lost")).s);
	return t;
}

struct text part_results(const json_t *doc, const json_t *by)
{
	const char *reason, *sep = " (";
	const json_t *count;
	struct text t;
	size_t used;

	snprintf(t.s, sizeof(t.s), "applied %.40s, skipped %.40s",
		 number_count(doc_number(doc, "applied")).s,
		 number_count(doc_number(doc, "skipped")).s);
	json_object_foreach((json_t *)by, reason, count)
	{
		used = strlen(t.s);
		if (json_number_value(count) <= 0 || used + strlen(reason) + 60 > sizeof(t.s))
			continue;
		snprintf(t.s + used, sizeof(t.s) - used, "%s%.20s %s", sep,
			 number_count(json_number_value(count)).s, reason);
		sep = ", ";
	}
	used = strlen(t.s);
	snprintf(t.s + used, sizeof(t.s) - used, "%s, failed %.40s", sep[0] == ',' ? ")" : "",
		 number_count(doc_number(doc, "failed")).s);
	return t;
}

enum style part_state_style(const char *state)
{
	static const struct {
		const char *state;
		enum style style;
	} known[] = {
		{"promoted", STYLE_GOOD}, {"learning", STYLE_WARN}, {"quarantined", STYLE_BAD},
		{"applied", STYLE_GOOD},  {"failed", STYLE_BAD},    {"skipped", STYLE_WARN},
		{"running", STYLE_GOOD},  {"stale", STYLE_WARN},    {"ok", STYLE_GOOD},
		{"limited", STYLE_WARN},  {"no", STYLE_BAD},
	};
	unsigned i;

	for (i = 0; state && i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].state, state))
			return known[i].style;
	return STYLE_PLAIN;
}

enum {
	COL_INDEX,
	COL_SITE,
	COL_TYPE,
	COL_STATE,
	COL_CALLS,
	COL_SHARE,
	COL_SAMPLES,
	COL_MISS,
	COL_TARGET,
	COL_TAKES,
	COLS
};

static const struct table_column site_columns[COLS] = {
	[COL_INDEX] = {"#", true, 0, 2},	 [COL_SITE] = {"SITE", false, 18, 0},
	[COL_TYPE] = {"TYPE", false, 0, 6},	 [COL_STATE] = {"STATE", false, 0, 0},
	[COL_CALLS] = {"CALLS", true, 0, 3},	 [COL_SHARE] = {"SHARE", true, 0, 0},
	[COL_SAMPLES] = {"SAMPLES", true, 0, 4}, [COL_MISS] = {"MISSES", true, 0, 5},
	[COL_TARGET] = {"TARGET", false, 18, 1}, [COL_TAKES] = {"TAKES", true, 0, 1},
};

static void edge_cells(struct table *t, const json_t *edge)
{
	const char *name = doc_string(edge, "name");

	table_cell(t, doc_true(edge, "promoted") ? STYLE_GOOD : STYLE_PLAIN,
		   name ? name : doc_string(edge, "addr"));
	table_number(t, number_percent(doc_number(edge, "share")));
}

/* Only kernels have parts; a yard guest's table stays as narrow as it was. */
static const struct table_column part_column = {"PART", false, 0, 2};

static void site_rows(struct table *t, const json_t *site, unsigned edges, bool parts)
{
	const char *state = doc_string(site, "state"), *name = doc_string(site, "name");
	size_t i, n = doc_length(site, "targets");
	unsigned skip;

	table_row(t);
	table_number(t, number_count(doc_number(site, "index")));
	table_cell(t, STYLE_PLAIN, name ? name : doc_string(site, "addr"));
	if (parts)
		table_cell(t, STYLE_DIM, doc_string(site, "subsystem"));
	table_cell(t, STYLE_PLAIN, doc_string(site, "type"));
	table_cell(t, part_state_style(state), state);
	table_number(t, number_count(doc_number(site, "calls")));
	table_number(t, number_percent(doc_number(site, "share")));
	table_number(t, number_count(doc_number(site, "samples")));
	table_number(t, number_count(doc_number(site, "miss")));
	for (i = 0; i < n && i < edges; i++) {
		if (i) {
			table_row(t);
			for (skip = 0; skip < COL_TARGET + (unsigned)parts; skip++)
				table_cell(t, STYLE_PLAIN, "");
		}
		edge_cells(t, doc_item(site, "targets", i));
	}
}

void part_sites(const struct show *s, const json_t *doc, unsigned edges)
{
	struct table_column columns[COLS + 1];
	bool parts = doc_string(doc_item(doc, "sites", 0), "subsystem") != NULL;
	size_t i, n = COL_SITE + 1;
	struct table *t;

	memcpy(columns, site_columns, n * sizeof(columns[0]));
	if (parts)
		columns[n++] = part_column;
	memcpy(columns + n, site_columns + COL_SITE + 1,
	       (COLS - COL_SITE - 1) * sizeof(columns[0]));
	t = table_create(s, columns, COLS + parts);
	for (i = 0; i < doc_length(doc, "sites"); i++)
		site_rows(t, doc_item(doc, "sites", i), edges, parts);
	table_print(t, 0);
}
