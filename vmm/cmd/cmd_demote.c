// SPDX-License-Identifier: GPL-2.0-only
/* hotrail demote: put the original calls back. */
#include "cmd/change.h"

static const char more[] =
	"The original bytes are written back in short pauses, and the monitor stops following the\n"
	"workload by itself, so that what was undone stays undone. Tasks that are inside a track\n"
	"finish there: tracks are never rewritten. Demoting what is not promoted is no error.\n"
	"\n"
	"SITE is a number or a name from `hotrail sites`, an address 0x..., or a function: all its "
	"sites.\n"
	"\n"
	"Exit status: 0 done or already done, 1 something failed, 3 the guest is busy, 5 refused\n"
	"for safety (somebody else changed those bytes).\n"
	"\n"
	"Examples:\n"
	"  hotrail demote --all\n"
	"  hotrail demote yard-1 --site 12,13 --site vfs_read+0x1f";

int cmd_demote(int argc, char **argv)
{
	bool all = false, json = false;
	const char *guest = NULL;
	struct cmd_list sites = {.count = 0};
	const struct cmd_option options[] = {
		{"all", 'a', CMD_FLAG, &all, NULL, "Every site that is not in its original state",
		 0, 0},
		{"site", 's', CMD_LIST, &sites, "SITE", "This site; may be given several times", 0,
		 0},
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the result as JSON", 0, 0},
	};
	const struct cmd_usage usage = {.name = "demote",
					.args = "[GUEST] --all|--site SITE",
					.what = "Put the original calls of a running guest back.",
					.more = more,
					CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);

	if (n < 0)
		return cmd_parse_exit(n);
	if (all == (sites.count > 0))
		return cmd_misuse(&usage, "give either --all or --site SITE");
	return change_do(guest, "demote", json_object(), &sites, "all", json);
}
