// SPDX-License-Identifier: GPL-2.0-only
/* The agent's socket: requests out in their order, frames in, each answer to its asker. */
#include "agent/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "util/clock.h"

#define SLOW_TIMES 12 /* a grace period's patience over that for other requests */

void io_ring(struct agent *a)
{
	uint64_t one = 1;

	if (write(a->wake, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

void io_trouble(struct agent *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(a->state.trouble, sizeof(a->state.trouble), fmt, args);
	va_end(args);
}

/* --- out --- */

/* True when all is out; false with *error 0 when the socket is full, -EPIPE when it is closed. */
static bool send_some(struct agent *a, const uint8_t *bytes, uint32_t len, uint32_t *sent,
		      int *error)
{
	ssize_t n;

	while (*sent < len) {
		n = send(a->config.fd, bytes + *sent, len - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*error = errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -EPIPE;
			return false;
		}
		*sent += (uint32_t)n;
	}
	return true;
}

int io_flush(struct agent *a)
{
	struct ask *k;
	int error = 0;

	if (!send_some(a, a->rest, a->rest_len, &a->rest_at, &error))
		return error;
	for (k = a->asks; k; k = k->next) {
		if (k->sent == k->len)
			continue;
		if (!send_some(a, k->frame, k->len, &k->sent, &error))
			return error;
		a->state.sent++;
	}
	return 0;
}

bool io_unsent(const struct agent *a)
{
	const struct ask *k;

	for (k = a->asks; k; k = k->next)
		if (k->sent < k->len)
			return true;
	return a->rest_at < a->rest_len;
}

/* Not known for every kind of socket: then it is taken for read. */
bool io_drained(const struct agent *a)
{
	int waiting = 0;

	return !io_unsent(a) && (ioctl(a->config.fd, SIOCOUTQ, &waiting) || !waiting);
}

/* Requests are served one after the other: a slow one before it is waited for first. */
static uint64_t deadline(const struct agent *a, const struct ask *k)
{
	uint64_t from = clock_ns();
	const struct ask *before;

	for (before = a->asks; before != k; before = before->next)
		if (before->slow && before->deadline > from)
			from = before->deadline;
	return from + (k->slow ? SLOW_TIMES * a->patience_ns : a->patience_ns);
}

void io_submit(struct agent *a, struct ask *k, uint32_t payload_len)
{
	struct ask **at = &a->asks;

	k->len = wire_seal(k->frame, k->type, payload_len, k->seq);
	k->sent = 0;
	k->done = false;
	k->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = k;
	k->deadline = deadline(a, k);
	/* The reading thread waits for room, and finds out for itself that nobody is there. */
	if (io_flush(a) || io_unsent(a))
		io_ring(a);
}

void io_unlink(struct agent *a, struct ask *k)
{
	struct ask **at = &a->asks;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	/* The agent gets whole frames, wanted or not. */
	if (k->sent && k->sent < k->len) {
		a->rest_at = 0;
		a->rest_len = k->len - k->sent;
		memcpy(a->rest, k->frame + k->sent, a->rest_len);
	}
}

void io_complete(struct agent *a, struct ask *k, int result)
{
	struct ask *behind = k->next;

	io_unlink(a, k);
	k->result = result;
	k->done = true;
	/* An agent that gets on is given its time for the next one. */
	for (; !result && behind; behind = behind->next)
		behind->deadline = deadline(a, behind);
	pthread_cond_broadcast(&a->answered);
}

void io_fail_all(struct agent *a, int result)
{
	while (a->asks)
		io_complete(a, a->asks, result);
}

/* --- in --- */

static bool answers(const struct ask *k, const struct agent_header *h)
{
	return k->seq == h->seq && k->sent == k->len &&
	       (h->type == (k->type | AGENT_REPLY) || h->type == (AGENT_MSG_ERROR | AGENT_REPLY));
}

static void answer_own(struct agent *a, const struct agent_header *h, const uint8_t *payload)
{
	struct agent_hello_reply hello;
	struct agent_ping_reply ping;
	struct agent_error error;

	switch (h->type) {
	case AGENT_MSG_HELLO | AGENT_REPLY:
		memcpy(&hello, payload, sizeof(hello));
		talk_hello(a, &hello);
		break;
	case AGENT_MSG_PING | AGENT_REPLY:
		memcpy(&ping, payload, sizeof(ping));
		talk_ping(a, &ping);
		break;
	case AGENT_MSG_ERROR | AGENT_REPLY:
		memcpy(&error, payload, sizeof(error));
		talk_own_error(a, &error);
		break;
	}
}

static void on_reply(struct agent *a, const struct agent_header *h, const uint8_t *payload)
{
	struct ask *k;
	bool own;

	pthread_mutex_lock(&a->lock);
	for (k = a->asks; k && !answers(k, h); k = k->next)
		;
	/* The hello that was said twice is answered twice. */
	own = k == &a->own || (!k && h->type == (AGENT_MSG_HELLO | AGENT_REPLY) && a->hello_seq &&
			       h->seq == a->hello_seq);
	if (!k && !own) {
		a->state.bad++;
		io_trouble(a, "an answer that nobody waited for (%s)", wire_type_name(h->type));
	}
	if (k && !own) {
		memcpy(k->reply, payload, h->length);
		k->reply_type = h->type;
		k->reply_len = h->length;
	}
	if (k)
		io_complete(a, k, 0);
	pthread_mutex_unlock(&a->lock);
	if (own)
		answer_own(a, h, payload);
}

static void on_fault(struct agent *a, enum wire_verdict v, const struct agent_header *h)
{
	pthread_mutex_lock(&a->lock);
	a->state.bad++;
	if (v == WIRE_BAD_VERSION)
		io_trouble(a,
			   "the agent speaks version %u of the protocol, this host version %d: use "
			   "the agent that belongs to this Hotrail",
			   h->version, AGENT_VERSION);
	else if (v == WIRE_UNKNOWN || v == WIRE_BAD_SIZE)
		io_trouble(a, "a frame (type %#x, %u bytes) is %s", h->type, h->length,
			   wire_verdict_text(v));
	else
		io_trouble(a, "the stream from the agent is spoilt: %s; looking for the next frame",
			   wire_verdict_text(v));
	pthread_mutex_unlock(&a->lock);
}

void io_frames(struct agent *a)
{
	struct agent_header h;
	const uint8_t *payload;
	enum wire_verdict v;

	for (;;) {
		v = stream_next(&a->stream, &h, &payload);
		if (v == WIRE_SHORT)
			return;
		if (v != WIRE_GOOD) {
			on_fault(a, v, &h);
			continue;
		}
		pthread_mutex_lock(&a->lock);
		a->state.received++;
		pthread_mutex_unlock(&a->lock);
		if (h.type & AGENT_REPLY)
			on_reply(a, &h, payload);
		else
			talk_event(a, &h, payload);
	}
}

bool io_receive(struct agent *a)
{
	uint32_t room;
	uint8_t *at = stream_room(&a->stream, &room);
	ssize_t n = recv(a->config.fd, at, room, MSG_DONTWAIT);

	if (n > 0) {
		stream_came(&a->stream, (uint32_t)n);
		a->came_ns = clock_ns();
		io_frames(a);
	}
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}
