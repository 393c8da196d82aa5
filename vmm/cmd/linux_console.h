/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Talking to the guest that vm-images/linux/guest-init runs in: one command a line down the serial
 * console, lines "HOTRAIL NAME VALUE UNIT errors N" and at last "HOTRAIL done" back. What the guest
 * says is bounded and checked; other lines (the kernel's) are kept for messages only.
 */
#ifndef HOTRAIL_CMD_LINUX_CONSOLE_H
#define HOTRAIL_CMD_LINUX_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "guest/pc_guest.h"

struct linux_answer {
	char name[32], text[64], unit[24]; /* `text` is the value as written; printable */
	double value;			   /* 0 when the text is no number */
	uint64_t errors;
};

struct linux_console {
	struct pc *pc; /* set once it is open */
	int event;
	char line[256], last[128]; /* being read; the last one that was no answer */
	size_t len;
	FILE *other; /* where lines that are no answers go; NULL = nowhere. As the guest wrote them.
		      */
};

int linux_console_open(struct linux_console *c, struct error *err);
void linux_console_close(struct linux_console *c);
void linux_console_wake(void *console); /* for pc_config.wake */

/* -ETIMEDOUT; -ESHUTDOWN when the guest ended; -EPROTO for an answer that is none. */
int linux_console_ready(struct linux_console *c, unsigned timeout_ms, struct error *err);
int linux_console_ask(struct linux_console *c, unsigned timeout_ms, struct linux_answer *a,
		      struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* One line of the guest, without its end. 1: an answer, 2: "done", 0: something else. Pure. */
int linux_answer_parse(const char *line, struct linux_answer *a);

#endif
