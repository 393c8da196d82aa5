// SPDX-License-Identifier: GPL-2.0-only
/* From the engine's structs to documents: status, verify, profile, report. */
#include "cmd/doc.h"

#include <stdio.h>
#include <string.h>

static const char *const phases[] = {
	[ENGINE_IDLE] = "idle",	      [ENGINE_FIND] = "find",	[ENGINE_LEARN] = "learn",
	[ENGINE_PROMOTE] = "promote", [ENGINE_WATCH] = "watch",
};

void doc_build_id(const uint8_t *id, unsigned len, char out[41])
{
	unsigned i;

	out[0] = '\0';
	for (i = 0; i < len && i < 20; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static json_t *count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *count_or_null(bool known, uint64_t n)
{
	return known ? count(n) : json_null();
}

static json_t *guest_part(const struct doc_guest *g)
{
	char id[41];

	doc_build_id(g->guest ? g->guest->build_id : NULL, g->guest ? g->guest->build_id_len : 0,
		     id);
	return json_pack("{s:o, s:i, s:o, s:s, s:s, s:i, s:i, s:o, s:s?, s:o}", "name",
			 json_text(g->name), "pid", g->pid, "image", json_text(g->image),
			 "build_id", id, "machine", g->machine, "cpl", g->cpl, "vcpus",
			 (int)g->vcpus, "mem_mib", json_number((double)g->mem_bytes / (1 << 20)),
			 "phase", g->phase, "uptime_s", json_number((double)g->uptime_ns / 1e9));
}

static json_t *workload_part(const struct doc_guest *g)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "ops", count_or_null(g->counts, g->ops),
			 "ops_per_s", json_unless_negative(g->ops_per_s), "batches",
			 count_or_null(g->checked, g->batches), "wrong_calls",
			 count_or_null(g->checked, g->wrong));
}

static const char *const vias[] = {
	[ENGINE_VIA_AUTO] = "auto", [ENGINE_VIA_HOST] = "host", [ENGINE_VIA_AGENT] = "agent"};

const char *doc_via_text(enum engine_via via)
{
	return (unsigned)via <= ENGINE_VIA_AGENT && vias[via] ? vias[via] : "auto";
}

bool doc_via_parse(const char *word, enum engine_via *via)
{
	enum engine_via v;

	for (v = ENGINE_VIA_AUTO; v <= ENGINE_VIA_AGENT; v++)
		if (!strcmp(word, vias[v])) {
			*via = v;
			return true;
		}
	return false;
}

static json_t *engine_part(const struct engine_status *s, const char *waiting)
{
	const struct sampler_stats *n = &s->samples;
	const char *phase = (unsigned)s->phase <= ENGINE_WATCH ? phases[s->phase] : "unknown";
	json_t *samples =
		json_pack("{s:o, s:o, s:o, s:o, s:o}", "taken", count(n->taken), "attributed",
			  count(n->attributed), "elsewhere", count(n->elsewhere), "lost",
			  count(n->lost), "unmatched", count(n->unmatched));

	return json_pack("{s:s, s:s?, s:b, s:s, s:s, s:o, s:o, s:o, s:o}", "phase", phase,
			 "waiting", waiting, "follow", s->follow, "via", doc_via_text(s->via),
			 "sampler", s->sampler ? s->sampler : "off", "samples", samples,
			 "relearned", count(s->relearned), "rolled_back", count(s->rolled_back),
			 "first_gain_s", json_unless_negative(s->first_gain_s));
}

static json_t *skipped_part(const struct engine_status *s)
{
	json_t *by = json_object();
	int i;

	for (i = PATCH_REASON_NONE + 1; i < PATCH_REASONS; i++)
		if (s->skipped_by[i])
			json_object_set_new(by, patch_reason_text(i), count(s->skipped_by[i]));
	return by;
}

static json_t *promotions_part(const struct engine_status *s)
{
	/* Without a promotion there is no coverage to speak of. */
	json_t *by = json_pack("{s:i, s:i}", "host", (int)s->promoted_by[PATCH_WAY_HOST], "agent",
			       (int)s->promoted_by[PATCH_WAY_AGENT]);

	return json_pack("{s:i, s:i, s:o, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o}", "sites",
			 (int)s->sites, "promoted", (int)s->promoted, "promoted_by", by, "learning",
			 (int)s->learning, "quarantined", (int)s->quarantined, "applied",
			 (int)s->applied, "skipped", (int)s->skipped, "failed", (int)s->failed,
			 "skipped_by", skipped_part(s), "coverage",
			 s->promoted ? json_number(s->coverage) : json_null(), "fast_share",
			 json_unless_negative(s->fast_share));
}

static json_t *arena_part(const uint64_t used[2], const uint64_t total[2])
{
	return json_pack("{s:o, s:o, s:o, s:o}", "code_used", count(used[0]), "code_total",
			 count(total[0]), "data_used", count(used[1]), "data_total",
			 count(total[1]));
}

/* null where the guest has no port for one. */
static json_t *agent_part(const struct engine_status *s)
{
	bool known = s->agent.generation != 0;
	json_t *modules;

	if (!s->agent.port)
		return json_null();
	modules = json_pack(
		"{s:i, s:i, s:o, s:i, s:i}", "count", (int)s->agent.modules, "left_alone",
		(int)s->agent.modules_left_alone, "why",
		s->agent.module_trouble[0] ? json_text(s->agent.module_trouble) : json_null(),
		"sites", (int)s->agent.module_sites, "sites_left", (int)s->agent.module_sites_left);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "health", s->agent.health,
			 "why", s->agent.why[0] ? json_text(s->agent.why) : json_null(), "release",
			 known ? json_text(s->agent.release) : json_null(), "generation",
			 known ? json_addr(s->agent.generation) : json_null(), "conflicts",
			 count_or_null(known, s->agent.conflicts), "undone", count(s->agent.undone),
			 "quarantined", count(s->agent.quarantined), "modules", modules, "arena",
			 arena_part(s->agent.arena_used, s->agent.arena_total));
}

json_t *doc_status(const struct doc_guest *g, const struct engine_status *s)
{
	json_t *pauses, *arena;

	pauses = json_pack("{s:i, s:o, s:o}", "count", (int)s->pauses, "p50_us",
			   s->pauses ? json_number(s->pause_p50_us) : json_null(), "p99_us",
			   s->pauses ? json_number(s->pause_p99_us) : json_null());
	arena = arena_part(s->arena_used, s->arena_total);
	json_object_set_new(arena, "stays", json_boolean(s->arena_stays));
	return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", JSON_SCHEMA,
			 "kind", "status", "guest", guest_part(g), "workload", workload_part(g),
			 "engine", engine_part(s, g->waiting), "promotions", promotions_part(s),
			 "pauses", pauses, "arena", arena, "agent", agent_part(s));
}

json_t *doc_verify(const char *name, struct guest *g, const struct patch_verify *v, int64_t wrong)
{
	bool bad = v->differ + v->unreadable > 0;
	json_t *addr = json_null(), *where = json_null();
	char symbol[96];

	if (bad) {
		addr = json_addr(v->first_bad_addr);
		g->ops->symbol(g, v->first_bad_addr, symbol, sizeof(symbol));
		where = json_text(symbol);
	}
	return json_pack("{s:i, s:s, s:o, s:i, s:{s:i, s:i}, s:i, s:i, s:i, s:i, s:o, s:o, s:o, "
			 "s:o}",
			 "schema", JSON_SCHEMA, "kind", "verify", "guest", json_text(name), "sites",
			 (int)v->sites, "on_tracks", "host", (int)v->by[PATCH_WAY_HOST], "agent",
			 (int)v->by[PATCH_WAY_AGENT], "agree", (int)v->agree, "busy", (int)v->busy,
			 "differ", (int)v->differ, "unreadable", (int)v->unreadable, "first_bad",
			 bad ? json_integer(v->first_bad) : json_null(), "first_bad_addr", addr,
			 "first_bad_name", where, "wrong_calls",
			 wrong < 0 ? json_null() : json_integer(wrong));
}

json_t *doc_profile(const struct profile *p, const char *path)
{
	char id[41];

	doc_build_id(p->build_id, p->build_id_len, id);
	return json_pack("{s:i, s:s, s:o, s:s, s:o, s:o}", "schema", JSON_SCHEMA, "kind", "profile",
			 "path", json_text(path), "build_id", id, "edges", count(p->count),
			 "created", count(p->created));
}

const char *doc_end_text(enum machine_end end)
{
	switch (end) {
	case MACHINE_END_NONE:
		return "running";
	case MACHINE_END_STOPPED:
		return "stopped";
	case MACHINE_END_SHUTDOWN:
		return "shut down";
	case MACHINE_END_FAULT:
		return "fault";
	case MACHINE_END_INTERNAL:
		return "internal error of the machine";
	case MACHINE_END_POWEROFF:
		return "powered off";
	case MACHINE_END_RESET:
		return "reset";
	}
	return "unknown";
}

json_t *doc_report(const struct machine_report *r, const char *symbol, const char *console)
{
	static const char *const names[HOTRAIL_REGS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
							"rsi", "rdi", "r8",  "r9",  "r10", "r11",
							"r12", "r13", "r14", "r15"};
	json_t *regs = json_object();
	char bytes[3 * sizeof(r->bytes) + 1] = "";
	unsigned i;

	for (i = 0; i < HOTRAIL_REGS; i++)
		json_object_set_new(regs, names[i], json_addr(r->regs.gpr[i]));
	for (i = 0; i < r->bytes_len && i < sizeof(r->bytes); i++)
		snprintf(bytes + 3 * i, 4, "%02x ", r->bytes[i]);
	if (i)
		bytes[3 * i - 1] = '\0';
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "end",
			 doc_end_text(r->end), "vcpu", (int)r->vcpu, "text", json_text(r->text),
			 "rip", json_addr(r->regs.rip), "at", json_text(symbol), "rflags",
			 json_addr(r->regs.rflags), "registers", regs, "bytes", bytes, "console",
			 json_text(console));
}
