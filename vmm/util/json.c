// SPDX-License-Identifier: GPL-2.0-only
/* Conventions of our JSON documents: addresses as strings, text that is always valid UTF-8. */
#include "util/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *json_addr(gva_t addr)
{
	char buf[19];

	snprintf(buf, sizeof(buf), "0x%016" PRIx64, addr);
	return json_string(buf);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int json_get_addr(const json_t *v, gva_t *addr)
{
	const char *s = json_string_value(v);
	gva_t value = 0;
	int i, digit;

	/* json_string_length() too: a string may hold "\u0000" */
	if (!s || json_string_length(v) != 18 || s[0] != '0' || s[1] != 'x')
		return -EINVAL;
	for (i = 2; i < 18; i++) {
		digit = hex_digit(s[i]);
		if (digit < 0)
			return -EINVAL;
		value = value << 4 | (gva_t)digit;
	}
	*addr = value;
	return 0;
}

json_t *json_text(const char *s)
{
	char buf[512];
	size_t i;
	json_t *v = json_string(s);

	if (v)
		return v;
	/* Not UTF-8 (a symbol name of a foreign image, say): keep what is plain ASCII. */
	for (i = 0; s && s[i] && i < sizeof(buf) - 1; i++)
		buf[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
	buf[i] = '\0';
	return json_string(buf);
}

json_t *json_number(double value)
{
	json_t *v = json_real(value); /* NULL for infinity and NaN */

	return v ? v : json_null();
}

json_t *json_unless_negative(double value)
{
	return value < 0 ? json_null() : json_number(value);
}
