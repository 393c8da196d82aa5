/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that prints results. Every screen is made from the JSON document that -j prints as
 * it is. */
#ifndef HOTRAIL_SHOW_SHOW_H
#define HOTRAIL_SHOW_SHOW_H

#include <stdbool.h>
#include <stdio.h>
#include "util/error.h"
#include "util/json.h"

struct show {
	FILE *out;
	bool json;	/* -j */
	bool color;	/* terminal, and NO_COLOR unset */
	bool utf8;	/* the locale's character set */
	unsigned width; /* columns; 80 when unknown */
};
/* Width: the terminal's, else COLUMNS, else 80. */
void show_init(struct show *s, FILE *out, bool json);

/* Prints the document of that kind ("run", "stop", "ps", "status", "sites", "top", "change",
 * "verify", "doctor", "profile", "bench-micro", "bench-yard", "bench-tailcall",
 * "bench-linux", "bench-agent"), as JSON or by the kind's own table.
 * 0, or -ENOENT for an unknown kind, or -EIO when `out` cannot be written. */
int show_document(const struct show *s, const char *kind, const json_t *doc);
/* One document of a stream: with -j one line, else as above. Flushed. */
int show_stream(const struct show *s, const char *kind, const json_t *doc);
/* "hotrail: " + text on stderr. */
void show_error(const struct error *err);
void show_note(const char *fmt, ...)
	__attribute__((format(printf, 1, 2))); /* progress line, stderr */

/* One progress line on stderr when it is a terminal, nothing otherwise. */
struct progress {
	const char *what;
	double done;
	bool shown;
};
void progress_update(struct progress *p, const char *what, double fraction);
void progress_end(struct progress *p);

/*
 * Live screen: fetch() is called every interval_ms for a fresh "top" document (new reference or
 * NULL to end). q, Escape, Ctrl-C, SIGTERM, SIGHUP and a terminal that goes away all end it the
 * same way: 0. Restores the terminal and the caller's signal handling on every way out.
 * Single-threaded callers only: the signals are blocked in the calling thread while it runs.
 */
int show_live(const struct show *s, unsigned interval_ms, json_t *(*fetch)(void *ctx), void *ctx,
	      struct error *err);

#endif
