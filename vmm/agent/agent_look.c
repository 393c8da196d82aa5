// SPDX-License-Identifier: GPL-2.0-only
/* Requests that only look: memory, counters, modules, protected ranges. */
#include "agent/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int agent_read_tables(struct agent *a, const uint32_t *tables, size_t n, struct agent_counted *out,
		      struct error *err)
{
	const struct agent_counters_reply *r;
	struct agent_counters *m;
	struct question *q;
	size_t at, now;
	int ret = 0;

	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	r = (const void *)q->reply;
	for (at = 0; !ret && at < n; at += now) {
		now = n - at < AGENT_MAX_TABLES ? n - at : AGENT_MAX_TABLES;
		*m = (struct agent_counters){.count = (uint32_t)now};
		memcpy(m->table, tables + at, now * sizeof(*tables));
		ret = question_ask(a, q, AGENT_MSG_COUNTERS, sizeof(*m) + now * sizeof(*tables));
		if (!ret)
			ret = question_nonsense(
				a, q, check_counters(&q->ask, tables + at, (uint32_t)now, q->err));
		if (!ret)
			memcpy(out + at, r->counted, now * sizeof(*out));
	}
	free(q);
	return ret;
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

int agent_list_protected(struct agent *a, struct agent_range *out, size_t *n, struct error *err)
{
	const struct agent_protected_reply *r;
	struct agent_protected *m;
	size_t room = *n, now;
	struct question *q;
	uint32_t first = 0;
	int ret;

	*n = 0;
	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	r = (const void *)q->reply;
	do {
		*m = (struct agent_protected){.first = first};
		ret = question_ask(a, q, AGENT_MSG_PROTECTED, sizeof(*m));
		if (!ret)
			ret = question_nonsense(a, q, check_protected(&q->ask, first, q->err));
		if (ret)
			break;
		now = r->count < room - *n ? r->count : room - *n;
		memcpy(out + *n, r->range, now * sizeof(*out));
		*n += now;
		first += r->count;
		if (now < r->count || (*n == room && first < r->total))
			ret = too_many(room, err, "protected ranges");
	} while (!ret && first < r->total);
	free(q);
	return ret;
}
