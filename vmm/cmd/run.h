/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of `hotrail run`: options, one run from claim to release, the document about its end.
 */
#ifndef HOTRAIL_CMD_RUN_H
#define HOTRAIL_CMD_RUN_H

#include "cmd/agent_port.h"
#include "cmd/cmd.h"
#include "cmd/monitor.h"
#include "guest/pc_guest.h"

struct virtio;

struct run_options {
	struct instance_config instance;
	const char *name, *sampler, *profile;
	const char *kernel, *initrd, *cmdline; /* a Linux guest instead of an image */
	struct cmd_list disks, nets;	       /* of a Linux guest */
	bool no_agent;			       /* of a Linux guest */
	enum engine_via via;
	bool follow, detach, json;
	double seconds; /* 0 = until it is stopped */
};

enum run_reason { RUN_STOP, RUN_SIGNAL, RUN_TIME, RUN_GUEST, RUN_WRONG, RUN_UNVERIFIED };

struct run_end {
	enum run_reason reason;
	int signal;
	struct machine_report report; /* RUN_GUEST */
	struct yard_check check;
	bool checked;
	struct engine_status status;
	uint64_t ops, uptime_ns;
};

/* The whole life of a monitor in this process. ready_fd >= 0: detached; "running" or the error goes
 * there as one line, and standard output and error into the guest's log. Returns the exit code. */
int run_monitor(const struct run_options *o, int ready_fd);
/* The same for a Linux guest: its serial console on this terminal or, detached, in the log. */
int run_linux(const struct run_options *o, int ready_fd);

struct run_devices {
	struct virtio *device[PC_SLOTS];
	unsigned count, room; /* room 0: never opened */
	struct agent_port agent;
};
/* Between pc_open() and pc_start(). What was made before a failure is left to close. */
int run_devices_open(struct pc *pc, const struct run_options *o, struct run_devices *d,
		     struct error *err);
void run_devices_close(struct run_devices *d); /* after machine_stop(), before pc_close() */

/* --- the first word of a monitor; ready_fd < 0: nobody waits for it --- */

/* Standard output and error into the guest's log. */
int run_open_log(struct monitor *m, struct error *err);
/* Steals the message, closes *ready_fd and sets it to -1. Not 0: the parent is gone. */
int run_tell_parent(int *ready_fd, json_t *message);
/* The error, to the parent or on standard error; the exit code. */
int run_tell_failure(int *ready_fd, const struct error *err);

/* --- a Linux guest gets its engine when its boot is over --- */

struct attach;
/* Reads the kernel now, looks at the guest from a thread of its own until it can be promoted or
 * never will; both are told to the monitor. Never fails a run: a guest that may not be promoted
 * still runs. */
struct attach *attach_start(struct monitor *m, const struct run_options *o);
void attach_stop(
	struct attach *a); /* engine and guest go; the machine has been stopped. NULL is fine */
/* Fork, wait until the child says it runs, print that. Returns the exit code. */
int run_detached(const struct run_options *o);

/* {"kind": "run"}: what is running, or with `end` how it ended. */
json_t *run_document(struct monitor *m, const struct run_end *end);
int run_exit_code(const struct run_end *end);

/* One line on stderr, renewed in place, when that is a terminal. */
void run_status_line(struct monitor *m);
void run_status_clear(void);

#endif
