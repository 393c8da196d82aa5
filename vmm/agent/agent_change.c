// SPDX-License-Identifier: GPL-2.0-only
/* Requests that change the guest: sites poked, blocks written and taken back. */
#include "agent/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int poke_some(struct agent *a, struct question *q, uint16_t type,
		     const struct agent_poke *pokes, uint32_t n, uint8_t *status,
		     struct agent_poked *done)
{
	const struct agent_pokes_reply *r = (const void *)q->reply;
	struct agent_pokes *m = question_payload(q);
	int ret;

	*m = (struct agent_pokes){.count = n};
	memcpy(m->poke, pokes, n * sizeof(*pokes));
	ret = question_ask(a, q, type, sizeof(*m) + n * sizeof(*pokes));
	if (!ret)
		ret = question_nonsense(a, q, check_pokes(&q->ask, n, q->err));
	if (ret)
		return ret;
	memcpy(status, r->status, n);
	done->ns += r->ns;
	done->rounds += r->rounds;
	return 0;
}

int agent_poke(struct agent *a, enum agent_poking how, const struct agent_poke *pokes, size_t n,
	       uint8_t *status, struct agent_poked *done, struct error *err)
{
	static const uint16_t types[] = {
		[AGENT_POKE_ONLY] = AGENT_MSG_POKE,
		[AGENT_POKE_LEARN_START] = AGENT_MSG_LEARN_START,
		[AGENT_POKE_LEARN_STOP] = AGENT_MSG_LEARN_STOP,
	};
	struct agent_poked sum = {0};
	struct question *q;
	size_t at, now;
	int ret = 0;

	memset(status, AGENT_STATUSES, n);
	q = question_new(err);
	if (!q)
		return -ENOMEM;
	for (at = 0; !ret && at < n; at += now) {
		now = n - at < AGENT_MAX_POKES ? n - at : AGENT_MAX_POKES;
		ret = poke_some(a, q, types[how], pokes + at, (uint32_t)now, status + at, &sum);
	}
	if (done)
		*done = sum;
	free(q);
	return ret;
}

static int ask_blocks(struct agent *a, uint16_t type, const struct agent_block *blocks, size_t n,
		      uint8_t *status, struct error *err)
{
	struct question *q;
	struct agent_blocks *m;
	size_t at, now;
	int ret = 0;

	memset(status, AGENT_STATUSES, n);
	q = question_new(err);
	if (!q)
		return -ENOMEM;
	m = question_payload(q);
	for (at = 0; !ret && at < n; at += now) {
		now = n - at < AGENT_MAX_BLOCKS ? n - at : AGENT_MAX_BLOCKS;
		*m = (struct agent_blocks){.count = (uint32_t)now};
		memcpy(m->block, blocks + at, now * sizeof(*blocks));
		ret = question_ask(a, q, type, sizeof(*m) + now * sizeof(*blocks));
		if (!ret)
			ret = question_nonsense(a, q,
						check_statuses(&q->ask, (uint32_t)now, q->err));
		if (!ret)
			memcpy(status + at, ((const struct agent_statuses *)q->reply)->status, now);
	}
	free(q);
	return ret;
}

int agent_write_blocks(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		       struct error *err)
{
	return ask_blocks(a, AGENT_MSG_ARENA_WRITE, blocks, n, status, err);
}

int agent_reclaim(struct agent *a, const struct agent_block *blocks, size_t n, uint8_t *status,
		  struct error *err)
{
	return ask_blocks(a, AGENT_MSG_RECLAIM, blocks, n, status, err);
}

int agent_grace(struct agent *a, struct error *err)
{
	struct question *q = question_new(err);
	int ret = q ? question_ask(a, q, AGENT_MSG_GRACE, 0) : -ENOMEM;

	free(q);
	return ret;
}

int agent_unpatch_all(struct agent *a, struct agent_unpatch_reply *r, struct error *err)
{
	struct question *q = question_new(err);
	int ret = q ? question_ask(a, q, AGENT_MSG_UNPATCH_ALL, 0) : -ENOMEM;

	if (!ret)
		memcpy(r, q->reply, sizeof(*r));
	free(q);
	return ret;
}
