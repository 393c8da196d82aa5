// SPDX-License-Identifier: GPL-2.0-only
/* From a GUEST argument to its monitor. */
#include "cmd/cmd.h"

#include <errno.h>

int cmd_connect(const char *guest, struct control_client **out, struct registry_entry *entry,
		struct error *err)
{
	struct registry_entry e;
	char path[320];
	int ret = registry_find(guest, &e, err);

	if (ret)
		return ret;
	if (!e.running)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ESRCH,
				 "%s has ended: its log is in %s, and `hotrail stop %s` removes it",
				 e.name, e.dir, e.name);
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
