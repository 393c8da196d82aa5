// SPDX-License-Identifier: GPL-2.0-only
/* What a run says about itself: the document, the status line, the exit code. */
#include "cmd/run.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/doc.h"

static const char *const reasons[] = {
	[RUN_STOP] = "stop",   [RUN_SIGNAL] = "signal", [RUN_TIME] = "time",
	[RUN_GUEST] = "guest", [RUN_WRONG] = "wrong",	[RUN_UNVERIFIED] = "unverified",
};

int run_exit_code(const struct run_end *end)
{
	/* A guest that switched itself off did what it wanted; one that resets may have panicked.
	 */
	if (end->reason == RUN_GUEST && end->report.end == MACHINE_END_POWEROFF)
		return end->checked && end->check.wrong ? HOTRAIL_EXIT_FAILED : HOTRAIL_EXIT_OK;
	if (end->reason == RUN_GUEST || end->reason == RUN_WRONG || end->reason == RUN_UNVERIFIED)
		return HOTRAIL_EXIT_FAILED;
	return end->reason == RUN_SIGNAL ? 128 + end->signal : HOTRAIL_EXIT_OK;
}

static json_t *report(struct monitor *m, const struct run_end *end)
{
	struct guest *g = m->guest;
	char symbol[96], console[2048];

	if (end->reason != RUN_GUEST)
		return json_null();
	g->ops->symbol(g, end->report.regs.rip, symbol, sizeof(symbol));
	console_tail(m->instance->console, 8, console, sizeof(console));
	return doc_report(&end->report, symbol, console);
}

static void add_end(json_t *doc, struct monitor *m, const struct run_end *end)
{
	const struct engine_status *s = &end->status;
	json_t *text = json_null();

	if (end->reason == RUN_GUEST)
		text = json_text(end->report.text);
	if (end->reason == RUN_WRONG)
		text = json_text(end->check.text);
	json_object_set_new(doc, "end", json_string(reasons[end->reason]));
	json_object_set_new(doc, "signal",
			    end->reason == RUN_SIGNAL ? json_integer(end->signal) : json_null());
	json_object_set_new(doc, "text", text);
	json_object_set_new(doc, "uptime_s", json_number((double)end->uptime_ns / 1e9));
	json_object_set_new(
		doc, "workload",
		json_pack("{s:I, s:o, s:o}", "ops", (json_int_t)end->ops, "batches",
			  end->checked ? json_integer((json_int_t)end->check.batches) : json_null(),
			  "wrong_calls",
			  end->checked ? json_integer((json_int_t)end->check.wrong) : json_null()));
	json_object_set_new(doc, "promotions",
			    json_pack("{s:i, s:i, s:i, s:i, s:i}", "sites", (int)s->sites,
				      "promoted", (int)s->promoted, "applied", (int)s->applied,
				      "skipped", (int)s->skipped, "failed", (int)s->failed));
	json_object_set_new(doc, "report", report(m, end));
}

json_t *run_document(struct monitor *m, const struct run_end *end)
{
	char control[320], log[320];
	json_t *doc;

	registry_path(&m->entry, "control", control, sizeof(control));
	registry_path(&m->entry, "log", log, sizeof(log));
	doc = json_pack("{s:i, s:s, s:o, s:i, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "schema",
			JSON_SCHEMA, "kind", "run", "guest", json_text(m->entry.name), "pid",
			(int)m->entry.pid, "state",
			!end					    ? "running"
			: run_exit_code(end) == HOTRAIL_EXIT_FAILED ? "failed"
								    : "ended",
			"machine", machine_backend_name(machine_backend(m->machine)), "cpl",
			machine_cpl(m->machine), "vcpus", (int)machine_vcpus(m->machine), "image",
			json_text(m->image), "control", end ? json_null() : json_text(control),
			"log", access(log, F_OK) ? json_null() : json_text(log));
	if (doc && end)
		add_end(doc, m, end);
	return doc;
}

/* --- status line --- */

static bool line_shown;

static const char *scaled(double n, char buf[24])
{
	static const char *const units[] = {"", " k", " M", " G"};
	unsigned u = 0;

	for (; n >= 1000 && u < 3; u++)
		n /= 1000;
	snprintf(buf, 24, n < 10 && u ? "%.2f%s" : n < 100 && u ? "%.1f%s" : "%.0f%s", n, units[u]);
	return buf;
}

void run_status_line(struct monitor *m)
{
	static const char *const phases[] = {"idle", "find", "learn", "promote", "watch"};
	double rate = monitor_rate(m);
	struct engine_status s;
	char ops[24];

	if (!isatty(STDERR_FILENO))
		return;
	engine_get_status(m->engine, &s);
	fprintf(stderr, "\r\033[K%s: %s op/s, %u of %u sites promoted, %s (Ctrl-C ends it)",
		m->entry.name, rate < 0 ? "-" : scaled(rate, ops), s.promoted, s.sites,
		(unsigned)s.phase <= ENGINE_WATCH ? phases[s.phase] : "-");
	fflush(stderr);
	line_shown = true;
}

void run_status_clear(void)
{
	if (line_shown)
		fputs("\r\033[K", stderr);
	line_shown = false;
}
