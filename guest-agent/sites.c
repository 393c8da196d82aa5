// SPDX-License-Identifier: GPL-2.0-only
/* Every site that was ever poked, by address: its original bytes and what was put there. */
#include "hotrail.h"

#include <linux/mm.h>
#include <linux/slab.h>

#define MAX_SITES 16384

static struct rb_root sites = RB_ROOT;
static u32 count, promoted;

static struct site *of(struct rb_node *n)
{
	return n ? rb_entry(n, struct site, node) : NULL;
}

struct site *site_find(unsigned long addr)
{
	struct rb_node *n = sites.rb_node;

	while (n) {
		struct site *s = of(n);

		if (s->addr == addr)
			return s;
		n = addr < s->addr ? n->rb_left : n->rb_right;
	}
	return NULL;
}

int site_add(unsigned long addr, u8 len, const u8 *bytes, struct site **out)
{
	struct rb_node **link = &sites.rb_node, *parent = NULL;
	struct site *s;

	while (*link) {
		parent = *link;
		s = of(parent);
		if (addr < s->addr + s->len && s->addr < addr + len)
			return -EEXIST;
		link = addr < s->addr ? &parent->rb_left : &parent->rb_right;
	}
	if (count == MAX_SITES)
		return -ENOSPC;
	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	s->addr = addr;
	s->len = len;
	memcpy(s->orig, bytes, len);
	memcpy(s->now, bytes, len);
	rb_link_node(&s->node, parent, link);
	rb_insert_color(&s->node, &sites);
	count++;
	*out = s;
	return 0;
}

void site_forget(struct site *s)
{
	if (site_promoted(s))
		promoted--;
	rb_erase(&s->node, &sites);
	count--;
	kfree(s);
}

struct site *site_first(void)
{
	return of(rb_first(&sites));
}

struct site *site_next(struct site *s)
{
	return of(rb_next(&s->node));
}

bool site_promoted(const struct site *s)
{
	return memcmp(s->now, s->orig, s->len);
}

void site_set(struct site *s, const u8 *bytes)
{
	promoted -= site_promoted(s);
	memcpy(s->now, bytes, s->len);
	promoted += site_promoted(s);
	s->seen = false;
}

u32 sites_promoted(void)
{
	return promoted;
}

unsigned long site_target(unsigned long addr, const u8 *bytes, u8 len)
{
	s32 rel;

	memcpy(&rel, bytes + len - sizeof(rel), sizeof(rel));
	return addr + len + rel;
}

bool sites_lead_to(unsigned long addr)
{
	struct site *s;

	for (s = site_first(); s; s = site_next(s))
		if (site_promoted(s) && site_target(s->addr, s->now, s->len) == addr)
			return true;
	return false;
}

/* One batch from `s` on; returns the site after it. */
static struct site *restore_batch(struct site *s, struct poke_job *jobs,
				  bool (*which)(const struct site *s, const void *ctx),
				  const void *ctx, u32 *undone, u32 *left)
{
	u64 ns = 0;
	u32 i, n = 0;

	for (; s && n < AGENT_MAX_POKES; s = site_next(s)) {
		if (!site_promoted(s) || (which && !which(s, ctx)))
			continue;
		jobs[n] = (struct poke_job){.site = s, .addr = s->addr, .len = s->len};
		memcpy(jobs[n].old, s->now, s->len);
		memcpy(jobs[n].want, s->orig, s->len);
		n++;
	}
	poke_run(jobs, n, &counts.rounds, &ns);
	for (i = 0; i < n; i++) {
		if (jobs[i].status == AGENT_OK)
			++*undone;
		else
			++*left;
	}
	return s;
}

u32 sites_restore(bool (*which)(const struct site *s, const void *ctx), const void *ctx, u32 *left)
{
	struct poke_job *jobs;
	struct site *s = site_first();
	u32 undone = 0;

	*left = 0;
	if (!promoted)
		return 0;
	jobs = kvcalloc(AGENT_MAX_POKES, sizeof(*jobs), GFP_KERNEL | __GFP_NOFAIL);
	while (s)
		s = restore_batch(s, jobs, which, ctx, &undone, left);
	kvfree(jobs);
	return undone;
}
