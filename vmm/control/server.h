/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside the server: one thread accepts and reaps (server.c), one thread a client
 * (session.c).
 *
 * Lock order: server->lock, then slot->lock. Neither is held while a command runs.
 * Only the client's own thread reads its input; its output is a bounded queue of
 * whole lines that events are added to from any thread.
 */
#ifndef HOTRAIL_CONTROL_SERVER_H
#define HOTRAIL_CONTROL_SERVER_H

#include <pthread.h>
#include <sys/types.h>

#include "control/control.h"
#include "control/wire.h"

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_DONE };

struct slot {
	struct control_server *server;
	pthread_t thread;
	enum slot_state state; /* server->lock */
	int fd;
	uint64_t progress_ns;  /* the client's thread only: when it last took output */
	int wake;	       /* eventfd: there is output */
	struct wire_buffer in; /* the client's thread only */
	pthread_mutex_t lock;  /* out, dropped */
	struct wire_buffer out;
	uint64_t dropped; /* events not queued since the last notice */
};

struct control_server {
	const struct control_command *commands;
	size_t count;
	void *ctx;
	char *path;
	dev_t dev;
	ino_t ino;		/* of the socket file: it is removed only while it is ours */
	int listen, stop, reap; /* stop and reap: eventfds; stop is never read back */
	pthread_t acceptor;
	pthread_mutex_t lock;
	struct slot slots[CONTROL_MAX_CLIENTS];
};

/* eventfds: make readable, and not readable again. */
void server_ring(int fd);
void server_unring(int fd);

/* A client's thread, from the greeting until it is SLOT_DONE; arg is its slot. */
void *session_main(void *arg);
/* Queue an event's line, or count it as dropped. Any thread; server->lock is held. */
void session_event(struct slot *c, const char *line, size_t len);

#endif
