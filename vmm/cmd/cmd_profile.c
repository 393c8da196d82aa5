// SPDX-License-Identifier: GPL-2.0-only
/* hotrail profile: save and load a guest's profile, merge, show and export profile files. */
#include "cmd/profile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "show/show.h"

#define FILES_MAX 64

static const char more[] =
	"  save [GUEST] FILE     write what a running guest's monitor has learned\n"
	"  load [GUEST] FILE     promote from FILE without learning; the build id must be the "
	"same\n"
	"  merge OUT FILE...     sum of profiles of the same build\n"
	"  info FILE             build, age and the hottest sites\n"
	"  export FILE           every edge as text, \"site target count\" a line; -j for JSON\n"
	"\n"
	"Sites and targets are offsets from the start of the guest's text, so a profile fits "
	"every\n"
	"instance of the same build. Files are replaced in one step: a full disk leaves the old "
	"one.\n"
	"\n"
	"Examples:\n"
	"  hotrail profile save yard-1 monday.hotrail\n"
	"  hotrail profile merge week.hotrail monday.hotrail tuesday.hotrail\n"
	"  hotrail profile load yard-2 week.hotrail\n"
	"  hotrail profile load linux-1 week.hotrail --via agent";

static int show(const char *kind, json_t *doc, bool json)
{
	struct show s;

	show_init(&s, stdout, json);
	show_document(&s, kind, doc);
	json_decref(doc);
	return HOTRAIL_EXIT_OK;
}

static int info(const char *path, bool json)
{
	struct error err = {0};
	struct profile *p;
	json_t *doc;

	if (profile_load(path, &p, &err))
		return cmd_fail(&err);
	doc = profile_document(p, path);
	profile_free(p);
	return show("profile", doc, json);
}

/* Arguments for the monitor, which has a working directory of its own: the whole path. */
static int whole_path(const char *path, json_t **arguments, struct error *err)
{
	char cwd[PATH_MAX], whole[2 * PATH_MAX];

	if (path[0] == '/')
		cwd[0] = 0;
	else if (!getcwd(cwd, sizeof(cwd)))
		return error_errno(err, "working directory");
	snprintf(whole, sizeof(whole), "%s%s%s", cwd, path[0] == '/' ? "" : "/", path);
	*arguments = json_pack("{s:s}", "path", whole); /* refuses what is not UTF-8 */
	if (!*arguments || strlen(whole) >= PATH_MAX)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%.200s: path too long, or not UTF-8; use another name", path);
	return 0;
}

static int save(const char *guest, const char *path, bool json)
{
	struct error err = {0};
	json_t *arguments, *answer;

	if (whole_path(path, &arguments, &err) ||
	    cmd_call(guest, "profile-save", arguments, &answer, &err))
		return cmd_fail(&err);
	json_decref(answer);
	return info(path, json); /* read back what was written */
}

static int load(const char *guest, const char *path, const char *via, bool json)
{
	struct error err = {0};
	struct profile *p;
	json_t *arguments, *answer;
	int ret;

	/* Look at it here first: a file that is no profile needs no guest to be refused. */
	if (profile_load(path, &p, &err))
		return cmd_fail(&err);
	profile_free(p);
	if (whole_path(path, &arguments, &err))
		return cmd_fail(&err);
	if (via)
		json_object_set_new(arguments, "via", json_string(via));
	if (cmd_call(guest, "profile-load", arguments, &answer, &err))
		return cmd_fail(&err);
	ret = change_exit(answer);
	show("change", answer, json);
	return ret;
}

static int merge(const char *out, const char *const *files, unsigned n, bool json)
{
	struct profile *sum = NULL, *next = NULL;
	struct error err = {0};
	unsigned i;
	int ret = 0;

	for (i = 0; i < n && !ret; i++) {
		ret = profile_load(files[i], i ? &next : &sum, &err);
		if (!ret && i)
			ret = profile_merge(sum, next, &err);
		profile_free(next);
		next = NULL;
	}
	if (!ret)
		ret = profile_save(out, sum, &err);
	profile_free(sum);
	return ret ? cmd_fail(&err) : info(out, json);
}

static int export_edges(const char *path, bool json)
{
	struct error err = {0};
	struct profile *p;
	json_t *doc;
	size_t i;

	if (profile_load(path, &p, &err))
		return cmd_fail(&err);
	if (json) {
		doc = profile_edges_document(p);
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(doc);
	} else {
		for (i = 0; i < p->count; i++)
			printf("0x%x 0x%x %llu\n", p->edges[i].site_offset,
			       p->edges[i].target_offset, (unsigned long long)p->edges[i].count);
	}
	profile_free(p);
	return HOTRAIL_EXIT_OK;
}

static int dispatch(const struct cmd_usage *usage, const char *const *pos, unsigned n,
		    const char *via, bool json)
{
	static const struct {
		const char *verb;
		unsigned min, max; /* words, the verb included */
	} verbs[] = {{"save", 2, 3},
		     {"load", 2, 3},
		     {"merge", 3, FILES_MAX},
		     {"info", 2, 2},
		     {"export", 2, 2}};
	unsigned i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(pos[0], verbs[i].verb))
			break;
	if (i == sizeof(verbs) / sizeof(verbs[0]))
		return cmd_misuse(usage,
				  "profile %.60s: no such action (save, load, merge, info, export)",
				  pos[0]);
	if (n < verbs[i].min || n > verbs[i].max)
		return cmd_misuse(usage, "profile %s: wrong number of arguments", pos[0]);
	if (via && i != 1)
		return cmd_misuse(usage, "--via says who writes into a guest: it goes with load");
	switch (i) {
	case 0:
		return save(n == 3 ? pos[1] : NULL, pos[n - 1], json);
	case 1:
		return load(n == 3 ? pos[1] : NULL, pos[n - 1], via, json);
	case 2:
		return merge(pos[1], pos + 2, n - 2, json);
	case 3:
		return info(pos[1], json);
	default:
		return export_edges(pos[1], json);
	}
}

int cmd_profile(int argc, char **argv)
{
	const char *pos[FILES_MAX], *via = NULL;
	bool json = false;
	const struct cmd_option options[] = {
		{"via", 0, CMD_CHOICE, &via, "auto|host|agent",
		 "load: who writes: the host in a pause, or the agent in the guest", 0, 0},
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the result as JSON", 0, 0},
	};
	const struct cmd_usage usage = {.name = "profile",
					.args = "save|load|merge|info|export ...",
					.what = "Save, load, merge, show and export profiles.",
					.more = more,
					CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, pos, FILES_MAX);

	if (n < 0)
		return cmd_parse_exit(n);
	if (n == 0)
		return cmd_misuse(&usage, "profile: say what: save, load, merge, info or export");
	return dispatch(&usage, pos, (unsigned)n, via, json);
}
