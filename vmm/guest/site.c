// SPDX-License-Identifier: GPL-2.0-only
/* Finding sites in text, and finding a site again by address. */
#include "guest/site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/decode.h"

/* Register of the thunk at `target`, or -1. RSP has none: it holds the stack. */
static int thunk_reg(const gva_t thunks[HOTRAIL_REGS], gva_t target)
{
	int reg;

	for (reg = 0; reg < HOTRAIL_REGS; reg++)
		if (reg != HOTRAIL_RSP && thunks[reg] && thunks[reg] == target)
			return reg;
	return -1;
}

/* `call`/`jmp rel32`, bare or with one cs prefix: the only forms whose rel32 is changed. */
static bool plain_form(const uint8_t *bytes, const struct x86_insn *in)
{
	if (in->kind != X86_CALL_REL32 && in->kind != X86_JMP_REL32)
		return false;
	return in->len == 5 || (in->len == SITE_MAX_LEN && bytes[0] == 0x2e);
}

enum finding { NO_SITE, SITE, ODD };

static enum finding recognise(const gva_t thunks[HOTRAIL_REGS], const uint8_t *bytes, gva_t at,
			      const struct x86_insn *in, struct site *s)
{
	int reg;

	if (in->kind != X86_CALL_REL32 && in->kind != X86_JMP_REL32 && in->kind != X86_JCC_REL32)
		return NO_SITE;
	reg = thunk_reg(thunks, in->target);
	if (reg < 0)
		return NO_SITE;
	if (!plain_form(bytes, in))
		return ODD;
	*s = (struct site){
		.addr = at,
		.thunk = in->target,
		.len = in->len,
		.is_jump = in->kind == X86_JMP_REL32,
		.reg = (uint8_t)reg,
	};
	memcpy(s->bytes, bytes, in->len);
	return SITE;
}

static int add_site(struct site_table *t, size_t *cap, const struct site *s)
{
	struct site *grown;

	if (t->count == *cap) {
		*cap = *cap ? *cap * 2 : 256;
		grown = realloc(t->sites, *cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->sites = grown;
	}
	t->sites[t->count++] = *s;
	return 0;
}

static int scan(const uint8_t *text, size_t len, const gva_t thunks[HOTRAIL_REGS],
		struct site_table *t, struct error *err)
{
	struct x86_insn in;
	size_t pos, cap = 0;
	enum finding found;
	struct site s;

	for (pos = 0; pos < len; pos += in.len) {
		gva_t at = t->text_start + pos;

		if (x86_decode(text + pos, len - pos, at, &in))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EILSEQ,
					 "text: no instruction at 0x%llx (byte 0x%02x)",
					 (unsigned long long)at, text[pos]);
		found = recognise(thunks, text + pos, at, &in, &s);
		t->odd += found == ODD;
		if (found == SITE && add_site(t, &cap, &s))
			return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
					 "no memory for the site table");
	}
	return 0;
}

int site_scan(const uint8_t *text, size_t len, gva_t text_start, const gva_t thunks[HOTRAIL_REGS],
	      struct site_table *out, struct error *err)
{
	int ret;

	*out = (struct site_table){.text_start = text_start, .text_end = text_start + len};
	ret = scan(text, len, thunks, out, err);
	if (ret)
		site_table_free(out);
	return ret;
}

#define LONGEST_INSN 15

size_t site_search(struct site_search *f, const uint8_t *text, size_t len, gva_t at, bool last)
{
	enum finding found;
	struct x86_insn in;
	struct site s;
	size_t pos = 0;

	while (pos < len && (last || len - pos >= LONGEST_INSN)) {
		if (x86_decode(text + pos, len - pos, at + pos, &in)) {
			f->strange++;
			pos++; /* x86 code is in step again after a few instructions */
			continue;
		}
		found = recognise(f->thunks, text + pos, at + pos, &in, &s);
		f->odd += found == ODD;
		if (found == SITE)
			f->take(f->ctx, &s);
		pos += in.len;
	}
	return pos;
}

void site_table_free(struct site_table *t)
{
	free(t->by_addr);
	free(t->sites);
	*t = (struct site_table){0};
}

/* How many of sites[0..n) begin at or below addr; `by` NULL: in their own order. */
static size_t count_below(const struct site_table *t, const uint32_t *by, size_t n, gva_t addr)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->sites[by ? by[mid] : mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Index of the last site at or below addr, or -1. */
static long site_below(const struct site_table *t, gva_t addr)
{
	size_t n = count_below(t, t->by_addr, t->filled, addr);

	if (n)
		return t->by_addr[n - 1];
	return (long)count_below(t, NULL, t->count - t->slots, addr) - 1;
}

long site_find(const struct site_table *t, gva_t addr)
{
	long i = site_below(t, addr);

	return i >= 0 && t->sites[i].addr == addr ? i : -1;
}

long site_find_return(const struct site_table *t, gva_t addr)
{
	long i = addr ? site_below(t, addr - 1) : -1;

	return i >= 0 && !t->sites[i].is_jump && t->sites[i].addr + t->sites[i].len == addr ? i
											    : -1;
}

bool site_may_be(const struct site_table *t, gva_t addr)
{
	if (addr > t->text_start && addr <= t->text_end)
		return true;
	return t->filled && addr > t->sites[t->by_addr[0]].addr &&
	       addr <= t->sites[t->by_addr[t->filled - 1]].addr + SITE_MAX_LEN;
}
