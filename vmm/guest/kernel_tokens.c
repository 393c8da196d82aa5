// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finding kallsyms_token_table and kallsyms_token_index without a symbol: 256 strings
 * one after the other, and right behind them (8-byte aligned) 256 16-bit offsets that
 * lead to exactly these strings. No other data has that shape.
 */
#include "guest/kernel_view.h"

#define INDEX_BYTES (256 * 2)

static bool ascending(const uint8_t *index)
{
	unsigned i;

	if (kernel_u16(index))
		return false;
	for (i = 1; i < 256; i++)
		if (kernel_u16(index + 2 * i) <= kernel_u16(index + 2 * i - 2))
			return false;
	return true;
}

/* Offset of the table that ends, with up to 7 bytes of padding, at `end`; or false. */
static bool table_before(const uint8_t *bytes, size_t end, unsigned last_offset, size_t *at)
{
	size_t nul = end, text;

	while (nul && end - nul < 8 && !bytes[nul - 1])
		nul--;
	if (nul == end || end - nul > 8)
		return false;
	for (text = nul; text && nul - text < 512 && bytes[text - 1];)
		text--; /* the last token: back to the NUL of the one before it */
	if (text == nul || text < last_offset)
		return false;
	*at = text - last_offset;
	return *at % 8 == 0;
}

static bool take_tokens(const uint8_t *bytes, struct kernel_tokens *t)
{
	const uint8_t *index = bytes + t->index_at, *p = bytes + t->table_at;
	unsigned i, c;

	t->table = p;
	for (i = 0; i < 256; i++) {
		unsigned from = kernel_u16(index + 2 * i), len = 0;

		while (t->table_at + from + len < t->index_at && p[from + len]) {
			c = p[from + len++];
			if (c <= ' ' || c > '~')
				return false;
		}
		/* Each string ends where the next one begins. */
		if (i < 255 && from + len + 1 != kernel_u16(index + 2 * i + 2))
			return false;
		t->text[i] = (const char *)p + from;
		t->len[i] = (uint16_t)len;
	}
	return true;
}

bool kernel_find_tokens(const uint8_t *bytes, size_t len, size_t from, struct kernel_tokens *t)
{
	size_t at;

	for (at = (from + 7) & ~(size_t)7; at + INDEX_BYTES <= len; at += 8) {
		const uint8_t *index = bytes + at;

		/* Cheap first: nearly every place ends here. */
		if (kernel_u16(index) || !kernel_u16(index + 2) || !ascending(index))
			continue;
		t->index_at = at;
		if (table_before(bytes, at, kernel_u16(index + INDEX_BYTES - 2), &t->table_at) &&
		    take_tokens(bytes, t))
			return true;
	}
	return false;
}
