/* SPDX-License-Identifier: GPL-2.0-only */
/* What promote and demote share: which sites are meant, and what the answer means. */
#ifndef HOTRAIL_CMD_CHANGE_H
#define HOTRAIL_CMD_CHANGE_H

#include "cmd/cmd.h"

/*
 * Site numbers for what the user named: a number from `hotrail sites`, an address "0x...", or a
 * name exactly as `hotrail sites` shows it. New reference in *out. A name that fits no site is
 * -ENOENT, one that fits several -EINVAL; the message says what to do.
 */
int change_sites(struct control_client *c, const struct cmd_list *named, json_t **out,
		 struct error *err);

/* Exit code for a "change" document: 1 when something failed, 0 when something was done or
 * everything already was as asked, else what kept all of it from being done: 3 busy, 5 refused, 1.
 */
int change_exit(const json_t *doc);

/* Connect, let `command` do it, print the document, return the exit code. `arguments` is stolen; it
 * gets "sites" when sites were named. */
int change_do(const char *guest, const char *command, json_t *arguments,
	      const struct cmd_list *named, bool json);

#endif
