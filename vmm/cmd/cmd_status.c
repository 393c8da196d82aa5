// SPDX-License-Identifier: GPL-2.0-only
/* hotrail status: what a guest does and what is applied. */
#include "cmd/cmd.h"
#include "show/show.h"

static const char more[] =
	"Throughput, samples (taken, attributed to a site, elsewhere, lost), promotions (applied,\n"
	"skipped with the reason, failed), pauses, and how much of the arena is used.\n"
	"\n"
	"Examples:\n"
	"  hotrail status\n"
	"  hotrail status yard-1 -j";

int cmd_status(int argc, char **argv)
{
	const char *guest = NULL;
	bool json = false;
	const struct cmd_option options[] = {
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the status as JSON", 0, 0},
	};
	const struct cmd_usage usage = {
		.name = "status",
		.args = "[GUEST]",
		.what = "Say what a running guest does and what is applied to it.",
		.more = more,
		CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);
	struct error err = {0};
	struct show s;
	json_t *doc;

	if (n < 0)
		return cmd_parse_exit(n);
	if (cmd_call(guest, "query-status", NULL, &doc, &err))
		return cmd_fail(&err);
	show_init(&s, stdout, json);
	show_document(&s, "status", doc);
	json_decref(doc);
	return HOTRAIL_EXIT_OK;
}
