/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers as users type them. Pure; 0 or -EINVAL (not of that form) or -ERANGE; *out untouched
 * then. */
#ifndef HOTRAIL_UTIL_PARSE_H
#define HOTRAIL_UTIL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal, or hexadecimal after 0x; no sign, no blanks. */
int parse_u64(const char *s, uint64_t *out);
/* Bytes: "512M", "1G", "4096K", "1T"; a bare number is MiB. */
int parse_size(const char *s, uint64_t *out);
/* A fraction 0..1: "0.95" or "95%". */
int parse_share(const char *s, double *out);
/* Seconds, 0 or more: "1.5". At most 1e9. */
int parse_seconds(const char *s, double *out);

#endif
