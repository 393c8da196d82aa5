// SPDX-License-Identifier: GPL-2.0-only
/* From the engine's structs to documents: sites and changes. */
#include "cmd/doc.h"

#include <string.h>

static json_t *count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static const char *state_text(enum patch_state state)
{
	switch (state) {
	case PATCH_ORIGINAL:
		return "original";
	case PATCH_LEARNING:
		return "learning";
	case PATCH_PROMOTED:
		return "promoted";
	case PATCH_QUARANTINED:
		return "quarantined";
	}
	return "unknown";
}

static bool is_promoted(const struct patch_site *p, gva_t target)
{
	unsigned i;

	for (i = 0; p->state == PATCH_PROMOTED && i < p->ntargets; i++)
		if (p->targets[i] == target)
			return true;
	return false;
}

static json_t *row_targets(const struct engine_row *row)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < row->nedges; i++)
		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:o, s:b}", "addr",
						json_addr(row->edges[i].target), "name",
						json_text(row->edges[i].name), "count",
						count(row->edges[i].count), "share",
						json_number(row->edges[i].share), "promoted",
						is_promoted(&row->patch, row->edges[i].target)));
	return list;
}

static json_t *row_doc(const struct engine_row *row)
{
	bool promoted = row->patch.state == PATCH_PROMOTED;

	bool led = promoted || row->patch.state == PATCH_LEARNING;

	return json_pack("{s:I, s:o, s:o, s:s?, s:o, s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "index", (json_int_t)row->index, "addr", json_addr(row->site.addr), "name",
			 json_text(row->name), "subsystem", row->subsystem, "thunk",
			 json_text(row->thunk), "type", row->site.is_jump ? "jump" : "call",
			 "state", state_text(row->patch.state), "way",
			 led ? patch_way_text(row->patch.way) : NULL, "calls", count(row->calls),
			 "share", json_number(row->share), "samples", count(row->samples), "miss",
			 promoted ? count(row->miss) : json_null(), "track",
			 row->patch.track ? json_addr(row->patch.track) : json_null(), "targets",
			 row_targets(row));
}

json_t *doc_sites(const char *guest, const struct engine_row *rows, size_t n, size_t limit)
{
	uint64_t calls = 0, samples = 0;
	json_t *list = json_array();
	unsigned promoted = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		calls += rows[i].calls;
		samples += rows[i].samples;
		promoted += rows[i].patch.state == PATCH_PROMOTED;
		if (i < limit)
			json_array_append_new(list, row_doc(&rows[i]));
	}
	return json_pack("{s:i, s:s, s:o, s:o, s:{s:o, s:i, s:o, s:o}}", "schema", JSON_SCHEMA,
			 "kind", "sites", "guest", json_text(guest), "sites", list, "totals",
			 "sites", count(n), "promoted", (int)promoted, "calls", count(calls),
			 "samples", count(samples));
}

static const char *result_text(enum patch_result result, bool dry_run)
{
	switch (result) {
	case PATCH_PENDING:
		return "planned";
	case PATCH_APPLIED:
		return dry_run ? "planned" : "applied";
	case PATCH_SKIPPED:
		return "skipped";
	case PATCH_FAILED:
		return "failed";
	}
	return "failed";
}

static json_t *change_targets(struct guest *g, const struct policy_decision *d)
{
	json_t *list = json_array();
	char name[96];
	unsigned i;

	for (i = 0; i < d->ntargets && i < HOTRAIL_MAX_TARGETS; i++) {
		g->ops->symbol(g, d->targets[i], name, sizeof(name));
		json_array_append_new(list,
				      json_pack("{s:o, s:o}", "addr", json_addr(d->targets[i]),
						"name", json_text(name)));
	}
	return list;
}

/* Calls a second that take the fast way, from the last learning; null when the site was never
 * learned. */
static json_t *fast_calls(const struct engine_change *c, const struct engine_row *rows, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (rows[i].index == c->site && rows[i].calls)
			return json_number((double)rows[i].calls * c->decision.hit);
	return json_null();
}

static const char *change_reason(const struct engine_change *c)
{
	if (c->reason == PATCH_REASON_SAME && c->decision.ntargets)
		return DOC_ALREADY_PROMOTED;
	return c->reason ? patch_reason_text(c->reason) : NULL;
}

static json_t *change_doc(struct guest *g, const struct engine_change *c, bool dry_run,
			  const struct engine_row *rows, size_t n)
{
	bool learned = c->decision.calls > 0;

	return json_pack("{s:I, s:o, s:o, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o}", "index",
			 (json_int_t)c->site, "name", json_text(c->name), "addr",
			 json_addr(c->addr), "result", result_text(c->result, dry_run), "way",
			 c->result == PATCH_APPLIED && !dry_run ? patch_way_text(c->way) : NULL,
			 "reason", json_text(change_reason(c)), "share",
			 learned ? json_number(c->decision.share) : json_null(), "calls",
			 learned ? count(c->decision.calls) : json_null(), "targets",
			 change_targets(g, &c->decision), "hit",
			 learned ? json_number(c->decision.hit) : json_null(), "fast_calls_per_s",
			 fast_calls(c, rows, n));
}

json_t *doc_change(const char *verb, struct guest *g, const struct engine_result *r,
		   const struct engine_row *rows, size_t n, const char *undo)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < r->count; i++)
		json_array_append_new(
			list, change_doc(g, &r->changes[i], r->dry_run, rows, rows ? n : 0));
	return json_pack("{s:i, s:s, s:s, s:b, s:i, s:i, s:i, s:{s:i, s:i}, s:I, s:o, s:i, s:o, "
			 "s:s?, s:o}",
			 "schema", JSON_SCHEMA, "kind", "change", "verb", verb, "dry_run",
			 r->dry_run, "applied", (int)r->applied, "skipped", (int)r->skipped,
			 "failed", (int)r->failed, "applied_by", "host", (int)r->by[PATCH_WAY_HOST],
			 "agent", (int)r->by[PATCH_WAY_AGENT], "pause_us", (json_int_t)r->pause_us,
			 "agent_us", json_number((double)r->agent_ns / 1e3), "agent_rounds",
			 (int)r->rounds, "coverage", json_number(r->coverage), "undo", undo,
			 "changes", list);
}
