// SPDX-License-Identifier: GPL-2.0-only
/*
 * Server of the control socket: one thread accepts and reaps, one thread a client.
 *
 * Lock order: server->lock, then client->lock. Neither is held while a command
 * runs. Only the client's own thread reads its input; its output is a bounded
 * queue of whole lines that events are added to from any thread.
 */
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/message.h"
#include "control/wire.h"
#include "util/clock.h"

#define EVENT_LIMIT  ((size_t)256 << 10) /* waiting output above which events are dropped */
#define ANSWER_LIMIT ((size_t)64 << 20)
#define KEEP_BUFFER  ((size_t)64 << 10)	  /* a larger input buffer is given back when it is empty */
#define STALL_NS     (10 * 1000000000ull) /* a client that reads nothing for so long is dropped */
#define FAREWELL_NS  (500 * 1000000ull)	  /* to deliver the last answer when the server stops */

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_DONE };

struct slot {
	struct control_server *server;
	pthread_t thread;
	enum slot_state state; /* server->lock */
	int fd;
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

static void ring(int eventfd_)
{
	uint64_t one = 1;

	/* Cannot fail but for a full counter, which wakes the poller as well. */
	if (write(eventfd_, &one, sizeof(one)) < 0)
		return;
}

static void unring(int eventfd_)
{
	uint64_t count;

	if (read(eventfd_, &count, sizeof(count)) < 0)
		return;
}

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
	long left;

	pthread_mutex_lock(&c->lock);
	left = wire_flush(c->fd, &c->out);
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

static void event_to(struct slot *c, const char *line, size_t len)
{
	pthread_mutex_lock(&c->lock);
	if (c->dropped || wire_append(&c->out, line, len, EVENT_LIMIT))
		c->dropped++;
	pthread_mutex_unlock(&c->lock);
	ring(c->wake);
}

void control_server_event(struct control_server *s, const char *name, json_t *data)
{
	json_t *message = control_event(name, data);
	size_t len;
	char *line = control_line(message, &len);
	unsigned i;

	json_decref(message);
	if (!line)
		return;
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++)
		if (s->slots[i].state == SLOT_RUNNING)
			event_to(&s->slots[i], line, len);
	pthread_mutex_unlock(&s->lock);
	free(line);
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
	int n = poll(p, 3, pending ? wire_left_ms(clock_ns() + STALL_NS) : -1);

	if (!n)
		return -ETIMEDOUT;
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		unring(c->wake);
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

static void *client_main(void *arg)
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
	ring(s->reap);
	return NULL;
}

/* --- accepting --- */

static void slot_free(struct control_server *s, struct slot *c)
{
	pthread_join(c->thread, NULL);
	pthread_mutex_lock(&s->lock);
	c->state = SLOT_FREE;
	pthread_mutex_unlock(&s->lock);
	close(c->fd);
	close(c->wake);
	wire_free(&c->in);
	wire_free(&c->out);
	pthread_mutex_destroy(&c->lock);
}

/* Join threads that ended; `all` waits for the others too. */
static void reap(struct control_server *s, bool all)
{
	enum slot_state state;
	unsigned i;

	for (i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		pthread_mutex_lock(&s->lock);
		state = s->slots[i].state;
		pthread_mutex_unlock(&s->lock);
		if (state == SLOT_DONE || (all && state == SLOT_RUNNING))
			slot_free(s, &s->slots[i]);
	}
}

static struct slot *slot_take(struct control_server *s, int fd)
{
	struct slot *c = NULL;
	unsigned i;

	for (i = 0; i < CONTROL_MAX_CLIENTS && !c; i++)
		if (s->slots[i].state == SLOT_FREE) /* only this thread makes and frees slots */
			c = &s->slots[i];
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->server = s;
	c->fd = fd;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

/* Signals are the main thread's business: every thread made here has them all blocked. */
static int spawn(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

static void refuse(int fd, enum hotrail_exit exit_code, const char *text)
{
	struct error err;
	json_t *message;
	size_t len;
	char *line;

	error_set(&err, exit_code, 0, "%s", text);
	message = control_refusal(&err, false, NULL);
	line = control_line(message, &len);
	/* Best effort: the line is shorter than any socket buffer. */
	if (line && send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0;
	json_decref(message);
	free(line);
	close(fd);
}

static void admit(struct control_server *s, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);
	struct slot *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		refuse(fd, HOTRAIL_EXIT_PERMISSION, "this guest belongs to another user");
		return;
	}
	c = slot_take(s, fd);
	if (!c) {
		refuse(fd, HOTRAIL_EXIT_BUSY, "too many clients at once; try again later");
		return;
	}
	pthread_mutex_lock(&s->lock);
	c->state = SLOT_RUNNING;
	if (spawn(&c->thread, client_main, c))
		c->state = SLOT_FREE;
	pthread_mutex_unlock(&s->lock);
	if (c->state == SLOT_FREE) {
		close(c->wake);
		pthread_mutex_destroy(&c->lock);
		refuse(fd, HOTRAIL_EXIT_FAILED, "no memory for another client");
	}
}

static void *acceptor_main(void *arg)
{
	struct control_server *s = arg;
	struct pollfd p[3] = {
		{.fd = s->listen, .events = POLLIN},
		{.fd = s->stop, .events = POLLIN},
		{.fd = s->reap, .events = POLLIN},
	};
	int fd;

	while (poll(p, 3, -1) >= 0 || errno == EINTR) {
		if (p[1].revents)
			break;
		if (p[2].revents) {
			unring(s->reap);
			reap(s, false);
		}
		if (!p[0].revents)
			continue;
		fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			admit(s, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			poll(&p[1], 1, 100); /* the connection stays queued: do not spin on it */
	}
	reap(s, true);
	return NULL;
}

/* --- start and stop --- */

/* Does somebody answer at `addr`? Otherwise a socket file there is a leftover and goes away. */
static int clear_stale(const char *path, const struct sockaddr_un *addr, struct error *err)
{
	struct stat st;
	int fd, ret;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : error_errno(err, "%.200s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EEXIST,
				 "%.200s: exists and is not a socket; remove it", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "control socket");
	ret = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	close(fd);
	if (!ret || ret == -EAGAIN)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "%.200s: another monitor listens there", path);
	if (unlink(path) && errno != ENOENT)
		return error_errno(err, "%.200s: cannot remove the stale socket", path);
	return 0;
}

static int bind_socket(struct control_server *s, struct error *err)
{
	struct sockaddr_un addr;
	struct stat st;
	int dirfd, ret = wire_address(s->path, &addr, &dirfd, err);

	if (ret)
		return ret;
	ret = clear_stale(s->path, &addr, err);
	if (ret)
		goto out_dirfd;
	s->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* bind() gives the file the socket's own mode (unix(7)): no moment with a wider one */
	if (s->listen < 0 || fchmod(s->listen, 0600) ||
	    bind(s->listen, (struct sockaddr *)&addr, sizeof(addr)))
		ret = error_errno(err, "%.200s: cannot create the control socket", s->path);
	else if (lstat(s->path, &st) || listen(s->listen, CONTROL_MAX_CLIENTS))
		ret = error_errno(err, "%.200s: cannot listen", s->path);
	if (!ret) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
out_dirfd:
	if (dirfd >= 0)
		close(dirfd);
	return ret;
}

static void server_free(struct control_server *s)
{
	struct stat st;

	if (s->ino && !lstat(s->path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	if (s->listen >= 0)
		close(s->listen);
	if (s->stop >= 0)
		close(s->stop);
	if (s->reap >= 0)
		close(s->reap);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

int control_server_start(const char *path, const struct control_command *commands, size_t n,
			 void *ctx, struct control_server **out, struct error *err)
{
	struct control_server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "control server: no memory");
	pthread_mutex_init(&s->lock, NULL);
	s->commands = commands;
	s->count = n;
	s->ctx = ctx;
	s->listen = -1;
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->reap = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->path = strdup(path);
	if (s->stop < 0 || s->reap < 0 || !s->path)
		ret = error_errno(err, "control server");
	else
		ret = bind_socket(s, err);
	if (!ret) {
		*out = s; /* before the first command can run: it may send events */
		ret = spawn(&s->acceptor, acceptor_main, s);
		if (ret)
			error_set(err, HOTRAIL_EXIT_FAILED, ret,
				  "control server: cannot start a thread");
	}
	if (ret) {
		*out = NULL;
		server_free(s);
	}
	return ret;
}

void control_server_stop(struct control_server *s)
{
	if (!s)
		return;
	ring(s->stop);
	pthread_join(s->acceptor, NULL);
	server_free(s);
}
