// SPDX-License-Identifier: GPL-2.0-only
/*
 * The agent's way: it patches while the guest runs. It checks what it is asked, and what it says
 * is checked here: memory decides whether a site was changed, its answer only why not.
 */
#include "patch/applier.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "patch/pairs.h"
#include "patch/patcher.h"
#include "util/clock.h"

/* A site that says neither old nor new may be in the middle of a poke: looked at so often. */
#define LOOKS	20
#define LOOK_MS 1
/* Sites in one request that the agent does not know yet: it asks its kernel about each, which takes
 * an emulated one under load so long that 64 at once were not always answered in time. */
#define NEW_AT_ONCE 32
/* KASLR moves a kernel by multiples of this (CONFIG_PHYSICAL_ALIGN), so a smaller difference is one
 * of what is called the start of text. */
#define TEXT_SLACK 0x200000ull

_Static_assert(TRACK_MAX_BYTES <= AGENT_BLOCK_BYTES, "every track fits into a message");
_Static_assert(SITE_MAX_LEN <= AGENT_SITE_BYTES, "every site fits into a message");
_Static_assert(TRACK_LEARN_SLOTS == AGENT_LEARN_SLOTS, "one table, two names");

struct applier_agent {
	struct applier base;	     /* first */
	struct applier_arena layout; /* as last asked */
};

static struct applier_agent *of(struct applier *a)
{
	return (struct applier_agent *)a;
}

/* --- is it there, and is it this guest's? --- */

static int agent_absent(struct agent *a, struct error *err)
{
	struct agent_state s;

	agent_get_state(a, &s);
	if (s.health != AGENT_ABSENT)
		return 0;
	return error_set(
		err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTCONN,
		"no agent answers in this guest: load hotrail_agent.ko and start its relay "
		"there, or let the host patch (--via host)");
}

static int op_ready(struct applier *a, struct error *err)
{
	int rc = agent_absent(a->agent, err);

	return rc ? rc : agent_ready(a->agent, err);
}

static int lie(struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
			 "the guest's agent speaks of another %s than this guest has; it is not to "
			 "be trusted",
			 what);
}

static int check_identity(const struct guest *g, const struct agent_hello_reply *h,
			  struct error *err)
{
	uint64_t apart = h->text_start > g->text_start ? h->text_start - g->text_start
						       : g->text_start - h->text_start;

	if (h->build_id_len && g->build_id_len &&
	    (h->build_id_len != g->build_id_len || h->build_id_len > sizeof(h->build_id) ||
	     memcmp(h->build_id, g->build_id, h->build_id_len)))
		return lie(err, "kernel build");
	if (apart >= TEXT_SLACK)
		return lie(err, "text base");
	return 0;
}

static int op_arena(struct applier *a, struct applier_arena *out, struct error *err)
{
	struct agent_state s;
	int rc;

	agent_get_state(a->agent, &s);
	rc = check_identity(a->guest, &s.hello, err);
	*out = (struct applier_arena){
		.where = {.code = s.hello.arena_code,
			  .code_size = s.hello.arena_code_size,
			  .data = s.hello.arena_data,
			  .data_size = s.hello.arena_data_size},
		.copies = s.hello.cpus,
		.stride = s.hello.table_stride,
		.gs = s.hello.features & AGENT_CAN_PER_CPU ? s.hello.cpu_disp : 0,
		.generation = s.generation,
	};
	if (!rc && (!out->copies || !out->stride))
		rc = lie(err, "arena: it has no room for tables");
	of(a)->layout = *out;
	return rc;
}

static uint64_t op_epoch(struct applier *a)
{
	struct agent_state s;

	agent_get_state(a->agent, &s);
	return s.greetings;
}

/* --- laying tracks --- */

/* What the host cannot read itself, the agent reads for it. */
static int look_at(struct applier *a, gva_t at, void *buf, size_t len)
{
	struct target *t = a->guest->target;

	return t->ops->read(t, at, buf, len) ? agent_read_text(a->agent, at, buf, len, NULL) : 0;
}

static void conclude_block(struct applier *a, struct applier_block *b, uint8_t status)
{
	uint8_t have[TRACK_MAX_BYTES];

	b->result = PATCH_SKIPPED;
	if (look_at(a, b->at, have, b->len)) {
		b->reason = status == AGENT_OK	       ? PATCH_REASON_UNREADABLE
			    : status == AGENT_STATUSES ? PATCH_REASON_LOST
						       : PATCH_REASON_AGENT;
	} else if (!memcmp(have, b->bytes, b->len)) {
		b->result = PATCH_APPLIED;
		b->reason = PATCH_REASON_NONE;
	} else if (status == AGENT_OK) {
		b->result = PATCH_FAILED;
		b->reason = PATCH_REASON_READBACK;
	} else if (status == AGENT_STATUSES) {
		b->reason = PATCH_REASON_LOST;
	} else {
		b->result = PATCH_FAILED; /* it will not take these bytes there another time */
		b->reason = PATCH_REASON_AGENT;
	}
}

static struct agent_block *make_blocks(const struct applier *a, const struct applier_block *blocks,
				       size_t n)
{
	const struct applier_arena *layout = &((const struct applier_agent *)a)->layout;
	struct agent_block *out = calloc(n, sizeof(*out));
	size_t i;

	for (i = 0; out && i < n; i++) {
		out[i].offset = (uint32_t)(blocks[i].at - layout->where.code);
		out[i].len = blocks[i].len;
		memcpy(out[i].bytes, blocks[i].bytes, blocks[i].len);
	}
	return out;
}

static void conclude_reclaim(struct applier *a, struct applier_block *b, uint8_t status)
{
	(void)a;
	b->result = status == AGENT_OK ? PATCH_APPLIED : PATCH_SKIPPED;
	b->reason = status == AGENT_OK ? PATCH_REASON_NONE : PATCH_REASON_AGENT;
}

/* Without an answer the status is AGENT_STATUSES. */
static void ask_blocks(struct applier *a, struct applier_block *blocks, size_t n,
		       int (*ask)(struct agent *a, const struct agent_block *blocks, size_t n,
				  uint8_t *status, struct error *err),
		       void (*said)(struct applier *a, struct applier_block *b, uint8_t status))
{
	struct agent_block *wire = make_blocks(a, blocks, n);
	uint8_t *status = malloc(n);
	size_t i;

	if (status)
		memset(status, AGENT_STATUSES, n);
	if (wire && status) /* what became of it is in the statuses and in memory */
		(void)ask(a->agent, wire, n, status, NULL);
	for (i = 0; i < n; i++)
		said(a, &blocks[i], status ? status[i] : AGENT_STATUSES);
	free(wire);
	free(status);
}

static void op_lay(struct applier *a, struct applier_block *blocks, size_t n)
{
	ask_blocks(a, blocks, n, agent_write_blocks, conclude_block);
}

static void op_reclaim(struct applier *a, struct applier_block *blocks, size_t n)
{
	ask_blocks(a, blocks, n, agent_reclaim, conclude_reclaim);
}

/* --- poking --- */

static enum patch_reason reason_of(uint8_t status)
{
	switch (status) {
	case AGENT_MISMATCH:
		return PATCH_REASON_MISMATCH;
	case AGENT_BUSY:
		return PATCH_REASON_BUSY;
	case AGENT_PROTECTED:
		return PATCH_REASON_PROTECTED;
	case AGENT_OWNER:
		return PATCH_REASON_OWNER;
	case AGENT_READBACK:
		return PATCH_REASON_READBACK;
	case AGENT_STATUSES:
		return PATCH_REASON_LOST;
	default:
		return PATCH_REASON_AGENT;
	}
}

static void conclude(struct applier_write *w, enum patch_result result, enum patch_reason reason)
{
	w->result = result;
	w->reason = reason;
}

enum memory { IS_OLD, IS_NEW, IS_OTHER, IS_UNREADABLE };

/* Somebody's int3 over what was poked: the displacement says what is below it. */
static enum memory below_int3(const struct applier_write *w, const uint8_t *now)
{
	size_t at = w->len - sizeof(int32_t);

	if (!applier_being_poked(w, now))
		return IS_OTHER;
	if (!memcmp(now + at, w->new + at, sizeof(int32_t)))
		return IS_NEW;
	return memcmp(now + at, w->old + at, sizeof(int32_t)) ? IS_OTHER : IS_OLD;
}

static enum memory look(struct applier *a, const struct applier_write *w, uint8_t status,
			bool asked)
{
	unsigned looks = asked && (status == AGENT_OK || status == AGENT_STATUSES) ? LOOKS : 1;
	uint8_t now[SITE_MAX_LEN];

	while (looks--) {
		if (look_at(a, w->addr, now, w->len))
			return IS_UNREADABLE;
		if (!memcmp(now, w->new, w->len))
			return IS_NEW;
		if (!memcmp(now, w->old, w->len))
			return IS_OLD;
		if (looks)
			clock_sleep_ms(LOOK_MS);
	}
	/* Without an answer it may be the agent's own, which says nothing yet. */
	return status == AGENT_OK ? below_int3(w, now) : IS_OTHER;
}

/* `asked`: the agent may have had it. A poke without an answer may be under way, or yet to come. */
static void conclude_write(struct applier *a, struct applier_write *w, uint8_t status, bool asked)
{
	bool unknown = status == AGENT_STATUSES;

	switch (look(a, w, status, asked)) {
	case IS_NEW:
		conclude(w, PATCH_APPLIED, PATCH_REASON_NONE);
		break;
	case IS_OLD:
		if (status == AGENT_OK || status == AGENT_READBACK)
			conclude(w, PATCH_FAILED, PATCH_REASON_READBACK);
		else
			conclude(w, unknown ? PATCH_FAILED : PATCH_SKIPPED, reason_of(status));
		w->doubt = asked && unknown;
		break;
	case IS_UNREADABLE:
		if (status == AGENT_OK)
			conclude(w, PATCH_APPLIED, PATCH_REASON_NONE);
		else
			conclude(w, unknown ? PATCH_FAILED : PATCH_SKIPPED, reason_of(status));
		w->doubt = asked && unknown;
		break;
	case IS_OTHER:
		if (status == AGENT_OK || status == AGENT_READBACK || (asked && unknown)) {
			conclude(w, PATCH_FAILED,
				 unknown ? PATCH_REASON_LOST : PATCH_REASON_READBACK);
			w->spoiled = !unknown;
			w->doubt = unknown;
		} else {
			conclude(w, unknown ? PATCH_FAILED : PATCH_SKIPPED, reason_of(status));
		}
		break;
	}
}

static int by_address(const void *a, const void *b)
{
	const struct applier_write *x = *(struct applier_write *const *)a;
	const struct applier_write *y = *(struct applier_write *const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

struct batch { /* the writes of one kind */
	struct applier_write **write;
	struct agent_poke *poke;
	uint8_t *status;
	size_t n;
};

static void fill(struct applier *a, struct batch *b, enum applier_kind kind,
		 struct applier_write *writes, size_t n)
{
	const struct applier_arena *layout = &of(a)->layout;
	size_t i;

	for (i = 0, b->n = 0; i < n; i++)
		if (writes[i].kind == kind)
			b->write[b->n++] = &writes[i];
	qsort(b->write, b->n, sizeof(b->write[0]), by_address);
	for (i = 0; i < b->n; i++) {
		const struct applier_write *w = b->write[i];

		b->poke[i] = (struct agent_poke){.site = w->addr, .len = w->len};
		memcpy(b->poke[i].old, w->old, w->len);
		memcpy(b->poke[i].new, w->new, w->len);
		if (kind == APPLIER_LEARN_START)
			b->poke[i].table = (uint32_t)(w->table - layout->where.data);
	}
}

/* How many of them, from `first` on, one request has. */
static size_t portion(const struct batch *b, size_t first)
{
	size_t i, strangers = 0;

	for (i = first; i < b->n && i - first < AGENT_MAX_POKES; i++) {
		strangers += !b->write[i]->known;
		if (strangers > NEW_AT_ONCE)
			break;
	}
	return i - first;
}

/* One kind after the other; after a failure the rest is not asked for. */
static int poke_kind(struct applier *a, struct batch *b, enum applier_kind kind, bool ask,
		     struct applier_done *done, struct error *err)
{
	static const enum agent_poking how[] = {
		[APPLIER_POKE] = AGENT_POKE_ONLY,
		[APPLIER_LEARN_START] = AGENT_POKE_LEARN_START,
		[APPLIER_LEARN_STOP] = AGENT_POKE_LEARN_STOP,
	};
	size_t asked, count, i;
	bool lost;
	int rc = 0;

	memset(b->status, AGENT_STATUSES, b->n);
	for (asked = 0; ask && !rc && asked < b->n; asked += count) {
		struct agent_poked poked = {0};

		count = portion(b, asked);
		rc = agent_poke(a->agent, how[kind], b->poke + asked, count, b->status + asked,
				&poked, err);
		done->agent_ns += poked.ns;
		done->rounds += poked.rounds;
	}
	lost = rc == -ENOTCONN || rc == -ETIMEDOUT;
	for (i = 0; i < b->n; i++)
		conclude_write(a, b->write[i], b->status[i], i < asked && (!rc || lost));
	return rc;
}

/* Did anything come of it, or may it still? */
static bool in_vain(const struct applier_write *writes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (writes[i].result == PATCH_APPLIED || writes[i].doubt || writes[i].spoiled)
			return false;
	return true;
}

static int op_write(struct applier *a, struct applier_write *writes, size_t n,
		    struct applier_done *done, struct error *err)
{
	static const enum applier_kind order[] = {APPLIER_LEARN_STOP, APPLIER_POKE,
						  APPLIER_LEARN_START};
	struct batch b = {.write = calloc(n, sizeof(*b.write)),
			  .poke = calloc(n, sizeof(*b.poke)),
			  .status = malloc(n)};
	struct error first = {0};
	unsigned k;
	int rc = 0;

	if (!b.write || !b.poke || !b.status)
		rc = error_set(&first, HOTRAIL_EXIT_FAILED, -ENOMEM,
			       "no memory to ask the agent for %zu sites", n);
	for (k = 0; rc != -ENOMEM && k < sizeof(order) / sizeof(order[0]); k++) {
		fill(a, &b, order[k], writes, n);
		if (b.n && !rc)
			rc = poke_kind(a, &b, order[k], true, done, &first);
		else if (b.n)
			(void)poke_kind(a, &b, order[k], false, done, NULL);
	}
	free(b.write);
	free(b.poke);
	free(b.status);
	if (!rc || !in_vain(writes, n))
		return 0;
	if (err)
		*err = first;
	return rc;
}

static int op_grace(struct applier *a, gva_t start, gva_t end, struct error *err)
{
	(void)start; /* it waits for all tasks */
	(void)end;
	return agent_grace(a->agent, err);
}

static int op_read_table(struct applier *a, gva_t table, struct track_learn_table *sum)
{
	uint32_t offset = (uint32_t)(table - of(a)->layout.where.data);
	struct agent_counted counted = {0};
	unsigned i;
	int rc = agent_read_tables(a->agent, &offset, 1, &counted, NULL);

	if (rc)
		return rc;
	*sum = (struct track_learn_table){.other = counted.other};
	for (i = 0; i < TRACK_LEARN_SLOTS && i < counted.used; i++) {
		sum->slot[i].target = counted.slot[i].target;
		sum->slot[i].count = counted.slot[i].count;
	}
	return 0;
}

static void op_destroy(struct applier *a)
{
	free(of(a));
}

static const struct applier_ops agent_ops = {
	.name = "agent",
	.ready = op_ready,
	.arena = op_arena,
	.lay = op_lay,
	.write = op_write,
	.grace = op_grace,
	.look = look_at,
	.lead = pairs_agent_lead,
	.epoch = op_epoch,
	.reclaim = op_reclaim,
	.read_table = op_read_table,
	.destroy = op_destroy,
};

int applier_agent_create(struct guest *g, struct agent *agent, struct applier **out,
			 struct error *err)
{
	struct applier_agent *a = calloc(1, sizeof(*a));

	if (!a)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for the agent's way");
	a->base = (struct applier){.ops = &agent_ops, .guest = g, .agent = agent};
	*out = &a->base;
	return 0;
}

int patch_use_agent(struct patcher *p, struct agent *agent, struct error *err)
{
	struct applier *a = NULL;
	int rc = applier_agent_create(p->guest, agent, &a, err);

	if (rc)
		return rc;
	p->host.agent = agent;
	patcher_set_applier(p, PATCH_WAY_AGENT, a);
	return 0;
}
