// SPDX-License-Identifier: GPL-2.0-only
/* What a profile file holds. */
#include "show/screens.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "show/doc.h"
#include "show/number.h"

static struct text when(double seconds)
{
	struct text t = {"-"};
	struct tm tm;
	time_t at;

	if (!(seconds >= 0 && seconds < 253402300800.0)) /* year 10000 */
		return t;
	at = (time_t)seconds;
	if (gmtime_r(&at, &tm))
		strftime(t.s, sizeof(t.s), "%Y-%m-%d %H:%M:%S UTC", &tm);
	return t;
}

static void top_rows(struct table *t, const json_t *site)
{
	size_t i, n = doc_length(site, "targets");

	table_row(t);
	table_cell(t, STYLE_PLAIN, doc_string(site, "site"));
	table_number(t, number_count(doc_number(site, "calls")));
	table_number(t, number_percent(doc_number(site, "share")));
	for (i = 0; i < n; i++) {
		const json_t *target = doc_item(site, "targets", i);

		if (i) {
			table_row(t);
			table_cell(t, STYLE_PLAIN, "");
			table_cell(t, STYLE_PLAIN, "");
			table_cell(t, STYLE_PLAIN, "");
		}
		table_cell(t, STYLE_PLAIN, doc_string(target, "target"));
		table_number(t, number_percent(doc_number(target, "share")));
	}
}

void screen_profile(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"SITE", false, 0, 0},	 {"CALLS", true, 0, 0}, {"SHARE", true, 0, 0},
		{"TARGET", false, 0, 0}, {"TAKES", true, 0, 0},
	};
	struct table *t;
	size_t i;

	lines_item(s, "Profile", STYLE_HEAD, "%s", style_clean(s, doc_string(doc, "path")).s);
	lines_item(s, "Build id", STYLE_PLAIN, "%s", style_clean(s, doc_string(doc, "build_id")).s);
	lines_item(s, "Created", STYLE_PLAIN, "%s", when(doc_number(doc, "created")).s);
	lines_item(s, "Holds", STYLE_PLAIN, "%s edges of %s sites, %s calls counted",
		   number_count(doc_number(doc, "edges")).s,
		   number_count(doc_number(doc, "sites")).s,
		   number_count(doc_number(doc, "calls")).s);
	if (!doc_length(doc, "top"))
		return;
	lines_blank(s);
	lines_text(s, 0, STYLE_DIM, "Hottest sites, as offsets from the start of the text:");
	t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	for (i = 0; i < doc_length(doc, "top"); i++)
		top_rows(t, doc_item(doc, "top", i));
	table_print(t, 0);
}
