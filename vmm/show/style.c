// SPDX-License-Identifier: GPL-2.0-only
/* Looks, and paragraphs that keep to the terminal's width. */
#include "show/style.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_MIN 40
#define WIDTH_MAX 500

static unsigned width_of(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	long n = 0;

	if (ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		n = ws.ws_col;
	else if (columns)
		n = strtol(columns, NULL, 10);
	if (n <= 0)
		return 80;
	return n < WIDTH_MIN ? WIDTH_MIN : n > WIDTH_MAX ? WIDTH_MAX : (unsigned)n;
}

/* The same order as setlocale(3) takes the variables in. */
static bool locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *v, *dot;
	unsigned i;

	for (i = 0; i < 3; i++)
		if ((v = getenv(names[i])) && *v)
			return (dot = strchr(v, '.')) && (!strncasecmp(dot + 1, "utf-8", 5) ||
							  !strncasecmp(dot + 1, "utf8", 4));
	return false;
}

void show_init(struct show *s, FILE *out, bool json)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	int fd = fileno(out);

	s->out = out;
	s->json = json;
	s->color = fd >= 0 && isatty(fd) && !(no_color && *no_color) && term &&
		   strcmp(term, "dumb") != 0;
	s->utf8 = locale_is_utf8();
	s->width = width_of(fd);
}

const char *style_on(const struct show *s, enum style style)
{
	static const char *const sgr[] = {"",	      "\033[1m",  "\033[2m",
					  "\033[32m", "\033[33m", "\033[31m"};

	return s->color ? sgr[style] : "";
}

const char *style_off(const struct show *s)
{
	return s->color ? "\033[0m" : "";
}

struct text style_clean(const struct show *s, const char *raw)
{
	return text_clean(raw, s->utf8);
}

/* Clean piece by piece, because struct text is shorter than a paragraph. Same rules, in place. */
static char *clean_paragraph(const struct show *s, const char *raw)
{
	size_t len = strlen(raw), used = 0;
	char *out = malloc(len + 1);

	while (out && *raw) {
		char piece[5];
		size_t n = 1;
		struct text t;

		while (n < 4 && ((unsigned char)raw[n] & 0xc0) == 0x80)
			n++;
		memcpy(piece, raw, n);
		piece[n] = 0;
		t = text_clean(piece, s->utf8);
		memcpy(out + used, t.s, strlen(t.s)); /* never longer than what came in */
		used += strlen(t.s);
		raw += n;
	}
	if (out)
		out[used] = 0;
	return out;
}

static void paragraph(const struct show *s, unsigned indent, bool hanging, enum style style,
		      const char *raw)
{
	unsigned columns = s->width > indent + 10 ? s->width - indent : 10;
	char *clean = clean_paragraph(s, raw);
	const char *p = clean, *next;

	if (!clean)
		return;
	for (; p; p = next, hanging = false) {
		size_t n = text_line(p, columns, &next);

		fprintf(s->out, "%*s%s%.*s%s\n", hanging ? 0 : (int)indent, "", style_on(s, style),
			(int)n, p, style == STYLE_PLAIN ? "" : style_off(s));
	}
	free(clean);
}

void lines_item(const struct show *s, const char *label, enum style style, const char *fmt, ...)
{
	char *raw = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&raw, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	fprintf(s->out, "%s%-*s%s", style_on(s, STYLE_HEAD), LINES_LABEL, label, style_off(s));
	if (text_width(label) >= LINES_LABEL)
		fprintf(s->out, "\n%*s", LINES_LABEL, "");
	paragraph(s, LINES_LABEL, true, style, raw);
	free(raw);
}

void lines_text(const struct show *s, unsigned indent, enum style style, const char *fmt, ...)
{
	char *raw = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&raw, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	paragraph(s, indent, false, style, raw);
	free(raw);
}

void lines_hanging(const struct show *s, unsigned indent, const char *raw)
{
	paragraph(s, indent, true, STYLE_PLAIN, raw);
}

void lines_blank(const struct show *s)
{
	fputc('\n', s->out);
}
