// SPDX-License-Identifier: GPL-2.0-only
/* From a GUEST argument to its monitor. */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>

#include "patch/journal.h"

/* Its monitor died, and the guest with it: what the journal knows is all there is left. */
static int gone(const struct registry_entry *e, struct error *err)
{
	struct journal_summary summary;
	struct error unread = {0};
	char path[320], text[160];

	registry_path(e, "journal", path, sizeof(path));
	if (journal_describe(path, &summary, &unread))
		snprintf(text, sizeof(text), "%.150s", unread.text);
	else
		journal_summary_text(&summary, text, sizeof(text));
	return error_set(err, HOTRAIL_EXIT_FAILED, -ESRCH,
			 "%s has ended: %s; `hotrail stop %s` removes what is left in %s", e->name,
			 text, e->name, e->dir);
}

int cmd_connect(const char *guest, struct control_client **out, struct registry_entry *entry,
		struct error *err)
{
	struct registry_entry e;
	char path[320];
	int ret = registry_find(guest, &e, err);

	if (ret)
		return ret;
	if (!e.running)
		return gone(&e, err);
	if (entry)
		*entry = e;
	registry_path(&e, "control", path, sizeof(path));
	ret = control_connect(path, out, err);
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return error_set(err, HOTRAIL_EXIT_BUSY, ret,
				 "%s is just starting or ending (pid %d); try again", e.name,
				 (int)e.pid);
	return ret;
}

int cmd_call(const char *guest, const char *command, json_t *arguments, json_t **ret,
	     struct error *err)
{
	struct control_client *client;
	int r = cmd_connect(guest, &client, NULL, err);

	if (r) {
		json_decref(arguments);
		return r;
	}
	r = control_call(client, command, arguments, ret, err);
	control_close(client);
	return r;
}
