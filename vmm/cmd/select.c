// SPDX-License-Identifier: GPL-2.0-only
/* What users call a site -> indices. */
#include "cmd/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/parse.h"

#define NAME_LEN 96 /* as in struct engine_row: what `sites` shows must select */

struct selection {
	bool *chosen;		 /* one a site */
	char (*names)[NAME_LEN]; /* of all sites, made when first needed */
};

static int name_sites(struct guest *g, struct selection *s, struct error *err)
{
	size_t i;

	if (s->names)
		return 0;
	s->names = calloc(g->sites.count + 1, sizeof(*s->names));
	if (!s->names)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the names of sites");
	for (i = 0; i < g->sites.count; i++)
		g->ops->symbol(g, g->sites.sites[i].addr, s->names[i], NAME_LEN);
	return 0;
}

/* "vfs_read+0x1f", "vfs_read"; in a module "[vfat] vfat_lookup+0x1c", "vfat_lookup", "[vfat]". */
static bool name_matches(const char *site, const char *selector)
{
	const char *in_module = site[0] == '[' ? strstr(site, "] ") : NULL;
	size_t len = strlen(selector);

	if (!strncmp(site, selector, len) &&
	    (!site[len] || (!strchr(selector, '+') && site[len] == '+') ||
	     (site[len] == ' ' && selector[len - 1] == ']')))
		return true;
	return in_module && name_matches(in_module + 2, selector);
}

static int no_such_site(const char *selector, struct error *err)
{
	return error_set(
		err, HOTRAIL_EXIT_USAGE, -EINVAL,
		"no site is called \"%.80s\": give an index, an address or symbol+0xoffset as "
		"`hotrail sites` shows them",
		selector);
}

static int select_index(struct guest *g, struct selection *s, uint64_t index, struct error *err)
{
	if (!site_is_there(&g->sites, index))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "there is no site %llu: this guest has %zu, numbered from 0",
				 (unsigned long long)index, g->sites.count);
	s->chosen[index] = true;
	return 0;
}

static int select_text(struct guest *g, struct selection *s, const char *text, struct error *err)
{
	bool any = false;
	uint64_t number;
	size_t i;
	long at;
	int ret;

	if (!parse_u64(text, &number)) {
		if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
			return select_index(g, s, number, err);
		at = site_find(&g->sites, number);
		return at < 0 ? no_such_site(text, err) : select_index(g, s, (uint64_t)at, err);
	}
	ret = text[0] ? name_sites(g, s, err) : no_such_site(text, err);
	if (ret)
		return ret;
	for (i = 0; i < g->sites.count; i++)
		if (site_is_there(&g->sites, i) && name_matches(s->names[i], text))
			any = s->chosen[i] = true;
	return any ? 0 : no_such_site(text, err);
}

static int select_one(struct guest *g, struct selection *s, const json_t *v, struct error *err)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		return select_index(g, s, (uint64_t)json_integer_value(v), err);
	if (json_is_string(v))
		return select_text(g, s, json_string_value(v), err);
	return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
			 "sites: each must be an index, an address or a name");
}

static int collect(struct guest *g, const struct selection *s, uint32_t **out, size_t *n,
		   struct error *err)
{
	size_t i;

	*out = malloc((g->sites.count + 1) * sizeof(**out));
	if (!*out)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the sites");
	*n = 0;
	for (i = 0; i < g->sites.count; i++)
		if (s->chosen[i])
			(*out)[(*n)++] = (uint32_t)i;
	return 0;
}

int select_sites(struct guest *g, const json_t *selectors, uint32_t **out, size_t *n,
		 struct error *err)
{
	struct selection s = {0};
	size_t i;
	int ret = 0;

	if (!json_is_array(selectors) || !json_array_size(selectors) ||
	    json_array_size(selectors) > SELECT_MAX)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "sites: must be a list of 1 to %d sites", SELECT_MAX);
	s.chosen = calloc(g->sites.count + 1, sizeof(*s.chosen));
	if (!s.chosen)
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the sites");
	for (i = 0; !ret && i < json_array_size(selectors); i++)
		ret = select_one(g, &s, json_array_get(selectors, i), err);
	if (!ret)
		ret = collect(g, &s, out, n, err);
	free(s.names);
	free(s.chosen);
	return ret;
}
