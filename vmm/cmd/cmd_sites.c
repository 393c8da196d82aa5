// SPDX-License-Identifier: GPL-2.0-only
/* hotrail sites: all sites of a guest and where their calls go. */
#include "cmd/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "show/show.h"

static const char more[] =
	"Hottest first. A site is one call or tail jump through a retpoline thunk; its targets\n"
	"follow with their share of the site's calls, the promoted ones in green. MISSES counts\n"
	"calls that found no target in the track and took the retpoline.\n"
	"\n"
	"Examples:\n"
	"  hotrail sites --limit 20\n"
	"  hotrail sites yard-1 --promoted\n"
	"  hotrail sites -j | jq '.sites[] | select(.share > 0.01)'";

/* Keep promoted sites only, at most `limit` of them. */
static int select_sites(json_t *doc, bool promoted, unsigned limit)
{
	const json_t *all = json_object_get(doc, "sites");
	json_t *kept = json_array();
	size_t i;

	for (i = 0; i < json_array_size(all) && json_array_size(kept) < limit; i++) {
		json_t *site = json_array_get(all, i);
		const char *state = json_string_value(json_object_get(site, "state"));

		if (!promoted || (state && !strcmp(state, "promoted")))
			json_array_append(kept, site);
	}
	return json_object_set_new(doc, "sites", kept);
}

int cmd_sites(int argc, char **argv)
{
	const char *guest = NULL;
	bool json = false, promoted = false;
	unsigned limit = 1000000;
	const struct cmd_option options[] = {
		{"limit", 'n', CMD_UNSIGNED, &limit, "N", "At most N sites", 1, 1000000},
		{"promoted", 'p', CMD_FLAG, &promoted, NULL, "Promoted sites only", 0, 0},
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the sites as JSON", 0, 0},
	};
	const struct cmd_usage usage = {
		.name = "sites",
		.args = "[GUEST]",
		.what = "List the sites of a running guest and where they lead.",
		.more = more,
		CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);
	json_t *arguments, *doc;
	struct error err = {0};
	struct show s;
	size_t total;

	if (n < 0)
		return cmd_parse_exit(n);
	/* The monitor can only count what it sends: with --promoted the choice is made here. */
	arguments = promoted ? NULL : json_pack("{s:i}", "limit", (int)limit);
	if (cmd_call(guest, "query-sites", arguments, &doc, &err))
		return cmd_fail(&err);
	total = json_array_size(json_object_get(doc, "sites"));
	select_sites(doc, promoted, limit);
	show_init(&s, stdout, json);
	if (promoted && !json && total && !json_array_size(json_object_get(doc, "sites")))
		show_note("none of the %zu sites is promoted; `hotrail promote --auto` chooses",
			  total);
	else
		show_document(&s, "sites", doc);
	json_decref(doc);
	return HOTRAIL_EXIT_OK;
}
