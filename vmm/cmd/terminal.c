// SPDX-License-Identifier: GPL-2.0-only
/* Standard input and output as a guest's serial console. */
#include "cmd/terminal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void set_raw(struct terminal *t)
{
	struct termios raw = t->saved;

	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void terminal_open(struct terminal *t, struct serial *serial)
{
	*t = (struct terminal){.serial = serial};
	if (!isatty(STDIN_FILENO))
		return;
	/* In the background a read or a mode change would stop us: then only output is copied. */
	if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &t->saved)) {
		t->in_done = true;
		return;
	}
	t->raw = true;
	set_raw(t);
}

void terminal_resume(struct terminal *t)
{
	if (t->raw && tcgetpgrp(STDIN_FILENO) == getpgrp())
		set_raw(t);
}

void terminal_close(struct terminal *t)
{
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved);
	t->raw = false;
}

void terminal_poll(struct terminal *t, struct pollfd p[2])
{
	/* A negative descriptor is skipped. */
	p[0].fd = t->in_done || !serial_room(t->serial) ? -1 : STDIN_FILENO;
	p[0].events = POLLIN;
	if (!t->pending_len)
		t->pending_len = serial_take(t->serial, t->pending, sizeof(t->pending));
	p[1].fd = t->pending_len ? STDOUT_FILENO : -1;
	p[1].events = POLLOUT;
}

/* True when the user wants to leave. */
static bool read_input(struct terminal *t)
{
	char buf[256];
	size_t room = serial_room(t->serial);
	ssize_t n = read(STDIN_FILENO, buf, room < sizeof(buf) ? room : sizeof(buf));
	const char *escape;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		t->in_done = true; /* the guest goes on without */
		return t->raw;	   /* the terminal hung up */
	}
	escape = t->raw ? memchr(buf, TERMINAL_ESCAPE, (size_t)n) : NULL;
	serial_put(t->serial, buf, escape ? (size_t)(escape - buf) : (size_t)n);
	return escape;
}

static void write_output(struct terminal *t)
{
	ssize_t n = write(STDOUT_FILENO, t->pending, t->pending_len);

	if (n > 0) {
		t->pending_len -= (size_t)n;
		memmove(t->pending, t->pending + n, t->pending_len);
	} else if (errno != EINTR && errno != EAGAIN) {
		t->out_broken = true;
	}
}

enum terminal_event terminal_step(struct terminal *t, const struct pollfd p[2])
{
	if (p[0].fd >= 0 && p[0].revents && read_input(t))
		return TERMINAL_LEAVE;
	if (p[1].fd >= 0 && p[1].revents)
		write_output(t);
	return t->out_broken ? TERMINAL_BROKEN : TERMINAL_GO_ON;
}

void terminal_drain(struct terminal *t)
{
	while (!t->out_broken) {
		if (!t->pending_len)
			t->pending_len = serial_take(t->serial, t->pending, sizeof(t->pending));
		if (!t->pending_len)
			break;
		write_output(t);
	}
}
