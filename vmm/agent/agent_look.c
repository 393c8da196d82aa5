// SPDX-License-Identifier: GPL-2.0-only
/* Requests that only look: memory, counters, modules, protected ranges. */
#include "agent/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tables {
	const uint32_t *asked;
	struct agent_counted *out;
};

static int take_tables(struct question *q, size_t at, uint32_t n, void *ctx)
{
	const struct agent_counters_reply *r = (const void *)q->reply;
	struct tables *t = ctx;
	int ret = check_counters(&q->ask, t->asked + at, n, q->err);

	if (!ret)
		memcpy(t->out + at, r->counted, n * sizeof(*t->out));
	return ret;
}

int agent_read_tables(struct agent *a, const uint32_t *tables, size_t n, struct agent_counted *out,
		      struct error *err)
{
	static const struct question_batch batch = {.type = AGENT_MSG_COUNTERS,
						    .max = AGENT_MAX_TABLES,
						    .size = sizeof(*tables),
						    .take = take_tables};
	struct tables t = {tables, out};

	return question_batch(a, &batch, tables, n, &t, err);
}

int agent_read_text(struct agent *a, uint64_t addr, void *buf, size_t len, struct error *err)
{
	struct question *q;
	struct agent_read *m;
	size_t at, now;
	int ret = 0;

	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	for (at = 0; !ret && at < len; at += now) {
		now = len - at < AGENT_MAX_READ ? len - at : AGENT_MAX_READ;
		*m = (struct agent_read){.addr = addr + at, .len = (uint32_t)now};
		ret = question_ask(a, q, AGENT_MSG_READ_TEXT, sizeof(*m));
		if (!ret)
			ret = question_nonsense(
				a, q, check_read(&q->ask, addr + at, (uint32_t)now, q->err));
		if (!ret)
			memcpy((uint8_t *)buf + at,
			       ((const struct agent_read_reply *)(const void *)q->reply)->bytes,
			       now);
	}
	free(q);
	return ret;
}

static int too_many(size_t room, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC, "the guest has more than %zu %s", room,
			 what);
}

/* As many of the answer as there is room for. */
static size_t take_modules(struct agent_module *out, size_t room,
			   const struct agent_modules_reply *r)
{
	size_t i;

	for (i = 0; i < r->count && i < room; i++) {
		out[i] = r->module[i];
		check_text(out[i].name, sizeof(out[i].name), r->module[i].name,
			   sizeof(r->module[i].name));
	}
	return i;
}

int agent_list_modules(struct agent *a, struct agent_module *out, size_t *n, struct error *err)
{
	const struct agent_modules_reply *r;
	size_t room = *n, taken;
	struct agent_modules *m;
	struct question *q;
	uint32_t after = 0;
	int ret;

	*n = 0;
	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	r = (const void *)q->reply;
	do {
		*m = (struct agent_modules){.after = after};
		ret = question_ask(a, q, AGENT_MSG_MODULES, sizeof(*m));
		if (!ret)
			ret = question_nonsense(a, q, check_modules(&q->ask, after, q->err));
		if (ret)
			break;
		taken = take_modules(out + *n, room - *n, r);
		*n += taken;
		if (taken)
			after = out[*n - 1].id;
		if (taken < r->count || (*n == room && taken < r->total))
			ret = too_many(room, err, "modules");
	} while (!ret && taken < r->total);
	free(q);
	return ret;
}

static void take_functions(struct agent_function *out, const struct agent_names_reply *r, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		out[i] = r->function[i];
		check_text(out[i].name, sizeof(out[i].name), r->function[i].name,
			   sizeof(r->function[i].name));
	}
}

int agent_name_functions(struct agent *a, const uint64_t *addr, size_t n,
			 struct agent_function *out, struct error *err)
{
	struct agent_names *m;
	struct question *q;
	size_t at, now;
	int ret = 0;

	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	for (at = 0; !ret && at < n; at += now) {
		now = n - at < AGENT_MAX_NAMES ? n - at : AGENT_MAX_NAMES;
		*m = (struct agent_names){.count = (uint32_t)now};
		memcpy(m->addr, addr + at, now * sizeof(*addr));
		ret = question_ask(a, q, AGENT_MSG_NAMES, sizeof(*m) + now * sizeof(*addr));
		if (!ret)
			ret = question_nonsense(
				a, q, check_names(&q->ask, addr + at, (uint32_t)now, q->err));
		if (!ret)
			take_functions(out + at, (const void *)q->reply, now);
	}
	free(q);
	return ret;
}

int agent_list_protected(struct agent *a, struct agent_range *out, size_t *n, struct error *err)
{
	static const struct question_pages pages = {.type = AGENT_MSG_PROTECTED,
						    .max = AGENT_MAX_RANGES,
						    .size = sizeof(*out),
						    .sound = check_range,
						    .what = "protected ranges"};

	return question_pages(a, &pages, out, n, err);
}

int agent_list_pairs(struct agent *a, struct agent_pair *out, size_t *n, struct error *err)
{
	static const struct question_pages pages = {.type = AGENT_MSG_PAIRS,
						    .max = AGENT_MAX_PAIRS,
						    .size = sizeof(*out),
						    .sound = check_pair,
						    .what = "pairs"};

	return question_pages(a, &pages, out, n, err);
}

int agent_list_programs(struct agent *a, uint32_t set, uint64_t *out, size_t *n, struct error *err)
{
	const struct question_pages pages = {.type = AGENT_MSG_PROGRAMS,
					     .arg = set,
					     .max = AGENT_MAX_PROGS,
					     .size = sizeof(*out),
					     .sound = check_program,
					     .what = "programs"};

	return question_pages(a, &pages, out, n, err);
}
