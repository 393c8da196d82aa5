// SPDX-License-Identifier: GPL-2.0-only
/* What promote and demote share: which sites are meant, and what the answer means. */
#include "cmd/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "patch/patch.h"
#include "show/show.h"
#include "util/parse.h"

static bool fits(const json_t *site, const char *word, bool numeric, uint64_t number)
{
	const char *name = json_string_value(json_object_get(site, "name"));
	const json_t *index = json_object_get(site, "index");
	gva_t addr;

	if (name && !strcmp(name, word))
		return true;
	if (!numeric)
		return false;
	if (!strncmp(word, "0x", 2))
		return !json_get_addr(json_object_get(site, "addr"), &addr) && addr == number;
	return json_is_integer(index) && (uint64_t)json_integer_value(index) == number;
}

/* Index of the one site that `word` means, or -errno. */
static long find_site(const json_t *sites, const char *word, struct error *err)
{
	uint64_t number = 0;
	bool numeric = !parse_u64(word, &number);
	long found = -1;
	size_t i;

	for (i = 0; i < json_array_size(sites); i++) {
		const json_t *site = json_array_get(sites, i);

		if (!fits(site, word, numeric, number))
			continue;
		if (found >= 0)
			return error_set(
				err, HOTRAIL_EXIT_USAGE, -EINVAL,
				"site \"%.100s\" means several sites; use the number or the "
				"address that `hotrail sites -j` shows",
				word);
		found = (long)json_integer_value(json_object_get(site, "index"));
	}
	return found >= 0 ? found
			  : error_set(err, HOTRAIL_EXIT_USAGE, -ENOENT,
				      "no site \"%.100s\"; `hotrail sites` lists numbers and names",
				      word);
}

int change_sites(struct control_client *c, const struct cmd_list *named, json_t **out,
		 struct error *err)
{
	json_t *doc, *list;
	long site = 0;
	unsigned i;
	int ret = control_call(c, "query-sites", NULL, &doc, err);

	if (ret)
		return ret;
	list = json_array();
	for (i = 0; i < named->count && site >= 0; i++) {
		site = find_site(json_object_get(doc, "sites"), named->item[i], err);
		if (site >= 0)
			json_array_append_new(list, json_integer(site));
	}
	json_decref(doc);
	if (site < 0) {
		json_decref(list);
		return (int)site;
	}
	*out = list;
	return 0;
}

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
		same |= !strcmp(why, patch_reason_text(PATCH_REASON_SAME));
		busy |= !strcmp(why, patch_reason_text(PATCH_REASON_BUSY));
		refused |= !strcmp(why, patch_reason_text(PATCH_REASON_MISMATCH)) ||
			   !strcmp(why, patch_reason_text(PATCH_REASON_QUARANTINED));
	}
	if (busy)
		return HOTRAIL_EXIT_BUSY;
	if (refused)
		return HOTRAIL_EXIT_REFUSED;
	return same || !json_array_size(changes) ? HOTRAIL_EXIT_OK : HOTRAIL_EXIT_FAILED;
}

int change_do(const char *guest, const char *command, json_t *arguments,
	      const struct cmd_list *named, bool json)
{
	struct control_client *c = NULL;
	json_t *sites = NULL, *doc = NULL;
	struct error err = {0};
	struct show s;
	int ret;

	ret = cmd_connect(guest, &c, NULL, &err);
	if (!ret && named->count)
		ret = change_sites(c, named, &sites, &err);
	if (sites)
		json_object_set_new(arguments, "sites", sites);
	if (!ret) {
		ret = control_call(c, command, arguments, &doc, &err);
		arguments = NULL;
	}
	json_decref(arguments);
	control_close(c);
	if (ret)
		return cmd_fail(&err);
	show_init(&s, stdout, json);
	show_document(&s, "change", doc);
	ret = change_exit(doc);
	json_decref(doc);
	return ret;
}
