/* SPDX-License-Identifier: GPL-2.0-only */
/* The one file that includes jansson, plus the few conventions of our documents. */
#ifndef HOTRAIL_UTIL_JSON_H
#define HOTRAIL_UTIL_JSON_H

#include <jansson.h>
#include <hotrail/types.h>

#define JSON_SCHEMA 1

/* "0xffffffff81000000": addresses are strings, JSON numbers lose bits. New reference. */
json_t *json_addr(gva_t addr);
/* Accepts exactly that form. 0 or -EINVAL. */
int json_get_addr(const json_t *v, gva_t *addr);
/* A string of any bytes: what is not UTF-8 becomes '?' (and is cut at 511 bytes then). New
 * reference. */
json_t *json_text(const char *s);
/* A number, or null for what is not one; and the same with null for "unknown", which is negative.
 */
json_t *json_number(double value);
json_t *json_unless_negative(double value);

#endif
