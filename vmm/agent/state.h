/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the agent's client share.
 *
 * One lock covers all but `stream`, which only the reading thread touches. Requests wait in `asks`
 * in the order they were made, which is the order they are sent in; the reading thread's own
 * (hello, ping) is one of them. A request belongs to its asker until it is linked and again when
 * `done` is set or it has been unlinked.
 */
#ifndef HOTRAIL_AGENT_STATE_H
#define HOTRAIL_AGENT_STATE_H

#include <pthread.h>

#include "agent/agent.h"
#include "agent/stream.h"

struct ask {
	struct ask *next;
	uint16_t type;
	bool slow; /* waits for a grace period */
	bool done;
	int result; /* done: 0 answered; -ENOTCONN the agent went first */
	uint32_t seq;
	uint8_t *frame;
	uint32_t len, sent;  /* of the frame */
	uint64_t deadline;   /* ns; later when one before it is answered */
	uint16_t reply_type; /* with AGENT_REPLY */
	uint32_t reply_len;  /* of the payload */
	uint8_t *reply;	     /* AGENT_MAX_PAYLOAD bytes */
};

enum talk {
	TALK_GREETING, /* hello is said until it is answered */
	TALK_GREETED,
	TALK_OVER, /* the socket is closed at the other end */
};

struct agent {
	struct agent_config config;
	uint64_t host; /* random */
	uint64_t patience_ns, lease_ns;
	int wake; /* eventfd */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t answered; /* some ask is done, or its deadline has changed */
	struct agent_state state;
	enum talk talk;
	bool closing;
	uint32_t seq, event_seq;
	struct ask *asks;
	uint8_t rest[WIRE_MAX]; /* of a frame whose asker went away in the middle of it */
	uint32_t rest_at, rest_len;

	struct ask own; /* hello or ping */
	uint32_t hello_seq;
	uint64_t own_next; /* ns: when to greet again, or to ping */
	uint64_t own_frame[8];

	/* the reading thread's */
	uint64_t came_ns; /* when bytes last came */
	struct stream stream;
};

/* --- agent_io.c: all with the lock held unless said otherwise --- */

void io_ring(struct agent *a); /* wakes the reading thread; any thread, with or without the lock */
void io_trouble(struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Seal, link, number, send as far as the socket takes it. */
void io_submit(struct agent *a, struct ask *k, uint32_t payload_len);
void io_unlink(struct agent *a, struct ask *k);
void io_fail_all(struct agent *a, int result);
/* 0, or -EPIPE: the other end is closed. */
int io_flush(struct agent *a);
bool io_unsent(const struct agent *a);
/* Has the other end read all that was sent? */
bool io_drained(const struct agent *a);
void io_complete(struct agent *a, struct ask *k, int result);
/* One read from the socket and the frames in it; the reading thread, without the lock. False: the
 * other end is closed. */
bool io_receive(struct agent *a);
/* The frames in the stream's buffer; the same. */
void io_frames(struct agent *a);

/* --- agent_talk.c: hello, ping, events; the reading thread --- */

/* What is due now; returns when to look again, in ns. With the lock held. */
uint64_t talk_tick(struct agent *a, uint64_t now);
/* Greet anew. With the lock held, any thread. */
void talk_lose(struct agent *a);
void talk_over(struct agent *a); /* the same */
/* Replies to our own, and events; without the lock. Payload lengths are those of the type. */
void talk_hello(struct agent *a, const struct agent_hello_reply *r);
void talk_ping(struct agent *a, const struct agent_ping_reply *r);
void talk_own_error(struct agent *a, const struct agent_error *e);
void talk_event(struct agent *a, const struct agent_header *h, const uint8_t *payload);

/* --- agent_ask.c: a question at a time, without the lock --- */

/* The frame begins 4 bytes late: its payload is then 8-aligned, as is the reply. */
struct question {
	struct ask ask;
	struct error *err, unheard; /* the asker's, or nobody's */
	uint64_t frame[(WIRE_MAX + 4 + 7) / 8];
	uint64_t reply[AGENT_MAX_PAYLOAD / 8];
};
struct question *question_new(struct error *err); /* NULL: no memory; free() it */
void *question_payload(struct question *q);	  /* 8-aligned, AGENT_MAX_PAYLOAD bytes */
/* Sleeps until it is answered. 0: q->reply holds an answer of the type's sizes; or as agent.h. */
int question_ask(struct agent *a, struct question *q, uint16_t type, size_t len);
/* Books an answer that does not fit its question (ret of a check below, passed through). */
int question_nonsense(struct agent *a, const struct question *q, int ret);

/* Lists of which the agent gives some at a time: asked with {first, arg}, answered with {total,
 * count} and elements of `size` bytes. */
struct question_pages {
	uint16_t type;
	uint32_t arg, max; /* elements in one answer */
	size_t size;
	bool (*sound)(const void *element);
	const char *what; /* in the plural, for users */
};
/* As agent_list_modules(); -EAGAIN: the list never stood still. */
int question_pages(struct agent *a, const struct question_pages *p, void *out, size_t *n,
		   struct error *err);
/* Lists that are sent some at a time: {count, pad} and elements of `size` bytes, at most `max`. */
struct question_batch {
	uint16_t type;
	uint32_t max;
	size_t size;
	/* The answer for elements at..at + n of the whole list; 0 or -EPROTO. */
	int (*take)(struct question *q, size_t at, uint32_t n, void *ctx);
};
int question_batch(struct agent *a, const struct question_batch *b, const void *list, size_t n,
		   void *ctx, struct error *err);

/* --- agent_check.c: pure. 0 or -EPROTO, *err in words --- */

int check_hello(const struct agent_hello_reply *r, struct error *err);
int check_module(const struct agent_module *m, struct error *err);
int check_conflict(const struct agent_conflict *c, struct error *err);
int check_pokes(const struct ask *k, uint32_t count, struct error *err);
int check_statuses(const struct ask *k, uint32_t count, struct error *err);
int check_read(const struct ask *k, uint64_t addr, uint32_t len, struct error *err);
int check_counters(const struct ask *k, const uint32_t *tables, uint32_t count, struct error *err);
/* Those with a greater id than `after`. */
int check_modules(const struct ask *k, uint32_t after, struct error *err);
int check_names(const struct ask *k, const uint64_t *addr, uint32_t count, struct error *err);
/* `first` of those asked for. */
int check_page(const struct ask *k, const struct question_pages *p, uint32_t first,
	       struct error *err);
bool check_range(const void *range);
bool check_pair(const void *pair);
bool check_program(const void *program);
/* Copy text from the agent for users: printable ASCII, anything else is '?'; terminated. */
void check_text(char *out, size_t size, const char *text, size_t len);
/* Why it patches nothing: "the kernel is locked down". */
void check_refusals(uint32_t refusals, char *out, size_t size);

#endif
