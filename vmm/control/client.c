// SPDX-License-Identifier: GPL-2.0-only
/* Client of the control socket: one connection, one command at a time. */
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/message.h"
#include "control/wire.h"
#include "util/clock.h"

/* Longest command: a promotion with its learning round, a few seconds. */
#define ANSWER_MS 60000
/* 10 000 sites with eight edges each are about 12 MB of JSON. */
#define ANSWER_LIMIT ((size_t)64 << 20)

struct control_client {
	int fd;
	unsigned timeout_ms;
	uint64_t serial;
	struct wire_buffer in;
};

static int wait_for(struct control_client *c, short events, uint64_t deadline, struct error *err)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int n;

	do
		n = poll(&p, 1, wire_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, "monitor: poll");
	if (!n)
		return error_set(
			err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
			"monitor: no answer for %g s; is it stopped? `hotrail ps` shows its pid",
			c->timeout_ms / 1e3);
	return 0;
}

static int gone(struct error *err)
{
	return error_set(
		err, HOTRAIL_EXIT_FAILED, -EPIPE,
		"monitor: closed the connection; the guest has ended, or refused this user");
}

/* Next message, whatever it is. New reference in *out. */
static int next_message(struct control_client *c, uint64_t deadline, json_t **out,
			struct error *err)
{
	json_error_t why;
	char *line;
	size_t len;
	long n;
	int ret;

	while (!(line = wire_take_line(&c->in, &len))) {
		ret = wait_for(c, POLLIN, deadline, err);
		if (ret)
			return ret;
		n = wire_receive(c->fd, &c->in, ANSWER_LIMIT);
		if (!n || n == -ECONNRESET)
			return gone(err);
		if (n < 0 && n != -EAGAIN)
			return error_set(err, HOTRAIL_EXIT_FAILED, (int)n, "monitor: reading: %s",
					 strerror((int)-n));
	}
	*out = json_loadb(line, len, 0, &why);
	return *out ? 0
		    : error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
				"monitor: answer is not JSON: %.160s", why.text);
}

static int send_message(struct control_client *c, json_t *message, uint64_t deadline,
			struct error *err)
{
	struct wire_buffer out = {0};
	long left;
	int ret = 0;

	out.data = control_line(message, &out.end);
	if (!out.data)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "request: no memory");
	while (!ret && (left = wire_flush(c->fd, &out))) {
		/* A monitor that refuses says why before it closes: its words are still to be read.
		 */
		if (left == -EPIPE || left == -ECONNRESET)
			break;
		ret = left < 0 ? error_set(err, HOTRAIL_EXIT_FAILED, (int)left,
					   "monitor: sending: %s", strerror((int)-left))
			       : wait_for(c, POLLOUT, deadline, err);
	}
	wire_free(&out);
	return ret;
}

/* The first line: either the greeting or a refusal. */
static int greet(struct control_client *c, struct error *err)
{
	json_t *message, *unused, *hello;
	int ret = next_message(c, clock_ns() + c->timeout_ms * 1000000ull, &message, err);

	if (ret)
		return ret;
	hello = json_object_get(message, "hotrail");
	if (!hello) {
		ret = control_answer_parse(message, 0, &unused, err);
		if (!ret)
			json_decref(unused);
		if (!ret || ret == -EAGAIN)
			ret = error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
					"monitor: the socket does not speak this protocol");
	} else if (json_integer_value(json_object_get(hello, "schema")) != JSON_SCHEMA) {
		ret = error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -EPROTO,
				"monitor: speaks another version; use the hotrail that started it");
	}
	json_decref(message);
	return ret;
}

static int open_socket(const char *path, unsigned timeout_ms, struct error *err)
{
	/* connect() to a Unix socket blocks while the backlog is full, for at most the send timeout
	 */
	struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	struct sockaddr_un addr;
	int fd, dirfd, ret;

	ret = wire_address(path, &addr, &dirfd, err);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		ret = error_errno(err, "control socket");
	} else if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
		   connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == ECONNREFUSED || errno == ENOENT)
			ret = error_set(
				err, HOTRAIL_EXIT_FAILED, -errno,
				"%.200s: no monitor listens there; `hotrail ps` lists guests",
				path);
		else if (errno == EAGAIN)
			ret = error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
					"%.200s: too many clients wait there; try again later",
					path);
		else
			ret = error_errno(err, "%.200s: cannot connect", path);
		close(fd);
	}
	if (dirfd >= 0)
		close(dirfd);
	return ret ? ret : fd;
}

int control_connect_within(const char *path, unsigned timeout_ms, struct control_client **out,
			   struct error *err)
{
	struct control_client *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "control client: no memory");
	c->timeout_ms = timeout_ms;
	c->fd = ret = open_socket(path, timeout_ms, err);
	if (ret >= 0)
		ret = greet(c, err);
	if (ret < 0) {
		control_close(c);
		return ret;
	}
	*out = c;
	return 0;
}

int control_connect(const char *path, struct control_client **out, struct error *err)
{
	return control_connect_within(path, ANSWER_MS, out, err);
}

int control_call(struct control_client *c, const char *command, json_t *arguments, json_t **ret,
		 struct error *err)
{
	uint64_t deadline = clock_ns() + c->timeout_ms * 1000000ull, id = ++c->serial;
	json_t *message = control_request(command, arguments, id);
	int r = send_message(c, message, deadline, err);

	json_decref(message);
	while (!r) {
		r = next_message(c, deadline, &message, err);
		if (r)
			break;
		r = control_answer_parse(message, id, ret, err);
		json_decref(message);
		if (r == -EAGAIN) {
			r = 0;
			continue;
		}
		break;
	}
	return r;
}

void control_close(struct control_client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	wire_free(&c->in);
	free(c);
}
