/* SPDX-License-Identifier: GPL-2.0-only */
/* The envelope of the control socket as bytes <-> JSON. Pure: no socket, no state. */
#ifndef HOTRAIL_CONTROL_MESSAGE_H
#define HOTRAIL_CONTROL_MESSAGE_H

#include <stdbool.h>
#include "util/error.h"
#include "util/json.h"

#define CONTROL_MAX_DEPTH 32 /* of nested objects and arrays; checked before anything is parsed */
#define CONTROL_MAX_NAME  63

struct control_request {
	char command[CONTROL_MAX_NAME + 1];
	json_t *arguments; /* an object, never NULL after success */
	json_t *id;	   /* NULL when the request had none */
};

/* One line without its newline. On failure -EINVAL, *err says why and out->id is still what could
 * be read of it, so that the refusal can be matched. The caller clears *out in both cases. */
int control_request_parse(const char *line, size_t len, struct control_request *out,
			  struct error *err);
void control_request_clear(struct control_request *r);

/* Messages; new references, NULL on no memory. `ret` and `data` are stolen (NULL = {}), `id` is
 * not. */
json_t *control_greeting(void);
json_t *control_return(json_t *ret, json_t *id);
json_t *control_refusal(const struct error *err, bool unknown_command, json_t *id);
json_t *control_event(const char *name, json_t *data);
/* {"execute", "arguments", "id"} as a client sends it; `arguments` is stolen and may be NULL. */
json_t *control_request(const char *command, json_t *arguments, uint64_t id);

/* Client's half: 0 and a new reference in *ret, the server's error as -errno and *err, -EAGAIN when
 * the message is an event or has another id, -EPROTO when it is not of the protocol. */
int control_answer_parse(const json_t *message, uint64_t id, json_t **ret, struct error *err);

/* {...}\n in malloc'd bytes. NULL on no memory. */
char *control_line(const json_t *message, size_t *len);

#endif
