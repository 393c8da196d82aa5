// SPDX-License-Identifier: GPL-2.0-only
/* What an agent may say: bounds of hello, events and replies; words for users. Pure. */
#include "agent/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/pair.h"

#define TEXT_FLOOR  0xffffffff80000000ull /* kernel and modules live in the top 2 GiB */
#define HALF_MAX    (16u << 20)		  /* of the arena */
#define TEXT_MAX    (1ull << 30)	  /* KERNEL_IMAGE_SIZE of Linux with KASLR */
#define CPUS_MAX    8192u		  /* the most that Linux can be built for */
#define BLOCK_ALIGN 16u

static int lie(struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO, "the agent's answer is nonsense: %s",
			 what);
}

static bool in_top(uint64_t start, uint64_t size)
{
	return start >= TEXT_FLOOR && size <= -start;
}

static bool apart(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? a_size <= b - a : b_size <= a - b;
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static int check_arena(const struct agent_hello_reply *r, struct error *err)
{
	uint64_t code = r->arena_code, data = r->arena_data;
	uint64_t text_size = r->text_end - r->text_start;

	if (!r->arena_code_size || r->arena_code_size > HALF_MAX || !r->arena_data_size ||
	    r->arena_data_size > HALF_MAX)
		return lie(err, "the size of its arena");
	if (!in_top(code, r->arena_code_size) || !in_top(data, r->arena_data_size))
		return lie(err, "its arena is not in the top 2 GiB");
	if (code % BLOCK_ALIGN || data % BLOCK_ALIGN)
		return lie(err, "its arena is not aligned");
	if (!apart(code, r->arena_code_size, data, r->arena_data_size) ||
	    !apart(code, r->arena_code_size, r->text_start, text_size) ||
	    !apart(data, r->arena_data_size, r->text_start, text_size))
		return lie(err, "its arena overlaps itself or the kernel's text");
	if (!r->cpus || r->cpus > CPUS_MAX ||
	    (uint64_t)r->table_stride * r->cpus > r->arena_data_size)
		return lie(err, "its learning tables do not fit into its arena");
	return 0;
}

int check_hello(const struct agent_hello_reply *r, struct error *err)
{
	if (!r->instance)
		return lie(err, "no instance");
	if (r->text_end <= r->text_start || r->text_end - r->text_start > TEXT_MAX ||
	    !in_top(r->text_start, r->text_end - r->text_start))
		return lie(err, "the kernel's text is not in the top 2 GiB");
	if (r->build_id_len > sizeof(r->build_id))
		return lie(err, "the length of the build ID");
	if (!terminated(r->release, sizeof(r->release)))
		return lie(err, "a text without an end");
	/* One that patches nothing may have none. */
	return r->refusals && !r->arena_code_size && !r->arena_data_size ? 0 : check_arena(r, err);
}

static bool module_sound(const struct agent_module *m)
{
	return m->state <= AGENT_MODULE_GOING && m->text_size <= TEXT_MAX &&
	       in_top(m->text, m->text_size) && terminated(m->name, sizeof(m->name));
}

int check_module(const struct agent_module *m, struct error *err)
{
	return module_sound(m) ? 0 : lie(err, "a module that cannot be");
}

int check_conflict(const struct agent_conflict *c, struct error *err)
{
	if ((c->len != AGENT_SITE_BYTES && c->len != AGENT_SITE_BYTES - 1) ||
	    c->action > AGENT_CONFLICT_GIVEN_UP || !in_top(c->site, c->len))
		return lie(err, "a conflict that cannot be");
	return 0;
}

static bool statuses_sound(const uint8_t *status, uint32_t count)
{
	while (count--)
		if (status[count] >= AGENT_STATUSES)
			return false;
	return true;
}

int check_pokes(const struct ask *k, uint32_t count, struct error *err)
{
	const struct agent_pokes_reply *r = (const void *)k->reply;

	if (r->count != count ||
	    !wire_counts(k->reply_len, sizeof(*r), r->count, 1, AGENT_MAX_POKES))
		return lie(err, "not as many statuses as sites");
	return statuses_sound(r->status, count) ? 0 : lie(err, "an unknown status");
}

int check_statuses(const struct ask *k, uint32_t count, struct error *err)
{
	const struct agent_statuses *r = (const void *)k->reply;

	if (r->count != count ||
	    !wire_counts(k->reply_len, sizeof(*r), r->count, 1, AGENT_MAX_BLOCKS))
		return lie(err, "not as many statuses as blocks");
	return statuses_sound(r->status, count) ? 0 : lie(err, "an unknown status");
}

int check_read(const struct ask *k, uint64_t addr, uint32_t len, struct error *err)
{
	const struct agent_read_reply *r = (const void *)k->reply;

	if (r->addr != addr || r->len != len ||
	    !wire_counts(k->reply_len, sizeof(*r), r->len, 1, AGENT_MAX_READ))
		return lie(err, "not the bytes that were asked for");
	return 0;
}

int check_counters(const struct ask *k, const uint32_t *tables, uint32_t count, struct error *err)
{
	const struct agent_counters_reply *r = (const void *)k->reply;
	uint32_t i;

	if (r->count != count || !wire_counts(k->reply_len, sizeof(*r), r->count,
					      sizeof(r->counted[0]), AGENT_MAX_TABLES))
		return lie(err, "not as many tables as were asked for");
	for (i = 0; i < count; i++)
		if (r->counted[i].table != tables[i] || r->counted[i].used > AGENT_LEARN_SLOTS)
			return lie(err, "a table that was not asked for");
	return 0;
}

int check_modules(const struct ask *k, uint32_t after, struct error *err)
{
	const struct agent_modules_reply *r = (const void *)k->reply;
	uint32_t i;

	if (!wire_counts(k->reply_len, sizeof(*r), r->count, sizeof(r->module[0]),
			 AGENT_MAX_MODULES))
		return lie(err, "the number of modules");
	if (r->count > r->total || (!r->count && r->total))
		return lie(err, "the total of modules");
	for (i = 0; i < r->count; i++) {
		if (!module_sound(&r->module[i]))
			return lie(err, "a module that cannot be");
		/* One that has more to come must get on. */
		if (r->module[i].id <= after)
			return lie(err, "modules in no order");
		after = r->module[i].id;
	}
	return 0;
}

int check_names(const struct ask *k, const uint64_t *addr, uint32_t count, struct error *err)
{
	const struct agent_names_reply *r = (const void *)k->reply;
	uint32_t i;

	if (r->count != count || !wire_counts(k->reply_len, sizeof(*r), r->count,
					      sizeof(r->function[0]), AGENT_MAX_NAMES))
		return lie(err, "not as many names as were asked for");
	for (i = 0; i < count; i++) {
		const struct agent_function *f = &r->function[i];

		if (f->start && (addr[i] - f->start >= f->size || !in_top(f->start, f->size)))
			return lie(err, "a function that is elsewhere");
	}
	return 0;
}

int check_page(const struct ask *k, const struct question_pages *p, uint32_t first,
	       struct error *err)
{
	const struct { /* every such reply begins with these */
		uint32_t total, count;
		uint8_t element[];
	} *r = (const void *)k->reply;
	uint32_t i;

	if (!wire_counts(k->reply_len, sizeof(*r), r->count, (uint32_t)p->size, p->max))
		return lie(err, "the number of elements");
	/* One that has more to come must get on. */
	if (first > r->total || r->count > r->total - first || (!r->count && first < r->total))
		return lie(err, "the total of elements");
	for (i = 0; i < r->count; i++)
		if (!p->sound(r->element + i * p->size))
			return lie(err, "an element that cannot be");
	return 0;
}

bool check_range(const void *range)
{
	const struct agent_range *r = range;

	return r->end > r->start;
}

bool check_pair(const void *pair)
{
	const struct agent_pair *p = pair;
	const struct pair slots = {.bypass = p->bypass, .target = p->target, .slow = p->slow};

	return p->state <= PAIR_FOREIGN && !pair_wrong(&slots) && in_top(p->target, PAIR_SLOT) &&
	       in_top(p->slow, 1) && (!p->bypass || in_top(p->bypass, PAIR_SLOT));
}

bool check_program(const void *program)
{
	uint64_t at;

	memcpy(&at, program, sizeof(at));
	return in_top(at, 1) && !(at % PAIR_PROGRAM_ALIGN);
}

void check_text(char *out, size_t size, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < size && i < len && text[i]; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
}

void check_refusals(uint32_t refusals, char *out, size_t size)
{
	static const char *const why[] = {
		"it is disabled by its parameter",
		"the kernel is locked down",
		"the kernel uses FineIBT",
		"the kernel tracks call depth",
		"the kernel's thunks are no retpolines: there is nothing to gain",
		"the kernel lets it neither use text_poke_bp nor static calls",
	};
	size_t i, used = 0;

	out[0] = '\0';
	for (i = 0; i < sizeof(why) / sizeof(why[0]) && used < size; i++)
		if (refusals & 1u << i)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "; " : "",
						 why[i]);
	if (!used)
		snprintf(out, size, "for a reason that this host does not know (%#x)", refusals);
}

const char *agent_health_text(enum agent_health h)
{
	static const char *const text[] = {"absent", "alive", "refusing", "lost"};

	return (unsigned)h < sizeof(text) / sizeof(text[0]) ? text[h] : "unknown";
}

const char *agent_status_text(enum agent_status s)
{
	static const char *const text[AGENT_STATUSES] = {
		[AGENT_OK] = "done",
		[AGENT_UNSUPPORTED] = "not supported by this agent or kernel",
		[AGENT_BAD_MESSAGE] = "not a message it understands",
		[AGENT_BAD_VERSION] = "another version of the protocol",
		[AGENT_REFUSED] = "it patches nothing here",
		[AGENT_MISMATCH] = "the bytes are not the expected ones",
		[AGENT_BUSY] = "the guest patches or probes it",
		[AGENT_PROTECTED] = "the kernel does not let it be replaced",
		[AGENT_OWNER] = "in neither core text nor a live module",
		[AGENT_TARGET] = "leads neither back nor into the arena",
		[AGENT_OPCODE] = "no call or jump, or not the same kind",
		[AGENT_READBACK] = "written, and something else is there",
		[AGENT_RANGE] = "outside the arena, or over a block",
		[AGENT_IN_USE] = "a site leads there",
		[AGENT_NO_MEMORY] = "the guest has no memory for it",
		[AGENT_NO_HELLO] = "it wants to be greeted first",
		[AGENT_NO_PAIR] = "no module has declared a pair there",
	};

	return (unsigned)s < AGENT_STATUSES && text[s] ? text[s] : "unknown";
}
