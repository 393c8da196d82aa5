// SPDX-License-Identifier: GPL-2.0-only
/* Requests that change the guest: sites poked, blocks written and taken back. */
#include "agent/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct poking {
	uint8_t *status;
	struct agent_poked sum;
};

static int take_pokes(struct question *q, size_t at, uint32_t n, void *ctx)
{
	const struct agent_pokes_reply *r = (const void *)q->reply;
	struct poking *p = ctx;
	int ret = check_pokes(&q->ask, n, q->err);

	if (ret)
		return ret;
	memcpy(p->status + at, r->status, n);
	p->sum.ns += r->ns;
	p->sum.rounds += r->rounds;
	return 0;
}

static int poke(struct agent *a, const struct question_batch *batch, const void *list, size_t n,
		uint8_t *status, struct agent_poked *done, struct error *err)
{
	struct poking p = {.status = status};
	int ret;

	memset(status, AGENT_STATUSES, n);
	ret = question_batch(a, batch, list, n, &p, err);
	if (done)
		*done = p.sum;
	return ret;
}

int agent_poke(struct agent *a, enum agent_poking how, const struct agent_poke *pokes, size_t n,
	       uint8_t *status, struct agent_poked *done, struct error *err)
{
	static const uint16_t types[] = {
		[AGENT_POKE_ONLY] = AGENT_MSG_POKE,
		[AGENT_POKE_LEARN_START] = AGENT_MSG_LEARN_START,
		[AGENT_POKE_LEARN_STOP] = AGENT_MSG_LEARN_STOP,
	};
	const struct question_batch batch = {.type = types[how],
					     .max = AGENT_MAX_POKES,
					     .size = sizeof(*pokes),
					     .take = take_pokes};

	return poke(a, &batch, pokes, n, status, done, err);
}

int agent_lead_pairs(struct agent *a, const struct agent_lead *leads, size_t n, uint8_t *status,
		     struct agent_poked *done, struct error *err)
{
	static const struct question_batch batch = {.type = AGENT_MSG_LEAD,
						    .max = AGENT_MAX_PAIRS,
						    .size = sizeof(*leads),
						    .take = take_pokes};

	return poke(a, &batch, leads, n, status, done, err);
}

static int take_statuses(struct question *q, size_t at, uint32_t n, void *ctx)
{
	const struct agent_statuses *r = (const void *)q->reply;
	uint8_t *status = ctx;
	int ret = check_statuses(&q->ask, n, q->err);

	if (!ret)
		memcpy(status + at, r->status, n);
	return ret;
}

static int ask_blocks(struct agent *a, uint16_t type, const struct agent_block *blocks, size_t n,
		      uint8_t *status, struct error *err)
{
	const struct question_batch batch = {.type = type,
					     .max = AGENT_MAX_BLOCKS,
					     .size = sizeof(*blocks),
					     .take = take_statuses};

	memset(status, AGENT_STATUSES, n);
	return question_batch(a, &batch, blocks, n, status, err);
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
