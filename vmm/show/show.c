// SPDX-License-Identifier: GPL-2.0-only
/* Kind of document -> screen, or the document itself as JSON; errors and notes on stderr. */
#include "show/show.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "show/screens.h"

static const struct {
	const char *kind;
	void (*print)(const struct show *s, const json_t *doc);
} screens[] = {
	{"run", screen_run},
	{"stop", screen_stop},
	{"ps", screen_ps},
	{"status", screen_status},
	{"sites", screen_sites},
	{"top", screen_top},
	{"change", screen_change},
	{"verify", screen_verify},
	{"doctor", screen_doctor},
	{"profile", screen_profile},
	{"bench-micro", screen_bench_micro},
	{"bench-tailcall", screen_bench_tailcall},
	{"bench-yard", screen_bench_yard},
	{"bench-linux", screen_bench_linux},
	{"bench-agent", screen_bench_agent},
};

/* Twelve digits keep every microsecond of a day, and 0.1 stays 0.1. ASCII only: a C1 control
 * character in a guest's name must not reach a terminal raw. */
#define JSON_LOOK (JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12))

static int print(const struct show *s, const char *kind, const json_t *doc, size_t look)
{
	unsigned i;

	for (i = 0; i < sizeof(screens) / sizeof(screens[0]); i++)
		if (!strcmp(screens[i].kind, kind))
			break;
	if (i == sizeof(screens) / sizeof(screens[0]))
		return -ENOENT;
	if (!s->json)
		screens[i].print(s, doc);
	else if (json_dumpf(doc, s->out, JSON_LOOK | look) || fputc('\n', s->out) == EOF)
		return -EIO;
	return fflush(s->out) || ferror(s->out) ? -EIO : 0;
}

int show_document(const struct show *s, const char *kind, const json_t *doc)
{
	return print(s, kind, doc, JSON_INDENT(2));
}

int show_stream(const struct show *s, const char *kind, const json_t *doc)
{
	return print(s, kind, doc, JSON_COMPACT);
}

void show_error(const struct error *err)
{
	/* A message may name a file or a guest: clean it like everything else. */
	struct show s;

	show_init(&s, stderr, false);
	s.width = 4096; /* one line; the shell's user breaks it where he likes */
	lines_text(&s, 0, STYLE_PLAIN, "hotrail: %s", err->text);
}

void show_note(const char *fmt, ...)
{
	char text[512];
	struct show s;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	show_init(&s, stderr, false);
	s.width = 4096;
	lines_text(&s, 0, STYLE_PLAIN, "hotrail: %s", text);
}
