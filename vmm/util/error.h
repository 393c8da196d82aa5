/* SPDX-License-Identifier: GPL-2.0-only */
/* One error: what failed, on what, what to do about it, and the exit code it deserves. */
#ifndef HOTRAIL_UTIL_ERROR_H
#define HOTRAIL_UTIL_ERROR_H

#include <hotrail/types.h>

struct error {
	enum hotrail_exit exit_code;
	char text[320]; /* one sentence or two, no newline, UTF-8 */
};

/*
 * Fill *err (which may be NULL) and return `ret`, a negative errno, so that a
 * failing function ends with `return error_set(err, ...)`. Any thread.
 */
int error_set(struct error *err, enum hotrail_exit exit_code, int ret, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a failed system call: appends strerror(errno), returns -errno;
 * EPERM and EACCES become HOTRAIL_EXIT_PERMISSION, all else HOTRAIL_EXIT_FAILED. */
int error_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
