// SPDX-License-Identifier: GPL-2.0-only
/* Greeting the agent, staying in touch with it, and what it says by itself. */
#include "agent/state.h"

#include <errno.h>
#include <string.h>

#include "util/clock.h"

#define GREET_NS 1000000000ull

/* The first byte of a payload is 8-aligned. */
static void submit_own(struct agent *a, uint16_t type, const void *payload, uint32_t len)
{
	a->own.frame = (uint8_t *)a->own_frame + 4;
	if (len)
		memcpy(a->own.frame + sizeof(struct agent_header), payload, len);
	a->own.type = type;
	io_submit(a, &a->own, len);
}

static bool own_waits(const struct agent *a)
{
	const struct ask *k;

	for (k = a->asks; k; k = k->next)
		if (k == &a->own)
			return true;
	return false;
}

/*
 * Said again under the same number until it is answered, so that a slow answer still fits. Not
 * before the other end has read the last one: where no relay reads, one hello waits for it.
 */
static void greet(struct agent *a, uint64_t now)
{
	const struct agent_hello hello = {
		.lease_ms = (uint32_t)(a->lease_ns / 1000000),
		.policy = a->config.policy,
		.host = a->host,
	};

	a->own_next = now + GREET_NS;
	if (!io_drained(a))
		return;
	if (own_waits(a))
		io_unlink(a, &a->own);
	while (!a->hello_seq)
		a->hello_seq = ++a->seq;
	a->own.seq = a->hello_seq;
	submit_own(a, AGENT_MSG_HELLO, &hello, sizeof(hello));
}

static bool slow_pending(const struct agent *a)
{
	const struct ask *k;

	for (k = a->asks; k; k = k->next)
		if (k->slow)
			return true;
	return false;
}

/* While the agent waits for a grace period it is busy, not gone; its lease stands still. */
static void keep_in_touch(struct agent *a, uint64_t now)
{
	if (own_waits(a)) {
		if (now < a->own.deadline)
			return;
		io_trouble(a, "the agent does not answer a ping");
		talk_lose(a);
	} else if (now >= a->own_next && !slow_pending(a)) {
		a->own.seq = ++a->seq;
		submit_own(a, AGENT_MSG_PING, NULL, 0);
		a->own_next = now + a->lease_ns / 3;
	}
}

uint64_t talk_tick(struct agent *a, uint64_t now)
{
	uint64_t next = now + GREET_NS, due;

	if (a->talk == TALK_GREETING && now >= a->own_next)
		greet(a, now);
	if (a->talk == TALK_GREETED)
		keep_in_touch(a, now);
	due = a->talk == TALK_GREETED && own_waits(a) ? a->own.deadline : a->own_next;
	return a->talk == TALK_OVER || due <= now || due > next ? next : due;
}

void talk_lose(struct agent *a)
{
	if (a->talk != TALK_GREETED)
		return;
	if (own_waits(a))
		io_unlink(a, &a->own);
	a->talk = TALK_GREETING;
	a->state.health = AGENT_LOST;
	a->hello_seq = 0;
	a->own_next = 0;
	io_ring(a);
}

void talk_over(struct agent *a)
{
	talk_lose(a);
	a->talk = TALK_OVER;
	io_trouble(a, "the other end of the agent's port is closed");
	io_fail_all(a, -ENOTCONN);
}

static void accept_hello(struct agent *a, const struct agent_hello_reply *r)
{
	a->state.hello = *r;
	check_text(a->state.hello.release, sizeof(a->state.hello.release), r->release,
		   sizeof(r->release));
	a->state.generation = r->instance;
	a->state.health = r->refusals ? AGENT_REFUSING : AGENT_ALIVE;
	a->state.greetings++;
	a->state.events_lost = 0;
	a->state.trouble[0] = '\0';
	a->event_seq = 0;
	a->talk = TALK_GREETED;
	a->own_next = 0; /* a first ping at once: how many sites wait, and why */
}

void talk_hello(struct agent *a, const struct agent_hello_reply *r)
{
	void (*tell)(void *ctx) = NULL;
	struct error err;

	pthread_mutex_lock(&a->lock);
	if (check_hello(r, &err)) {
		a->state.bad++;
		io_trouble(a, "%.150s", err.text);
		talk_lose(a);
	} else if (a->talk == TALK_GREETED && a->state.generation == r->instance) {
		a->state.hello.pokes = r->pokes; /* an echo of the greeting */
	} else {
		/* What was asked before is answered, or never will be. */
		io_fail_all(a, -ENOTCONN);
		if (a->state.generation)
			tell = a->state.generation == r->instance ? a->config.events.back
								  : a->config.events.reborn;
		if (a->talk == TALK_GREETED)
			talk_lose(a);
		pthread_mutex_unlock(&a->lock);
		if (tell)
			tell(a->config.events.ctx);
		pthread_mutex_lock(&a->lock);
		accept_hello(a, r);
	}
	pthread_mutex_unlock(&a->lock);
}

/* Conditions for patching may come and go: hello says which, and with them the arena. */
void talk_ping(struct agent *a, const struct agent_ping_reply *r)
{
	pthread_mutex_lock(&a->lock);
	a->state.ping = *r;
	if (!r->refusals != !a->state.hello.refusals) {
		io_trouble(a, "the guest's conditions have changed");
		talk_lose(a);
	}
	pthread_mutex_unlock(&a->lock);
}

void talk_own_error(struct agent *a, const struct agent_error *e)
{
	char text[AGENT_TEXT];

	check_text(text, sizeof(text), e->text, sizeof(e->text));
	pthread_mutex_lock(&a->lock);
	io_trouble(a, "the agent answers %s: %s", agent_status_text(e->status), text);
	talk_lose(a); /* it must be greeted (anew), or it makes no sense */
	pthread_mutex_unlock(&a->lock);
}

/* --- events --- */

static void on_bye(struct agent *a)
{
	bool known;

	pthread_mutex_lock(&a->lock);
	known = a->state.generation != 0;
	io_trouble(a, "the agent's module was unloaded");
	talk_lose(a);
	io_fail_all(a, -ENOTCONN);
	pthread_mutex_unlock(&a->lock);
	if (known && a->config.events.reborn)
		a->config.events.reborn(a->config.events.ctx);
}

static void refuse_event(struct agent *a, const struct error *err)
{
	pthread_mutex_lock(&a->lock);
	a->state.bad++;
	io_trouble(a, "%.150s", err->text);
	pthread_mutex_unlock(&a->lock);
}

static void on_module(struct agent *a, const uint8_t *payload)
{
	struct agent_module m;
	struct error err;

	memcpy(&m, payload, sizeof(m));
	if (check_module(&m, &err)) {
		refuse_event(a, &err);
		return;
	}
	check_text(m.name, sizeof(m.name), m.name, sizeof(m.name));
	if (a->config.events.module)
		a->config.events.module(a->config.events.ctx, &m);
}

static void on_conflict(struct agent *a, const uint8_t *payload)
{
	struct agent_conflict c;
	struct error err;

	memcpy(&c, payload, sizeof(c));
	if (check_conflict(&c, &err))
		refuse_event(a, &err);
	else if (a->config.events.conflict)
		a->config.events.conflict(a->config.events.ctx, &c);
}

/* Events before the greeting are those of an earlier talk; but gone is gone. */
void talk_event(struct agent *a, const struct agent_header *h, const uint8_t *payload)
{
	bool greeted;

	pthread_mutex_lock(&a->lock);
	greeted = a->talk == TALK_GREETED;
	a->state.events++;
	if (greeted && h->seq - a->event_seq - 1 < UINT32_MAX / 2)
		a->state.events_lost += h->seq - a->event_seq - 1;
	a->event_seq = h->seq;
	pthread_mutex_unlock(&a->lock);
	if (h->type == AGENT_MSG_BYE)
		on_bye(a);
	else if (greeted && h->type == AGENT_MSG_MODULE_STATE)
		on_module(a, payload);
	else if (greeted && h->type == AGENT_MSG_CONFLICT)
		on_conflict(a, payload);
}
