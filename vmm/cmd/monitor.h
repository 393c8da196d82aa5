/* SPDX-License-Identifier: GPL-2.0-only */
/* The process behind one guest: what `run` opens and what the control commands work on. */
#ifndef HOTRAIL_CMD_MONITOR_H
#define HOTRAIL_CMD_MONITOR_H

#include <pthread.h>

#include "control/control.h"
#include "control/registry.h"
#include "engine/engine.h"
#include "engine/instance.h"

#define MONITOR_RATES	4 /* samples kept; the rate is over the oldest of them */
#define MONITOR_TICK_MS 500

struct monitor {
	struct registry_entry entry;
	int lock_fd;
	struct machine *machine;   /* set before the control server starts, like the three below */
	const char *image;	   /* path of image or kernel */
	struct instance *instance; /* a guest of our own; NULL for Linux, which checks no results */
	struct agent *agent; /* the client of a Linux guest's agent; NULL: it has no port for one */
	struct control_server *server;
	/* Published together by monitor_publish(); a Linux guest has neither before its boot is
	 * over. */
	struct guest *guest;
	struct engine *engine;
	uint64_t started_ns, mem_bytes;
	int stop;  /* eventfd: somebody asked for the end */
	int ended; /* eventfd: the machine ended by itself */

	/* Leaf lock: nothing that could block is called with it held. */
	pthread_mutex_t lock;
	struct {
		uint64_t ns, ops;
	} rate[MONITOR_RATES]; /* ring, newest at rates - 1 */
	unsigned rates;
	struct yard_check check; /* last good one */
	bool checked;
	struct error waiting; /* why there is no engine yet, or never will be */
};

int monitor_init(struct monitor *m, struct error *err);
void monitor_free(struct monitor *m); /* the fds and the lock only */

/* Hand out guest and engine; once. */
void monitor_publish(struct monitor *m, struct guest *g, struct engine *e);
/* Why nothing is published yet; copied. */
void monitor_wait_for(struct monitor *m, const struct error *why);
/* Both, or the error of monitor_wait_for(). Valid until the control server has stopped. */
int monitor_engine(struct monitor *m, struct guest **g, struct engine **e, struct error *err);

/* Every MONITOR_TICK_MS: take a throughput sample, compare the guest's results with the host's. */
void monitor_tick(struct monitor *m);
/* Operations a second over the last one to two seconds; negative before there is a measure. */
double monitor_rate(struct monitor *m);
/* Compare now; false when the guest let nobody look. *out is the last good comparison; when there
 * never was one (*checked false; the pointer may be NULL) only its text means something. */
bool monitor_check(struct monitor *m, struct yard_check *out, bool *checked);
bool monitor_saw_wrong(struct monitor *m); /* the last good comparison, without comparing anew */
uint64_t monitor_work(void *monitor);	   /* operations so far, for the engine */
void monitor_ask_stop(struct monitor *m);

json_t *monitor_status(struct monitor *m);

/* The control commands; ctx is the monitor. */
extern const struct control_command serve_commands[];
extern const size_t serve_commands_count;

#endif
