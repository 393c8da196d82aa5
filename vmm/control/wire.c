// SPDX-License-Identifier: GPL-2.0-only
/* Bytes on the control socket: its address, a growing buffer, sending with a deadline. */
#include "control/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"

#define CHUNK 4096

int wire_address(const char *path, struct sockaddr_un *addr, int *dirfd, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	*dirfd = -1;
	if (strlen(path) < sizeof(addr->sun_path)) {
		strcpy(addr->sun_path, path);
		return 0;
	}
	if (!slash || (size_t)(slash - path) >= sizeof(dir))
		return error_set(
			err, HOTRAIL_EXIT_FAILED, -ENAMETOOLONG,
			"%.100s...: socket path too long; set XDG_RUNTIME_DIR to a shorter one",
			path);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*dirfd = open(dir[0] ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd < 0)
		return error_errno(err, "%.200s: cannot open the folder", dir);
	if ((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", *dirfd,
			     slash + 1) < sizeof(addr->sun_path))
		return 0;
	close(*dirfd);
	*dirfd = -1;
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENAMETOOLONG,
			 "%.100s...: socket name too long; use a shorter one", slash + 1);
}

int wire_reserve(struct wire_buffer *b, size_t more, size_t limit)
{
	size_t waiting = b->end - b->start, cap;
	char *data;

	if (more > limit || waiting > limit - more)
		return -ENOBUFS;
	if (b->start && b->end + more > b->cap) {
		memmove(b->data, b->data + b->start, waiting);
		b->start = 0;
		b->end = waiting;
	}
	if (waiting + more <= b->cap)
		return 0;
	cap = b->cap ? b->cap : CHUNK;
	while (cap < waiting + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int wire_append(struct wire_buffer *b, const char *bytes, size_t len, size_t limit)
{
	int ret = wire_reserve(b, len, limit);

	if (ret)
		return ret;
	memcpy(b->data + b->end, bytes, len);
	b->end += len;
	return 0;
}

char *wire_take_line(struct wire_buffer *b, size_t *len)
{
	char *line, *newline;
	size_t waiting = b->end - b->start;

	if (waiting == b->scanned)
		return NULL;
	line = b->data + b->start;
	newline = memchr(line + b->scanned, '\n', waiting - b->scanned);
	if (!newline) {
		/* A peer that sends byte by byte must not make this quadratic. */
		b->scanned = waiting;
		return NULL;
	}
	b->scanned = 0;
	*len = (size_t)(newline - line);
	b->start += *len + 1;
	return line;
}

void wire_free(struct wire_buffer *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

long wire_receive(int fd, struct wire_buffer *b, size_t limit)
{
	size_t room = limit - (b->end - b->start);
	ssize_t n;
	int ret;

	if (!room)
		return -ENOBUFS;
	ret = wire_reserve(b, room < CHUNK ? room : CHUNK, limit);
	if (ret)
		return ret;
	if (room > b->cap - b->end)
		room = b->cap - b->end;
	do
		n = recv(fd, b->data + b->end, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	b->end += (size_t)n;
	return n;
}

long wire_flush(int fd, struct wire_buffer *b)
{
	ssize_t n;

	while (b->start < b->end) {
		n = send(fd, b->data + b->start, b->end - b->start, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		b->start += (size_t)n;
	}
	return (long)(b->end - b->start);
}

int wire_left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_ns();
	uint64_t ms;

	if (now >= deadline_ns)
		return 0;
	ms = (deadline_ns - now + 999999) / 1000000;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}
