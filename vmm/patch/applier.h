/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seam between what is decided and how it reaches the guest. Two ways: the host writes while
 * all vCPUs are parked (apply_host.c), or an agent inside the guest patches while they run
 * (apply_agent.c). Private to vmm/patch; called by one thread at a time, which may sleep.
 */
#ifndef HOTRAIL_PATCH_APPLIER_H
#define HOTRAIL_PATCH_APPLIER_H

#include "patch/pair.h"
#include "patch/patch.h"

struct applier_arena { /* where the tracks of this way go */
	struct guest_arena where;
	/* Learning tables: `copies` of `stride` bytes at the start of the data half, one a CPU; a
	 * learning track adds the u64 at %gs:gs to the address in the first. copies 0 = one table
	 * for all, anywhere in the half. */
	uint32_t copies, stride, gs;
	uint64_t generation; /* another value: all that was laid and led there before is gone */
};

struct applier_block { /* in: at, len, bytes; out: the rest */
	gva_t at;
	uint8_t len, bytes[TRACK_MAX_BYTES];
	enum patch_result result; /* PATCH_APPLIED: laid, and it read back */
	enum patch_reason reason;
};

enum applier_kind { APPLIER_POKE, APPLIER_LEARN_START, APPLIER_LEARN_STOP };

struct applier_write { /* one instruction; in: up to `table`, out: the rest */
	gva_t addr;
	uint8_t len, old[SITE_MAX_LEN], new[SITE_MAX_LEN];
	/* The opcode may change, too (a nop becomes a jump): all bytes are written. False, as for
	 * every site: only the rel32 is (law 2). */
	bool whole;
	/* This way has changed the site before, in this generation. */
	bool known;
	enum applier_kind kind;
	gva_t table; /* APPLIER_LEARN_START: in the first copy */
	enum patch_result result;
	enum patch_reason reason;
	bool spoiled; /* memory holds neither old nor new */
	bool doubt;   /* it holds old, but `new` may still come: nobody answered */
};

struct applier_done {
	int64_t pause_us; /* how long the guest stood; 0 when it did not */
	uint64_t pause_ns, write_ns;
	uint64_t agent_ns; /* in the guest, from the first byte to the last */
	uint32_t rounds;   /* of text_poke_bp */
};

struct applier;

struct applier_ops {
	const char *name;
	/* May it be used now? 0, or negative errno with the reason in words. */
	int (*ready)(struct applier *a, struct error *err);
	int (*arena)(struct applier *a, struct applier_arena *out, struct error *err);
	/* Bytes where nothing leads yet, and a look at them afterwards; what became of each is in
	 * it. */
	void (*lay)(struct applier *a, struct applier_block *blocks, size_t n);
	/*
	 * Compare, write, read back. 0: each write has its result, and it is what memory holds now.
	 * Negative errno: nothing was written.
	 * In the order given (host); ascending by address in as few rounds as it takes (agent). So
	 * two writes of which one must be seen first take two calls.
	 */
	int (*write)(struct applier *a, struct applier_write *writes, size_t n,
		     struct applier_done *done, struct error *err);
	/*
	 * After it, nobody executes in [start, end) who was there before. The agent waits for its
	 * kernel (RCU tasks); the host pauses until every vCPU stands elsewhere, which says enough
	 * only of a guest that never preempts a task. For others it asks the agent, where there is
	 * one: else -ENOTSUP. -ETIMEDOUT.
	 */
	int (*grace)(struct applier *a, gva_t start, gva_t end, struct error *err);

	/* Text as it is now, also where the host itself cannot read. 0 or negative errno. */
	int (*look)(struct applier *a, gva_t at, void *buf, size_t len);

	/* --- may be NULL --- */

	/*
	 * A pair's whole change at once, 0 = no program: whoever writes keeps the order of the
	 * steps. NULL: by write and grace. 0: it was done. -EBUSY: somebody's probe or the guest's
	 * own patching, or another change came first; -EINVAL: not a program of that pair;
	 * -ENOENT: no such pair any more; -EPERM; -EUCLEAN: memory holds something else;
	 * -ENOTCONN, -ETIMEDOUT: nobody answered, it may still be done.
	 */
	int (*lead)(struct applier *a, const struct pair *p, gva_t from, gva_t to,
		    struct error *err);

	/* Grows when whatever was asked before without an answer is done or never will be. NULL:
	 * nothing is ever in doubt. */
	uint64_t (*epoch)(struct applier *a);
	/* Give blocks back: waits until nobody is inside. Results as of lay. NULL: never (law 4).
	 */
	void (*reclaim)(struct applier *a, struct applier_block *blocks, size_t n);
	/* A table summed over its copies, for memory that the target cannot read. */
	int (*read_table)(struct applier *a, gva_t table, struct track_learn_table *sum);
	void (*destroy)(struct applier *a);
};

struct applier {
	const struct applier_ops *ops;
	struct guest *guest;
	struct agent *agent; /* in the guest; NULL = none is known of */
};

void applier_host_init(struct applier *a, struct guest *g);
/* On the heap: ops->destroy(). -ENOMEM. The agent stays the caller's. */
int applier_agent_create(struct guest *g, struct agent *agent, struct applier **out,
			 struct error *err);

/* Shared by both. The guest's own patching puts an int3 over the first byte, or over the opcode
 * after a prefix. */
bool applier_being_poked(const struct applier_write *w, const uint8_t *now);

#endif
