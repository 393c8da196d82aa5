/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames out of a byte stream that may be spoilt anywhere: a relay killed in the middle of a frame
 * leaves half of it, and the next relay begins with a whole one. After a fault every byte is tried
 * as a beginning until a sound frame is found; magic and checksum tell. Pure; no locks.
 */
#ifndef HOTRAIL_AGENT_STREAM_H
#define HOTRAIL_AGENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/wire.h"

struct stream {
	bool lost; /* between a fault and the next sound frame */
	uint32_t at, len;
	uint64_t dropped; /* bytes */
	uint8_t bytes[2 * WIRE_MAX];
};

/* Where the next bytes go, and how many may come; then say how many came. At least WIRE_MAX when
 * stream_next() has said WIRE_SHORT. */
uint8_t *stream_room(struct stream *s, uint32_t *room);
void stream_came(struct stream *s, uint32_t n);
/*
 * WIRE_GOOD: header and payload (header->length bytes at *payload, valid until stream_room()).
 * WIRE_SHORT: no more for now. Anything else: what was wrong, said once until a sound frame comes;
 * *header is filled for frames that are sound but of no use.
 */
enum wire_verdict stream_next(struct stream *s, struct agent_header *header,
			      const uint8_t **payload);
bool stream_waits(const struct stream *s); /* for the rest of what may be a frame */
void stream_give_up(struct stream *s);	   /* that rest will not come */

#endif
