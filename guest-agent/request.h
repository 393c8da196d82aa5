/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests of the host and how they are answered. Handlers are called with hotrail_lock held. */
#ifndef HOTRAIL_GUEST_AGENT_REQUEST_H
#define HOTRAIL_GUEST_AGENT_REQUEST_H

#include "hotrail.h"

/* A request: payload checked against the least and most size of its type, aligned. */
struct request {
	const void *payload;
	u32 len, seq;
	u16 type;
};

/* Answer with an error. */
void request_fail(const struct request *q, u32 status, const char *text);
/* Zeroed payload of a reply; NULL: said so already. */
void *reply_new(const struct request *q, u32 payload, struct outgoing **o);
void reply_send(const struct request *q, struct outgoing *o, u32 payload);

/* One handler for each message that the host asks. */
#define HANDLER_Q(name) void handle_##name(const struct request *q);
#define HANDLER_R(name)
#define HANDLER_E(name)
#define HANDLER(number, name, dir, least, most) HANDLER_##dir(name)
AGENT_MESSAGES(HANDLER)
#undef HANDLER
#undef HANDLER_Q
#undef HANDLER_R
#undef HANDLER_E

#endif
