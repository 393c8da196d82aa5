// SPDX-License-Identifier: GPL-2.0-only
/* Column layout to the terminal's width. */
#include "show/table.h"

#include <stdlib.h>
#include <string.h>

#define GAP 2

struct cell {
	char *text; /* NULL = empty */
	enum style style;
};

struct table {
	const struct show *s;
	unsigned columns, rows, capacity, at;
	struct table_column column[TABLE_COLUMNS];
	unsigned width[TABLE_COLUMNS]; /* 0 after layout = left out */
	struct cell *cells;	       /* rows x columns */
};

struct table *table_create(const struct show *s, const struct table_column *columns, unsigned n)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->s = s;
	t->columns = n < TABLE_COLUMNS ? n : TABLE_COLUMNS;
	memcpy(t->column, columns, t->columns * sizeof(*columns));
	return t;
}

void table_row(struct table *t)
{
	unsigned capacity;
	struct cell *cells;

	if (!t)
		return;
	t->at = t->columns; /* no room for cells unless the row is there */
	if (t->rows == t->capacity) {
		capacity = t->capacity ? t->capacity * 2 : 32;
		cells = realloc(t->cells, (size_t)capacity * t->columns * sizeof(*cells));
		if (!cells)
			return;
		t->cells = cells;
		t->capacity = capacity;
	}
	memset(t->cells + (size_t)t->rows * t->columns, 0, t->columns * sizeof(*t->cells));
	t->rows++;
	t->at = 0;
}

void table_cell(struct table *t, enum style style, const char *raw)
{
	struct cell *c;
	struct text text;

	if (!t || !t->rows || t->at >= t->columns)
		return;
	c = t->cells + (size_t)(t->rows - 1) * t->columns + t->at++;
	text = text_clean(raw, t->s->utf8);
	c->style = style;
	c->text = *text.s ? strdup(text.s) : NULL;
}

void table_number(struct table *t, struct text number)
{
	table_cell(t, STYLE_PLAIN, number.s);
}

unsigned table_rows(const struct table *t)
{
	return t ? t->rows : 0;
}

static const char *cell_text(const struct table *t, unsigned row, unsigned col)
{
	const char *text = t->cells[(size_t)row * t->columns + col].text;

	return text ? text : "";
}

static unsigned total_width(const struct table *t)
{
	unsigned i, sum = 0;

	for (i = 0; i < t->columns; i++)
		if (t->width[i])
			sum += t->width[i] + (sum ? GAP : 0);
	return sum;
}

/* The widest column that can still give, or -1. */
static int widest_flexible(const struct table *t)
{
	int best = -1;
	unsigned i;

	for (i = 0; i < t->columns; i++)
		if (t->column[i].flex && t->width[i] > t->column[i].flex &&
		    (best < 0 || t->width[i] > t->width[best]))
			best = (int)i;
	return best;
}

static int next_to_drop(const struct table *t)
{
	int best = -1;
	unsigned i;

	for (i = 0; i < t->columns; i++)
		if (t->width[i] && t->column[i].drop &&
		    (best < 0 || t->column[i].drop > t->column[best].drop))
			best = (int)i;
	return best;
}

static void layout(struct table *t, unsigned room)
{
	unsigned natural[TABLE_COLUMNS], i, row;
	int which;

	for (i = 0; i < t->columns; i++) {
		natural[i] = text_width(t->column[i].head);
		for (row = 0; row < t->rows; row++) {
			unsigned w = text_width(cell_text(t, row, i));

			natural[i] = w > natural[i] ? w : natural[i];
		}
		t->width[i] = natural[i];
	}
	for (;;) {
		while (total_width(t) > room && (which = widest_flexible(t)) >= 0)
			t->width[which]--;
		if (total_width(t) <= room || (which = next_to_drop(t)) < 0)
			return;
		natural[which] = 0;
		memcpy(t->width, natural, sizeof(t->width)); /* the others may breathe again */
	}
}

static void print_cell(const struct table *t, unsigned col, enum style style, const char *text,
		       bool last)
{
	struct text fit = text_shorten(text, t->width[col], t->s->utf8);
	unsigned pad = t->width[col] - text_width(fit.s);
	FILE *out = t->s->out;

	if (t->column[col].right)
		fprintf(out, "%*s", (int)pad, "");
	if (*fit.s && style != STYLE_PLAIN)
		fprintf(out, "%s%s%s", style_on(t->s, style), fit.s, style_off(t->s));
	else
		fputs(fit.s, out);
	if (!t->column[col].right && !last)
		fprintf(out, "%*s", (int)pad, "");
}

/* row < 0 prints the headings. */
static void print_row(const struct table *t, int row, unsigned indent)
{
	int last = -1, col;
	bool first = true;

	for (col = 0; col < (int)t->columns; col++)
		if (t->width[col] &&
		    *(row < 0 ? t->column[col].head : cell_text(t, (unsigned)row, (unsigned)col)))
			last = col;
	fprintf(t->s->out, "%*s", last < 0 ? 0 : (int)indent, "");
	for (col = 0; col <= last; col++) {
		unsigned c = (unsigned)col;

		if (!t->width[c])
			continue;
		fprintf(t->s->out, "%*s", first ? 0 : GAP, "");
		first = false;
		if (row < 0)
			print_cell(t, c, STYLE_DIM, t->column[c].head, col == last);
		else
			print_cell(t, c, t->cells[(size_t)row * t->columns + c].style,
				   cell_text(t, (unsigned)row, c), col == last);
	}
	fputc('\n', t->s->out);
}

void table_free(struct table *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < (size_t)t->rows * t->columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_print(struct table *t, unsigned indent)
{
	int row;

	if (!t)
		return;
	layout(t, t->s->width > indent ? t->s->width - indent : 1);
	for (row = -1; row < (int)t->rows; row++)
		print_row(t, row, indent);
	table_free(t);
}
