/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A target whose memory is a byte array, and a guest over it with text, sites, thunks,
 * functions and an arena. Hooks make it fail, change bytes between calls, or time out.
 */
#ifndef HOTRAIL_TESTS_FAKE_TARGET_H
#define HOTRAIL_TESTS_FAKE_TARGET_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/guest.h"
#include "util/clock.h"
#include "x86/encode.h"

#define FAKE_BASE     0xffffffff81000000ull
#define FAKE_TEXT     0x20000 /* sites from 0, functions from 0x10000, thunks from 0x18000 */
#define FAKE_FUNCTION 0x10000
#define FAKE_THUNK    0x18000
#define FAKE_CODE     FAKE_TEXT
#define FAKE_HALF     0x20000
#define FAKE_DATA     (FAKE_CODE + FAKE_HALF)
#define FAKE_AGENT    (FAKE_DATA + FAKE_HALF) /* an agent's arena, see patch_agent_fixture.h */
#define FAKE_MODULE   (FAKE_AGENT + 0x10000)  /* text of modules, see test_engine_modules.c */
#define FAKE_MEMORY   (FAKE_MODULE + 0x4000)

enum fake_access { FAKE_READ, FAKE_WRITE };

struct fake_target {
	struct target target; /* first: ops get this pointer */
	uint8_t *memory;
	struct machine_regs regs[HOTRAIL_MAX_VCPUS];
	unsigned vcpus;
	bool paused;
	unsigned pauses, reads, writes, text_writes, unpaused_text_writes, odd_text_writes;
	/* Every access passes here first; nonzero fails it. May change memory. */
	int (*access)(struct fake_target *f, enum fake_access what, gva_t gva, size_t len);
	void (*on_pause)(struct fake_target *f); /* just parked */
	int fail_pause, fail_regs;		 /* negative errno */
	bool drop_text_writes;			 /* a write to text is accepted and lost */
	void *ctx;
	struct guest guest;
	struct guest_ops guest_ops;
	int may_patch; /* what may_patch() returns */
};

static inline struct fake_target *fake(struct target *t)
{
	return (struct fake_target *)t;
}

static inline uint8_t *fake_bytes(struct fake_target *f, gva_t gva)
{
	return f->memory + (gva - FAKE_BASE);
}

static inline bool fake_range(gva_t gva, size_t len)
{
	return gva >= FAKE_BASE && gva - FAKE_BASE <= FAKE_MEMORY &&
	       len <= FAKE_MEMORY - (gva - FAKE_BASE);
}

static inline unsigned fake_vcpus(struct target *t)
{
	return fake(t)->vcpus;
}

static inline int fake_pause(struct target *t, uint32_t budget_us, struct machine_pause *p,
			     struct error *err)
{
	struct fake_target *f = fake(t);

	p->begin_ns = clock_ns();
	if (f->fail_pause)
		return error_set(err, HOTRAIL_EXIT_FAILED, f->fail_pause, "no pause within %u us",
				 budget_us);
	p->parked_ns = clock_ns();
	p->token = ++f->pauses;
	f->paused = true;
	if (f->on_pause)
		f->on_pause(f);
	return 0;
}

static inline int64_t fake_resume(struct target *t, struct machine_pause *p)
{
	struct fake_target *f = fake(t);

	if (!f->paused || p->token != f->pauses)
		return -EINVAL;
	f->paused = false;
	return (int64_t)((clock_ns() - p->begin_ns) / 1000);
}

static inline int fake_get_regs(struct target *t, unsigned vcpu, struct machine_regs *regs)
{
	if (fake(t)->fail_regs || vcpu >= fake(t)->vcpus || !fake(t)->paused)
		return fake(t)->fail_regs ? fake(t)->fail_regs : -EINVAL;
	*regs = fake(t)->regs[vcpu];
	return 0;
}

static inline int fake_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	struct fake_target *f = fake(t);

	f->reads++;
	if (!fake_range(gva, len) || (f->access && f->access(f, FAKE_READ, gva, len)))
		return -EFAULT;
	memcpy(buf, fake_bytes(f, gva), len);
	return 0;
}

static inline int fake_write(struct target *t, gva_t gva, const void *buf, size_t len)
{
	struct fake_target *f = fake(t);
	bool text = gva < FAKE_BASE + FAKE_TEXT;

	f->writes++;
	if (!fake_range(gva, len) || (f->access && f->access(f, FAKE_WRITE, gva, len)))
		return -EFAULT;
	f->text_writes += text;
	f->unpaused_text_writes += text && !f->paused;
	f->odd_text_writes += text && len != 4;
	if (!text || !f->drop_text_writes)
		memcpy(fake_bytes(f, gva), buf, len);
	return 0;
}

static inline int fake_may_patch(struct guest *g, struct error *err)
{
	int rc = fake(g->target)->may_patch;

	return rc ? error_set(err, HOTRAIL_EXIT_UNSUPPORTED, rc, "nothing to gain here") : 0;
}

/* Functions start every 64 bytes. */
static inline bool fake_is_target(struct guest *g, gva_t addr)
{
	return addr >= FAKE_BASE + FAKE_FUNCTION && addr < FAKE_BASE + FAKE_THUNK && addr % 64 == 0;
}

static inline void fake_symbol(struct guest *g, gva_t addr, char *buf, size_t len)
{
	if (len)
		*buf = 0;
}

static inline gva_t fake_lookup(struct guest *g, const char *name)
{
	return 0;
}

static inline gva_t fake_function(unsigned n)
{
	return FAKE_BASE + FAKE_FUNCTION + n * 64ull;
}

static const struct target_ops fake_target_ops = {
	.name = "fake",
	.vcpus = fake_vcpus,
	.pause = fake_pause,
	.resume = fake_resume,
	.get_regs = fake_get_regs,
	.read = fake_read,
	.write = fake_write,
};

/* Site n: every third has a cs prefix, every fifth is a tail jump; registers in turn, never rsp. */
static inline void fake_make_site(struct fake_target *f, unsigned n)
{
	struct site *s = &f->guest.sites.sites[n];
	uint8_t insn[6] = {0x2e, n % 5 == 4 ? 0xe9 : 0xe8};

	*s = (struct site){.addr = FAKE_BASE + n * 16ull + 3,
			   .len = n % 3 == 2 ? 6 : 5,
			   .is_jump = n % 5 == 4,
			   .reg = n % HOTRAIL_REGS};
	if (s->reg == HOTRAIL_RSP)
		s->reg = HOTRAIL_R11;
	s->thunk = FAKE_BASE + FAKE_THUNK + s->reg * 64ull;
	x86_retarget(insn + 6 - s->len, s->len, s->addr, s->thunk, s->bytes);
	memcpy(fake_bytes(f, s->addr), s->bytes, s->len);
}

/* 0 or -ENOMEM. Text is filled with nops, the arena with whatever a guest may have left. */
static inline int fake_init(struct fake_target *f, unsigned sites)
{
	unsigned i;

	memset(f, 0, sizeof(*f));
	f->target.ops = &fake_target_ops;
	f->vcpus = 2;
	f->memory = malloc(FAKE_MEMORY);
	f->guest.sites.sites = calloc(sites ? sites : 1, sizeof(struct site));
	if (!f->memory || !f->guest.sites.sites || sites > FAKE_FUNCTION / 16)
		return -ENOMEM;
	memset(f->memory, 0x90, FAKE_TEXT);
	memset(f->memory + FAKE_TEXT, 0xa5, FAKE_MEMORY - FAKE_TEXT);
	f->guest_ops = (struct guest_ops){.name = "fake",
					  .may_patch = fake_may_patch,
					  .symbol = fake_symbol,
					  .lookup = fake_lookup,
					  .is_target = fake_is_target};
	f->guest.ops = &f->guest_ops;
	f->guest.target = &f->target;
	f->guest.sites.count = sites;
	f->guest.text_start = f->guest.sites.text_start = FAKE_BASE;
	f->guest.text_end = f->guest.sites.text_end = FAKE_BASE + FAKE_TEXT;
	f->guest.arena = (struct guest_arena){.code = FAKE_BASE + FAKE_CODE,
					      .code_size = FAKE_HALF,
					      .data = FAKE_BASE + FAKE_DATA,
					      .data_size = FAKE_HALF};
	memset(f->guest.build_id, 0x42, sizeof(f->guest.build_id));
	f->guest.build_id_len = sizeof(f->guest.build_id);
	for (i = 0; i < sites; i++)
		fake_make_site(f, i);
	return 0;
}

static inline void fake_free(struct fake_target *f)
{
	free(f->memory);
	free(f->guest.sites.sites);
}

#endif
