// SPDX-License-Identifier: GPL-2.0-only
/* One progress line on stderr: what, a bar, percent. */
#include "show/show.h"

#include <string.h>
#include <unistd.h>

#include "show/style.h"

#define BAR_MAX 40

static bool visible(struct show *s)
{
	show_init(s, stderr, false);
	return isatty(STDERR_FILENO);
}

void progress_update(struct progress *p, const char *what, double fraction)
{
	char bar[BAR_MAX + 1];
	struct text name;
	unsigned room, full;
	struct show s;

	if (!(fraction > 0))
		fraction = 0;
	if (fraction > 1)
		fraction = 1;
	/* A line a per mille is plenty; more only costs the measured machine time. */
	if (p->shown && what == p->what && fraction < 1 && fraction - p->done < 0.001 &&
	    fraction >= p->done)
		return;
	p->what = what;
	p->done = fraction;
	if (!visible(&s))
		return;
	name = text_shorten(style_clean(&s, what).s, s.width / 2, s.utf8);
	room = s.width > text_width(name.s) + 9 ? s.width - text_width(name.s) - 9 : 0;
	room = room > BAR_MAX ? BAR_MAX : room;
	full = (unsigned)(fraction * room);
	memset(bar, '-', sizeof(bar));
	memset(bar, '#', full);
	bar[room] = 0;
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%%", name.s, bar, fraction * 100);
	fflush(stderr);
	p->shown = true;
}

void progress_end(struct progress *p)
{
	if (p->shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	p->shown = false;
}
