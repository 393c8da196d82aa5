// SPDX-License-Identifier: GPL-2.0-only
/* Numbers as users type them. */
#include "util/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* strtoull() takes signs and leading blanks and wraps "-1": only a digit may start a number. */
static int number(const char *s, char **end, uint64_t *out)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	unsigned long long v;

	if (!isdigit((unsigned char)s[0]) || (hex && !isxdigit((unsigned char)s[2])))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, end, hex ? 16 : 10);
	if (errno)
		return -ERANGE;
	*out = v;
	return 0;
}

int parse_u64(const char *s, uint64_t *out)
{
	uint64_t v;
	char *end;
	int ret = number(s, &end, &v);

	if (ret)
		return ret;
	if (*end)
		return -EINVAL;
	*out = v;
	return 0;
}

int parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned shift = 20;
	const char *unit;
	uint64_t v;
	char *end;
	int ret = number(s, &end, &v);

	if (ret)
		return ret;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*out = v << shift;
	return 0;
}

static int real(const char *s, char **end, double *out)
{
	if (!isdigit((unsigned char)s[0]) && s[0] != '.')
		return -EINVAL;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return -EINVAL;
	errno = 0;
	*out = strtod(s, end);
	if (*end == s)
		return -EINVAL;
	return errno ? -ERANGE : 0;
}

int parse_share(const char *s, double *out)
{
	double v;
	char *end;
	int ret = real(s, &end, &v);

	if (ret)
		return ret;
	if (*end == '%') {
		v /= 100;
		end++;
	}
	if (*end)
		return -EINVAL;
	if (v > 1)
		return -ERANGE;
	*out = v;
	return 0;
}

int parse_seconds(const char *s, double *out)
{
	double v;
	char *end;
	int ret = real(s, &end, &v);

	if (ret)
		return ret;
	if (*end)
		return -EINVAL;
	if (v > 1e9)
		return -ERANGE;
	*out = v;
	return 0;
}
