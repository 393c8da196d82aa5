/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames: bounds, checksum and the table of messages. Pure; the same code in host and module. */
#ifndef HOTRAIL_PROTOCOL_WIRE_H
#define HOTRAIL_PROTOCOL_WIRE_H

#include "agent.h"

#define WIRE_MAX (sizeof(struct agent_header) + AGENT_MAX_PAYLOAD)

enum wire_side { WIRE_HOST, WIRE_AGENT }; /* who reads */

enum wire_verdict {
	WIRE_GOOD,
	WIRE_SHORT,	  /* not all there yet; nothing wrong so far */
	WIRE_BAD_MAGIC,	  /* no frame begins here: the stream is lost */
	WIRE_BAD_LENGTH,  /* longer than any frame may be: the stream is lost */
	WIRE_BAD_CRC,	  /* this frame is spoilt; the next begins at *used */
	WIRE_BAD_VERSION, /* sound, of another version */
	WIRE_UNKNOWN,	  /* sound, of a type that this side does not take */
	WIRE_BAD_SIZE,	  /* sound, but its payload is not of the size its type has */
};
const char *wire_verdict_text(enum wire_verdict v); /* constant */

/*
 * What stands at the start of `len` bytes? Only the first frame is looked at; nothing past `len` is
 * read and no length is believed before it is bounded. *used: bytes to drop, 0 with WIRE_SHORT and
 * where the stream is lost. `buf` must not change meanwhile. No alignment is asked for.
 */
enum wire_verdict wire_check(enum wire_side reader, const void *buf, __u32 len, __u32 *used);
/* Write header and checksum before a payload of `length` <= AGENT_MAX_PAYLOAD at frame +
 * sizeof(struct agent_header). Returns the length of the frame. */
__u32 wire_seal(void *frame, __u16 type, __u32 length, __u32 seq);
/* "poke", "hello"; "unknown" for a number without a name. Constant. */
const char *wire_type_name(__u16 type);
/* Does a payload of `length` hold exactly `count` <= `max` elements of `size` after `head` bytes?
 * For the counted arrays of agent.h. */
int wire_counts(__u32 length, __u32 head, __u32 count, __u32 size, __u32 max);

#endif
