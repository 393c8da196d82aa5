// SPDX-License-Identifier: GPL-2.0-only
/* Frames out of a byte stream, and back into step after a fault. */
#include "agent/stream.h"

#include <string.h>

uint8_t *stream_room(struct stream *s, uint32_t *room)
{
	memmove(s->bytes, s->bytes + s->at, s->len - s->at);
	s->len -= s->at;
	s->at = 0;
	*room = (uint32_t)sizeof(s->bytes) - s->len;
	return s->bytes + s->len;
}

void stream_came(struct stream *s, uint32_t n)
{
	s->len += n;
}

bool stream_waits(const struct stream *s)
{
	return s->at < s->len;
}

void stream_give_up(struct stream *s)
{
	if (!stream_waits(s))
		return;
	s->lost = true;
	s->at++;
	s->dropped++;
}

/* To the next byte that a frame could begin with. */
static void skip(struct stream *s)
{
	const uint32_t magic = AGENT_MAGIC;
	const uint8_t *from = s->bytes + s->at + 1, *end = s->bytes + s->len, *next;

	next = memchr(from, *(const uint8_t *)&magic, (size_t)(end - from));
	if (!next)
		next = end;
	s->dropped += (uint64_t)(next - (s->bytes + s->at));
	s->at = (uint32_t)(next - s->bytes);
}

enum wire_verdict stream_next(struct stream *s, struct agent_header *header,
			      const uint8_t **payload)
{
	enum wire_verdict v;
	const uint8_t *frame;
	uint32_t used;
	bool told;

	for (;;) {
		frame = s->bytes + s->at;
		v = wire_check(WIRE_HOST, frame, s->len - s->at, &used);
		if (v == WIRE_SHORT)
			return v;
		/* A spoilt frame's length may be what was spoilt: what it spans is searched. */
		if (v == WIRE_BAD_MAGIC || v == WIRE_BAD_LENGTH || v == WIRE_BAD_CRC) {
			told = s->lost;
			s->lost = true;
			skip(s);
			if (told)
				continue;
			return v;
		}
		memcpy(header, frame, sizeof(*header));
		*payload = frame + sizeof(*header);
		s->at += used;
		s->lost = false;
		return v;
	}
}
