// SPDX-License-Identifier: GPL-2.0-only
/* hotrail verify: does guest memory agree with the journal, and are the guest's results right? */
#include "cmd/cmd.h"
#include "show/show.h"

static const char more[] =
	"Every site and every track is read from guest memory and compared with what should be\n"
	"there. A site that differs is quarantined: reported, and left alone from then on.\n"
	"One that is right but for an int3 is busy: a probe, or the guest patches there itself.\n"
	"\n"
	"Exit status: 0 everything agrees, 1 something differs, cannot be read, or a call went\n"
	"wrong.\n"
	"\n"
	"Examples:\n"
	"  hotrail verify\n"
	"  hotrail verify yard-1 -j";

/* Known to be zero; `or_unknown`: null will do. */
static bool is_zero(const json_t *doc, const char *key, bool or_unknown)
{
	const json_t *v = json_object_get(doc, key);

	return (json_is_integer(v) && json_integer_value(v) == 0) ||
	       (or_unknown && json_is_null(v));
}

int cmd_verify(int argc, char **argv)
{
	const char *guest = NULL;
	bool json = false;
	const struct cmd_option options[] = {
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the result as JSON", 0, 0},
	};
	const struct cmd_usage usage = {
		.name = "verify",
		.args = "[GUEST]",
		.what = "Compare a running guest's memory with what was applied.",
		.more = more,
		CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, &guest, 1);
	struct error err = {0};
	struct show s;
	json_t *doc;
	bool good;

	if (n < 0)
		return cmd_parse_exit(n);
	if (cmd_call(guest, "verify", NULL, &doc, &err))
		return cmd_fail(&err);
	show_init(&s, stdout, json);
	show_document(&s, "verify", doc);
	/* Right after the start no batch is finished yet: then nothing can be said about results.
	 */
	good = is_zero(doc, "differ", false) && is_zero(doc, "unreadable", false) &&
	       is_zero(doc, "wrong_calls", true);
	json_decref(doc);
	return good ? HOTRAIL_EXIT_OK : HOTRAIL_EXIT_FAILED;
}
