// SPDX-License-Identifier: GPL-2.0-only
/* The host's way: pause, compare, write, read back, thaw. */
#include "patch/applier.h"

#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "util/clock.h"

/* How many sites are written between two looks at the clock: a look costs about as much as a site.
 */
#define CLOCK_EVERY 16
#define REL32	    4
#define GRACE_TRIES 100
#define GRACE_MS    1

struct rips { /* of all parked vCPUs */
	uint64_t rip[HOTRAIL_MAX_VCPUS];
	unsigned n;
};

static void conclude(struct applier_write *w, enum patch_result result, enum patch_reason reason)
{
	w->result = result;
	w->reason = reason;
}

static int read_rips(struct target *t, struct rips *r, struct error *err)
{
	struct machine_regs regs;
	unsigned i;
	int rc;

	r->n = t->ops->vcpus(t);
	if (r->n > HOTRAIL_MAX_VCPUS)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -E2BIG,
				 "the guest has %u vCPUs; at most %d can be patched safely", r->n,
				 HOTRAIL_MAX_VCPUS);
	for (i = 0; i < r->n; i++) {
		rc = t->ops->get_regs(t, i, &regs);
		if (rc)
			return error_set(err, HOTRAIL_EXIT_FAILED, rc,
					 "cannot read where vCPU %u stands, so nothing was changed",
					 i);
		r->rip[i] = regs.rip;
	}
	return 0;
}

static bool inside(const struct rips *r, gva_t start, gva_t end)
{
	unsigned i;

	for (i = 0; i < r->n; i++)
		if (r->rip[i] >= start && r->rip[i] < end)
			return true;
	return false;
}

bool applier_being_poked(const struct applier_write *w, const uint8_t *now)
{
	return now[0] == 0xcc || now[w->len - 1 - REL32] == 0xcc;
}

/* What was written is not there: put the old bytes back, or know that nobody knows. */
static void take_back(struct target *t, struct applier_write *w, enum patch_reason reason)
{
	size_t at = w->whole ? 0 : w->len - REL32;
	uint8_t now[SITE_MAX_LEN];

	conclude(w, PATCH_FAILED, reason);
	t->ops->write(t, w->addr + at, w->old + at, w->len - at);
	w->spoiled = t->ops->read(t, w->addr, now, w->len) || memcmp(now, w->old, w->len);
}

/* In the pause, so no allocation, no clock, no system call of our own. */
static void write_one(struct target *t, const struct rips *rips, struct applier_write *w)
{
	size_t at = w->whole ? 0 : w->len - REL32; /* law 2 */
	uint8_t now[SITE_MAX_LEN];

	if (t->ops->read(t, w->addr, now, w->len))
		conclude(w, PATCH_SKIPPED, PATCH_REASON_UNREADABLE);
	else if (applier_being_poked(w, now) || inside(rips, w->addr + 1, w->addr + w->len))
		conclude(w, PATCH_SKIPPED, PATCH_REASON_BUSY);
	else if (memcmp(now, w->old, w->len))
		conclude(w, PATCH_SKIPPED, PATCH_REASON_MISMATCH);
	else if (t->ops->write(t, w->addr + at, w->new + at, w->len - at))
		take_back(t, w, PATCH_REASON_UNREADABLE);
	else if (t->ops->read(t, w->addr, now, w->len) || memcmp(now, w->new, w->len))
		take_back(t, w, PATCH_REASON_READBACK);
	else
		conclude(w, PATCH_APPLIED, PATCH_REASON_NONE);
}

static void write_all(struct target *t, const struct rips *rips, struct applier_write *writes,
		      size_t n, uint64_t deadline)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (i % CLOCK_EVERY == 0 && clock_ns() >= deadline)
			break;
		write_one(t, rips, &writes[i]);
	}
	for (; i < n; i++)
		conclude(&writes[i], PATCH_FAILED, PATCH_REASON_PAUSE); /* law 7 */
}

/* On error nothing was written and the guest runs. */
static int host_write(struct applier *a, struct applier_write *writes, size_t n,
		      struct applier_done *done, struct error *err)
{
	struct target *t = a->guest->target;
	uint64_t begin = clock_ns(), parked, thawed;
	struct machine_pause pause = {0};
	struct rips rips;
	int64_t us;
	int rc = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (rc)
		return rc;
	parked = clock_ns();
	rc = read_rips(t, &rips, err);
	if (!rc && a->guest->ops->still_there)
		rc = a->guest->ops->still_there(a->guest, err);
	if (!rc) {
		uint64_t start = clock_ns();

		write_all(t, &rips, writes, n, begin + TARGET_PAUSE_BUDGET_US * 1000ull);
		done->write_ns = clock_ns() - start;
	}
	us = t->ops->resume(t, &pause);
	thawed = clock_ns();
	/* 0 means "no pause was needed", and a very short one is still one. */
	done->pause_us = us > 0 ? us : 1;
	done->pause_ns = thawed - parked;
	return rc;
}

static int host_ready(struct applier *a, struct error *err)
{
	(void)a;
	(void)err;
	return 0;
}

static int host_arena(struct applier *a, struct applier_arena *out, struct error *err)
{
	(void)err;
	*out = (struct applier_arena){.where = a->guest->arena, .generation = 1};
	return 0;
}

static void lay_one(struct target *t, struct applier_block *b)
{
	uint8_t have[TRACK_MAX_BYTES];

	b->result = PATCH_SKIPPED;
	b->reason = PATCH_REASON_UNREADABLE; /* the same bytes may be tried there again */
	if (t->ops->write(t, b->at, b->bytes, b->len) || t->ops->read(t, b->at, have, b->len))
		return;
	b->result = memcmp(b->bytes, have, b->len) ? PATCH_FAILED : PATCH_APPLIED;
	b->reason = b->result == PATCH_FAILED ? PATCH_REASON_READBACK : PATCH_REASON_NONE;
}

static void host_lay(struct applier *a, struct applier_block *blocks, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		lay_one(a->guest->target, &blocks[i]);
}

static int look_inside(struct target *t, gva_t start, gva_t end, bool *there, struct error *err)
{
	struct machine_pause pause = {0};
	struct rips rips;
	int rc = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (rc)
		return rc;
	rc = read_rips(t, &rips, err);
	t->ops->resume(t, &pause);
	*there = !rc && inside(&rips, start, end);
	return rc;
}

static int host_grace(struct applier *a, gva_t start, gva_t end, struct error *err)
{
	struct target *t = a->guest->target;
	unsigned tries;
	bool there;
	int rc;

	if (a->guest->ops->preempts && a->agent)
		return agent_grace(a->agent, err);
	if (a->guest->ops->preempts)
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
			"this guest preempts tasks anywhere: only its agent can wait until "
			"nobody is inside a block; load hotrail_agent.ko there and start its "
			"relay");
	for (tries = 0; tries < GRACE_TRIES; tries++) {
		rc = look_inside(t, start, end, &there, err);
		if (rc || !there)
			return rc;
		clock_sleep_ms(GRACE_MS);
	}
	return error_set(err, HOTRAIL_EXIT_BUSY, -ETIMEDOUT,
			 "a vCPU does not leave 0x%llx: try again later",
			 (unsigned long long)start);
}

static int host_look(struct applier *a, gva_t at, void *buf, size_t len)
{
	struct target *t = a->guest->target;

	return t->ops->read(t, at, buf, len);
}

static const struct applier_ops host_ops = {
	.name = "host",
	.ready = host_ready,
	.arena = host_arena,
	.lay = host_lay,
	.write = host_write,
	.grace = host_grace,
	.look = host_look,
};

void applier_host_init(struct applier *a, struct guest *g)
{
	*a = (struct applier){.ops = &host_ops, .guest = g};
}
