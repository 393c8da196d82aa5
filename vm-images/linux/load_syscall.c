// SPDX-License-Identifier: GPL-2.0-only
/* System calls that reach many indirect calls of the kernel: files, pipes, polling. Their results
 * are checked. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

#define BLOCK  64
#define ROUNDS 32 /* between two looks at the clock */

struct state {
	int zero, null, file, epoll, pipe[2];
	char out[BLOCK], in[BLOCK];
};

static void *open_state(unsigned worker)
{
	struct state *s = calloc(1, sizeof(*s));
	struct epoll_event event = {.events = EPOLLIN};
	char name[] = "/dev/shm/load-XXXXXX";

	if (!s)
		return NULL;
	memset(s->out, 'a' + worker % 26, BLOCK);
	s->zero = open("/dev/zero", O_RDONLY);
	s->null = open("/dev/null", O_WRONLY);
	s->file = mkstemp(name);
	s->epoll = epoll_create1(0);
	if (s->zero < 0 || s->null < 0 || s->file < 0 || s->epoll < 0 || pipe(s->pipe) ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->pipe[0], &event))
		return NULL;
	unlink(name);
	return s;
}

static unsigned devices(struct state *s)
{
	unsigned bad = 0;

	bad += syscall(SYS_getppid) <= 0;
	bad += read(s->zero, s->in, BLOCK) != BLOCK || s->in[0] || s->in[BLOCK - 1];
	bad += write(s->null, s->out, BLOCK) != BLOCK;
	return bad;
}

static unsigned file(struct state *s)
{
	struct stat st;
	unsigned bad = 0;

	bad += pwrite(s->file, s->out, BLOCK, 4096) != BLOCK;
	bad += pread(s->file, s->in, BLOCK, 4096) != BLOCK || memcmp(s->in, s->out, BLOCK);
	bad += fstat(s->file, &st) != 0 || st.st_size != 4096 + BLOCK;
	bad += stat("/proc/self/status", &st) != 0;
	return bad;
}

static unsigned pipes(struct state *s)
{
	struct pollfd p = {.fd = s->pipe[0], .events = POLLIN};
	struct epoll_event event;
	unsigned bad = 0;

	bad += poll(&p, 1, 0) != 0;
	bad += write(s->pipe[1], s->out, BLOCK) != BLOCK;
	bad += epoll_wait(s->epoll, &event, 1, 0) != 1;
	memset(s->in, 0, BLOCK);
	bad += read(s->pipe[0], s->in, BLOCK) != BLOCK || memcmp(s->in, s->out, BLOCK);
	return bad;
}

static unsigned turn(void *state, uint64_t *done)
{
	unsigned bad = 0, i;

	for (i = 0; i < ROUNDS; i++)
		bad += devices(state) + file(state) + pipes(state);
	*done += 11 * ROUNDS; /* three, four and four calls above */
	return bad;
}

int main(int argc, char **argv)
{
	return load_main(argc, argv, open_state, turn);
}
