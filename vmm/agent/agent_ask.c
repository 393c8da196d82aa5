// SPDX-License-Identifier: GPL-2.0-only
/* One question to the agent: asked, waited for, and what it means when there is no good answer. */
#include "agent/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"

_Static_assert((4 + sizeof(struct agent_header)) % 8 == 0, "payloads are 8-aligned");

struct question *question_new(struct error *err)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q) {
		error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to ask the agent");
		return NULL;
	}
	q->err = err ? err : &q->unheard;
	q->ask.frame = (uint8_t *)q->frame + 4;
	q->ask.reply = (uint8_t *)q->reply;
	return q;
}

void *question_payload(struct question *q)
{
	return q->ask.frame + sizeof(struct agent_header);
}

static int not_there(const struct agent *a, struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_BUSY, -ENOTCONN, "the guest's agent is %s%s%.120s",
			 agent_health_text(a->state.health), a->state.trouble[0] ? ": " : "",
			 a->state.trouble[0] ? a->state.trouble
					     : "; is hotrail_agent.ko loaded there, and its relay "
					       "running?");
}

int agent_ready(struct agent *a, struct error *err)
{
	char why[160];
	int ret = 0;

	pthread_mutex_lock(&a->lock);
	if (a->talk != TALK_GREETED)
		ret = not_there(a, err);
	check_refusals(a->state.hello.refusals, why, sizeof(why));
	if (!ret && a->state.health == AGENT_REFUSING)
		ret = error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
				"the guest's agent patches nothing: %s", why);
	pthread_mutex_unlock(&a->lock);
	return ret;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
				 .tv_nsec = (long)(ns % 1000000000)};
}

/* With the lock held; it is let go of while waiting. */
static int wait_for(struct agent *a, struct ask *k, struct error *err)
{
	struct timespec until;
	bool began;

	while (!k->done && clock_ns() < k->deadline) {
		until = to_timespec(k->deadline);
		pthread_cond_timedwait(&a->answered, &a->lock, &until);
	}
	if (k->done && k->result)
		return error_set(err, HOTRAIL_EXIT_BUSY, k->result,
				 "the guest's agent went before it answered %s: %.120s",
				 wire_type_name(k->type), a->state.trouble);
	if (k->done)
		return 0;
	began = k->sent > 0;
	io_unlink(a, k);
	io_trouble(a, "no answer to %s in time", wire_type_name(k->type));
	talk_lose(a);
	return error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
			 "the guest's agent did not answer %s in time%s", wire_type_name(k->type),
			 began ? "" : "; it never got it");
}

/* The agent said why not. */
static int on_error(struct agent *a, const struct ask *k, struct error *err)
{
	const struct agent_error *e = (const void *)k->reply;
	char text[AGENT_TEXT], why[160];

	check_text(text, sizeof(text), e->text, sizeof(e->text));
	if (e->status == AGENT_NO_HELLO) {
		io_trouble(a, "the agent has forgotten its greeting");
		talk_lose(a);
		return error_set(err, HOTRAIL_EXIT_BUSY, -ENOTCONN,
				 "the guest's agent began anew; it is being greeted, try again");
	}
	check_refusals(e->refusals, why, sizeof(why));
	return error_set(err,
			 e->status == AGENT_REFUSED	  ? HOTRAIL_EXIT_REFUSED
			 : e->status == AGENT_UNSUPPORTED ? HOTRAIL_EXIT_UNSUPPORTED
							  : HOTRAIL_EXIT_FAILED,
			 -EPROTO, "the guest's agent answers %s: %s; %s", wire_type_name(k->type),
			 agent_status_text(e->status), e->status == AGENT_REFUSED ? why : text);
}

int question_ask(struct agent *a, struct question *q, uint16_t type, size_t len)
{
	struct ask *k = &q->ask;
	int ret;

	k->type = type;
	k->slow = type == AGENT_MSG_GRACE || type == AGENT_MSG_RECLAIM ||
		  type == AGENT_MSG_UNPATCH_ALL || type == AGENT_MSG_LEAD;
	pthread_mutex_lock(&a->lock);
	if (a->talk != TALK_GREETED) {
		ret = not_there(a, q->err);
	} else {
		k->seq = ++a->seq;
		io_submit(a, k, (uint32_t)len);
		ret = wait_for(a, k, q->err);
	}
	if (!ret && k->reply_type == (AGENT_MSG_ERROR | AGENT_REPLY))
		ret = on_error(a, k, q->err);
	pthread_mutex_unlock(&a->lock);
	return ret;
}

int question_nonsense(struct agent *a, const struct question *q, int ret)
{
	if (!ret)
		return 0;
	pthread_mutex_lock(&a->lock);
	a->state.bad++;
	io_trouble(a, "%.150s", q->err->text);
	pthread_mutex_unlock(&a->lock);
	return ret;
}

int question_batch(struct agent *a, const struct question_batch *b, const void *list, size_t n,
		   void *ctx, struct error *err)
{
	struct question *q = question_new(err);
	size_t at, now;
	int ret = 0;

	if (!q)
		return -ENOMEM;
	for (at = 0; !ret && at < n; at += now) {
		const uint32_t head[2] = {(uint32_t)(now = n - at < b->max ? n - at : b->max)};
		uint8_t *m = question_payload(q);

		memcpy(m, head, sizeof(head));
		memcpy(m + sizeof(head), (const uint8_t *)list + at * b->size, now * b->size);
		ret = question_ask(a, q, b->type, sizeof(head) + now * b->size);
		if (!ret)
			ret = question_nonsense(a, q, b->take(q, at, (uint32_t)now, ctx));
	}
	free(q);
	return ret;
}

/* A list that changes while it is told is told anew, but not for ever. */
#define LISTINGS 4

/* Once through; -EAGAIN: it has become another list meanwhile. */
static int list_once(struct agent *a, struct question *q, const struct question_pages *p, void *out,
		     size_t room, size_t *n)
{
	const uint32_t *reply = (const void *)q->reply; /* total, count, elements */
	uint32_t first = 0, total = 0;
	size_t now;
	int ret;

	*n = 0;
	do {
		const uint32_t ask[2] = {first, p->arg};

		memcpy(question_payload(q), ask, sizeof(ask));
		ret = question_ask(a, q, p->type, sizeof(ask));
		if (ret)
			return ret;
		if (first && reply[0] != total)
			return -EAGAIN;
		ret = question_nonsense(a, q, check_page(&q->ask, p, first, q->err));
		if (ret)
			return ret;
		total = reply[0];
		now = reply[1] < room - *n ? reply[1] : room - *n;
		memcpy((uint8_t *)out + *n * p->size, reply + 2, now * p->size);
		*n += now;
		first += reply[1];
		if (now < reply[1] || (*n == room && first < total))
			return error_set(q->err, HOTRAIL_EXIT_FAILED, -ENOSPC,
					 "the guest has more than %zu %s", room, p->what);
	} while (first < total);
	return 0;
}

int question_pages(struct agent *a, const struct question_pages *p, void *out, size_t *n,
		   struct error *err)
{
	struct question *q = question_new(err);
	size_t room = *n;
	unsigned tries = LISTINGS;
	int ret;

	*n = 0;
	if (!q)
		return -ENOMEM;
	do
		ret = list_once(a, q, p, out, room, n);
	while (ret == -EAGAIN && --tries);
	if (ret == -EAGAIN)
		error_set(q->err, HOTRAIL_EXIT_BUSY, ret,
			  "the %s of the guest change all the time: try again later", p->what);
	free(q);
	return ret;
}
