// SPDX-License-Identifier: GPL-2.0-only
/* Screens about guests: ps, status, sites, top, verify. */
#include "show/screens.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

#define EDGES_OF_A_SITE 8 /* struct engine_row keeps no more */

void screen_ps(const struct show *s, const json_t *doc)
{
	static const struct table_column columns[] = {
		{"NAME", false, 12, 0},	    {"PID", true, 0, 2},   {"STATE", false, 0, 0},
		{"MACHINE", false, 0, 3},   {"VCPUS", true, 0, 3}, {"PROMOTED", true, 0, 0},
		{"THROUGHPUT", true, 0, 0}, {"UP", true, 0, 1},
	};
	struct table *t;
	bool stale = false;
	size_t i;

	if (!doc_length(doc, "guests")) {
		lines_text(s, 0, STYLE_PLAIN,
			   "No guest is running. Start one with: hotrail run IMAGE --detach");
		return;
	}
	t = table_create(s, columns, sizeof(columns) / sizeof(columns[0]));
	for (i = 0; i < doc_length(doc, "guests"); i++) {
		const json_t *g = doc_item(doc, "guests", i);
		const char *state = doc_string(g, "state");
		struct text rate;

		stale |= state && !strcmp(state, "stale");
		snprintf(rate.s, sizeof(rate.s), "%.200s op/s",
			 number_count(doc_number(g, "ops_per_s")).s);
		table_row(t);
		table_cell(t, STYLE_HEAD, doc_string(g, "name"));
		table_number(
			t, number_fixed(doc_amount(g, "pid") > 0 ? doc_number(g, "pid") : NAN, 0));
		table_cell(t, part_state_style(state), state);
		table_cell(t, STYLE_PLAIN, doc_string(g, "machine"));
		table_number(t, number_count(doc_number(g, "vcpus")));
		table_number(t, number_count(doc_number(g, "promoted")));
		table_number(t, doc_get(g, "ops_per_s") ? rate : text_clean("-", false));
		table_number(t, number_seconds(doc_number(g, "uptime_s")));
	}
	table_print(t, 0);
	if (stale)
		lines_text(s, 0, STYLE_DIM,
			   "A stale guest's monitor is gone, and its memory with it. hotrail stop "
			   "NAME tidies up.");
}

/* Name, where it runs, and what it is doing: the same two lines on status and top. */
static void guest_heading(const struct show *s, const json_t *doc)
{
	const json_t *g = doc_get(doc, "guest");
	double cpl = doc_number(g, "cpl"), vcpus = doc_number(g, "vcpus");

	lines_item(s, style_clean(s, doc_string(g, "name")).s, STYLE_PLAIN,
		   "pid %s, %s machine, %s %s at level %s, %s MiB, up %s",
		   number_fixed(doc_number(g, "pid"), 0).s,
		   style_clean(s, doc_string(g, "machine")).s, number_count(vcpus).s,
		   vcpus == 1 ? "vCPU" : "vCPUs", number_fixed(cpl, 0).s,
		   number_count(doc_number(g, "mem_mib")).s,
		   number_seconds(doc_number(g, "uptime_s")).s);
}

static void workload_item(const struct show *s, const json_t *doc)
{
	const json_t *w = doc_get(doc, "workload");
	bool wrong = doc_amount(w, "wrong_calls") > 0;
	const char *phase = doc_string(doc, "guest.phase");
	char letter[2] = {
		phase && *phase >= 'a' && *phase <= 'z' ? (char)(*phase - 'a' + 'A') : '-', 0};

	lines_item(s, "Workload", wrong ? STYLE_BAD : STYLE_PLAIN,
		   "%s op/s in phase %s, %s operations so far, wrong calls %s",
		   number_count(doc_number(w, "ops_per_s")).s, letter,
		   number_count(doc_number(w, "ops")).s,
		   number_count(doc_number(w, "wrong_calls")).s);
}

static void engine_items(const struct show *s, const json_t *doc)
{
	const json_t *e = doc_get(doc, "engine");
	const char *waiting = doc_string(e, "waiting");

	if (waiting && *waiting) {
		lines_item(s, "Waiting", STYLE_WARN, "%s", style_clean(s, waiting).s);
		return;
	}
	lines_item(s, "Engine", STYLE_PLAIN, "%s, %s, sampler %s",
		   style_clean(s, doc_string(e, "phase")).s,
		   doc_true(e, "follow") ? "follows the workload by itself"
					 : "does nothing unasked",
		   style_clean(s, doc_string(e, "sampler")).s);
	lines_item(s, "Samples", STYLE_PLAIN, "%s", part_samples(doc_get(e, "samples")).s);
}

static void promotion_items(const struct show *s, const json_t *doc)
{
	const json_t *p = doc_get(doc, "promotions");
	double fast = doc_number(p, "fast_share");

	lines_item(s, "Sites", doc_amount(p, "quarantined") > 0 ? STYLE_BAD : STYLE_PLAIN,
		   "%s, of them promoted %s, learning %s, quarantined %s",
		   number_count(doc_number(p, "sites")).s,
		   number_count(doc_number(p, "promoted")).s,
		   number_count(doc_number(p, "learning")).s,
		   number_count(doc_number(p, "quarantined")).s);
	lines_item(s, "Promotions", doc_amount(p, "failed") > 0 ? STYLE_BAD : STYLE_PLAIN, "%s",
		   part_results(p, doc_get(p, "skipped_by")).s);
	lines_item(s, "Calls", STYLE_PLAIN,
		   "%s of those counted are promoted, %s of these stay on the track",
		   number_percent(doc_number(p, "coverage")).s,
		   fast < 0 ? "-" : number_percent(fast).s);
}

static void modules_item(const struct show *s, const json_t *m)
{
	const char *why = doc_string(m, "why");
	double alone = doc_number(m, "left_alone"), left = doc_number(m, "sites_left");

	if (!m)
		return;
	lines_item(s, "", alone > 0 || left > 0 ? STYLE_WARN : STYLE_DIM,
		   "its modules: %s with %s sites; left alone %s modules, %s sites",
		   number_count(doc_number(m, "count")).s, number_count(doc_number(m, "sites")).s,
		   number_count(alone).s, number_count(left).s);
	if (why)
		lines_item(s, "", STYLE_WARN, "%s", style_clean(s, why).s);
}

/* "40 of 43 promotions": those that went by the agent's way. */
static void agent_items(const struct show *s, const json_t *doc)
{
	const json_t *a = doc_get(doc, "agent");
	const char *health = doc_string(a, "health"), *why = doc_string(a, "why");
	const char *release = doc_string(a, "release");
	bool usable = health && !why;

	if (!health)
		return;
	lines_item(s, "Agent", usable ? STYLE_PLAIN : STYLE_WARN,
		   "%s%s%s, made %s of the promotions; undid %s by itself, conflicts %s",
		   style_clean(s, health).s, release ? ", kernel " : "",
		   release ? style_clean(s, release).s : "",
		   number_count(doc_number(doc, "promotions.promoted_by.agent")).s,
		   number_count(doc_number(a, "undone")).s,
		   number_count(doc_number(a, "conflicts")).s);
	if (why)
		lines_item(s, "", STYLE_WARN, "not used: %s", style_clean(s, why).s);
	if (usable)
		modules_item(s, doc_get(a, "modules"));
	if (usable)
		lines_item(s, "", STYLE_DIM, "its arena: tracks %s of %s, counters %s of %s",
			   number_bytes(doc_number(a, "arena.code_used")).s,
			   number_bytes(doc_number(a, "arena.code_total")).s,
			   number_bytes(doc_number(a, "arena.data_used")).s,
			   number_bytes(doc_number(a, "arena.data_total")).s);
}

static void arena_item(const struct show *s, const json_t *doc)
{
	const json_t *a = doc_get(doc, "arena");

	lines_item(s, "Arena", STYLE_PLAIN, "tracks %s of %s, counters %s of %s%s",
		   number_bytes(doc_number(a, "code_used")).s,
		   number_bytes(doc_number(a, "code_total")).s,
		   number_bytes(doc_number(a, "data_used")).s,
		   number_bytes(doc_number(a, "data_total")).s,
		   doc_true(a, "stays") ? "; stays mapped until the guest ends" : "");
}

void screen_status(const struct show *s, const json_t *doc)
{
	double first = doc_number(doc, "engine.first_gain_s");

	guest_heading(s, doc);
	lines_item(s, "Image", STYLE_DIM, "%s, build id %s",
		   style_clean(s, doc_string(doc, "guest.image")).s,
		   style_clean(s, doc_string(doc, "guest.build_id")).s);
	workload_item(s, doc);
	engine_items(s, doc);
	promotion_items(s, doc);
	lines_item(s, "Watch", STYLE_PLAIN, "relearned %s, rolled back %s, first gain %s%s",
		   number_count(doc_number(doc, "engine.relearned")).s,
		   number_count(doc_number(doc, "engine.rolled_back")).s,
		   first >= 0 ? "after " : "not yet", first >= 0 ? number_seconds(first).s : "");
	lines_item(s, "Pauses", STYLE_PLAIN, "%s, p50 %s, p99 %s",
		   number_count(doc_number(doc, "pauses.count")).s,
		   number_micros(doc_number(doc, "pauses.p50_us")).s,
		   number_micros(doc_number(doc, "pauses.p99_us")).s);
	arena_item(s, doc);
	agent_items(s, doc);
}

static void no_sites(const struct show *s)
{
	lines_text(
		s, 0, STYLE_PLAIN,
		"No site: this guest's code holds no retpoline call, so there is nothing to gain. "
		"No gain is an answer.");
}

void screen_sites(const struct show *s, const json_t *doc)
{
	if (doc_length(doc, "sites"))
		part_sites(s, doc, EDGES_OF_A_SITE);
	else
		no_sites(s);
}

void screen_top(const struct show *s, const json_t *doc)
{
	const json_t *status = doc_get(doc, "status");

	guest_heading(s, status);
	workload_item(s, status);
	engine_items(s, status);
	promotion_items(s, status);
	lines_blank(s);
	if (doc_length(doc, "sites"))
		part_sites(s, doc, 1);
	else
		no_sites(s);
}

void screen_verify(const struct show *s, const json_t *doc)
{
	double differ = doc_amount(doc, "differ"), unreadable = doc_amount(doc, "unreadable"),
	       wrong = doc_amount(doc, "wrong_calls");
	bool agrees = differ + unreadable == 0 && doc_get(doc, "differ");

	lines_item(s, "Memory", agrees ? STYLE_GOOD : STYLE_BAD,
		   "%s of %s sites agree, %s differ, %s unreadable",
		   number_count(doc_number(doc, "agree")).s,
		   number_count(doc_number(doc, "sites")).s,
		   number_count(doc_number(doc, "differ")).s,
		   number_count(doc_number(doc, "unreadable")).s);
	if (doc_amount(doc, "busy") > 0)
		lines_item(s, "", STYLE_PLAIN,
			   "%s are right but for an int3: a probe, or the guest is patching them",
			   number_count(doc_number(doc, "busy")).s);
	if (!agrees && doc_get(doc, "differ"))
		lines_item(
			s, "", STYLE_BAD,
			"first: site %s, %s. Somebody else wrote there; such sites are quarantined "
			"and left alone",
			number_fixed(doc_number(doc, "first_bad"), 0).s,
			style_clean(s, doc_string(doc, "first_bad_name")).s);
	lines_item(s, "Results", wrong > 0 ? STYLE_BAD : STYLE_GOOD, "wrong calls %s%s",
		   number_count(doc_number(doc, "wrong_calls")).s,
		   wrong > 0 ? ": the guest's results are not what the host computes" : "");
}
