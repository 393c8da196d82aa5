// SPDX-License-Identifier: GPL-2.0-only
/* What works here, why something does not, and what to do about it. */
#include "show/screens.h"

#include <stdio.h>
#include <string.h>

#include "show/doc.h"

#define NAME_COLUMNS  18
#define STATE_COLUMNS 9

static void check_lines(const struct show *s, const json_t *check)
{
	const char *state = doc_string(check, "state"), *detail = doc_string(check, "detail"),
		   *remedy = doc_string(check, "remedy");
	struct text name = text_shorten(style_clean(s, doc_string(check, "name")).s,
					NAME_COLUMNS - 1, s->utf8);
	struct text word = text_shorten(style_clean(s, state).s, STATE_COLUMNS - 1, s->utf8);

	fprintf(s->out, "%s%*s%s%s%*s", name.s, (int)(NAME_COLUMNS - text_width(name.s)), "",
		style_on(s, part_state_style(state)), word.s,
		(int)(STATE_COLUMNS - text_width(word.s)), "");
	fputs(style_off(s), s->out);
	lines_hanging(s, NAME_COLUMNS + STATE_COLUMNS, detail ? detail : "-");
	if (remedy && *remedy)
		lines_text(s, NAME_COLUMNS + STATE_COLUMNS, STYLE_DIM, "-> %s", remedy);
}

void screen_doctor(const struct show *s, const json_t *doc)
{
	unsigned ok = 0, limited = 0, no = 0;
	size_t i;

	for (i = 0; i < doc_length(doc, "checks"); i++) {
		const json_t *check = doc_item(doc, "checks", i);
		const char *state = doc_string(check, "state");

		ok += state && !strcmp(state, "ok");
		limited += state && !strcmp(state, "limited");
		no += state && !strcmp(state, "no");
		check_lines(s, check);
	}
	lines_blank(s);
	lines_text(s, 0, STYLE_PLAIN, "%u ok, %u limited, %u not available.", ok, limited, no);
}
