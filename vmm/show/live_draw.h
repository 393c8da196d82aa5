/* SPDX-License-Identifier: GPL-2.0-only */
/* The ncurses half of the live screen: a rendered page on the terminal. Main thread only, never
 * from a handler. */
#ifndef HOTRAIL_SHOW_LIVE_DRAW_H
#define HOTRAIL_SHOW_LIVE_DRAW_H

#include "show/show.h"

enum live_key { LIVE_KEY_NONE, LIVE_KEY_QUIT, LIVE_KEY_REDRAW, LIVE_KEY_SUSPEND };

struct live_page;

/* Takes over the terminal `in`/`s->out`. -ENOTTY with the remedy in words. */
int live_open(const struct show *s, FILE *in, struct live_page **out, struct error *err);
void live_close(struct live_page *p); /* gives it back; NULL is fine */
/* doc is borrowed; NULL = nothing fetched yet. */
void live_draw(struct live_page *p, const json_t *doc, unsigned interval_ms);
void live_resize(struct live_page *p);
/* All keys waiting; scrolling is done here. QUIT also when the terminal is gone. */
enum live_key live_keys(struct live_page *p);
void live_suspend(struct live_page *p); /* gives the terminal back until live_resume() */
void live_resume(struct live_page *p);

#endif
