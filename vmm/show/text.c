// SPDX-License-Identifier: GPL-2.0-only
/* Cleaning, measuring, shortening and breaking of text that goes to a terminal. */
#include "show/text.h"

#include <stdint.h>
#include <string.h>

struct range {
	uint32_t first, last;
};

/* Characters that are invisible or change the direction of text (Unicode categories Cf, Mn, Zl, Zp
 * as far as a name could abuse them), the C1 controls, surrogates and private use. */
static const struct range hidden[] = {
	{0x80, 0x9f},	  {0xad, 0xad},	    {0x300, 0x36f},	 {0x483, 0x489},   {0x591, 0x5bd},
	{0x600, 0x605},	  {0x610, 0x61a},   {0x64b, 0x65f},	 {0x61c, 0x61c},   {0x6dd, 0x6dd},
	{0x70f, 0x70f},	  {0x115f, 0x1160}, {0x17b4, 0x17b5},	 {0x180b, 0x180f}, {0x1ab0, 0x1aff},
	{0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x2028, 0x202e},	 {0x2060, 0x206f}, {0x20d0, 0x20ff},
	{0x3164, 0x3164}, {0xd800, 0xf8ff}, {0xfe00, 0xfe0f},	 {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},
	{0xffa0, 0xffa0}, {0xfff0, 0xffff}, {0xe0000, 0x10ffff},
};

/* East Asian Width W and F (Unicode annex 11), coarsely. */
static const struct range wide[] = {
	{0x1100, 0x115f},   {0x2e80, 0x303e},	{0x3041, 0xa4cf}, {0xac00, 0xd7a3},
	{0xf900, 0xfaff},   {0xfe30, 0xfe6f},	{0xff00, 0xff60}, {0xffe0, 0xffe6},
	{0x1f300, 0x1faff}, {0x20000, 0x3fffd},
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
	while (n--)
		if (c >= r[n].first && c <= r[n].last)
			return true;
	return false;
}
#define IN(table, c) in_ranges(table, sizeof(table) / sizeof((table)[0]), c)

/* Length in bytes of the character at s (0 = not UTF-8), shortest form only (RFC 3629). */
static unsigned decode(const char *s, uint32_t *c)
{
	const uint8_t *b = (const uint8_t *)s;
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n, i;

	if (b[0] < 0x80) {
		*c = b[0];
		return 1;
	}
	n = b[0] >= 0xf0 && b[0] < 0xf8 ? 4 : b[0] >= 0xe0 ? 3 : b[0] >= 0xc0 ? 2 : 0;
	if (!n || b[0] >= 0xf8)
		return 0;
	*c = b[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80) /* also stops at the terminating zero */
			return 0;
		*c = *c << 6 | (b[i] & 0x3f);
	}
	return *c >= least[n] && *c <= 0x10ffff ? n : 0;
}

static unsigned columns_of(uint32_t c)
{
	return IN(wide, c) ? 2 : 1;
}

struct text text_clean(const char *raw, bool utf8)
{
	struct text out;
	size_t used = 0;
	uint32_t c;

	if (!raw)
		raw = "-";
	while (*raw) {
		unsigned n = decode(raw, &c);
		bool bad = !n || c < 0x20 || c == 0x7f || (c >= 0x80 && (!utf8 || IN(hidden, c)));

		if (used + (bad ? 1 : n) >= sizeof(out.s))
			break;
		if (bad)
			out.s[used++] = '?';
		else
			memcpy(out.s + used, raw, n), used += n;
		raw += n ? n : 1;
	}
	out.s[used] = 0;
	return out;
}

unsigned text_width(const char *clean)
{
	unsigned width = 0, n;
	uint32_t c = 0;

	for (; *clean; clean += n ? n : 1) {
		n = decode(clean, &c);
		width += n ? columns_of(c) : 1;
	}
	return width;
}

/* Bytes of the longest beginning that takes at most `columns`. */
static size_t head_bytes(const char *clean, unsigned columns)
{
	const char *p = clean;
	uint32_t c = 0;

	while (*p) {
		unsigned n = decode(p, &c), w = n ? columns_of(c) : 1;

		if (w > columns)
			break;
		columns -= w;
		p += n ? n : 1;
	}
	return (size_t)(p - clean);
}

struct text text_shorten(const char *clean, unsigned columns, bool utf8)
{
	const char *mark = utf8 ? "\xe2\x80\xa6" : "~", *tail;
	struct text out;
	size_t head;
	uint32_t c;

	if (text_width(clean) <= columns)
		return text_clean(clean, utf8);
	head = head_bytes(clean, columns / 2);
	columns -= columns / 2 + 1; /* what is left for the tail beside the mark */
	for (tail = clean + head; text_width(tail) > columns;)
		tail += decode(tail, &c) ?: 1;
	memcpy(out.s, clean, head);
	strcpy(out.s + head, mark);
	strncat(out.s, tail, sizeof(out.s) - strlen(out.s) - 1);
	return out;
}

size_t text_line(const char *clean, unsigned columns, const char **next)
{
	size_t fit = head_bytes(clean, columns ? columns : 1), end;

	*next = NULL;
	if (!clean[fit])
		return fit;
	if (!fit) /* one wide character in one column: let it stick out */
		fit = head_bytes(clean, 2);
	/* A percent sign stays with its number. */
	for (end = fit; end && (clean[end] != ' ' || clean[end + 1] == '%'); end--)
		;
	if (!end) { /* no space to break at */
		*next = clean + fit;
		return fit;
	}
	*next = clean + end;
	while (**next == ' ')
		(*next)++;
	if (!**next)
		*next = NULL;
	while (end && clean[end - 1] == ' ')
		end--;
	return end;
}
