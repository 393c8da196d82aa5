// SPDX-License-Identifier: GPL-2.0-only
/* hotrail stop: end guests, and tidy up after monitors that died. */
#include "cmd/cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show/show.h"
#include "util/clock.h"

#define POLL_MS	   20
#define CONNECT_MS 3000

enum way { WAY_STOPPED, WAY_KILLED, WAY_TIDIED };
static const char *const ways[] = {"stopped", "killed", "tidied"};

struct stopping {
	double seconds; /* how long to wait for the end */
	bool kill;
};

/* The lock goes free when the monitor is gone, whatever way it went. */
static bool wait_gone(const struct registry_entry *e, double seconds)
{
	uint64_t deadline = clock_ns() + (uint64_t)(seconds * 1e9);
	struct registry_entry now;

	for (;;) {
		if (registry_find(e->name, &now, NULL) || !now.running || now.pid != e->pid)
			return true;
		if (clock_ns() >= deadline)
			return false;
		clock_sleep_ms(POLL_MS);
	}
}

/* What a dead monitor left. Claiming the name proves that nobody else uses the folder. */
static int tidy(const struct registry_entry *e, struct error *err)
{
	struct registry_entry mine;
	int fd = registry_claim(e->name, &mine, err);

	if (fd < 0)
		return fd;
	registry_release(&mine, fd);
	return 0;
}

/* Ask over the socket; a monitor that does not answer there gets SIGTERM, which it handles alike.
 */
static int ask(const struct registry_entry *e, struct error *err)
{
	struct control_client *client;
	json_t *ret = NULL;
	char path[320];
	int r;

	registry_path(e, "control", path, sizeof(path));
	r = control_connect_within(path, CONNECT_MS, &client, err);
	if (!r) {
		r = control_call(client, "stop", NULL, &ret, err);
		json_decref(ret);
		control_close(client);
	}
	if (!r)
		return 0;
	if (!e->pid || (kill(e->pid, SIGTERM) && errno != ESRCH))
		return error_errno(err, "%s: cannot signal its monitor (pid %d)", e->name,
				   (int)e->pid);
	return 0;
}

static int stop_one(const struct registry_entry *e, const struct stopping *s, enum way *way,
		    struct error *err)
{
	int ret;

	*way = WAY_TIDIED;
	if (!e->running)
		return tidy(e, err);
	*way = s->kill ? WAY_KILLED : WAY_STOPPED;
	if (!s->kill)
		ret = ask(e, err);
	else if (!e->pid || (kill(e->pid, SIGKILL) && errno != ESRCH))
		ret = error_errno(err, "%s: cannot kill its monitor (pid %d)", e->name,
				  (int)e->pid);
	else
		ret = 0;
	if (ret)
		return ret;
	if (!wait_gone(e, s->seconds))
		return error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
				 "%s: its monitor (pid %d) is still there after %g s; "
				 "`hotrail stop --kill %s` ends it at once",
				 e->name, (int)e->pid, s->seconds, e->name);
	return s->kill ? tidy(e, err) : 0;
}

static int stop_all(const struct registry_entry *list, size_t n, const struct stopping *s,
		    bool json)
{
	json_t *guests = json_array(), *doc;
	int code = HOTRAIL_EXIT_OK;
	struct show show;
	struct error err;
	enum way way;
	size_t i;

	for (i = 0; i < n; i++) {
		if (stop_one(&list[i], s, &way, &err)) {
			code = cmd_fail(&err);
			continue;
		}
		json_array_append_new(
			guests, json_pack("{s:s, s:s}", "name", list[i].name, "result", ways[way]));
	}
	doc = json_pack("{s:i, s:s, s:o}", "schema", JSON_SCHEMA, "kind", "stop", "guests", guests);
	show_init(&show, stdout, json);
	if (show_document(&show, "stop", doc) && code == HOTRAIL_EXIT_OK)
		code = HOTRAIL_EXIT_FAILED;
	json_decref(doc);
	return code;
}

int cmd_stop(int argc, char **argv)
{
	struct stopping s = {.seconds = 15};
	bool all = false, json = false;
	const struct cmd_option options[] = {
		CMD_OPTION("all", 'a', CMD_FLAG, &all, NULL, "all guests of this user"),
		CMD_OPTION("kill", 0, CMD_FLAG, &s.kill, NULL,
			   "at once, without asking the monitor"),
		CMD_OPTION("time", 't', CMD_SECONDS, &s.seconds, "SECONDS",
			   "wait so long (default: 15)"),
		CMD_OPTION("json", 'j', CMD_FLAG, &json, NULL, "one JSON document"),
	};
	const struct cmd_usage usage = {
		.name = "stop",
		.args = "[GUEST]",
		.what = "Ends a guest and its monitor, and returns when both are gone.",
		.more = "The folder of a monitor that died by itself (\"stale\" in `hotrail ps`) "
			"is removed.",
		CMD_USAGE_OPTIONS(options),
	};
	struct registry_entry one, *list;
	const char *name = NULL;
	struct error err;
	size_t count;
	int n = cmd_parse(&usage, argc, argv, &name, 1);

	if (n < 0)
		return cmd_parse_exit(n);
	if (all && name)
		return cmd_misuse(&usage, "either --all or the name of a guest");
	if (!all) {
		if (registry_find(name, &one, &err))
			return cmd_fail(&err);
		return stop_all(&one, 1, &s, json);
	}
	if (registry_list(&list, &count, &err))
		return cmd_fail(&err);
	n = stop_all(list, count, &s, json);
	free(list);
	return n;
}
