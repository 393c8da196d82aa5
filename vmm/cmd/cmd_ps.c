// SPDX-License-Identifier: GPL-2.0-only
/* hotrail ps: guests of this user, and what each is doing. */
#include "cmd/cmd.h"

#include <stdlib.h>

#include "show/show.h"

/* A monitor that is stopped (SIGSTOP, a debugger) must not hold up the list of all others. */
#define ANSWER_MS 2000

static json_t *ask(const struct registry_entry *e, struct error *err)
{
	struct control_client *client;
	json_t *status = NULL;
	char path[320];

	registry_path(e, "control", path, sizeof(path));
	if (control_connect_within(path, ANSWER_MS, &client, err))
		return NULL;
	if (control_call(client, "query-status", NULL, &status, err))
		status = NULL;
	control_close(client);
	return status;
}

static void copy(json_t *to, const json_t *status, const char *part, const char *key)
{
	json_t *v = json_object_get(json_object_get(status, part), key);

	json_object_set_new(to, key, v ? json_incref(v) : json_null());
}

/* running: answers; starting: has no socket yet; silent: does not answer; stale: its monitor is
 * gone. */
static json_t *describe(const struct registry_entry *e)
{
	struct error err = {0};
	json_t *status = e->running ? ask(e, &err) : NULL;
	const char *state = !e->running ? "stale" : status ? "running" : "starting";
	json_t *doc;

	if (e->running && !status && err.exit_code != HOTRAIL_EXIT_FAILED)
		state = "silent";
	doc = json_pack("{s:s, s:o, s:s, s:o}", "name", e->name, "pid",
			e->pid ? json_integer(e->pid) : json_null(), "state", state, "text",
			err.text[0] ? json_text(err.text) : json_null());
	copy(doc, status, "guest", "machine");
	copy(doc, status, "guest", "cpl");
	copy(doc, status, "guest", "vcpus");
	copy(doc, status, "guest", "mem_mib");
	copy(doc, status, "guest", "phase");
	copy(doc, status, "guest", "uptime_s");
	copy(doc, status, "workload", "ops_per_s");
	copy(doc, status, "workload", "wrong_calls");
	copy(doc, status, "promotions", "sites");
	copy(doc, status, "promotions", "promoted");
	json_decref(status);
	return doc;
}

int cmd_ps(int argc, char **argv)
{
	bool json = false;
	const struct cmd_option options[] = {
		CMD_OPTION("json", 'j', CMD_FLAG, &json, NULL, "one JSON document"),
	};
	const struct cmd_usage usage = {
		.name = "ps",
		.what = "Lists the guests of this user.",
		CMD_USAGE_OPTIONS(options),
	};
	int n = cmd_parse(&usage, argc, argv, NULL, 0);
	struct registry_entry *list;
	json_t *guests, *doc;
	struct show show;
	struct error err;
	size_t count, i;

	if (n < 0)
		return cmd_parse_exit(n);
	if (registry_list(&list, &count, &err))
		return cmd_fail(&err);
	guests = json_array();
	for (i = 0; i < count; i++)
		json_array_append_new(guests, describe(&list[i]));
	free(list);
	doc = json_pack("{s:i, s:s, s:o}", "schema", JSON_SCHEMA, "kind", "ps", "guests", guests);
	show_init(&show, stdout, json);
	n = show_document(&show, "ps", doc);
	json_decref(doc);
	return n ? HOTRAIL_EXIT_FAILED : HOTRAIL_EXIT_OK;
}
