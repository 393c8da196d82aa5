/* SPDX-License-Identifier: GPL-2.0-only */
/* What the guest's own benchmark programs share: one process a CPU, for some seconds, counted. */
#ifndef HOTRAIL_LOAD_H
#define HOTRAIL_LOAD_H

#include <stdint.h>

/* One turn of the load in worker `worker`: adds what it did to *done. Returns the number of
 * results that were not as they must be. */
typedef unsigned (*load_turn_fn)(void *state, uint64_t *done);
/* In the worker process; NULL when something is missing (errno says what). */
typedef void *(*load_open_fn)(unsigned worker);

/*
 * argv: SECONDS. Prints "RATE ERRORS", RATE per second over all processes, and returns
 * the exit code: 0, 1 when nothing could be run, 2 for usage.
 */
int load_main(int argc, char **argv, load_open_fn open, load_turn_fn turn);

#endif
