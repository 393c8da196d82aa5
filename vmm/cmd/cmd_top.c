// SPDX-License-Identifier: GPL-2.0-only
/* hotrail top: a guest's hot sites, live or once. */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "show/show.h"
#include "util/clock.h"

static const char more[] =
	"On a terminal the screen is renewed every interval; q, Escape or Ctrl-C ends it, the\n"
	"arrow keys scroll. With --once, or when the output is no terminal, one snapshot is\n"
	"printed. With -j and without --once: one JSON object a line, until the reader goes away\n"
	"or the guest ends.\n"
	"\n"
	"Examples:\n"
	"  hotrail top\n"
	"  hotrail top yard-1 --interval 0.5 --limit 40\n"
	"  hotrail top -j | jq .status.workload.ops_per_s";

#define TOP_LIMIT_DEFAULT 100
#define INTERVAL_MIN_S	  0.05
#define INTERVAL_MAX_S	  3600.0

struct top {
	struct control_client *client;
	unsigned limit;
	struct error err;
	int ret;
};

/* The "top" document: status and sites of one moment, nearly. NULL with top->err. */
static json_t *fetch(void *ctx)
{
	struct top *t = ctx;
	json_t *status = NULL, *sites = NULL, *doc, *list;

	t->ret = control_call(t->client, "query-status", NULL, &status, &t->err);
	if (!t->ret)
		t->ret = control_call(t->client, "query-sites",
				      json_pack("{s:i}", "limit", (int)t->limit), &sites, &t->err);
	if (t->ret) {
		json_decref(status);
		return NULL;
	}
	list = json_object_get(sites, "sites");
	while (json_array_size(list) > t->limit)
		json_array_remove(list, json_array_size(list) - 1);
	doc = json_pack("{s:i, s:s, s:o, s:O}", "schema", JSON_SCHEMA, "kind", "top", "status",
			status, "sites", list);
	json_decref(sites);
	if (!doc)
		t->ret = error_set(&t->err, HOTRAIL_EXIT_FAILED, -EPROTO,
				   "monitor: its answer has no list of sites");
	return doc;
}

static int once(struct top *t, const struct show *s)
{
	json_t *doc = fetch(t);

	if (!doc)
		return cmd_fail(&t->err);
	show_document(s, "top", doc);
	json_decref(doc);
	return HOTRAIL_EXIT_OK;
}

/* A guest that ends while it is watched is no error, but it is worth a word. */
static int ended(const struct top *t)
{
	if (!t->ret)
		return HOTRAIL_EXIT_OK;
	if (t->ret != -EPIPE)
		return cmd_fail(&t->err);
	show_note("the guest has ended");
	return HOTRAIL_EXIT_OK;
}

static int stream(struct top *t, const struct show *s, unsigned interval_ms)
{
	json_t *doc;
	int ret = 0;

	while (!ret && (doc = fetch(t))) {
		ret = show_stream(s, "top", doc);
		json_decref(doc);
		if (!ret)
			clock_sleep_ms(interval_ms);
	}
	return ended(t);
}

static int live(struct top *t, const struct show *s, unsigned interval_ms)
{
	struct error err = {0};

	return show_live(s, interval_ms, fetch, t, &err) ? cmd_fail(&err) : ended(t);
}

int cmd_top(int argc, char **argv)
{
	struct top t = {.limit = TOP_LIMIT_DEFAULT};
	const char *guest = NULL;
	bool json = false, one = false;
	double interval = 1;
	const struct cmd_option options[] = {
		{"once", '1', CMD_FLAG, &one, NULL, "Print one snapshot and end", 0, 0},
		{"interval", 'i', CMD_SECONDS, &interval, "SECONDS",
		 "Time between two screens (default 1)", 0, 0},
		{"limit", 'n', CMD_UNSIGNED, &t.limit, "N", "At most N sites (default 100)", 1,
		 100000},
		{"json", 'j', CMD_FLAG, &json, NULL, "JSON: one object a line, or one with --once",
		 0, 0},
	};
	const struct cmd_usage usage = {.name = "top",
					.args = "[GUEST]",
					.what = "Show the hot sites of a running guest, live.",
					.more = more,
					CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);
	struct show s;
	int ret;

	if (n < 0)
		return cmd_parse_exit(n);
	if (interval < INTERVAL_MIN_S || interval > INTERVAL_MAX_S)
		return cmd_misuse(&usage, "--interval %g: must be from %g to %g seconds", interval,
				  INTERVAL_MIN_S, INTERVAL_MAX_S);
	if (cmd_connect(guest, &t.client, NULL, &t.err))
		return cmd_fail(&t.err);
	show_init(&s, stdout, json);
	if (json && !one)
		ret = stream(&t, &s, (unsigned)(interval * 1000));
	else if (one || !isatty(STDOUT_FILENO))
		ret = once(&t, &s);
	else
		ret = live(&t, &s, (unsigned)(interval * 1000));
	control_close(t.client);
	return ret;
}
