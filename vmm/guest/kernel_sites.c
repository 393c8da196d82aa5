// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thunks by name, sites from .retpoline_sites: signed 32-bit distances, each from its
 * own address, written by objtool for every jump or call to a thunk (since 5.16).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest/kernel_view.h"
#include "x86/decode.h"

static void find_thunks(struct kernel *k)
{
	static const char *const regs[HOTRAIL_REGS] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
	};
	char name[40];
	unsigned i;

	for (i = 0; i < HOTRAIL_REGS; i++) {
		snprintf(name, sizeof(name), "__x86_indirect_thunk_%s", regs[i]);
		k->thunks[i] = i == HOTRAIL_RSP ? 0 : kernel_lookup(k, name);
	}
}

static int thunk_reg(const struct kernel *k, gva_t target)
{
	int i;

	for (i = 0; i < HOTRAIL_REGS; i++)
		if (k->thunks[i] && k->thunks[i] == target)
			return i;
	return -1;
}

/* The form whose rel32 may be changed: bare, or with one cs prefix. */
static bool take_site(const struct kernel_view *v, const struct kernel *k, gva_t addr,
		      struct site *s)
{
	const uint8_t *bytes = kernel_view_bytes(v, addr, SITE_MAX_LEN);
	struct x86_insn in;
	int reg;

	if (!bytes || !kernel_view_exec(v, addr) || x86_decode(bytes, SITE_MAX_LEN, addr, &in))
		return false;
	if (in.kind != X86_CALL_REL32 && in.kind != X86_JMP_REL32)
		return false;
	if (in.len != 5 && (in.len != SITE_MAX_LEN || bytes[0] != 0x2e))
		return false;
	reg = thunk_reg(k, in.target);
	if (reg < 0)
		return false;
	*s = (struct site){.addr = addr,
			   .thunk = in.target,
			   .len = in.len,
			   .is_jump = in.kind == X86_JMP_REL32,
			   .reg = (uint8_t)reg};
	memcpy(s->bytes, bytes, in.len);
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Sorted and without overlap; what overlaps its predecessor cannot be a real site. */
static void order(struct kernel *k)
{
	struct site_table *t = &k->sites;
	size_t i, kept = 0;

	qsort(t->sites, t->count, sizeof(*t->sites), compare);
	for (i = 0; i < t->count; i++) {
		if (kept && t->sites[i].addr < t->sites[kept - 1].addr + t->sites[kept - 1].len)
			k->sites_odd++;
		else
			t->sites[kept++] = t->sites[i];
	}
	t->count = kept;
}

int kernel_read_sites(const struct kernel_view *v, struct kernel *k)
{
	struct kernel_span table;
	size_t entries, i;
	int ret;

	k->sites = (struct site_table){.text_start = k->text_start, .text_end = k->text_end};
	find_thunks(k);
	ret = kernel_table(v, k, "__retpoline_sites", "__retpoline_sites_end", ".retpoline_sites",
			   &table);
	if (ret < 0)
		return ret;
	if (!ret) /* no retpolines: nothing to gain, which is no error */
		return 0;
	entries = table.size / 4;
	if (table.size % 4 || entries > KERNEL_MAX_SITES)
		return kernel_broken(v,
				     ".retpoline_sites: %llu bytes, multiples of 4 to %u allowed",
				     (unsigned long long)table.size, 4 * KERNEL_MAX_SITES);
	k->sites.sites = calloc(entries, sizeof(*k->sites.sites));
	if (!k->sites.sites)
		return kernel_no_memory(v, "the site table");
	for (i = 0; i < entries; i++) {
		if (take_site(v, k, kernel_relative(&table, 4 * i),
			      &k->sites.sites[k->sites.count]))
			k->sites.count++;
		else
			k->sites_odd++;
	}
	order(k);
	k->sites.odd = k->sites_odd;
	return 0;
}
