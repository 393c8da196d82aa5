/* SPDX-License-Identifier: GPL-2.0-only */
/* One function a screen: a document in, lines out. None of them fails: what a document does not say
 * is "-". */
#ifndef HOTRAIL_SHOW_SCREENS_H
#define HOTRAIL_SHOW_SCREENS_H

#include "show/show.h"
#include "show/table.h"

void screen_run(const struct show *s, const json_t *doc);
void screen_stop(const struct show *s, const json_t *doc);
void screen_ps(const struct show *s, const json_t *doc);
void screen_status(const struct show *s, const json_t *doc);
void screen_sites(const struct show *s, const json_t *doc);
void screen_top(const struct show *s, const json_t *doc);
void screen_change(const struct show *s, const json_t *doc);
void screen_verify(const struct show *s, const json_t *doc);
void screen_doctor(const struct show *s, const json_t *doc);
void screen_profile(const struct show *s, const json_t *doc);
void screen_bench_micro(const struct show *s, const json_t *doc);
void screen_bench_tailcall(const struct show *s, const json_t *doc);
void screen_bench_yard(const struct show *s, const json_t *doc);
void screen_bench_linux(const struct show *s, const json_t *doc);
void screen_bench_agent(const struct show *s, const json_t *doc);

/* Pieces that several screens share. */

/* Sites as a table; `edges` says how many targets of a site are shown. Prints nothing for no sites.
 */
void part_sites(const struct show *s, const json_t *doc, unsigned edges);
/* "taken 12.3 k = attributed 10.1 k + elsewhere 2.2 k, lost 12" (law 8). */
struct text part_samples(const json_t *samples);
/* "applied 43, skipped 2 (1 arena full, 1 bytes differ), failed 0"; `by` maps reasons to counts. */
struct text part_results(const json_t *doc, const json_t *by);
enum style part_state_style(const char *state);

#endif
