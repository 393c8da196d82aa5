// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer entry: a whole client of the in-guest agent, without its thread, gets any bytes from
 * the guest while a hello, a ping's turn and one request of every kind are under way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As in tests/data/wire: a reply's number is this and its type. */
#define SEQ 0xa0b0c000u

static struct agent a;
static struct question asked[AGENT_MSG_NAMES + 1];
static unsigned events;

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void on_module(void *ctx, const struct agent_module *m)
{
	check(strlen(m->name) < sizeof(m->name) && m->text >= 0xffffffff80000000ull);
	events++;
}

static void on_conflict(void *ctx, const struct agent_conflict *c)
{
	check(c->len == 5 || c->len == 6);
	events++;
}

static void on_change(void *ctx)
{
	events++;
}

/* Sent, as far as the client knows. */
static void submit(struct ask *k, uint16_t type)
{
	k->type = type;
	k->seq = SEQ + (type | AGENT_REPLY);
	io_submit(&a, k, 0);
	k->sent = k->len;
}

static void begin(void)
{
	static const struct agent_events on = {
		.module = on_module,
		.conflict = on_conflict,
		.reborn = on_change,
		.back = on_change,
	};
	uint16_t type;

	memset(&a, 0, sizeof(a));
	memset(asked, 0, sizeof(asked));
	pthread_mutex_init(&a.lock, NULL);
	pthread_cond_init(&a.answered, NULL);
	a.config.fd = a.wake = -1;
	a.config.events = on;
	a.patience_ns = a.lease_ns = 1000000000;
	a.hello_seq = SEQ + (AGENT_MSG_HELLO | AGENT_REPLY);
	talk_tick(&a, 1);
	a.own.sent = a.own.len;
	for (type = AGENT_MSG_PROTECTED; type <= AGENT_MSG_NAMES; type++) {
		asked[type].ask.frame = (uint8_t *)asked[type].frame + 4;
		asked[type].ask.reply = (uint8_t *)asked[type].reply;
		submit(&asked[type].ask, type);
	}
}

static void feed(const uint8_t *data, size_t size)
{
	uint32_t room, n;
	size_t at;

	for (at = 0; at < size; at += n) {
		uint8_t *to = stream_room(&a.stream, &room);

		n = 1 + data[at] * 64u;
		n = n < size - at ? n : (uint32_t)(size - at);
		memcpy(to, data + at, n);
		stream_came(&a.stream, n);
		io_frames(&a);
		stream_give_up(&a.stream);
		io_frames(&a);
		talk_tick(&a, at);
		if (a.asks == &a.own)
			a.own.sent = a.own.len;
	}
}

static void judge(void)
{
	struct error err;
	unsigned type;

	check(a.state.trouble[sizeof(a.state.trouble) - 1] == '\0');
	check(a.state.health <= AGENT_LOST && !a.state.generation == (a.state.greetings == 0));
	check(!a.state.generation || !check_hello(&a.state.hello, &err));
	check((a.talk == TALK_GREETED) ==
	      (a.state.health == AGENT_ALIVE || a.state.health == AGENT_REFUSING));
	for (type = 0; type <= AGENT_MSG_NAMES; type++) {
		const struct ask *k = &asked[type].ask;

		check(!k->done || k->result == 0 || k->result == -ENOTCONN);
		check(k->reply_len <= AGENT_MAX_PAYLOAD);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t at = 0;

	if (size > 4 * WIRE_MAX)
		return 0;
	begin();
	feed(data, size);
	judge();
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	while (size - at >= sizeof(struct agent_header)) { /* past the checksums */
		struct agent_header h;

		memcpy(&h, copy + at, sizeof(h));
		if (h.length > size - at - sizeof(h))
			h.length = (uint32_t)(size - at - sizeof(h)) & 0x3fff;
		at += wire_seal(copy + at, h.type, h.length, h.seq);
	}
	begin();
	feed(copy, size);
	judge();
	free(copy);
	return 0;
}
