// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Frames of the agent protocol. */
#include "wire.h"

#ifdef __KERNEL__
#include <linux/stddef.h>
#include <linux/string.h>
#else
#include <stddef.h>
#include <string.h>
#endif

#include "crc32c.h"

#define CRC_END (offsetof(struct agent_header, crc) + sizeof(__u32))

enum direction { Q, R, E };

static const struct message {
	__u16 type; /* with AGENT_REPLY where it is one */
	__u8 direction;
	__u32 least, most;
	const char *name;
} messages[] = {
#define MESSAGE(number, name, dir, least, most)                                                    \
	{number | (dir == R ? AGENT_REPLY : 0), dir, least, most, #name},
	AGENT_MESSAGES(MESSAGE)
#undef MESSAGE
};

static const struct message *find(__u16 type)
{
	__u32 i;

	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].type == type)
			return &messages[i];
	return NULL;
}

static __u32 checksum(const struct agent_header *h, const __u8 *payload, __u32 length)
{
	struct agent_header zeroed = *h;

	zeroed.crc = 0;
	return hotrail_crc32c(hotrail_crc32c(0, &zeroed, CRC_END), payload, length);
}

enum wire_verdict wire_check(enum wire_side reader, const void *buf, __u32 len, __u32 *used)
{
	const struct message *m;
	struct agent_header h;

	*used = 0;
	if (len < sizeof(h))
		return WIRE_SHORT;
	memcpy(&h, buf, sizeof(h));
	if (h.magic != AGENT_MAGIC)
		return WIRE_BAD_MAGIC;
	if (h.length > AGENT_MAX_PAYLOAD)
		return WIRE_BAD_LENGTH;
	if (len - sizeof(h) < h.length)
		return WIRE_SHORT;
	*used = (__u32)sizeof(h) + h.length;
	if (checksum(&h, (const __u8 *)buf + sizeof(h), h.length) != h.crc)
		return WIRE_BAD_CRC;
	if (h.version != AGENT_VERSION)
		return WIRE_BAD_VERSION;
	m = find(h.type);
	if (!m || (reader == WIRE_AGENT) != (m->direction == Q))
		return WIRE_UNKNOWN;
	return h.length < m->least || h.length > m->most ? WIRE_BAD_SIZE : WIRE_GOOD;
}

__u32 wire_seal(void *frame, __u16 type, __u32 length, __u32 seq)
{
	struct agent_header h = {
		.magic = AGENT_MAGIC,
		.version = AGENT_VERSION,
		.type = type,
		.length = length,
		.seq = seq,
	};

	h.crc = checksum(&h, (const __u8 *)frame + sizeof(h), length);
	memcpy(frame, &h, sizeof(h));
	return (__u32)sizeof(h) + length;
}

const char *wire_type_name(__u16 type)
{
	const struct message *m = find(type);

	return m ? m->name : "unknown";
}

int wire_counts(__u32 length, __u32 head, __u32 count, __u32 size, __u32 max)
{
	return count <= max && length >= head && length - head == count * size;
}

const char *wire_verdict_text(enum wire_verdict v)
{
	switch (v) {
	case WIRE_GOOD:
		return "good";
	case WIRE_SHORT:
		return "not complete";
	case WIRE_BAD_MAGIC:
		return "no frame begins here";
	case WIRE_BAD_LENGTH:
		return "longer than a frame may be";
	case WIRE_BAD_CRC:
		return "the checksum does not fit";
	case WIRE_BAD_VERSION:
		return "of another protocol version";
	case WIRE_UNKNOWN:
		return "of an unknown type";
	case WIRE_BAD_SIZE:
		return "not of the size of its type";
	}
	return "unknown verdict";
}
