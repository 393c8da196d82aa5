// SPDX-License-Identifier: GPL-2.0-only
/* What promote and demote did, or would do: what, why, and how to undo it. */
#include "show/screens.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

enum { COL_RESULT, COL_SITE, COL_SHARE, COL_CALLS, COL_TARGETS, COL_HIT, COL_FAST, COLS };

static const struct table_column columns[COLS] = {
	[COL_RESULT] = {"RESULT", false, 0, 0},	   [COL_SITE] = {"SITE", false, 16, 0},
	[COL_SHARE] = {"SHARE", true, 0, 0},	   [COL_CALLS] = {"CALLS", true, 0, 2},
	[COL_TARGETS] = {"WHY", false, 20, 1},	   [COL_HIT] = {"HIT", true, 0, 0},
	[COL_FAST] = {"FAST CALLS/s", true, 0, 3},
};

/* What was led back counts nothing; and of many that went well none needs a line of its own. */
static const struct table_column back_columns[] = {
	{"RESULT", false, 0, 0}, {"SITE", false, 16, 0}, {"WHY", false, 20, 1}};
#define BACK_COLUMNS (sizeof(back_columns) / sizeof(back_columns[0]))
#define BACK_LINES   16

/* "to ramfs_read, ext_read", or the reason for not doing it. */
static struct text why(const json_t *change)
{
	const char *reason = doc_string(change, "reason"), *result = doc_string(change, "result");
	size_t i, used, n = doc_length(change, "targets");
	struct text t = {""};

	if (n && reason && !strcmp(reason, "already promoted"))
		snprintf(t.s, sizeof(t.s), "%s ", reason);
	else if (reason && *reason && (!result || strcmp(result, "applied") != 0) &&
		 (!result || strcmp(result, "planned") != 0 || !n))
		return text_clean(reason, true);
	for (i = 0; i < n; i++) {
		const json_t *target = doc_item(change, "targets", i);
		const char *name = doc_string(target, "name");

		used = strlen(t.s);
		snprintf(t.s + used, sizeof(t.s) - used, "%s%.200s", i ? ", " : "to ",
			 text_clean(name ? name : doc_string(target, "addr"), true).s);
	}
	return t;
}

static void site_cells(struct table *t, const json_t *change)
{
	const char *result = doc_string(change, "result"), *name = doc_string(change, "name");

	table_row(t);
	table_cell(t, part_state_style(result), result);
	table_cell(t, STYLE_PLAIN, name ? name : doc_string(change, "addr"));
}

static void change_row(struct table *t, const json_t *change)
{
	site_cells(t, change);
	table_number(t, number_percent(doc_number(change, "share")));
	table_number(t, number_count(doc_number(change, "calls")));
	table_cell(t, STYLE_PLAIN, why(change).s);
	table_number(t, number_percent(doc_number(change, "hit")));
	table_number(t, number_count(doc_number(change, "fast_calls_per_s")));
}

static void back_row(struct table *t, const json_t *change, bool few)
{
	const char *result = doc_string(change, "result");

	if (!few && result && !strcmp(result, "applied"))
		return;
	site_cells(t, change);
	table_cell(t, STYLE_PLAIN, why(change).s);
}

/* Reasons of the skipped lines, counted; NULL on no memory. */
static json_t *skipped_reasons(const json_t *doc)
{
	json_t *by = json_object();
	size_t i;

	for (i = 0; by && i < doc_length(doc, "changes"); i++) {
		const json_t *c = doc_item(doc, "changes", i);
		const char *result = doc_string(c, "result"), *reason = doc_string(c, "reason");

		if (result && reason && !strcmp(result, "skipped"))
			json_object_set_new(
				by, reason,
				json_integer(json_integer_value(json_object_get(by, reason)) + 1));
	}
	return by;
}

/* What it cost: pauses by the host's way, none by the agent's. */
static struct text how_long(const json_t *doc)
{
	double pause = doc_amount(doc, "pause_us"), rounds = doc_amount(doc, "agent_rounds");
	struct text t = {"nothing had to be written"};
	size_t used = 0;

	if (rounds > 0)
		used = (size_t)snprintf(t.s, sizeof(t.s),
					"the agent wrote for %.100s in %.50s %s, without a pause",
					number_micros(doc_number(doc, "agent_us")).s,
					number_count(rounds).s, rounds == 1 ? "round" : "rounds");
	if (pause > 0)
		snprintf(t.s + used, sizeof(t.s) - used, "%sno pause was longer than %.100s",
			 used ? "; of the host " : "", number_micros(pause).s);
	return t;
}

static bool leads_back(const json_t *doc)
{
	const char *verb = doc_string(doc, "verb");

	return verb && !strcmp(verb, "demote");
}

static void verdict(const struct show *s, const json_t *doc)
{
	bool demote = leads_back(doc);
	double applied = doc_amount(doc, "applied");
	double coverage = doc_number(doc, "coverage");
	struct text took = how_long(doc);

	if (doc_true(doc, "dry_run"))
		lines_text(s, 0, STYLE_HEAD, "Dry run: nothing was touched.%s",
			   doc_length(doc, "changes") ? ""
						      : " No call counted so far is worth a track; "
							"a dry run counts nothing new.");
	else if (applied > 0)
		lines_text(s, 0, STYLE_HEAD, "%s %s %s; %s.", demote ? "Demoted" : "Promoted",
			   number_count(applied).s, applied == 1 ? "site" : "sites", took.s);
	else if (doc_amount(doc, "failed") > 0)
		lines_text(s, 0, STYLE_BAD, "Nothing was %s.", demote ? "demoted" : "promoted");
	else if (doc_length(doc, "changes") || demote)
		lines_text(s, 0, STYLE_HEAD, "Nothing was changed.");
	else
		lines_text(s, 0, STYLE_HEAD,
			   "Nothing to promote: no call that was counted is worth a track. "
			   "No gain is an answer.");
	if (!demote && !isnan(coverage) && coverage > 0)
		lines_text(s, 0, STYLE_PLAIN, "The tracks %s %s of the calls that were counted.",
			   doc_true(doc, "dry_run") ? "would carry" : "carry",
			   number_percent(coverage).s);
}

void screen_change(const struct show *s, const json_t *doc)
{
	const char *undo = doc_string(doc, "undo");
	bool back = leads_back(doc);
	struct table *t =
		back ? table_create(s, back_columns, BACK_COLUMNS) : table_create(s, columns, COLS);
	size_t i, n = doc_length(doc, "changes");
	json_t *by = skipped_reasons(doc);

	verdict(s, doc);
	for (i = 0; i < n; i++) {
		if (back)
			back_row(t, doc_item(doc, "changes", i), n <= BACK_LINES);
		else
			change_row(t, doc_item(doc, "changes", i));
	}
	if (table_rows(t)) {
		lines_blank(s);
		table_print(t, 0);
		lines_blank(s);
	} else {
		table_free(t);
	}
	lines_text(s, 0, doc_amount(doc, "failed") > 0 ? STYLE_BAD : STYLE_PLAIN, "%s",
		   part_results(doc, by).s);
	if (undo && *undo && !doc_true(doc, "dry_run") && doc_amount(doc, "applied") > 0)
		lines_text(s, 0, STYLE_PLAIN, "Undo: %s", undo);
	json_decref(by);
}
