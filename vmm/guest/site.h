/* SPDX-License-Identifier: GPL-2.0-only */
/* Sites: the retpoline calls in guest text, sorted by address. Pure; owned by one thread or
 * read-only. */
#ifndef HOTRAIL_GUEST_SITE_H
#define HOTRAIL_GUEST_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>
#include "util/error.h"

#define SITE_MAX_LEN 6 /* cs prefix + opcode + rel32 */

struct site {
	gva_t addr;		     /* first byte, the prefix where there is one */
	gva_t thunk;		     /* where the rel32 leads in the original text */
	uint8_t len;		     /* 5 or 6 */
	uint8_t is_jump;	     /* 0 = call, 1 = tail jump */
	uint8_t reg;		     /* enum hotrail_reg holding the target */
	uint8_t bytes[SITE_MAX_LEN]; /* original text */
};

struct site_table {
	struct site *sites; /* ascending by addr, no overlap */
	size_t count;
	gva_t text_start, text_end;
	size_t odd; /* branches to a thunk in a form that is never patched: other prefixes, jcc */
};

/*
 * Find all sites in text[0..len) mapped at `text_start` by decoding it from start
 * to end. thunks[reg] = address or 0. Padding (nop, int3) is stepped over; an
 * undecodable byte is -EILSEQ; -ENOMEM.
 */
int site_scan(const uint8_t *text, size_t len, gva_t text_start, const gva_t thunks[HOTRAIL_REGS],
	      struct site_table *out, struct error *err);
void site_table_free(struct site_table *t);

/* Index of the site that starts at / returns to `addr` (call sites only), or -1. O(log n). */
long site_find(const struct site_table *t, gva_t addr);
long site_find_return(const struct site_table *t, gva_t addr);

#endif
