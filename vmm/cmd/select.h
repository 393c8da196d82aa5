/* SPDX-License-Identifier: GPL-2.0-only */
/* What users call a site: an index, an address, "symbol+0x12", or "symbol" for all sites in it. */
#ifndef HOTRAIL_CMD_SELECT_H
#define HOTRAIL_CMD_SELECT_H

#include "guest/guest.h"
#include "util/json.h"

#define SELECT_MAX 4096 /* selectors in one request */

/*
 * `selectors`: a JSON array of strings (or integers, indices). Indices of the sites, ascending and
 * unique, in *out (caller frees); never empty after success. -EINVAL with HOTRAIL_EXIT_USAGE names
 * the selector that names no site.
 */
int select_sites(struct guest *g, const json_t *selectors, uint32_t **out, size_t *n,
		 struct error *err);

#endif
