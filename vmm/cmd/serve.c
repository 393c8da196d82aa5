// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the control socket of a running guest understands. Every function here runs on a
 * client's own thread; the engine locks for itself, and nothing is held around it.
 */
#include "cmd/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/doc.h"
#include "cmd/select.h"

#define UNDO_SITES 4 /* more are not spelled out in the command that undoes */

/* --- arguments --- */

/* Every member must be one of `names` ("a b c"): a misspelt argument is a mistake, not a default.
 */
static int only(const json_t *arguments, const char *names, struct error *err)
{
	const char *key, *at;
	json_t *value;

	json_object_foreach((json_t *)arguments, key, value)
	{
		at = strstr(names, key);
		if (at && *key && !strchr(key, ' ') && (at == names || at[-1] == ' ') &&
		    (!at[strlen(key)] || at[strlen(key)] == ' '))
			continue;
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "unknown argument \"%.40s\"; there is: %s", key,
				 *names ? names : "none");
	}
	return 0;
}

static int get_bool(const json_t *arguments, const char *name, bool *out, struct error *err)
{
	const json_t *v = json_object_get(arguments, name);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "%s: must be true or false",
				 name);
	*out = json_is_true(v);
	return 0;
}

static int get_share(const json_t *arguments, const char *name, double *out, struct error *err)
{
	const json_t *v = json_object_get(arguments, name);
	double share = json_number_value(v);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_number(v) || !(share > 0) || share > 1)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%s: must be a share above 0 and up to 1", name);
	*out = share;
	return 0;
}

static int get_via(const json_t *arguments, enum engine_via *via, struct error *err)
{
	const json_t *v = json_object_get(arguments, "via");
	const char *word = json_string_value(v);

	if (!v || json_is_null(v) || (word && doc_via_parse(word, via)))
		return 0;
	return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
			 "via: must be \"auto\", \"host\" or \"agent\"");
}

/* The client's working folder is not ours. */
static int get_path(const json_t *arguments, const char *known, const char **out, struct error *err)
{
	const json_t *v = json_object_get(arguments, "path");

	*out = json_string_value(v);
	if (!*out || (*out)[0] != '/' || strlen(*out) != json_string_length(v))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "path: must be an absolute path of a file");
	return only(arguments, known, err);
}

/* --- looking --- */

static int no_memory(struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the answer");
}

static int query_status(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	int r = only(arguments, "", err);

	if (r)
		return r;
	*ret = monitor_status(ctx);
	return *ret ? 0 : no_memory(err);
}

static int query_sites(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	const json_t *limit = json_object_get(arguments, "limit");
	struct monitor *m = ctx;
	struct engine_row *rows;
	struct engine *engine;
	struct guest *guest;
	size_t n;
	int r = only(arguments, "limit", err);

	if (!r && limit && !json_is_null(limit) &&
	    (!json_is_integer(limit) || json_integer_value(limit) < 0))
		r = error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "limit: must be a number of sites");
	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	if (!r)
		r = engine_get_rows(engine, &rows, &n, err);
	if (r)
		return r;
	*ret = doc_sites(m->entry.name, rows, n,
			 json_is_integer(limit) ? (size_t)json_integer_value(limit) : n);
	free(rows);
	return *ret ? 0 : no_memory(err);
}

static int verify(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct patch_verify v = {0};
	struct monitor *m = ctx;
	struct yard_check check;
	struct engine *engine;
	struct guest *guest;
	bool checked;
	int r = only(arguments, "", err);

	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	if (!r)
		r = engine_verify(engine, &v, err);
	if (r)
		return r;
	monitor_check(m, &check, &checked);
	*ret = doc_verify(m->entry.name, guest, &v, checked ? (int64_t)check.wrong : -1);
	return *ret ? 0 : no_memory(err);
}

/* --- changing --- */

/* The command that takes a change back. `names`: exactly these sites were meant, not "all by
 * policy". */
static void undo_command(const struct monitor *m, const char *verb, const struct engine_result *r,
			 bool named, char *buf, size_t len)
{
	bool demote = !strcmp(verb, "demote");
	size_t i, used, listed = 0;

	used = (size_t)snprintf(buf, len, "hotrail %s %s", verb, m->entry.name);
	if (!named || r->applied > UNDO_SITES) {
		snprintf(buf + used, len - used, "%s", demote ? " --all" : " --auto");
		return;
	}
	for (i = 0; i < r->count && used < len; i++) {
		if (r->changes[i].result != PATCH_APPLIED || listed++ >= UNDO_SITES)
			continue;
		used += (size_t)snprintf(buf + used, len - used, " --site %u", r->changes[i].site);
	}
}

static int answer_change(struct monitor *m, const char *verb, const char *undo_verb, bool named,
			 struct engine_result *r, json_t **ret, struct error *err)
{
	struct engine_row *rows = NULL;
	char undo[160];
	size_t n = 0;

	/* The rows only add calls per second: without them the answer is still true. */
	if (!strcmp(verb, "promote"))
		engine_get_rows(m->engine, &rows, &n, NULL);
	undo_command(m, undo_verb, r, named, undo, sizeof(undo));
	*ret = doc_change(verb, m->guest, r, rows, n, r->applied && !r->dry_run ? undo : NULL);
	if (*ret)
		json_object_set_new(*ret, "guest", json_text(m->entry.name));
	if (*ret && r->applied && !r->dry_run)
		control_server_event(
			m->server, "CHANGED",
			json_pack("{s:s, s:i}", "verb", verb, "applied", (int)r->applied));
	free(rows);
	engine_result_free(r);
	return *ret ? 0 : no_memory(err);
}

/* Either `flag`: true, or "sites": [...]; *sites NULL for the former. */
static int get_what(struct guest *guest, struct engine *engine, const json_t *arguments,
		    const char *flag, uint32_t **sites, size_t *n, uint64_t *as_of,
		    struct error *err)
{
	const json_t *list = json_object_get(arguments, "sites");
	bool all = false;
	int r = get_bool(arguments, flag, &all, err);

	*sites = NULL;
	*n = 0;
	if (r)
		return r;
	if (json_is_null(list))
		list = NULL;
	if (all == !!list)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "say either \"%s\": true or which \"sites\"", flag);
	if (!list)
		return 0;
	engine_hold_sites(engine);
	r = select_sites(guest, list, sites, n, err);
	*as_of = guest->sites.changes;
	engine_release_sites(engine);
	return r;
}

static int promote(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct engine_promote p = {0};
	struct engine_result result = {0};
	struct monitor *m = ctx;
	struct engine *engine;
	struct guest *guest;
	bool follow = false;
	uint32_t *sites = NULL;
	int r = only(arguments, "auto sites coverage dry_run follow via", err);

	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	/* Before the sites are looked for: a guest with nothing to gain may have none. */
	if (!r)
		r = engine_may_promote(engine, err);
	if (!r)
		r = get_share(arguments, "coverage", &p.coverage, err);
	if (!r)
		r = get_via(arguments, &p.via, err);
	if (!r)
		r = get_bool(arguments, "dry_run", &p.dry_run, err);
	if (!r)
		r = get_bool(arguments, "follow", &follow, err);
	if (!r)
		r = get_what(guest, engine, arguments, "auto", &sites, &p.nsites, &p.as_of, err);
	if (r)
		return r;
	p.sites = sites;
	r = engine_promote(engine, &p, &result, err);
	if (!r && !p.dry_run && json_object_get(arguments, "follow"))
		engine_follow(engine, follow);
	if (r)
		engine_result_free(&result);
	else
		r = answer_change(m, "promote", "demote", sites != NULL, &result, ret, err);
	free(sites);
	return r;
}

static int demote(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct engine_result result = {0};
	struct monitor *m = ctx;
	struct engine *engine;
	struct guest *guest;
	uint64_t as_of = 0;
	uint32_t *sites;
	size_t n;
	int r = only(arguments, "all sites", err);

	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	if (!r)
		r = get_what(guest, engine, arguments, "all", &sites, &n, &as_of, err);
	if (r)
		return r;
	r = engine_demote(engine, sites, n, as_of, &result, err);
	if (r)
		engine_result_free(&result);
	else
		r = answer_change(m, "demote", "promote", sites != NULL, &result, ret, err);
	free(sites);
	return r;
}

static int set_follow(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct monitor *m = ctx;
	struct engine *engine;
	struct guest *guest;
	bool on = false;
	int r = only(arguments, "on", err);

	if (!r && !json_object_get(arguments, "on"))
		r = error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "on: must be true or false");
	if (!r)
		r = get_bool(arguments, "on", &on, err);
	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	/* Following what may not be patched would look like an engine that finds nothing. */
	if (!r && on)
		r = engine_may_promote(engine, err);
	if (r)
		return r;
	engine_follow(engine, on);
	*ret = json_pack("{s:b}", "follow", on);
	return 0;
}

static int set_phase(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	const char *phase = json_string_value(json_object_get(arguments, "phase"));
	struct monitor *m = ctx;
	int r = only(arguments, "phase", err);

	if (r)
		return r;
	if (!m->instance)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "%s is no yard guest: its workload has no phases", m->entry.name);
	if (!phase || (strcmp(phase, "a") && strcmp(phase, "b")))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "phase: must be \"a\" or \"b\"");
	yard_phase(m->instance->yard, phase[0] == 'b');
	*ret = json_pack("{s:s}", "phase", phase);
	return 0;
}

/* --- profiles --- */

static int save_profile(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct engine *engine;
	struct guest *guest;
	struct profile *p;
	const char *path;
	int r = get_path(arguments, "path", &path, err);

	if (!r)
		r = monitor_engine(ctx, &guest, &engine, err);
	if (!r)
		r = engine_profile(engine, &p, err);
	if (r)
		return r;
	r = profile_save(path, p, err);
	if (!r) {
		*ret = doc_profile(p, path);
		r = *ret ? 0 : no_memory(err);
	}
	profile_free(p);
	return r;
}

static int load_profile(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	struct engine_result result = {0};
	struct monitor *m = ctx;
	struct engine *engine;
	struct guest *guest;
	enum engine_via via = ENGINE_VIA_DEFAULT;
	struct profile *p;
	const char *path;
	int r = get_path(arguments, "path via", &path, err);

	if (!r)
		r = get_via(arguments, &via, err);
	if (!r)
		r = monitor_engine(m, &guest, &engine, err);
	if (!r)
		r = profile_load(path, &p, err);
	if (r)
		return r;
	r = engine_warm(engine, p, via, &result, err);
	profile_free(p);
	if (!r)
		return answer_change(m, "promote", "demote", false, &result, ret, err);
	engine_result_free(&result);
	return r;
}

static int stop(void *ctx, const json_t *arguments, json_t **ret, struct error *err)
{
	int r = only(arguments, "", err);

	if (!r)
		monitor_ask_stop(ctx);
	return r;
}

const struct control_command serve_commands[] = {
	{"query-status", "the guest, its workload, the engine and what is applied", query_status},
	{"query-sites", "all sites, hottest first; {limit}", query_sites},
	{"promote", "{auto: true | sites: [...], coverage, dry_run, follow, via}", promote},
	{"demote", "{all: true | sites: [...]}; ends following", demote},
	{"verify", "compare guest memory with the journal, results with the host's", verify},
	{"set-follow", "{on}: promote and watch by itself", set_follow},
	{"set-phase", "{phase: \"a\" | \"b\"} of the workload", set_phase},
	{"profile-save", "{path}: write what was learned", save_profile},
	{"profile-load", "{path, via}: promote from a profile of the same build", load_profile},
	{"stop", "end the guest and its monitor", stop},
};
const size_t serve_commands_count = sizeof(serve_commands) / sizeof(serve_commands[0]);
