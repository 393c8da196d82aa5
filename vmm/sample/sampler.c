// SPDX-License-Identifier: GPL-2.0-only
/* The table of samplers and the choice among them. */
#include "sample/sampler.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct sampler_ops *const sampler_table[] = {&sampler_lbr,  &sampler_pmu,	 &sampler_timer,
						   &sampler_hwbp, &sampler_step, NULL};

#define MAX_HZ 10000

int sampler_check_hz(const char *name, const char *what, unsigned hz, struct error *err)
{
	if (hz && hz <= MAX_HZ)
		return 0;
	return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
			 "%s: %u %s a second asked for; 1 to %d are possible", name, hz, what,
			 MAX_HZ);
}

static const struct sampler_ops *choose_named(const char *name, struct guest *g, struct error *err)
{
	char names[128] = "auto";
	size_t i, used = 4;

	for (i = 0; sampler_table[i]; i++) {
		if (!strcmp(sampler_table[i]->name, name))
			return sampler_table[i]->probe(g, err) ? NULL : sampler_table[i];
		used += (size_t)snprintf(names + used, sizeof(names) - used, ", %s",
					 sampler_table[i]->name);
		if (used >= sizeof(names))
			break;
	}
	error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "no sampler is called \"%.32s\"; there are: %s",
		  name, names);
	return NULL;
}

const struct sampler_ops *sampler_choose(const char *name, struct guest *g, struct error *err)
{
	struct error one, all = {.exit_code = HOTRAIL_EXIT_UNSUPPORTED};
	size_t i, used = 0;

	if (strcmp(name, "auto"))
		return choose_named(name, g, err);
	for (i = 0; sampler_table[i]; i++) {
		memset(&one, 0, sizeof(one));
		if (!sampler_table[i]->probe(g, &one))
			return sampler_table[i];
		if (one.exit_code == HOTRAIL_EXIT_PERMISSION)
			all.exit_code = HOTRAIL_EXIT_PERMISSION; /* a remedy exists */
		if (used < sizeof(all.text))
			used += (size_t)snprintf(all.text + used, sizeof(all.text) - used, "%s%s",
						 i ? "; " : "no sampler works here: ", one.text);
	}
	if (err)
		*err = all;
	return NULL;
}
