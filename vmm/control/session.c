// SPDX-License-Identifier: GPL-2.0-only
/* One client of the control socket: its requests in, answers and events out. */
#include "control/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/message.h"
#include "util/clock.h"

#define EVENT_LIMIT  ((size_t)256 << 10) /* waiting output above which events are dropped */
#define ANSWER_LIMIT ((size_t)64 << 20)
#define KEEP_BUFFER  ((size_t)64 << 10)	  /* a larger input buffer is given back when it is empty */
#define STALL_NS     (10 * 1000000000ull) /* a client that reads nothing for so long is dropped */
#define FAREWELL_NS  (500 * 1000000ull)	  /* to deliver the last answer when the server stops */

static bool stopping(const struct control_server *s)
{
	struct pollfd p = {.fd = s->stop, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* --- output --- */

/* Steals message. */
static int queue(struct slot *c, json_t *message, size_t limit)
{
	size_t len;
	char *line = control_line(message, &len);
	int ret = line ? 0 : -ENOMEM;

	json_decref(message);
	if (line) {
		pthread_mutex_lock(&c->lock);
		ret = wire_append(&c->out, line, len, limit);
		pthread_mutex_unlock(&c->lock);
		free(line);
	}
	return ret;
}

/* Send what the client takes; when all is gone, say how many events were not sent. Bytes left or
 * -errno. */
static long flush(struct slot *c)
{
	uint64_t dropped = 0;
	size_t before;
	long left;

	pthread_mutex_lock(&c->lock);
	before = c->out.end - c->out.start;
	left = wire_flush(c->fd, &c->out);
	if (!before || (left >= 0 && (size_t)left < before))
		c->progress_ns = clock_ns();
	if (!left && c->out.cap > KEEP_BUFFER)
		wire_free(&c->out);
	if (!left) {
		dropped = c->dropped;
		c->dropped = 0;
	}
	pthread_mutex_unlock(&c->lock);
	if (!dropped)
		return left;
	queue(c, control_event("EVENTS_DROPPED", json_pack("{s:I}", "count", (json_int_t)dropped)),
	      ANSWER_LIMIT);
	pthread_mutex_lock(&c->lock);
	left = wire_flush(c->fd, &c->out);
	pthread_mutex_unlock(&c->lock);
	return left;
}

/* Deliver what is queued, for at most `ns`. */
static void farewell(struct slot *c, uint64_t ns)
{
	uint64_t deadline = clock_ns() + ns;
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};

	while (flush(c) > 0 && wire_left_ms(deadline))
		poll(&p, 1, wire_left_ms(deadline));
}

void session_event(struct slot *c, const char *line, size_t len)
{
	pthread_mutex_lock(&c->lock);
	if (c->dropped || wire_append(&c->out, line, len, EVENT_LIMIT))
		c->dropped++;
	pthread_mutex_unlock(&c->lock);
	server_ring(c->wake);
}

/* --- commands --- */

static json_t *list_commands(const struct control_server *s)
{
	json_t *list = json_pack("[{s:s, s:s}]", "name", "query-commands", "help",
				 "what this socket understands");
	size_t i;

	for (i = 0; list && i < s->count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", s->commands[i].name,
						      "help", s->commands[i].help));
	return list;
}

static json_t *execute(struct control_server *s, const struct control_request *r)
{
	struct error err = {.exit_code = HOTRAIL_EXIT_FAILED, .text = "the command failed"};
	json_t *ret = NULL;
	size_t i;

	if (!strcmp(r->command, "query-commands"))
		return control_return(list_commands(s), r->id);
	for (i = 0; i < s->count; i++)
		if (!strcmp(r->command, s->commands[i].name))
			break;
	if (i == s->count) {
		error_set(&err, HOTRAIL_EXIT_USAGE, 0,
			  "there is no command \"%s\"; try query-commands", r->command);
		return control_refusal(&err, true, r->id);
	}
	if (!s->commands[i].fn(s->ctx, r->arguments, &ret, &err))
		return control_return(ret, r->id);
	json_decref(ret);
	return control_refusal(&err, false, r->id);
}

static int serve_line(struct slot *c, const char *line, size_t len)
{
	struct control_request request;
	struct error err;
	json_t *answer;
	int ret;

	if (control_request_parse(line, len, &request, &err))
		answer = control_refusal(&err, false, request.id);
	else
		answer = execute(c->server, &request);
	ret = queue(c, answer, ANSWER_LIMIT);
	if (ret == -ENOBUFS) {
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "the answer is too large; ask for less of it");
		ret = queue(c, control_refusal(&err, false, request.id), SIZE_MAX);
	}
	control_request_clear(&request);
	return ret;
}

/* --- one client --- */

/* Wait for input, output room, an event or the stop. 0, or -errno when the client is to be dropped.
 */
static int wait_client(struct slot *c, bool pending)
{
	struct pollfd p[3] = {
		{.fd = c->fd, .events = pending ? POLLOUT : POLLIN},
		{.fd = c->wake, .events = POLLIN},
		{.fd = c->server->stop, .events = POLLIN},
	};
	int n = poll(p, 3, pending ? wire_left_ms(c->progress_ns + STALL_NS) : -1);

	if (!n)
		return -ETIMEDOUT;
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		server_unring(c->wake);
	return pending && (p[0].revents & (POLLERR | POLLHUP)) ? -EPIPE : 0;
}

/* Bytes from the client. 1 = go on, 0 = it is done, -errno = drop it. */
static int take_input(struct slot *c)
{
	struct error err;
	long n = wire_receive(c->fd, &c->in, CONTROL_MAX_LINE);

	if (n == -EAGAIN)
		return 1;
	if (n == -ENOBUFS) {
		error_set(&err, HOTRAIL_EXIT_USAGE, 0, "request: longer than %u bytes",
			  CONTROL_MAX_LINE);
		queue(c, control_refusal(&err, false, NULL), ANSWER_LIMIT);
	}
	return n > 0 ? 1 : (int)n;
}

/* One step of a client's life; 1 = go on. The next request waits until the last answer is taken. */
static int client_step(struct slot *c)
{
	long left = flush(c);
	char *line;
	size_t len;
	int ret;

	if (left < 0 || stopping(c->server))
		return 0;
	if (!left) {
		line = wire_take_line(&c->in, &len);
		if (line)
			return serve_line(c, line, len) ? 0 : 1;
		if (c->in.start == c->in.end && c->in.cap > KEEP_BUFFER)
			wire_free(&c->in);
	}
	ret = wait_client(c, left > 0);
	if (ret)
		return 0;
	return left ? 1 : take_input(c);
}

void *session_main(void *arg)
{
	struct slot *c = arg;
	struct control_server *s = c->server;

	if (!queue(c, control_greeting(), ANSWER_LIMIT)) {
		while (client_step(c) > 0)
			;
		farewell(c, FAREWELL_NS);
	}
	shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_lock(&s->lock);
	c->state = SLOT_DONE;
	pthread_mutex_unlock(&s->lock);
	server_ring(s->reap);
	return NULL;
}
