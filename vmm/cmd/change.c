// SPDX-License-Identifier: GPL-2.0-only
/* What promote and demote share: asking for a change, and what the answer means. */
#include "cmd/change.h"

#include <stdio.h>
#include <string.h>

#include "cmd/doc.h"
#include "patch/patch.h"
#include "show/show.h"

int change_exit(const json_t *doc)
{
	const json_t *changes = json_object_get(doc, "changes");
	bool busy = false, refused = false, same = false;
	size_t i;

	if (json_integer_value(json_object_get(doc, "failed")) > 0)
		return HOTRAIL_EXIT_FAILED;
	if (json_is_true(json_object_get(doc, "dry_run")) ||
	    json_integer_value(json_object_get(doc, "applied")) > 0)
		return HOTRAIL_EXIT_OK;
	for (i = 0; i < json_array_size(changes); i++) {
		const char *why =
			json_string_value(json_object_get(json_array_get(changes, i), "reason"));

		if (!why)
			continue;
		same |= !strcmp(why, patch_reason_text(PATCH_REASON_SAME)) ||
			!strcmp(why, DOC_ALREADY_PROMOTED);
		busy |= !strcmp(why, patch_reason_text(PATCH_REASON_BUSY));
		refused |= !strcmp(why, patch_reason_text(PATCH_REASON_MISMATCH)) ||
			   !strcmp(why, patch_reason_text(PATCH_REASON_QUARANTINED)) ||
			   !strcmp(why, patch_reason_text(PATCH_REASON_PROTECTED)) ||
			   !strcmp(why, patch_reason_text(PATCH_REASON_OWNER)) ||
			   !strcmp(why, patch_reason_text(PATCH_REASON_AGENT));
	}
	if (busy)
		return HOTRAIL_EXIT_BUSY;
	if (refused)
		return HOTRAIL_EXIT_REFUSED;
	return same || !json_array_size(changes) ? HOTRAIL_EXIT_OK : HOTRAIL_EXIT_FAILED;
}

static json_t *site_list(const struct cmd_list *named)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < named->count; i++)
		json_array_append_new(list, json_string(named->item[i]) ?: json_string("?"));
	return list;
}

int change_do(const char *guest, const char *command, json_t *arguments,
	      const struct cmd_list *named, const char *all_flag, bool json)
{
	struct control_client *c = NULL;
	struct error err = {0};
	json_t *doc = NULL;
	struct show s;
	int ret;

	if (named->count)
		json_object_set_new(arguments, "sites", site_list(named));
	else
		json_object_set_new(arguments, all_flag, json_true());
	ret = cmd_connect(guest, &c, NULL, &err);
	if (ret)
		json_decref(arguments);
	else
		ret = control_call(c, command, arguments, &doc, &err);
	control_close(c);
	if (ret)
		return cmd_fail(&err);
	show_init(&s, stdout, json);
	show_document(&s, "change", doc);
	ret = change_exit(doc);
	json_decref(doc);
	return ret;
}
