/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sites that the tests of the agent's module promote and demote: where they are, the blocks they
 * are led to, and what they hold. Only for test_module.c.
 */
#ifndef HOTRAIL_TESTS_AGENT_SITES_H
#define HOTRAIL_TESTS_AGENT_SITES_H

#include "patch/track.h"
#include "vm.h"

#define MAX_SITES 64
#define CODE_STEP 112

struct found {
	uint64_t at, thunk;
	enum hotrail_reg reg;
	uint8_t len, old[8], now[8];
	uint32_t offset, block_len; /* of its block */
	uint8_t block[AGENT_BLOCK_BYTES];
};

static struct found site[MAX_SITES]; /* in core text */
static unsigned nsites;
static uint64_t thunk[16], iput; /* some function of the kernel */
static uint32_t next_offset;
static struct error err;

static inline uint64_t symbol(const char *name)
{
	char line[128], *at;

	snprintf(line, sizeof(line), "grep ' %s$' /proc/kallsyms", name);
	if (vm_do(line))
		return 0;
	at = strpbrk(vm.out, "0123456789abcdef");
	return at ? strtoull(at, NULL, 16) : 0;
}

static inline uint64_t leads_to(uint64_t at, const uint8_t *insn, unsigned len)
{
	int32_t rel;

	memcpy(&rel, insn + len - 4, 4);
	return at + len + (uint64_t)(int64_t)rel;
}

static inline void lead(uint8_t *out, const struct found *s, uint64_t to)
{
	int32_t rel = (int32_t)(to - (s->at + s->len));

	memcpy(out, s->old, 8);
	memcpy(out + s->len - 4, &rel, 4);
}

/* Retpoline calls among `len` bytes of text: what looks like one and is none, the agent refuses. */
static inline unsigned scan(uint64_t at, unsigned len, struct found *out, unsigned room)
{
	static uint8_t text[65536];
	unsigned i, reg, n = 0;

	if (len > sizeof(text) || agent_read_text(vm.agent, at, text, len, &err))
		return 0;
	for (i = 1; i + 5 <= len && n < room; i++)
		for (reg = 0; reg < 16; reg++) {
			bool cs = text[i - 1] == 0x2e;

			if ((text[i] != 0xe8 && text[i] != 0xe9) || !thunk[reg] ||
			    leads_to(at + i, text + i, 5) != thunk[reg])
				continue;
			out[n] = (struct found){.at = at + i - cs,
						.thunk = thunk[reg],
						.reg = (enum hotrail_reg)reg,
						.len = (uint8_t)(5 + cs)};
			memcpy(out[n].old, text + i - cs, 5 + cs);
			n++;
		}
	return n;
}

static inline void fill_block(struct agent_block *b, const struct found *s)
{
	*b = (struct agent_block){.offset = s->offset, .len = (uint16_t)s->block_len};
	memcpy(b->bytes, s->block, s->block_len);
}

/* A block for the site, at the next free place; `table`: a learning track, else one to `target`. */
static inline void encode(struct found *s, uint64_t target, bool learn, uint32_t table)
{
	const struct agent_hello_reply *h = &vm.state.hello;
	uint64_t shared = h->arena_data + (uint64_t)h->cpus * h->table_stride;
	struct track_spec t = {.reg = s->reg,
			       .thunk = s->thunk,
			       .targets = {target},
			       .ntargets = 1,
			       .miss = shared};
	int n;

	s->offset = next_offset;
	next_offset += CODE_STEP;
	n = learn ? track_encode_learn(s->reg, s->thunk, h->arena_data + table, h->cpu_disp,
				       h->arena_code + s->offset, s->block, sizeof(s->block))
		  : track_encode(&t, h->arena_code + s->offset, s->block, sizeof(s->block));
	CU_ASSERT_FATAL(n > 0);
	s->block_len = (uint32_t)n;
	lead(s->now, s, h->arena_code + s->offset);
}

/* The number of statuses that are `want`. */
static inline unsigned write_blocks(bool reclaim, const struct found *s, unsigned n, uint8_t want)
{
	static struct agent_block b[MAX_SITES];
	uint8_t status[MAX_SITES];
	unsigned i, good = 0;

	for (i = 0; i < n; i++)
		fill_block(&b[i], &s[i]);
	if (reclaim ? agent_reclaim(vm.agent, b, n, status, &err)
		    : agent_write_blocks(vm.agent, b, n, status, &err))
		return 0;
	for (i = 0; i < n; i++)
		good += status[i] == want;
	return good;
}

static inline unsigned poke(const struct found *s, unsigned n, bool back, enum agent_poking how,
			    uint8_t want)
{
	static struct agent_poke p[MAX_SITES];
	uint8_t status[MAX_SITES];
	struct agent_poked done;
	unsigned i, good = 0;

	for (i = 0; i < n; i++) {
		p[i] = (struct agent_poke){.site = s[i].at, .len = s[i].len};
		memcpy(p[i].old, back ? s[i].now : s[i].old, 8);
		memcpy(p[i].new, back ? s[i].old : s[i].now, 8);
		if (how == AGENT_POKE_LEARN_START)
			p[i].table = 320 * i;
	}
	if (agent_poke(vm.agent, how, p, n, status, &done, &err))
		return 0;
	for (i = 0; i < n; i++)
		good += status[i] == want;
	return good;
}

static inline unsigned promote(uint8_t want)
{
	return poke(site, nsites, false, AGENT_POKE_ONLY, want);
}

static inline unsigned demote(uint8_t want)
{
	return poke(site, nsites, true, AGENT_POKE_ONLY, want);
}

static inline bool holds(const struct found *s, const uint8_t *bytes)
{
	uint8_t have[8];

	return !agent_read_text(vm.agent, s->at, have, s->len, &err) &&
	       !memcmp(have, bytes, s->len);
}

/* Blocks of all sites, written into an empty arena. */
static inline bool all_blocks(void)
{
	unsigned i;

	next_offset = 0;
	for (i = 0; i < nsites; i++)
		encode(&site[i], iput, false, 0);
	return write_blocks(false, site, nsites, AGENT_OK) == nsites;
}

#endif
