/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables that fit the terminal. Columns are as wide as their widest cell; when that
 * is too much, flexible columns are shortened (in the middle) down to their minimum,
 * widest first, then the columns with the highest `drop` rank are left out. Cells are
 * copied and cleaned. One thread.
 */
#ifndef HOTRAIL_SHOW_TABLE_H
#define HOTRAIL_SHOW_TABLE_H

#include "show/style.h"

#define TABLE_COLUMNS 16

struct table_column {
	const char *head;
	bool right;    /* numbers */
	unsigned flex; /* 0 = never shortened, else the narrowest width that still says something */
	unsigned drop; /* 0 = never left out; higher goes first */
};

struct table;
/* NULL on no memory; every function below takes NULL and does nothing, so that callers need no
 * checks. */
struct table *table_create(const struct show *s, const struct table_column *columns, unsigned n);
void table_row(struct table *t);
/* Next cell of the row; cells not given are empty, cells too many are ignored. */
void table_cell(struct table *t, enum style style, const char *raw);
void table_number(struct table *t, struct text number); /* plain style */
unsigned table_rows(const struct table *t);
/* Prints (with `indent` columns in front) and frees. */
void table_print(struct table *t, unsigned indent);
void table_free(struct table *t);

#endif
