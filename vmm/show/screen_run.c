// SPDX-License-Identifier: GPL-2.0-only
/* Screens about a run: that it runs, how it ended, the report about a guest that ended by itself;
 * stop. */
#include "show/screens.h"

#include <stdio.h>
#include <string.h>

#include "show/doc.h"
#include "show/number.h"

static void running(const struct show *s, const json_t *doc)
{
	struct text name = style_clean(s, doc_string(doc, "guest"));

	lines_text(s, 0, STYLE_PLAIN, "%s runs: pid %s, %s machine, %s vCPUs, level %s.", name.s,
		   number_fixed(doc_number(doc, "pid"), 0).s, doc_string(doc, "machine"),
		   number_count(doc_number(doc, "vcpus")).s,
		   number_fixed(doc_number(doc, "cpl"), 0).s);
	lines_text(s, 0, STYLE_DIM, "Watch it with: hotrail top %s   End it with: hotrail stop %s",
		   name.s, name.s);
}

/* Four registers a line, in the order processors number them. */
static void registers(const struct show *s, const json_t *regs)
{
	const char *key, *value;
	unsigned column = 0;
	json_t *v;

	json_object_foreach((json_t *)regs, key, v)
	{
		value = json_string_value(v);
		fprintf(s->out, "  %-3s %s", key, value ? value : "-");
		column = (column + 1) % (s->width < 96 ? 2 : 4);
		if (!column)
			fputc('\n', s->out);
	}
	if (column)
		fputc('\n', s->out);
}

static void console(const struct show *s, const char *text)
{
	char line[256];
	size_t n;

	if (!text || !*text)
		return;
	lines_text(s, 0, STYLE_HEAD, "Last words on its console:");
	for (; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s",
			 n < sizeof(line) ? (int)n : (int)sizeof(line) - 1, text);
		lines_text(s, 2, STYLE_PLAIN, "%s", line);
	}
}

static void report(const struct show *s, const json_t *r)
{
	lines_item(s, "Ended", STYLE_BAD, "%s: %s", style_clean(s, doc_string(r, "end")).s,
		   style_clean(s, doc_string(r, "text")).s);
	lines_item(s, "vCPU", STYLE_PLAIN, "%s at %s (%s), rflags %s",
		   number_fixed(doc_number(r, "vcpu"), 0).s, style_clean(s, doc_string(r, "rip")).s,
		   style_clean(s, doc_string(r, "at")).s,
		   style_clean(s, doc_string(r, "rflags")).s);
	lines_item(s, "Bytes", STYLE_PLAIN, "%s", style_clean(s, doc_string(r, "bytes")).s);
	registers(s, doc_get(r, "registers"));
	console(s, doc_string(r, "console"));
}

void screen_run(const struct show *s, const json_t *doc)
{
	const char *state = doc_string(doc, "state");
	const json_t *r = doc_get(doc, "report");
	bool wrong = doc_amount(doc, "workload.wrong_calls") > 0;

	if (state && !strcmp(state, "running")) {
		running(s, doc);
		return;
	}
	lines_item(s, "Guest", STYLE_PLAIN, "%s ran %s on %s, ended by %s",
		   style_clean(s, doc_string(doc, "guest")).s,
		   number_seconds(doc_number(doc, "uptime_s")).s,
		   style_clean(s, doc_string(doc, "machine")).s,
		   style_clean(s, doc_string(doc, "end")).s);
	lines_item(s, "Work", wrong ? STYLE_BAD : STYLE_GOOD, "%s operations, %s wrong calls",
		   number_count(doc_number(doc, "workload.ops")).s,
		   number_count(doc_number(doc, "workload.wrong_calls")).s);
	lines_item(s, "Promotions", STYLE_PLAIN,
		   "%s of %s sites; applied %s, skipped %s, failed %s",
		   number_count(doc_number(doc, "promotions.promoted")).s,
		   number_count(doc_number(doc, "promotions.sites")).s,
		   number_count(doc_number(doc, "promotions.applied")).s,
		   number_count(doc_number(doc, "promotions.skipped")).s,
		   number_count(doc_number(doc, "promotions.failed")).s);
	if (json_is_object(r))
		report(s, r);
}

void screen_stop(const struct show *s, const json_t *doc)
{
	size_t i;

	if (!doc_length(doc, "guests"))
		lines_text(s, 0, STYLE_PLAIN, "Nothing was stopped.");
	for (i = 0; i < doc_length(doc, "guests"); i++) {
		const json_t *g = doc_item(doc, "guests", i);

		lines_text(s, 0, STYLE_PLAIN, "%s: %s", style_clean(s, doc_string(g, "name")).s,
			   style_clean(s, doc_string(g, "result")).s);
	}
}
