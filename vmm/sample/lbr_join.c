// SPDX-License-Identifier: GPL-2.0-only
/* Joining the branches of one stack into calls. The header tells what they look like. */
#include "sample/lbr_join.h"

#include "x86/decode.h"

#define INSN_MAX 15 /* Intel SDM vol. 2, 2.3.11 */
/* The longest stretch of a track or thunk without a taken branch (TRACK_MAX_BYTES is 96). */
#define REACH 96
/* Branches between a site and its target: a learning track takes up to 4 jumps, the retpoline 2,
 * a return thunk up to 3 (jump, call of the safe return, return). */
#define HOPS 12

enum where { AWAY, IN_TRACK, IN_THUNK, IN_INNER, IN_RETURN };
enum verdict { GOES_ON, ARRIVED, BROKEN };

struct walk {
	const struct lbr_join *j;
	enum where where;
	uint32_t site;
	gva_t at; /* where the last branch led */
	unsigned hops, named;
	lbr_edge_fn fn;
	void *ctx;
	struct lbr_counts *counts;
};

/* The instruction at `at`; false when it cannot be read or is none. */
static bool insn_at(const struct lbr_join *j, gva_t at, struct x86_insn *in)
{
	uint8_t bytes[INSN_MAX];
	size_t len = sizeof(bytes);

	if (at > UINT64_MAX - sizeof(bytes))
		return false;
	if (j->read(j->ctx, at, bytes, len)) {
		len = 4096 - (at & 4095); /* the next page may be missing */
		if (len >= sizeof(bytes) || j->read(j->ctx, at, bytes, len))
			return false;
	}
	return !x86_decode(bytes, len, at, in);
}

/* The branch at `from`. AMD logs a fused pair (cmp and jcc) at its first instruction
 * (arch/x86/events/amd/lbr.c, amd_pmu_lbr_filter). */
static bool branch_at(const struct lbr_join *j, gva_t from, struct x86_insn *in)
{
	struct x86_insn second;

	if (!insn_at(j, from, in))
		return false;
	if (in->kind == X86_OTHER && insn_at(j, from + in->len, &second) &&
	    second.kind == X86_JCC_REL32)
		*in = second;
	return true;
}

static bool in_arena(const struct attribute *a, gva_t addr)
{
	return addr >= a->arena_start && addr < a->arena_end;
}

static enum verdict arrive(const struct attribute *a, gva_t to)
{
	return a->is_target(a->ctx, to) ? ARRIVED : BROKEN;
}

static enum verdict from_track(struct walk *w, const struct lbr_branch *b)
{
	const struct attribute *a = w->j->attribute;
	struct x86_insn in;

	if (!in_arena(a, b->from))
		return BROKEN;
	if (in_arena(a, b->to)) /* a learning track's short jumps */
		return b->to > b->from && b->to - b->from <= REACH ? GOES_ON : BROKEN;
	if (!branch_at(w->j, b->from, &in) || in.target != b->to)
		return BROKEN;
	if (in.kind == X86_JCC_REL32)
		return arrive(a, b->to);
	if (in.kind != X86_JMP_REL32 || b->to != a->sites->sites[w->site].thunk)
		return BROKEN;
	w->where = IN_THUNK;
	return GOES_ON;
}

/* Thunk or its inner part; `lfence; jmp *%reg` has no inner part. */
static enum verdict from_thunk(struct walk *w, const struct lbr_branch *b)
{
	const struct attribute *a = w->j->attribute;
	const struct thunk_range *t = attribute_thunk(a, a->sites->sites[w->site].thunk);
	struct x86_insn in;
	bool inside;

	if (!t || b->from < t->start || b->from >= t->end || !branch_at(w->j, b->from, &in))
		return BROKEN;
	inside = b->to > t->start && b->to < t->end;
	if (w->where == IN_THUNK && in.kind == X86_CALL_REL32 && inside) {
		w->where = IN_INNER;
		return GOES_ON;
	}
	if (w->where == IN_THUNK)
		return in.kind == X86_JMP_REG ? arrive(a, b->to) : BROKEN;
	if (in.kind == X86_RET)
		return arrive(a, b->to);
	if (in.kind != X86_JMP_REL32 || inside)
		return BROKEN;
	w->where = IN_RETURN;
	return GOES_ON;
}

static enum verdict from_return(struct walk *w, const struct lbr_branch *b)
{
	struct x86_insn in;

	if (!branch_at(w->j, b->from, &in))
		return BROKEN;
	if (in.kind == X86_RET)
		return arrive(w->j->attribute, b->to);
	return in.kind == X86_JMP_REL32 || in.kind == X86_CALL_REL32 ? GOES_ON : BROKEN;
}

static enum verdict follow(struct walk *w, const struct lbr_branch *b)
{
	if (b->from < w->at || b->from - w->at > REACH || ++w->hops > HOPS)
		return BROKEN;
	switch (w->where) {
	case IN_TRACK:
		return from_track(w, b);
	case IN_THUNK:
	case IN_INNER:
		return from_thunk(w, b);
	case IN_RETURN:
		return from_return(w, b);
	case AWAY:
		break;
	}
	return BROKEN;
}

static void end_call(struct walk *w, gva_t target)
{
	if (w->where == AWAY)
		return;
	w->where = AWAY;
	w->named++;
	if (target)
		w->counts->pairs++;
	else
		w->counts->partial++;
	w->fn(w->ctx, w->site, target);
}

/* Is this entry a site's call? The guest's bytes decide whether the site is still one. `counted`:
 * the entry ended a call that is in the counts already. */
static void begin_call(struct walk *w, const struct lbr_branch *b, bool counted)
{
	const struct attribute *a = w->j->attribute;
	const struct thunk_range *t;
	const struct site *s;
	struct x86_insn in;
	long site = site_find(a->sites, b->from);

	if (site < 0) {
		t = attribute_thunk(a, b->from);
		/* The end of a call whose beginning the stack no longer holds. */
		w->counts->unmatched += !counted && t && (b->to < t->start || b->to >= t->end);
		return;
	}
	s = &a->sites->sites[site];
	/* Not in.target: the site may have been aimed elsewhere since. */
	if ((b->to != s->thunk && !in_arena(a, b->to)) || !insn_at(w->j, b->from, &in) ||
	    in.len != s->len || in.kind != (s->is_jump ? X86_JMP_REL32 : X86_CALL_REL32)) {
		w->counts->unmatched++;
		return;
	}
	w->where = b->to == s->thunk ? IN_THUNK : IN_TRACK;
	w->site = (uint32_t)site;
	w->hops = 0;
}

/* AMD BRS gives `from` as the register holds it, 48 or 57 bits wide, and only `to` sign-extended
 * (arch/x86/events/amd/brs.c, amd_brs_drain). */
static struct lbr_branch canonical(const struct lbr_branch *raw)
{
	struct lbr_branch b = *raw;

	if (b.to >> 63 && b.from >> 47 & 1)
		b.from |= ~0ull << 48;
	return b;
}

unsigned lbr_join_stack(const struct lbr_join *j, const struct lbr_branch *stack, size_t n,
			lbr_edge_fn fn, void *ctx, struct lbr_counts *c)
{
	struct walk w = {.j = j, .fn = fn, .ctx = ctx, .counts = c};
	enum verdict v;
	bool inside;

	while (n-- > 0) { /* oldest first */
		struct lbr_branch b = canonical(&stack[n]);

		if (LBR_FLAG_SPEC(b.flags) == LBR_SPEC_WRONG_PATH) {
			c->unknown++; /* logged, never executed: the call goes on without it */
			continue;
		}
		if (!b.from || !b.to || b.flags & LBR_FLAG_ABORT) {
			c->unknown++;
			end_call(&w, 0);
			continue;
		}
		inside = w.where != AWAY;
		v = inside ? follow(&w, &b) : BROKEN;
		if (v == ARRIVED)
			end_call(&w, b.to);
		if (v == BROKEN) {
			end_call(&w, 0);
			begin_call(&w, &b, inside);
		}
		w.at = b.to;
	}
	end_call(&w, 0); /* still under way when the sample was taken */
	return w.named;
}
