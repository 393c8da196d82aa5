/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket: QMP's envelope over a Unix stream socket, one JSON object a
 * line. Request {"execute": name, "arguments": {...}, "id": any}; answer
 * {"return": ..., "id"} or {"error": {"class": "Busy", "desc": text, "exit": 3}, "id"};
 * {"event": name, "data": ...} may come between. The server greets with
 * {"hotrail": {"version": ..., "schema": 1}}. query-commands is built in.
 */
#ifndef HOTRAIL_CONTROL_CONTROL_H
#define HOTRAIL_CONTROL_CONTROL_H

#include "util/error.h"
#include "util/json.h"

#define CONTROL_MAX_LINE    (1u << 20) /* longer requests are refused and the client dropped */
#define CONTROL_MAX_CLIENTS 16

/* Runs on the client's own server thread; several may run at once, so commands lock for themselves.
 * 0 and a new reference in *ret (NULL = {}), or negative errno and *err. */
typedef int (*control_fn)(void *ctx, const json_t *arguments, json_t **ret, struct error *err);

struct control_command {
	const char *name, *help;
	control_fn fn;
};

struct control_server;
/* Binds `path` (mode 0600, parent folder exists). Peers of another uid than ours or root are
 * refused. */
int control_server_start(const char *path, const struct control_command *commands, size_t n,
			 void *ctx, struct control_server **out, struct error *err);
void control_server_event(struct control_server *s, const char *name,
			  json_t *data);	    /* steals data */
void control_server_stop(struct control_server *s); /* closes, joins, unlinks; NULL is fine */

struct control_client;
int control_connect(const char *path, struct control_client **out, struct error *err);
/* The same with a limit for connecting and for each answer (control_connect: 60 s); -ETIMEDOUT with
 * HOTRAIL_EXIT_BUSY. */
int control_connect_within(const char *path, unsigned timeout_ms, struct control_client **out,
			   struct error *err);
/* `arguments` is stolen and may be NULL. The error of the server becomes *err, exit code included.
 */
int control_call(struct control_client *c, const char *command, json_t *arguments, json_t **ret,
		 struct error *err);
void control_close(struct control_client *c);

#endif
