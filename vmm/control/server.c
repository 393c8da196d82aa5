// SPDX-License-Identifier: GPL-2.0-only
/* Server of the control socket: binds, accepts, reaps, stops. */
#include "control/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/message.h"

void server_ring(int fd)
{
	uint64_t one = 1;

	/* Cannot fail but for a full counter, which wakes the poller as well. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void server_unring(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
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
			session_event(&s->slots[i], line, len);
	pthread_mutex_unlock(&s->lock);
	free(line);
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

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < CONTROL_MAX_CLIENTS && !c; i++)
		if (s->slots[i].state == SLOT_FREE)
			c = &s->slots[i];
	if (c)
		memset(c, 0,
		       sizeof(*c)); /* still SLOT_FREE: only this thread makes and frees slots */
	pthread_mutex_unlock(&s->lock);
	if (!c)
		return NULL;
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
	int ret;

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
	ret = spawn(&c->thread, session_main, c);
	if (ret)
		c->state = SLOT_FREE;
	pthread_mutex_unlock(&s->lock);
	if (ret) {
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
			server_unring(s->reap);
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
	server_ring(s->stop);
	pthread_join(s->acceptor, NULL);
	server_free(s);
}
