// SPDX-License-Identifier: GPL-2.0-only
/* Datagrams over the loopback device: bursts from one socket to another, each checked. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

#define BURST	16
#define PAYLOAD 64

struct message {
	uint64_t number;
	char fill[PAYLOAD - sizeof(uint64_t)];
};

struct state {
	int from, to;
	uint64_t number;
};

static int open_socket(void)
{
	struct sockaddr_in local = {.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 2}; /* a lost datagram is an error, not the end */
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -1;
	return fd;
}

static void *open_state(unsigned worker)
{
	struct state *s = calloc(1, sizeof(*s));
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);

	(void)worker;
	if (!s)
		return NULL;
	s->from = open_socket();
	s->to = open_socket();
	if (s->from < 0 || s->to < 0 || getsockname(s->to, (struct sockaddr *)&peer, &len) ||
	    connect(s->from, (struct sockaddr *)&peer, sizeof(peer)))
		return NULL;
	return s;
}

static unsigned turn(void *state, uint64_t *done)
{
	struct state *s = state;
	struct message m = {0};
	unsigned bad = 0, i;

	for (i = 0; i < BURST; i++) {
		m.number = s->number + i;
		bad += send(s->from, &m, sizeof(m), 0) != sizeof(m);
	}
	for (i = 0; i < BURST; i++) {
		m.number = UINT64_MAX;
		bad += recv(s->to, &m, sizeof(m), 0) != sizeof(m) || m.number != s->number + i;
	}
	s->number += BURST;
	*done += BURST;
	return bad;
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, open_state, turn);
}
