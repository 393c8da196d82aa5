// SPDX-License-Identifier: GPL-2.0-only
/* Console: the guest's text, bounded in memory and harmless to a terminal. */
#include "device/bus.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line {
	char text[CONSOLE_COLUMNS];
	unsigned len;
};

struct console {
	int copy_fd;
	unsigned long skipped;		 /* lines the reader of copy_fd was too slow for */
	pthread_mutex_t lock;		 /* a leaf */
	struct line ring[CONSOLE_LINES]; /* complete lines; next is overwritten first */
	unsigned next, count;
	struct line current; /* being written; vCPUs share it as they would a serial line */
};

struct console *console_create(int copy_fd)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->copy_fd = copy_fd;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/*
 * Only printable ASCII and tab pass: an escape sequence from a hostile guest would otherwise
 * drive the user's terminal. Bytes above 0x7e go too: some are C1 controls.
 */
static char sanitize(uint8_t byte)
{
	return byte == '\t' || (byte >= 0x20 && byte < 0x7f) ? (char)byte : '.';
}

/*
 * Never blocks: this runs on a vCPU's thread, and a pause waits for it. A line that finds the
 * reader behind is kept but not copied, and the next one that goes through says how many.
 */
static void copy_line(struct console *c, const struct line *l)
{
	struct pollfd pfd = {.fd = c->copy_fd, .events = POLLOUT};
	char out[CONSOLE_COLUMNS + 64];
	int used = 0;

	if (c->copy_fd < 0)
		return;
	if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT)) {
		c->skipped++;
		return;
	}
	if (c->skipped)
		used = snprintf(out, sizeof(out), "(%lu console lines not shown)\n", c->skipped);
	memcpy(out + used, l->text, l->len);
	used += (int)l->len;
	out[used++] = '\n';
	/* Less than PIPE_BUF, so a pipe that polls writable takes it whole. */
	if (write(c->copy_fd, out, (size_t)used) < 0)
		c->skipped++;
	else
		c->skipped = 0;
}

static void finish_line(struct console *c)
{
	copy_line(c, &c->current);
	c->ring[c->next] = c->current;
	c->next = (c->next + 1) % CONSOLE_LINES;
	if (c->count < CONSOLE_LINES)
		c->count++;
	c->current.len = 0;
}

void console_write(void *console, unsigned vcpu, uint32_t value)
{
	struct console *c = console;
	uint8_t byte = (uint8_t)value;

	(void)vcpu;
	pthread_mutex_lock(&c->lock);
	if (byte == '\n') {
		finish_line(c);
	} else {
		if (c->current.len == CONSOLE_COLUMNS) /* too long: broken, not lost */
			finish_line(c);
		c->current.text[c->current.len++] = sanitize(byte);
	}
	pthread_mutex_unlock(&c->lock);
}

static const struct line *line_back(const struct console *c, unsigned back)
{
	return &c->ring[(c->next + CONSOLE_LINES - back) % CONSOLE_LINES];
}

size_t console_tail(struct console *c, unsigned n, char *buf, size_t len)
{
	const struct line *l;
	size_t used = 0, need = 0;
	unsigned i;

	if (!len)
		return 0;
	pthread_mutex_lock(&c->lock);
	if (n > c->count)
		n = c->count;
	/* Whole lines, the newest: each needs one byte more, a separator or the NUL. */
	for (i = 0; i < n && need + line_back(c, i + 1)->len + 1 <= len; i++)
		need += line_back(c, i + 1)->len + 1;
	for (; i > 0; i--) {
		l = line_back(c, i);
		memcpy(buf + used, l->text, l->len);
		used += l->len;
		buf[used++] = i > 1 ? '\n' : '\0';
	}
	pthread_mutex_unlock(&c->lock);
	if (!used)
		buf[0] = '\0';
	return used ? used - 1 : 0;
}
