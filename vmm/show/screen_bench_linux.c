// SPDX-License-Identifier: GPL-2.0-only
/* bench linux: a stock kernel's workloads, unpromoted and promoted. On an emulated host times are
 * those of the emulation, and each figure says so. */
#include "show/screens.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

#define COVERAGE_BUDGET 0.90
#define BOOT_BUDGET	1.1
#define RSS_BUDGET	8.0 /* MiB */

static bool emulated(const json_t *doc)
{
	const char *host = doc_string(doc, "host");

	return !host || strcmp(host, "native") != 0;
}

static struct text figure(const json_t *load, const char *value, const char *spread)
{
	struct text t;

	snprintf(t.s, sizeof(t.s), "%.40s +-%.40s", number_count(doc_number(load, value)).s,
		 number_percent(doc_number(load, spread)).s);
	return t;
}

static struct text gain(const json_t *load, const char *over)
{
	double base = doc_number(load, "base"), other = doc_number(load, over);

	return number_ratio(base > 0 ? other / base : NAN);
}

static void load_table(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"WORKLOAD", false, 0, 0}, {"UNPROMOTED", true, 0, 0}, {"PROMOTED", true, 0, 0},
		{"UNIT", false, 0, 5},	   {"GAIN", true, 0, 0},       {"OFF", true, 0, 3},
		{"COVERAGE", true, 0, 0},  {"SITES", true, 0, 2},      {"TARGETS", true, 0, 4},
		{"ERRORS", true, 0, 1},	   {"HOST", false, 0, 0},
	};
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	const char *name;
	json_t *load;

	json_object_foreach((json_t *)doc_get(doc, "workloads"), name, load)
	{
		double coverage = doc_number(load, "coverage");

		table_row(t);
		table_cell(t, STYLE_HEAD, name);
		table_number(t, figure(load, "base", "base_spread"));
		table_number(t, figure(load, "promoted", "promoted_spread"));
		table_cell(t, STYLE_DIM, doc_string(load, "unit"));
		table_number(t, gain(load, "promoted"));
		table_number(t, gain(load, "off"));
		table_cell(t, coverage >= COVERAGE_BUDGET ? STYLE_GOOD : STYLE_WARN,
			   number_percent(coverage).s);
		table_number(t, number_count(doc_number(load, "sites_promoted")));
		table_number(t, number_fixed(doc_number(load, "targets_per_site"), 2));
		table_cell(t, doc_amount(load, "errors") > 0 ? STYLE_BAD : STYLE_PLAIN,
			   number_count(doc_number(load, "errors")).s);
		table_cell(t, emulated(doc) ? STYLE_WARN : STYLE_DIM,
			   emulated(doc) ? "emulated" : "native");
	}
	table_print(t, 0);
}

/* Where the calls went that no track took, and what could not be promoted. */
static void rest_lines(const struct show *s, const json_t *doc)
{
	const char *name, *reason;
	json_t *load, *count;

	json_object_foreach((json_t *)doc_get(doc, "workloads"), name, load)
	{
		struct text t = {""};
		size_t used;

		json_object_foreach((json_t *)doc_get(load, "skipped"), reason, count)
		{
			used = strlen(t.s);
			if (used + strlen(reason) + 40 < sizeof(t.s))
				snprintf(t.s + used, sizeof(t.s) - used, ", skipped %.20s: %s",
					 number_count(json_number_value(count)).s, reason);
		}
		lines_text(s, 0, STYLE_PLAIN,
			   "%s: %s of the calls at sites not promoted, %s to another target%s",
			   style_clean(s, name).s,
			   number_percent(doc_number(load, "calls_not_promoted")).s,
			   number_percent(doc_number(load, "calls_other_target")).s,
			   style_clean(s, t.s).s);
	}
}

static void one_budget(struct table *t, const char *what, double value, struct text shown,
		       double bound, const char *bound_text, bool emulation)
{
	bool known = isfinite(value), met = known && value <= bound;

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
	table_cell(t, emulation ? STYLE_WARN : STYLE_DIM, emulation ? "emulated" : "native");
}

static void boot_row(struct table *t, const json_t *doc, const char *what, const char *key,
		     const char *spread)
{
	bool e = emulated(doc);
	struct text shown = number_seconds(doc_number(doc, key));
	size_t len = strlen(shown.s);

	if (isfinite(doc_number(doc, spread)))
		snprintf(shown.s + len, sizeof(shown.s) - len, " +-%.40s",
			 number_percent(doc_number(doc, spread)).s);
	table_row(t);
	table_cell(t, STYLE_PLAIN, what);
	table_number(t, shown);
	table_cell(t, STYLE_DIM, "");
	table_cell(t, STYLE_DIM, "");
	table_cell(t, e ? STYLE_WARN : STYLE_DIM, e ? "emulated" : "native");
}

static void budgets(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"FIGURE", false, 24, 0}, {"VALUE", true, 0, 0}, {"BUDGET", false, 0, 0},
		{"", false, 0, 0},	  {"HOST", false, 0, 0},
	};
	struct table *t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	double boot = doc_number(doc, "boot_s"), qemu = doc_number(doc, "boot_s_qemu");
	double rss = doc_number(doc, "rss_mib"), ratio = qemu > 0 ? boot / qemu : NAN;
	bool e = emulated(doc);

	boot_row(t, doc, "boot to the first process", "boot_s", "boot_s_spread");
	boot_row(t, doc, "the same in QEMU", "boot_s_qemu", "boot_s_qemu_spread");
	one_budget(t, "boot / QEMU's boot", ratio, number_ratio(ratio), BOOT_BUDGET, "<= 1.1 x", e);
	one_budget(t, "monitor beyond guest RAM", rss, number_bytes(rss * 1048576), RSS_BUDGET,
		   "<= 8 MiB", e);
	table_print(t, 0);
}

void screen_bench_linux(const struct show *s, const json_t *doc)
{
	double complaints = doc_number(doc, "kernel_complaints"),
	       differ = doc_number(doc, "verify_differ");
	const char *by = doc_string(doc, "via");

	lines_text(s, 0, STYLE_HEAD,
		   "Linux %s, %s, %s vCPUs, sampler %s, %s interleaved rounds, %s %s, medians",
		   style_clean(s, doc_string(doc, "kernel")).s,
		   style_clean(s, doc_string(doc, "mitigation")).s,
		   number_count(doc_number(doc, "vcpus")).s,
		   style_clean(s, doc_string(doc, "sampler")).s,
		   number_count(doc_number(doc, "rounds")).s,
		   number_count(doc_number(doc, "boots")).s,
		   doc_number(doc, "boots") == 1 ? "boot" : "boots");
	if (by && !strcmp(by, "agent"))
		lines_text(s, 0, STYLE_PLAIN, "Promoted by the agent in the guest.");
	if (emulated(doc))
		lines_text(s, 0, STYLE_WARN,
			   "This host emulates its CPU: times are those of the emulation, "
			   "coverage is the result that counts.");
	load_table(s, doc);
	lines_blank(s);
	rest_lines(s, doc);
	lines_blank(s);
	budgets(s, doc);
	lines_blank(s);
	lines_text(s, 0, complaints == 0 && differ == 0 ? STYLE_GOOD : STYLE_BAD,
		   "kernel complaints %s, sites that differ %s", number_count(complaints).s,
		   number_count(differ).s);
}
