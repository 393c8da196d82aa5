/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of running guests: one folder each under /run/hotrail (root) or
 * $XDG_RUNTIME_DIR/hotrail, holding "lock" (locked, and the pid written into it, by the
 * monitor), "control" (socket), "journal" and "log". A folder whose lock is free is stale.
 * HOTRAIL_RUNTIME_DIR and HOTRAIL_STATE_DIR, when set, are used instead (tests, containers).
 */
#ifndef HOTRAIL_CONTROL_REGISTRY_H
#define HOTRAIL_CONTROL_REGISTRY_H

#include <stdbool.h>
#include <sys/types.h>
#include "util/error.h"

#define REGISTRY_NAME_MAX 63 /* letters, digits, '-', '_', '.', not starting with '.' or '-' */

struct registry_entry {
	char name[REGISTRY_NAME_MAX + 1];
	char dir[256];
	pid_t pid; /* 0 when stale */
	bool running;
};

/* Claim `name` (NULL: first free "yard-N"). -EBUSY with HOTRAIL_EXIT_BUSY when a monitor holds it;
 * a stale folder is taken over: its socket goes away, its journal is kept as journal.old. Returns
 * the lock's fd. */
int registry_claim(const char *name, struct registry_entry *out, struct error *err);
void registry_release(struct registry_entry *e, int lock_fd); /* removes the folder */
/* Gives the name up but keeps "log" and "journal" for the user to read; the folder is stale then.
 */
void registry_leave(struct registry_entry *e, int lock_fd);
/* Running or stale guest of that name; -ENOENT names what `hotrail ps` shows. NULL = the only
 * running one. */
int registry_find(const char *name, struct registry_entry *out, struct error *err);
/* All, sorted by name; caller frees. */
int registry_list(struct registry_entry **out, size_t *n, struct error *err);
/* /var/lib/hotrail or $XDG_STATE_HOME/hotrail, created when missing. */
int registry_state_dir(char *buf, size_t len, struct error *err);
void registry_path(const struct registry_entry *e, const char *file, char *buf, size_t len);

#endif
