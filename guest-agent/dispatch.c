// SPDX-License-Identifier: GPL-2.0-only
/* Requests of the host: one table of handlers, made from the table of messages. */
#include "pairs.h"
#include "request.h"

#include <linux/random.h>
#include <linux/slab.h>
#include <linux/utsname.h>

struct host_state host;

static u32 event_seq;

void request_fail(const struct request *q, u32 status, const char *text)
{
	struct outgoing *o = outgoing_new(sizeof(struct agent_error));
	struct agent_error *e;

	if (!o)
		return;
	e = (void *)(o->frame + sizeof(struct agent_header));
	memset(e, 0, sizeof(*e));
	e->status = status;
	e->refusals = refusals();
	strscpy(e->text, text, sizeof(e->text));
	outgoing_send(o, AGENT_MSG_ERROR | AGENT_REPLY, sizeof(*e), q->seq);
}

void *reply_new(const struct request *q, u32 payload, struct outgoing **o)
{
	void *p;

	*o = outgoing_new(payload);
	if (!*o) {
		request_fail(q, AGENT_NO_MEMORY, "out of memory");
		return NULL;
	}
	p = (*o)->frame + sizeof(struct agent_header);
	memset(p, 0, payload);
	return p;
}

void reply_send(const struct request *q, struct outgoing *o, u32 payload)
{
	outgoing_send(o, q->type | AGENT_REPLY, payload, q->seq);
}

static void event(u16 type, const void *payload, u32 len)
{
	struct outgoing *o;

	if (!host.present)
		return;
	event_seq++;
	o = outgoing_new(len);
	if (!o)
		return; /* the gap in the numbers tells */
	memcpy(o->frame + sizeof(struct agent_header), payload, len);
	outgoing_send(o, type, len, event_seq);
}

void event_module(const struct agent_module *m)
{
	event(AGENT_MSG_MODULE_STATE, m, sizeof(*m));
}

void event_conflict(const struct site *s, const u8 *have, u8 action)
{
	struct agent_conflict c = {.site = s->addr, .len = s->len, .action = action};

	memcpy(c.want, s->now, s->len);
	memcpy(c.have, have, s->len);
	event(AGENT_MSG_CONFLICT, &c, sizeof(c));
}

void event_bye(u32 undone, u32 left)
{
	struct agent_bye b = {.undone = undone, .left = left};

	event(AGENT_MSG_BYE, &b, sizeof(b));
}

void dispatch_host_lost(void)
{
	host.present = false;
}

static u32 in_place(void)
{
	return sites_promoted() + pairs_led();
}

void handle_HELLO(const struct request *q)
{
	const struct agent_hello *h = q->payload;
	struct agent_hello_reply *r;
	struct outgoing *o;

	if (h->policy > AGENT_LOST_KEEP || !h->host) {
		request_fail(q, AGENT_BAD_MESSAGE, "no such policy for a lost host, or no name");
		return;
	}
	r = reply_new(q, sizeof(*r), &o);
	if (!r)
		return;
	if (!host.instance)
		host.instance = get_random_u64() | 1;
	r->features = kernel.features;
	r->refusals = refusals();
	r->instance = host.instance;
	r->host = in_place() ? host.host : 0;
	r->text_start = kernel.text_start;
	r->text_end = kernel.text_end;
	arena_describe(r);
	r->pokes = in_place();
	memcpy(r->build_id, kernel.build_id, sizeof(r->build_id));
	r->build_id_len = kernel.build_id_len;
	strscpy(r->release, init_utsname()->release, sizeof(r->release));
	host.present = true;
	host.host = h->host;
	event_seq = 0;
	watch_lease(h->lease_ms, h->policy);
	reply_send(q, o, sizeof(*r));
}

void handle_PING(const struct request *q)
{
	struct agent_ping_reply *r;
	struct outgoing *o;

	r = reply_new(q, sizeof(*r), &o);
	if (!r)
		return;
	r->uptime_ms = ktime_get_boottime_ns() / NSEC_PER_MSEC;
	r->pokes = in_place();
	r->conflicts = counts.conflicts;
	r->busy = counts.busy;
	r->rounds = counts.rounds;
	r->undone = counts.undone;
	r->refusals = refusals();
	reply_send(q, o, sizeof(*r));
}

typedef void (*handler)(const struct request *q);

static const handler handlers[] = {
#define HANDLER_Q(number, name) [number] = handle_##name,
#define HANDLER_R(number, name)
#define HANDLER_E(number, name)
#define HANDLER(number, name, dir, least, most) HANDLER_##dir(number, name)
	AGENT_MESSAGES(HANDLER)
#undef HANDLER
#undef HANDLER_Q
#undef HANDLER_R
#undef HANDLER_E
};

static struct request request_of(const void *frame)
{
	struct agent_header h;

	memcpy(&h, frame, sizeof(h));
	return (struct request){.payload = (const u8 *)frame + sizeof(h),
				.len = h.length,
				.seq = h.seq,
				.type = h.type};
}

void dispatch_frame(const void *frame)
{
	struct request q = request_of(frame);

	mutex_lock(&hotrail_lock);
	host.messages++;
	watch_heard();
	if (!host.present && q.type != AGENT_MSG_HELLO)
		request_fail(&q, AGENT_NO_HELLO, "a hello has to come first");
	else
		handlers[q.type](&q);
	watch_heard(); /* what took long does not end the lease */
	mutex_unlock(&hotrail_lock);
}

void dispatch_bad(const void *frame, enum wire_verdict v)
{
	struct request q = {0};
	u32 status = AGENT_BAD_MESSAGE;

	if (v == WIRE_BAD_VERSION)
		status = AGENT_BAD_VERSION;
	else if (v == WIRE_UNKNOWN)
		status = AGENT_UNSUPPORTED;
	if (v != WIRE_BAD_MAGIC && v != WIRE_BAD_LENGTH)
		q = request_of(frame);
	mutex_lock(&hotrail_lock);
	host.bad++;
	if (v != WIRE_BAD_CRC) /* whose number may be as spoilt as the rest */
		request_fail(&q, status, wire_verdict_text(v));
	mutex_unlock(&hotrail_lock);
}
