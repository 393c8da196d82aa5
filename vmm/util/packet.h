/* SPDX-License-Identifier: GPL-2.0-only */
/* A packet back end: something that carries Ethernet frames for a network device. */
#ifndef HOTRAIL_UTIL_PACKET_H
#define HOTRAIL_UTIL_PACKET_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define PACKET_MAX 65536u /* bytes of the longest frame any back end hands over */

/* All on one thread, never blocking. A frame is whole, from destination address to payload. */
struct packet_ops {
	const char *name;
	/* One frame into `buf`: its bytes, -EAGAIN none there, another negative errno: never again.
	 */
	ssize_t (*receive)(void *ctx, void *buf, size_t len);
	/* One frame. 0, or a negative errno: this frame is lost. */
	int (*send)(void *ctx, const struct iovec *iov, int n);
	void (*destroy)(void *ctx);
};

struct packet_backend {
	const struct packet_ops *ops;
	void *ctx;
	int poll_fd; /* readable when receive() would give a frame */
};

#endif
