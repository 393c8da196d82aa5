// SPDX-License-Identifier: GPL-2.0-only
/* Measured before and after: bench micro and bench yard. Budgets stand beside the figures they
 * bound. */
#include "show/screens.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

/* A figure with its budget: met, missed, or not known. */
static void budget_row(struct table *t, const char *what, double value, struct text shown,
		       bool at_most, double bound, const char *bound_text)
{
	bool known = isfinite(value), met = known && (at_most ? value <= bound : value >= bound);

	table_row(t);
	table_cell(t, STYLE_PLAIN, what);
	table_number(t, shown);
	table_cell(t, STYLE_DIM, bound_text);
	table_cell(t,
		   !known ? STYLE_WARN
		   : met  ? STYLE_GOOD
			  : STYLE_BAD,
		   !known ? "not known"
		   : met  ? "met"
			  : "missed");
}

static struct table *budget_table(const struct show *s)
{
	static const struct table_column columns[] = {
		{"FIGURE", false, 24, 0},
		{"VALUE", true, 0, 0},
		{"BUDGET", false, 0, 0},
		{"", false, 0, 0},
	};

	return table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
}

static void micro_row(struct table *t, const char *what, const json_t *r)
{
	table_row(t);
	table_cell(t, STYLE_PLAIN, what);
	table_number(t, number_fixed(doc_number(r, "cycles_per_call"), 2));
	table_number(t, number_fixed(doc_number(r, "ns_per_call"), 3));
	table_number(t, number_percent(doc_number(r, "ns_spread")));
	table_number(t, number_fixed(doc_number(r, "return_misses_per_call"), 3));
}

/* Where in a track of several targets the call hits; a position past the last target is a miss,
 * shown above. */
static void position_rows(struct table *t, const json_t *list)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *p = json_array_get(list, i);
		double targets = doc_number(p, "targets"), position = doc_number(p, "position") + 1;
		char what[80];

		if (!(position <= targets) || targets < 2)
			continue;
		snprintf(what, sizeof(what), "  of %.20s targets, number %.20s",
			 number_fixed(targets, 0).s, number_fixed(position, 0).s);
		micro_row(t, what, p);
	}
}

void screen_bench_micro(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"CALL", false, 12, 0}, {"CYCLES", true, 0, 0},		{"NS", true, 0, 0},
		{"+-", true, 0, 2},	{"MISSED RETURNS", true, 0, 1},
	};
	static const struct {
		const char *key, *what;
	} calls[] = {
		{"retpoline", "retpoline"},
		{"track1", "track, 1 target"},
		{"track2", "track, 2 targets"},
		{"track4", "track, 4 targets"},
		{"miss", "track, target not in it"},
		{"direct", "direct call"},
		{"plain", "call *%reg"},
	};
	const json_t *results = doc_get(doc, "results"), *ratios = doc_get(doc, "ratios");
	const char *source = doc_string(doc, "cycle_source"),
		   *why = doc_string(doc, "counters_why");
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	unsigned i;

	lines_text(s, 0, STYLE_HEAD, "One call, %s machine, cycles from the %s",
		   style_clean(s, doc_string(doc, "machine")).s,
		   source && !strcmp(source, "pmu") ? "PMU" : "time stamp counter");
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		micro_row(t, calls[i].what, doc_get(results, calls[i].key));
	position_rows(t, doc_get(doc, "positions"));
	table_print(t, 0);
	if (why && *why)
		lines_text(s, 0, STYLE_WARN, "Counters: %s", why);
	lines_blank(s);
	t = budget_table(s);
	budget_row(t, "track / direct call", doc_number(ratios, "track1_over_direct"),
		   number_ratio(doc_number(ratios, "track1_over_direct")), true, 1.10, "<= 1.10 x");
	budget_row(t, "retpoline / track", doc_number(ratios, "retpoline_over_track1"),
		   number_ratio(doc_number(ratios, "retpoline_over_track1")), false, 5, ">= 5 x");
	budget_row(t, "miss / retpoline", doc_number(ratios, "miss_over_retpoline"),
		   number_ratio(doc_number(ratios, "miss_over_retpoline")), true, 1.15,
		   "<= 1.15 x");
	table_print(t, 0);
}

static struct text rate(const json_t *phase, const char *build)
{
	char key[48];
	double ops, spread;
	struct text t;

	snprintf(key, sizeof(key), "%s_ops", build);
	ops = doc_number(phase, key);
	snprintf(key, sizeof(key), "%s_spread", build);
	spread = doc_number(phase, key);
	if (isnan(spread))
		snprintf(t.s, sizeof(t.s), "%.100s", number_count(ops).s);
	else
		snprintf(t.s, sizeof(t.s), "%.100s +-%.100s", number_count(ops).s,
			 number_percent(spread).s);
	return t;
}

static void phase_table(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"PHASE", false, 0, 0}, {"RETPOLINE op/s", true, 0, 0}, {"PROMOTED", true, 0, 0},
		{"PLAIN", true, 0, 0},	{"RESTORED", true, 0, 0},	{"INDIRECT", true, 0, 1},
	};
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	static const char *const names[] = {"a", "b"};
	unsigned i;

	for (i = 0; i < 2; i++) {
		const json_t *phase = doc_get(doc_get(doc, "phases"), names[i]);
		double restored = doc_number(phase, "restored");

		table_row(t);
		table_cell(t, STYLE_HEAD, i ? "B" : "A");
		table_number(t, rate(phase, "retpoline"));
		table_number(t, rate(phase, "promoted"));
		table_number(t, rate(phase, "plain"));
		table_cell(t, restored >= 0.95 ? STYLE_GOOD : STYLE_WARN,
			   number_percent(restored).s);
		table_number(t, number_percent(doc_number(phase, "indirect_share")));
	}
	table_print(t, 0);
}

static void yard_budgets(const struct show *s, const json_t *doc)
{
	static const struct {
		const char *path, *what;
		struct text (*format)(double);
		bool at_most;
		double bound;
		const char *text;
	} rows[] = {
		{"phases.a.restored", "loss restored, phase A", number_percent, false, 0.95,
		 ">= 95 %"},
		{"phases.b.restored", "loss restored, phase B", number_percent, false, 0.95,
		 ">= 95 %"},
		{"find_overhead", "cost of find", number_percent, true, 0.01, "<= 1 %"},
		{"learn_overhead", "cost of learn, while on", number_percent, true, 0.15,
		 "<= 15 %"},
		{"pause_us.p50", "pause for 1 site, p50", number_micros, true, 100, "<= 100 us"},
		{"first_gain_s", "first gain after start", number_seconds, true, 1, "<= 1 s"},
		{"phase_follow_s", "phase change followed", number_seconds, true, 2, "<= 2 s"},
	};
	double per_site = doc_number(doc, "pause_us.per_site_ns"), rss = doc_number(doc, "rss_mib");
	struct table *t = budget_table(s);
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double v = doc_number(doc, rows[i].path);

		if (v < 0 && rows[i].format == number_seconds)
			v = NAN; /* never happened */
		budget_row(t, rows[i].what, v, rows[i].format(v), rows[i].at_most, rows[i].bound,
			   rows[i].text);
		if (!strcmp(rows[i].path, "pause_us.p50"))
			budget_row(t, "each further site", per_site, number_micros(per_site / 1000),
				   true, 200, "<= 200 ns");
	}
	budget_row(t, "monitor beyond guest RAM", rss, number_bytes(rss * 1048576), true, 5,
		   "<= 5 MiB");
	table_print(t, 0);
}

static void batch_table(const struct show *s, const json_t *batches)
{
	static const struct table_column columns[] = {
		{"SITES IN ONE PAUSE", true, 0, 0},
		{"P50", true, 0, 0},
		{"P99", true, 0, 0},
	};
	struct table *t;
	const char *sites;
	json_t *pause;

	if (!json_object_size(batches))
		return;
	t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	json_object_foreach((json_t *)batches, sites, pause)
	{
		table_row(t);
		table_cell(t, STYLE_PLAIN, sites);
		table_number(t, number_micros(doc_number(pause, "p50")));
		table_number(t, number_micros(doc_number(pause, "p99")));
	}
	lines_blank(s);
	table_print(t, 0);
}

static bool any_number(const json_t *o)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)o, key, v) if (json_is_number(v)) return true;
	return false;
}

/* Events per operation, the three builds side by side, like perf stat. Nothing where no counter
 * counted. */
static void counter_table(const struct show *s, const json_t *doc, const char *phase)
{
	static const struct table_column columns[] = {
		{"PER OPERATION", false, 12, 0},
		{"RETPOLINE", true, 0, 0},
		{"PROMOTED", true, 0, 0},
		{"PLAIN", true, 0, 0},
	};
	const json_t *of = doc_get(doc_get(doc_get(doc, "phases"), phase), "counters_per_op");
	const json_t *first = doc_get(of, "retpoline");
	struct table *t;
	const char *event;
	json_t *unused;

	if (!any_number(first))
		return;
	lines_blank(s);
	t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	json_object_foreach((json_t *)first, event, unused)
	{
		(void)unused;
		table_row(t);
		table_cell(t, STYLE_PLAIN, event);
		table_number(t, number_fixed(doc_number(first, event), 3));
		table_number(t, number_fixed(doc_number(doc_get(of, "promoted"), event), 3));
		table_number(t, number_fixed(doc_number(doc_get(of, "plain"), event), 3));
	}
	lines_text(s, 0, STYLE_HEAD, "Phase %s", *phase == 'a' ? "A" : "B");
	table_print(t, 0);
}

void screen_bench_yard(const struct show *s, const json_t *doc)
{
	double wrong = doc_number(doc, "wrong_calls");
	const char *why = doc_string(doc, "counters_why");

	lines_text(s, 0, STYLE_HEAD, "yard, %s machine, %s vCPUs, %s interleaved rounds, medians",
		   style_clean(s, doc_string(doc, "machine")).s,
		   number_count(doc_number(doc, "vcpus")).s,
		   number_count(doc_number(doc, "rounds")).s);
	phase_table(s, doc);
	lines_blank(s);
	yard_budgets(s, doc);
	batch_table(s, doc_get(doc, "pause_us.by_batch"));
	counter_table(s, doc, "a");
	counter_table(s, doc, "b");
	lines_blank(s);
	if (why && *why)
		lines_text(s, 0, STYLE_WARN, "Counters: %s", why);
	lines_text(s, 0, STYLE_PLAIN, "%s of %s sites promoted.",
		   number_count(doc_number(doc, "sites_promoted")).s,
		   number_count(doc_number(doc, "sites_total")).s);
	lines_text(s, 0, wrong == 0 ? STYLE_GOOD : STYLE_BAD, "wrong calls %s",
		   number_count(wrong).s);
}
