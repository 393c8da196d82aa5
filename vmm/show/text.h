/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text for terminals. Names come from guests and files, so every string passes
 * text_clean() before it is measured or printed: control characters, broken UTF-8,
 * direction marks and other invisible characters become '?'. Pure.
 */
#ifndef HOTRAIL_SHOW_TEXT_H
#define HOTRAIL_SHOW_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define TEXT_MAX 256

struct text { /* a short string by value, so that a printf line needs no buffers */
	char s[TEXT_MAX];
};

/* At most TEXT_MAX - 1 bytes, never a part of a character. NULL gives "-". !utf8 keeps ASCII only.
 */
struct text text_clean(const char *raw, bool utf8);
/* Columns a cleaned string takes; wide East Asian characters and emoji count as two. */
unsigned text_width(const char *clean);
/* Shorten in the middle, where names differ least; columns >= 1. */
struct text text_shorten(const char *clean, unsigned columns, bool utf8);
/* Bytes of the first line of `clean` that fit `columns`, broken at a space where there is one;
 * *next is where the following line starts, or NULL at the end. */
size_t text_line(const char *clean, unsigned columns, const char **next);

#endif
