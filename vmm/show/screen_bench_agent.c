// SPDX-License-Identifier: GPL-2.0-only
/* bench agent: what writing sites takes and costs, by the agent and by the host. On an emulated
 * host times are those of the emulation, and each figure says so. */
#include "show/screens.h"

#include <math.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

#define DIP_GOAL 2.0 /* percent */

static bool emulated(const json_t *doc)
{
	const char *host = doc_string(doc, "host_kind");

	return !host || strcmp(host, "native") != 0;
}

static void host_cell(struct table *t, const json_t *doc)
{
	table_cell(t, emulated(doc) ? STYLE_WARN : STYLE_DIM,
		   emulated(doc) ? "emulated" : "native");
}

static struct text milliseconds(const json_t *o, const char *key)
{
	return number_micros(1000 * doc_number(o, key));
}

/* Points of percent, which a document has as 1.5 for 1.5 %. */
static struct text points(const json_t *o, const char *key)
{
	return number_percent(doc_number(o, key) / 100);
}

/* `stopped`: for how long vCPUs stand still by order of the host. */
static void way_row(struct table *t, const json_t *doc, const char *name, const char *stopped)
{
	const json_t *way = doc_get(doc, name);

	table_row(t);
	table_cell(t, STYLE_HEAD, name);
	table_number(t, number_count(doc_number(way, "batches")));
	table_number(t, milliseconds(way, "batch_ms"));
	table_number(t, milliseconds(way, "batch_ms_max"));
	table_number(t, stopped ? milliseconds(way, stopped) : (struct text){"none"});
	table_number(t, number_count(doc_number(way, "pauses")));
	table_number(t, number_count(doc_number(way, "rounds")));
	table_number(t, points(way, "dip_pct"));
	table_number(t, points(way, "dip_spread_pct"));
	table_number(t, points(way, "dip_error_pct"));
	host_cell(t, doc);
}

static void ways_table(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"BY", false, 0, 0},	 {"BATCHES", true, 0, 2}, {"ONE BATCH", true, 0, 0},
		{"LONGEST", true, 0, 1}, {"PAUSE", true, 0, 0},	  {"PAUSES", true, 0, 0},
		{"ROUNDS", true, 0, 0},	 {"DIP", true, 0, 0},	  {"+-", true, 0, 0},
		{"ERROR", true, 0, 3},	 {"HOST", false, 0, 0},
	};
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));

	way_row(t, doc, "agent", NULL);
	way_row(t, doc, "host", "pause_ms");
	table_print(t, 0);
}

/* A median that may as well lie on the other side of the goal decides nothing. */
static void dip_line(const struct show *s, const json_t *doc)
{
	double dip = doc_number(doc, "agent.dip_pct"), off = doc_number(doc, "agent.dip_error_pct");
	bool known = isfinite(dip) && isfinite(off) && fabs(dip - DIP_GOAL) > off;

	lines_text(s, 0,
		   !known	     ? STYLE_WARN
		   : dip <= DIP_GOAL ? STYLE_GOOD
				     : STYLE_BAD,
		   "Throughput lost while the agent writes %.60s, standard error %.60s, goal <= 2 "
		   "%%: %s",
		   points(doc, "agent.dip_pct").s, points(doc, "agent.dip_error_pct").s,
		   !known	     ? "not decided"
		   : dip <= DIP_GOAL ? "met"
				     : "missed");
}

static void notes(const struct show *s, const json_t *doc)
{
	double late = doc_amount(doc, "agent.late") + doc_amount(doc, "host.late"),
	       undone = doc_amount(doc, "agent.not_written") + doc_amount(doc, "host.not_written");

	lines_text(s, 0, STYLE_PLAIN,
		   "By the agent %.60s of a batch are writing (longest %.60s); its first batch, of "
		   "sites it had to ask its kernel about, took %.60s in %.60s rounds.",
		   milliseconds(doc, "agent.write_ms").s, milliseconds(doc, "agent.write_ms_max").s,
		   milliseconds(doc, "agent.first_batch_ms").s,
		   number_count(doc_number(doc, "agent.first_rounds")).s);
	lines_text(s, 0, STYLE_PLAIN, "The longest pause by the host was %.60s.",
		   milliseconds(doc, "host.pause_ms_max").s);
	if (late > 0)
		lines_text(s, 0, STYLE_WARN,
			   "Batches too late (no pause that fitted, no answer in time): %.60s.",
			   number_count(late).s);
	if (undone > 0)
		lines_text(s, 0, STYLE_WARN, "Sites not written (busy, or no time left): %.60s.",
			   number_count(undone).s);
}

void screen_bench_agent(const struct show *s, const json_t *doc)
{
	double failures = doc_number(doc, "failures"), pauses = doc_number(doc, "agent.pauses");

	lines_text(s, 0, STYLE_HEAD,
		   "Linux %s, %s vCPUs, %s: batches of %s sites (%s with a counted target), %s a "
		   "second, %s rounds, medians",
		   style_clean(s, doc_string(doc, "kernel")).s,
		   number_count(doc_number(doc, "vcpus")).s,
		   style_clean(s, doc_string(doc, "workload")).s,
		   number_count(doc_number(doc, "sites")).s,
		   number_count(doc_number(doc, "sites_learned")).s,
		   number_count(doc_number(doc, "batches_per_s")).s,
		   number_count(doc_number(doc, "rounds")).s);
	if (emulated(doc))
		lines_text(s, 0, STYLE_WARN,
			   "This host emulates its CPU: times are those of the emulation.");
	ways_table(s, doc);
	lines_text(s, 0, STYLE_PLAIN, "Quiet windows %.60s counted calls/s +-%.60s",
		   number_count(doc_number(doc, "quiet_calls_per_s")).s,
		   number_percent(doc_number(doc, "quiet_spread")).s);
	lines_blank(s);
	notes(s, doc);
	lines_blank(s);
	dip_line(s, doc);
	lines_text(s, 0, pauses == 0 ? STYLE_GOOD : STYLE_BAD,
		   "Pauses while the agent writes %.60s, goal 0", number_count(pauses).s);
	lines_text(s, 0, failures == 0 ? STYLE_GOOD : STYLE_BAD,
		   "failed requests %.60s, kernel complaints %.60s, sites that differ %.60s",
		   number_count(doc_number(doc, "errors")).s,
		   number_count(doc_number(doc, "kernel_complaints")).s,
		   number_count(doc_number(doc, "verify_differ")).s);
}
