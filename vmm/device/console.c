// SPDX-License-Identifier: GPL-2.0-only
/* Console: the guest's text, bounded in memory and harmless to a terminal. */
#include "device/bus.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line {
	char text[CONSOLE_COLUMNS];
	unsigned len;
};

struct console {
	int copy_fd;
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

static void copy_line(struct console *c, const struct line *l)
{
	char out[CONSOLE_COLUMNS + 1];

	if (c->copy_fd < 0)
		return;
	memcpy(out, l->text, l->len);
	out[l->len] = '\n';
	/* One write a line. What the reader does not take is lost there, not here: the line is
	 * kept, and a vCPU must not retry for a reader that has gone. */
	if (write(c->copy_fd, out, l->len + 1) < 0)
		c->copy_fd = -1;
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

size_t console_tail(struct console *c, unsigned n, char *buf, size_t len)
{
	const struct line *l;
	size_t used = 0;
	unsigned i;

	if (!len)
		return 0;
	pthread_mutex_lock(&c->lock);
	if (n > c->count)
		n = c->count;
	for (i = n; i > 0; i--) {
		l = &c->ring[(c->next + CONSOLE_LINES - i) % CONSOLE_LINES];
		if (used + l->len + 2 > len) /* separator and NUL: whole lines or nothing */
			break;
		if (i < n)
			buf[used++] = '\n';
		memcpy(buf + used, l->text, l->len);
		used += l->len;
	}
	buf[used] = '\0';
	pthread_mutex_unlock(&c->lock);
	return used;
}
