/* SPDX-License-Identifier: GPL-2.0-only */
/* The few looks a screen uses, and lines of prose that keep to the width. */
#ifndef HOTRAIL_SHOW_STYLE_H
#define HOTRAIL_SHOW_STYLE_H

#include "show/show.h"
#include "show/text.h"

enum style { STYLE_PLAIN, STYLE_HEAD, STYLE_DIM, STYLE_GOOD, STYLE_WARN, STYLE_BAD };

/* Escape sequences, or "" without colour. live.c knows exactly these. */
const char *style_on(const struct show *s, enum style style);
const char *style_off(const struct show *s);

/* Cleaned for this terminal. */
struct text style_clean(const struct show *s, const char *raw);

#define LINES_LABEL 12 /* columns the label of lines_item() takes */
/* "Label       text ...", broken at the width, continued under the text. The text is cleaned as a
 * whole. */
void lines_item(const struct show *s, const char *label, enum style style, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A paragraph, `indent` columns in. */
void lines_text(const struct show *s, unsigned indent, enum style style, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What follows `indent` columns already printed: a paragraph hanging there. Plain. */
void lines_hanging(const struct show *s, unsigned indent, const char *raw);
void lines_blank(const struct show *s);

#endif
