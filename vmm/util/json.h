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

#endif
