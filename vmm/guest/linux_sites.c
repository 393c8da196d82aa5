// SPDX-License-Identifier: GPL-2.0-only
/* Sites as they are in the running kernel, and a census of what boot made of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux_state.h"
#include "x86/decode.h"

/* Less than this share of the sites in a form known from this kernel: it is another one. */
#define MIN_KNOWN_PERCENT 90

enum form { KEPT, INIT, INDIRECT, FENCE, DEPTH, ITS, BUSY, DIFFER, UNREADABLE };

static bool starts_with(const char *name, const char *with)
{
	return name && !strncmp(name, with, strlen(with));
}

/* A call or jump that boot led elsewhere (arch/x86/kernel/alternative.c: patch_retpoline). */
static enum form aimed_at(const struct linux_guest *l, gva_t to)
{
	const char *name = kernel_symbol_at(l->k, to - l->info.offset, NULL);

	if (starts_with(name, "__x86_indirect_call_thunk") ||
	    starts_with(name, "__x86_indirect_jump_thunk"))
		return DEPTH;
	/* ITS thunks lie in text, or one for each site in memory like a module's. */
	if (starts_with(name, "__x86_indirect_its_thunk") ||
	    (to >= LINUX_MODULES && to < LINUX_MODULES_END))
		return ITS;
	return DIFFER;
}

static enum form form_of(const struct linux_guest *l, const struct site *s, const uint8_t *now)
{
	size_t skip = now[0] == 0x2e || now[0] == 0x3e; /* padding prefix */
	struct x86_insn in;
	bool fence;

	if (!memcmp(now, s->bytes, s->len))
		return KEPT;
	if (now[0] == 0xcc || now[s->len - 5] == 0xcc)
		return BUSY;
	fence = !memcmp(now, "\x0f\xae\xe8", 3);
	if (fence)
		skip = 3;
	if (x86_decode(now + skip, s->len - skip, s->addr + skip, &in))
		return DIFFER;
	if (in.kind == (s->is_jump ? X86_JMP_REG : X86_CALL_REG) && in.reg == s->reg)
		return fence ? FENCE : INDIRECT;
	if (!fence && (in.kind == X86_CALL_REL32 || in.kind == X86_JMP_REL32))
		return aimed_at(l, in.target);
	return DIFFER;
}

static enum form look_at(struct linux_guest *l, struct site *s)
{
	const struct kernel *k = l->k;
	struct target *t = l->guest.target;
	uint8_t now[SITE_MAX_LEN];
	gva_t linked = s->addr;

	s->addr += l->info.offset;
	s->thunk += l->info.offset;
	if (linked >= k->init_start && linked < k->init_end)
		return INIT;
	if (t->ops->read(t, s->addr, now, s->len))
		return UNREADABLE;
	return form_of(l, s, now);
}

static void count(struct linux_guest *l, const struct site *s, enum form form)
{
	struct linux_census *c = &l->info.census;
	size_t *const by[] = {
		[KEPT] = &c->kept,   [INIT] = &c->init,	    [INDIRECT] = &c->indirect,
		[FENCE] = &c->fence, [DEPTH] = &c->depth,   [ITS] = &c->its,
		[BUSY] = &c->busy,   [DIFFER] = &c->differ, [UNREADABLE] = &c->unreadable,
	};
	const struct kernel_range *r;

	++*by[form];
	c->total++;
	if (form != KEPT)
		return;
	r = kernel_protected(l->k, s->addr - l->info.offset, s->len);
	if (r)
		c->protected[r->kind]++;
}

int linux_read_sites(struct linux_guest *l, struct error *err)
{
	const struct site_table *from = &l->k->sites;
	struct site_table *to = &l->guest.sites;
	const struct linux_census *c = &l->info.census;
	size_t i, known;

	*to = (struct site_table){
		.text_start = l->guest.text_start, .text_end = l->guest.text_end, .odd = from->odd};
	to->sites = calloc(from->count + 1, sizeof(*to->sites));
	if (!to->sites)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu sites",
				 from->count);
	for (i = 0; i < from->count; i++) {
		struct site s = from->sites[i];
		enum form form = look_at(l, &s);

		count(l, &s, form);
		if (form == KEPT)
			to->sites[to->count++] = s;
	}
	known = c->kept + c->indirect + c->fence + c->depth + c->its;
	if (known * 100 < (c->total - c->init) * MIN_KNOWN_PERCENT)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE,
				 "the guest's text is not that of %s: %zu of %zu sites hold other "
				 "bytes; give the kernel file it was booted from",
				 l->k->release, c->total - c->init - known, c->total - c->init);
	return 0;
}
