/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that prints results. Every screen is made from the JSON document that -j prints as it is. */
#ifndef HOTRAIL_SHOW_SHOW_H
#define HOTRAIL_SHOW_SHOW_H

#include <stdbool.h>
#include <stdio.h>
#include "util/error.h"
#include "util/json.h"

struct show {
	FILE *out;
	bool json; /* -j */
	bool color; /* terminal, and NO_COLOR unset */
	unsigned width; /* columns; 80 when unknown */
};
void show_init(struct show *s, FILE *out, bool json);

/* Prints the document of that kind ("ps", "status", "sites", "change", "verify", "doctor", "profile",
 * "bench-micro", "bench-yard"), as JSON or by the kind's own table. 0, or -ENOENT for an unknown kind. */
int show_document(const struct show *s, const char *kind, const json_t *doc);
/* "hotrail: " + text on stderr. */
void show_error(const struct error *err);
void show_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* progress line, stderr */

/* One progress line on stderr when it is a terminal, nothing otherwise. */
struct progress { const char *what; double done; bool shown; };
void progress_update(struct progress *p, const char *what, double fraction);
void progress_end(struct progress *p);

/* Live screen: fetch() is called every interval_ms for a fresh "top" document (new reference or NULL to end).
 * Restores the terminal on every way out, signals included. */
int show_live(const struct show *s, unsigned interval_ms, json_t *(*fetch)(void *ctx), void *ctx,
	      struct error *err);

#endif
