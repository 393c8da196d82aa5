// SPDX-License-Identifier: GPL-2.0-only
/* Formatting of struct error. */
#include "util/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, enum hotrail_exit exit_code, int ret, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return ret;
	err->exit_code = exit_code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return ret;
}

int error_errno(struct error *err, const char *fmt, ...)
{
	int saved = errno ? errno : EIO;
	size_t used;
	va_list ap;

	if (!err)
		return -saved;
	err->exit_code =
		saved == EPERM || saved == EACCES ? HOTRAIL_EXIT_PERMISSION : HOTRAIL_EXIT_FAILED;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(saved));
	return -saved;
}
