// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer entry: any bytes as frames of the agent protocol. Both readers look at them; a stream
 * takes them in pieces and must give the sound frames whatever surrounds them; the client's checks
 * get payloads as replies to every request.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"
#include "protocol/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* A copy of its own, so that a look behind its end is found out. */
static void read_frame(const uint8_t *data, uint32_t size)
{
	enum wire_side side;
	enum wire_verdict v;
	uint32_t used;

	for (side = WIRE_HOST; side <= WIRE_AGENT; side++) {
		v = wire_check(side, data, size, &used);
		check(used <= size);
		check(!used == (v == WIRE_SHORT || v == WIRE_BAD_MAGIC || v == WIRE_BAD_LENGTH));
	}
}

/* The frames a stream finds in the input, cut by `piece`; a sum over what they are. */
static uint64_t stream_sum(const uint8_t *data, size_t size, size_t piece)
{
	static struct stream s;
	const uint8_t *payload;
	struct agent_header h;
	enum wire_verdict v;
	uint64_t sum = 0;
	uint32_t room, n;
	size_t at;

	memset(&s, 0, sizeof(s));
	for (at = 0; at < size; at += n) {
		uint8_t *to = stream_room(&s, &room);

		check(room >= WIRE_MAX);
		n = (uint32_t)(piece < size - at ? piece : size - at);
		memcpy(to, data + at, n);
		stream_came(&s, n);
		while ((v = stream_next(&s, &h, &payload)) != WIRE_SHORT)
			if (v == WIRE_GOOD)
				sum = sum * 31 + hotrail_crc32c(h.type, payload, h.length);
	}
	check(s.dropped <= size);
	return sum;
}

static void check_reply(struct ask *k, const uint8_t *data)
{
	static const uint32_t tables[AGENT_MAX_TABLES];
	static const struct question_pages pages[] = {
		{.max = AGENT_MAX_RANGES, .size = sizeof(struct agent_range), .sound = check_range},
		{.max = AGENT_MAX_PAIRS, .size = sizeof(struct agent_pair), .sound = check_pair},
		{.max = AGENT_MAX_PROGS, .size = sizeof(uint64_t), .sound = check_program},
	};
	static const uint64_t names[AGENT_MAX_NAMES];
	uint32_t count;
	uint64_t addr;
	size_t i;
	struct error err;

	memcpy(&count, data, sizeof(count));
	memcpy(&addr, data, sizeof(addr));
	if (count <= AGENT_MAX_POKES)
		check_pokes(k, count, &err);
	if (count <= AGENT_MAX_BLOCKS)
		check_statuses(k, count, &err);
	if (count <= AGENT_MAX_TABLES)
		check_counters(k, tables, count, &err);
	if (count <= AGENT_MAX_NAMES)
		check_names(k, names, count, &err);
	check_modules(k, count, &err);
	check_read(k, addr, k->reply_len - 16, &err);
	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (!check_page(k, &pages[i], 0, &err))
			check(((const struct agent_pairs_reply *)(const void *)k->reply)->count <=
			      pages[i].max);
}

/* As a reply whose frame was in order: at least the head of its list, in memory of just its size.
 */
static void receive(const uint8_t *data, size_t size)
{
	struct ask k = {.reply_len = (uint32_t)size};

	if (size < 16 || size > AGENT_MAX_PAYLOAD)
		return;
	k.reply = malloc(size);
	if (!k.reply)
		return;
	memcpy(k.reply, data, size);
	check_reply(&k, data);
	free(k.reply);
}

static void greet(const uint8_t *data, size_t size)
{
	struct agent_hello_reply r;
	struct agent_conflict c;
	struct agent_module m;
	struct error err;
	char text[AGENT_TEXT];

	if (size < sizeof(r))
		return;
	memcpy(&r, data, sizeof(r));
	memcpy(&m, data, sizeof(m));
	memcpy(&c, data, sizeof(c));
	if (!check_hello(&r, &err))
		check(r.instance && memchr(r.release, 0, sizeof(r.release)) &&
		      r.arena_code_size <= 16 << 20 &&
		      (!r.arena_code_size || r.arena_code + r.arena_code_size - 1 >= r.arena_code));
	if (!check_module(&m, &err))
		check(memchr(m.name, 0, sizeof(m.name)) != NULL);
	check_conflict(&c, &err);
	check_text(text, sizeof(text), (const char *)data, size);
	check(strlen(text) < sizeof(text));
	check_refusals(r.refusals, text, sizeof(text));
	check(text[0]);
}

/* Frames whose checksums were made right, to get behind them. */
static void seal_all(uint8_t *data, size_t size)
{
	struct agent_header h;
	size_t at = 0;

	while (size - at >= sizeof(h)) {
		memcpy(&h, data + at, sizeof(h));
		if (h.length > size - at - sizeof(h))
			h.length = (uint32_t)(size - at - sizeof(h)) & 0x3fff;
		at += wire_seal(data + at, h.type, h.length, h.seq);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t i;

	if (size > 4 * WIRE_MAX)
		return 0;
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy = realloc(copy, size ? size : 1);
	for (i = 0; i < 2; i++) {
		read_frame(copy, (uint32_t)size);
		check(stream_sum(copy, size, WIRE_MAX) == stream_sum(copy, size, 1 + size / 7));
		receive(copy, size);
		greet(copy, size);
		seal_all(copy, size);
	}
	free(copy);
	return 0;
}
