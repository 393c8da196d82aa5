// SPDX-License-Identifier: GPL-2.0-only
/* Commands down a guest's serial console, answers back; see linux_console.h. */
#include "cmd/linux_console.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"

#define LOOK_MS 200 /* how late the end of a guest is noticed */
#define MARK	"HOTRAIL "

int linux_console_open(struct linux_console *c, struct error *err)
{
	memset(c, 0, sizeof(*c));
	c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c->event < 0 ? error_errno(err, "cannot open an event descriptor") : 0;
}

void linux_console_close(struct linux_console *c)
{
	if (c->event >= 0)
		close(c->event);
	c->event = -1;
}

void linux_console_wake(void *console)
{
	uint64_t one = 1;

	if (write(((struct linux_console *)console)->event, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

/* One word into buf; false when it is missing, too long or not printable ASCII. */
static bool take_word(const char **at, char *buf, size_t size)
{
	size_t n = strspn(*at, " "), i;

	*at += n;
	n = strcspn(*at, " ");
	if (!n || n >= size)
		return false;
	for (i = 0; i < n; i++)
		if ((*at)[i] <= ' ' || (*at)[i] > '~')
			return false;
	memcpy(buf, *at, n);
	buf[n] = '\0';
	*at += n;
	return true;
}

int linux_answer_parse(const char *line, struct linux_answer *a)
{
	struct linux_answer seen = {0};
	char word[8], number[24], *end;
	/* The first answer may follow a boot loader's half line. */
	const char *at = strstr(line, MARK);

	if (!at)
		return 0;
	at += strlen(MARK);
	if (!strcmp(at, "done"))
		return 2;
	if (!take_word(&at, seen.name, sizeof(seen.name)) ||
	    !take_word(&at, seen.text, sizeof(seen.text)) ||
	    !take_word(&at, seen.unit, sizeof(seen.unit)) || !take_word(&at, word, sizeof(word)) ||
	    strcmp(word, "errors") || !take_word(&at, number, sizeof(number)) || *at ||
	    *number == '-')
		return 0;
	seen.errors = strtoull(number, &end, 10);
	if (*end)
		return 0;
	seen.value = strtod(seen.text, &end);
	if (*end || !(seen.value >= 0) || seen.value > 1e15)
		seen.value = 0;
	*a = seen;
	return 1;
}

static int take_line(struct linux_console *c, struct linux_answer *a)
{
	int kind;

	c->line[c->len] = '\0';
	kind = linux_answer_parse(c->line, a);
	if (!kind && c->len)
		snprintf(c->last, sizeof(c->last), "%.*s", (int)sizeof(c->last) - 1, c->line);
	if (!kind && c->len && c->other)
		fprintf(c->other, "    | %s\n", c->line);
	c->len = 0;
	return kind;
}

/* What has come so far; returns as take_line() at the first line that is an answer. */
static int take_lines(struct linux_console *c, struct linux_answer *a)
{
	char byte;
	int kind;

	while (serial_take(c->pc->serial, &byte, 1) == 1) {
		if (byte == '\r' || !byte)
			continue;
		if (byte != '\n') {
			if (c->len < sizeof(c->line) - 1)
				c->line[c->len++] = byte;
			continue;
		}
		kind = take_line(c, a);
		if (kind)
			return kind;
	}
	return 0;
}

static int guest_ended(struct linux_console *c, const struct machine_report *r, struct error *err)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN,
			 "the guest ended: %.120s; the last it said: %.100s", r->text, c->last);
}

/* The next answer (1) or "done" (2). */
static int next(struct linux_console *c, uint64_t deadline_ns, struct linux_answer *a,
		struct error *err)
{
	struct pollfd p = {.fd = c->event, .events = POLLIN};
	struct machine_report report;
	uint64_t count;
	bool ended;
	int kind;

	for (;;) {
		/* Before the look at what it wrote, so that its last words are not missed. */
		ended = machine_wait_end(c->pc->machine, 0, &report);
		kind = take_lines(c, a);
		if (kind)
			return kind;
		if (ended)
			return guest_ended(c, &report, err);
		if (clock_ns() > deadline_ns)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT,
					 "the guest does not answer in time; the last it said: "
					 "%.100s",
					 c->last);
		if (poll(&p, 1, LOOK_MS) > 0 && read(c->event, &count, sizeof(count)) < 0)
			continue;
	}
}

static uint64_t deadline(unsigned timeout_ms)
{
	return clock_ns() + timeout_ms * 1000000ull;
}

int linux_console_ready(struct linux_console *c, unsigned timeout_ms, struct error *err)
{
	struct linux_answer a = {0};
	int kind = next(c, deadline(timeout_ms), &a, err);

	if (kind < 0)
		return kind;
	if (kind == 1 && !strcmp(a.name, "ready"))
		return 0;
	return error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
			 "this root file system is not the one of `make linux-images`");
}

static int send_all(struct linux_console *c, const char *text, uint64_t deadline_ns,
		    struct error *err)
{
	size_t left = strlen(text), n;

	while (left) {
		n = serial_put(c->pc->serial, text, left);
		text += n;
		left -= n;
		if (!left)
			return 0;
		if (clock_ns() > deadline_ns)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT,
					 "the guest does not read its console");
		clock_sleep_ms(10);
	}
	return 0;
}

int linux_console_ask(struct linux_console *c, unsigned timeout_ms, struct linux_answer *a,
		      struct error *err, const char *fmt, ...)
{
	uint64_t end = deadline(timeout_ms);
	struct linux_answer last = {0};
	char command[128];
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vsnprintf(command, sizeof(command) - 1, fmt, args);
	va_end(args);
	if (ret < 0 || (size_t)ret >= sizeof(command) - 1)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "command too long");
	command[ret] = '\n';
	command[ret + 1] = '\0';
	ret = send_all(c, command, end, err);
	while (!ret || ret == 1)
		ret = next(c, end, &last, err);
	if (ret < 0)
		return ret;
	if (a)
		*a = last;
	return 0;
}
