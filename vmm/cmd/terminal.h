/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's serial console on our standard input and output. On a terminal input goes raw,
 * so that Ctrl-C and Ctrl-Z are the guest's; Ctrl-] leaves. Elsewhere bytes are copied.
 */
#ifndef HOTRAIL_CMD_TERMINAL_H
#define HOTRAIL_CMD_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "device/serial.h"

#define TERMINAL_ESCAPE 0x1d /* Ctrl-] */
#define TERMINAL_CHUNK	4096 /* PIPE_BUF: what a writable pipe takes without blocking */

struct terminal {
	struct serial *serial;
	bool raw, in_done, out_broken;
	struct termios saved;
	char pending[TERMINAL_CHUNK]; /* guest output not written yet */
	size_t pending_len;
};

enum terminal_event { TERMINAL_GO_ON, TERMINAL_LEAVE, TERMINAL_BROKEN };

/* Raw mode if standard input is a terminal and ours to read. */
void terminal_open(struct terminal *t, struct serial *serial);
void terminal_close(struct terminal *t);  /* as it was; twice is fine */
void terminal_resume(struct terminal *t); /* after SIGCONT: a shell has changed the modes */

/* Fills p[0] (input) and p[1] (output) for poll(), and acts on what it found. */
void terminal_poll(struct terminal *t, struct pollfd p[2]);
enum terminal_event terminal_step(struct terminal *t, const struct pollfd p[2]);
/* The rest of the guest's output, blocking. */
void terminal_drain(struct terminal *t);

#endif
