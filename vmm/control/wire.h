/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes on the control socket: its address, a growing buffer, sending with a deadline. */
#ifndef HOTRAIL_CONTROL_WIRE_H
#define HOTRAIL_CONTROL_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "util/error.h"

/*
 * Fill *addr for `path`, of any length: a path that does not fit sun_path is reached through
 * /proc/self/fd/N/NAME, with N in *dirfd (else -1), which must stay open until after bind() or
 * connect().
 */
int wire_address(const char *path, struct sockaddr_un *addr, int *dirfd, struct error *err);

struct wire_buffer {
	char *data;
	size_t start, end, cap; /* bytes [start, end) are waiting */
	size_t scanned;		/* of the waiting bytes, known to hold no newline */
};

/* Room for `more` further bytes at data + end; -ENOBUFS when that would exceed `limit` waiting
 * bytes. */
int wire_reserve(struct wire_buffer *b, size_t more, size_t limit);
int wire_append(struct wire_buffer *b, const char *bytes, size_t len, size_t limit);
/* The next whole line, without newline, or NULL; valid until the next wire call. */
char *wire_take_line(struct wire_buffer *b, size_t *len);
void wire_free(struct wire_buffer *b);

/* recv() once into b (which may grow to `limit`). Bytes received, 0 at the end of the stream,
 * -EAGAIN when there is nothing now, -ENOBUFS at the limit, -errno. */
long wire_receive(int fd, struct wire_buffer *b, size_t limit);
/* send() what can be sent without blocking. Bytes left, or -errno. */
long wire_flush(int fd, struct wire_buffer *b);
/* Milliseconds until `deadline_ns` (clock_ns), 0 when passed; for poll(). */
int wire_left_ms(uint64_t deadline_ns);

#endif
