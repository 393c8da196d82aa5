/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An agent played by a test at the other end of a socket pair: it reads what the client sends and
 * answers what the test wants. Greetings and pings are answered by the way unless it is told not
 * to.
 */
#ifndef HOTRAIL_TESTS_FAKE_AGENT_H
#define HOTRAIL_TESTS_FAKE_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "util/clock.h"
#include "wire_fixture.h"

struct fake {
	int client_fd, fd;
	struct agent *agent;
	bool no_hello, no_ping; /* not answered */
	struct agent_hello_reply hello;
	uint32_t hellos, pings, event_seq;
	struct agent_hello asked; /* the latest */
	uint32_t hello_seq;
	uint8_t in[2 * WIRE_MAX];
	uint32_t len;
	struct agent_header h; /* of the request fake_take() gave */
	union wire_payload payload;
};

static inline void fake_raw(struct fake *f, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	ssize_t n;

	for (; len; at += n, len -= (size_t)n) {
		n = send(f->fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
	}
}

static inline void fake_say(struct fake *f, uint16_t type, uint32_t seq, const void *payload,
			    uint32_t len)
{
	static uint8_t frame[WIRE_MAX];

	if (len)
		memcpy(frame + sizeof(struct agent_header), payload, len);
	fake_raw(f, frame, wire_seal(frame, type, len, seq));
}

/* To the request taken last. */
static inline void fake_reply(struct fake *f, const void *payload, uint32_t len)
{
	fake_say(f, f->h.type | AGENT_REPLY, f->h.seq, payload, len);
}

static inline void fake_error(struct fake *f, uint32_t status, uint32_t refusals, const char *text)
{
	struct agent_error e = {.status = status, .refusals = refusals};

	memcpy(e.text, text, strlen(text));
	fake_say(f, AGENT_MSG_ERROR | AGENT_REPLY, f->h.seq, &e, sizeof(e));
}

static inline void fake_event(struct fake *f, uint16_t type)
{
	union wire_payload p = {.bytes = {0}};
	uint32_t len = fixture_said(type, &p);

	fake_say(f, type, ++f->event_seq, &p, len);
}

static inline bool fake_by_the_way(struct fake *f)
{
	const struct agent_ping_reply ping = {.uptime_ms = ++f->pings, .pokes = f->hello.pokes};

	if (f->h.type == AGENT_MSG_HELLO) {
		f->hellos++;
		f->pings--;
		f->asked = f->payload.hello;
		f->hello_seq = f->h.seq;
		f->event_seq = 0;
		if (!f->no_hello)
			fake_reply(f, &f->hello, sizeof(f->hello));
		return true;
	}
	if (f->h.type == AGENT_MSG_PING && !f->no_ping)
		fake_reply(f, &ping, sizeof(ping));
	f->pings -= f->h.type != AGENT_MSG_PING;
	return f->h.type == AGENT_MSG_PING;
}

/* One frame, if one is there within `ms`. */
static inline bool fake_frame(struct fake *f, unsigned ms)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	uint64_t end = clock_ns() + ms * 1000000ull;
	uint32_t used;
	ssize_t n;

	for (;;) {
		enum wire_verdict v = wire_check(WIRE_AGENT, f->in, f->len, &used);

		if (v == WIRE_GOOD) {
			memcpy(&f->h, f->in, sizeof(f->h));
			memcpy(&f->payload, f->in + sizeof(f->h), f->h.length);
			memmove(f->in, f->in + used, f->len -= used);
			return true;
		}
		if (v != WIRE_SHORT || clock_ns() >= end)
			return false;
		if (poll(&p, 1, 5) == 1) {
			n = read(f->fd, f->in + f->len, sizeof(f->in) - f->len);
			if (n <= 0)
				return false;
			f->len += (uint32_t)n;
		}
	}
}

/* Be an agent for so long; requests other than hello and ping are lost. */
static inline void fake_live(struct fake *f, unsigned ms)
{
	uint64_t end = clock_ns() + ms * 1000000ull;

	while (clock_ns() < end)
		if (fake_frame(f, 5))
			fake_by_the_way(f);
}

/* The next request that is neither hello nor ping, within ten seconds. */
static inline bool fake_take(struct fake *f, uint16_t type)
{
	while (fake_frame(f, 10000))
		if (!fake_by_the_way(f))
			return f->h.type == type;
	return false;
}

/* Be an agent until the client's health is `want`; false after ten seconds. */
static inline bool fake_until(struct fake *f, enum agent_health want, struct agent_state *s)
{
	uint64_t end = clock_ns() + 10000000000ull;

	do {
		fake_live(f, 10);
		agent_get_state(f->agent, s);
	} while (s->health != want && clock_ns() < end);
	return s->health == want;
}

static inline int fake_open(struct fake *f, struct agent_config c)
{
	int fds[2];

	memset(f, 0, sizeof(*f));
	fixture_hello_reply(&f->hello);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -1;
	f->client_fd = c.fd = fds[0];
	f->fd = fds[1];
	return agent_open(&c, &f->agent, NULL);
}

static inline void fake_close(struct fake *f)
{
	agent_close(f->agent);
	close(f->client_fd);
	if (f->fd >= 0)
		close(f->fd);
}

#endif
