// SPDX-License-Identifier: GPL-2.0-only
/* hotrail promote: lay tracks for the hot indirect calls of a running guest. */
#include "cmd/change.h"

#include <string.h>

static const char more[] =
	"A site is promoted by aiming its call at a small block that compares the register with\n"
	"the hot targets and jumps straight to the one that matches; every other call still takes\n"
	"the guest's own retpoline. The guest is learned anew first, for about 100 ms. Promoting\n"
	"what is promoted already changes nothing and is no error.\n"
	"\n"
	"--via auto (the default) lets the agent do it for more than 16 sites where one answers,\n"
	"else the host. What is promoted stays promoted, and each site goes back the way it came.\n"
	"\n"
	"SITE is a number or a name from `hotrail sites`, an address 0x..., or a function: all its "
	"sites.\n"
	"\n"
	"Exit status: 0 done or already done, 1 something failed, 3 the guest is busy or its "
	"agent\n"
	"lost, 4 there is nothing to gain in this guest or --via agent and no agent, 5 refused "
	"for\n"
	"safety, also by the agent.\n"
	"\n"
	"Examples:\n"
	"  hotrail promote --auto --dry-run      what would be promoted, and why\n"
	"  hotrail promote yard-1 --auto         the sites that make 99 % of the calls\n"
	"  hotrail promote --auto --via agent    without stopping the guest\n"
	"  hotrail promote --site vfs_read+0x1f  one site";

int cmd_promote(int argc, char **argv)
{
	bool automatic = false, dry_run = false, json = false;
	const char *follow = NULL, *guest = NULL, *via = NULL;
	struct cmd_list sites = {.count = 0};
	double coverage = -1;
	const struct cmd_option options[] = {
		{"auto", 'a', CMD_FLAG, &automatic, NULL,
		 "Choose the sites by their share of calls", 0, 0},
		{"site", 's', CMD_LIST, &sites, "SITE", "This site; may be given several times", 0,
		 0},
		{"coverage", 'c', CMD_SHARE, &coverage, "SHARE",
		 "Share of calls to carry with --auto (default 0.99)", 0, 0},
		{"dry-run", 'n', CMD_FLAG, &dry_run, NULL, "Say what would be done, touch nothing",
		 0, 0},
		{"follow", 0, CMD_CHOICE, &follow, "on|off",
		 "Afterwards, follow the workload without being asked", 0, 0},
		{"via", 0, CMD_CHOICE, &via, "auto|host|agent",
		 "Who writes: the host in a pause, or the agent in the guest", 0, 0},
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the result as JSON", 0, 0},
	};
	const struct cmd_usage usage = {
		.name = "promote",
		.args = "[GUEST] --auto|--site SITE",
		.what = "Turn hot indirect calls of a running guest into direct ones.",
		.more = more,
		CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);
	json_t *arguments;

	if (n < 0)
		return cmd_parse_exit(n);
	if (automatic == (sites.count > 0))
		return cmd_misuse(&usage, "give either --auto or --site SITE");
	if (coverage >= 0 && !automatic)
		return cmd_misuse(&usage, "--coverage chooses among sites: it goes with --auto");
	if (coverage == 0)
		return cmd_misuse(
			&usage,
			"--coverage 0 asks for nothing; to undo, use `hotrail demote --all`");
	arguments = json_pack("{s:b}", "dry_run", dry_run);
	if (via)
		json_object_set_new(arguments, "via", json_string(via));
	if (coverage > 0)
		json_object_set_new(arguments, "coverage", json_real(coverage));
	if (follow)
		json_object_set_new(arguments, "follow", json_boolean(!strcmp(follow, "on")));
	return change_do(guest, "promote", arguments, &sites, "auto", json);
}
