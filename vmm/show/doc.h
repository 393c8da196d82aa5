/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading of result documents. They may come from another version's monitor, so a
 * missing key, a null or a wrong type is "not known": NAN, NULL, false or no
 * elements, and the screens print "-". Paths are dotted: "engine.samples.taken". Pure.
 */
#ifndef HOTRAIL_SHOW_DOC_H
#define HOTRAIL_SHOW_DOC_H

#include <stdbool.h>
#include "util/json.h"

const json_t *doc_get(const json_t *doc, const char *path); /* borrowed, NULL when absent or null */
double doc_number(const json_t *doc, const char *path);
const char *doc_string(const json_t *doc, const char *path); /* not cleaned */
bool doc_true(const json_t *doc, const char *path);
/* Value as a non-negative number for sums and comparisons: 0 when not known. */
double doc_amount(const json_t *doc, const char *path);
size_t doc_length(const json_t *doc, const char *path); /* of an array, else 0 */
const json_t *doc_item(const json_t *doc, const char *path, size_t i);

#endif
