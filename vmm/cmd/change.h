/* SPDX-License-Identifier: GPL-2.0-only */
/* What promote and demote share: asking for a change, and what the answer means. */
#ifndef HOTRAIL_CMD_CHANGE_H
#define HOTRAIL_CMD_CHANGE_H

#include "cmd/cmd.h"

/*
 * Exit code for a "change" document: 1 when something failed, 0 when something was done or
 * everything already was as asked, else what kept all of it from being done: 3 busy, 5 refused, 1.
 * Pure.
 */
int change_exit(const json_t *doc);

/*
 * Let `command` do it, print the document, return the exit code. `arguments` is stolen and gets
 * "sites": what the user named, or `all_flag`: true when that is nothing.
 */
int change_do(const char *guest, const char *command, json_t *arguments,
	      const struct cmd_list *named, const char *all_flag, bool json);

#endif
