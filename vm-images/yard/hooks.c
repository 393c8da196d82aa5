// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hook chains. As static calls do in newer kernels, each place in a chain is a
 * call site of its own; an empty place ends the chain.
 */
#include "env.h"

#define HOOK_SLOT(n)                                                                               \
	if (!h[n].fn)                                                                              \
		return sum;                                                                        \
	sum = sum * 3 + ICALL(e, op, h[n].fn(e, &h[n], subject, object))

#define X(name, a, b)                                                                              \
	YARD_FN noinline u64 hook_##name(struct env *e, u32 subject, u32 object)                   \
	{                                                                                          \
		struct hook *h = e->hooks.chains[HOOK_##name];                                     \
		const u32 op = OP_HOOK + HOOK_##name;                                              \
		u64 sum = 0;                                                                       \
                                                                                                   \
		HOOK_SLOT(0);                                                                      \
		HOOK_SLOT(1);                                                                      \
		HOOK_SLOT(2);                                                                      \
		if ((a) > 3 || (b) > 3) {                                                          \
			HOOK_SLOT(3);                                                              \
		}                                                                                  \
		if ((a) > 4 || (b) > 4) {                                                          \
			HOOK_SLOT(4);                                                              \
		}                                                                                  \
		if ((a) > 5 || (b) > 5) {                                                          \
			HOOK_SLOT(5);                                                              \
		}                                                                                  \
		return sum;                                                                        \
	}
HOOK_POINTS(X)
#undef X

/* A module serves many points; the chain's entry says which one it was put at. */
#define MODULE(number)                                                                             \
	do {                                                                                       \
		core_arrived(CORE(e), h->class, CLASS_MODULE + (number), h->op);                   \
		h->uses++;                                                                         \
	} while (0)

/* capability: a bit per subject */
static u64 module_cap(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u64 caps = 0x1ffff ^ subject;
	u32 i;

	MODULE(0);
	for (i = 0; i < 20; i++)
		caps += (caps >> (object + i) % 17 & 1) << i;
	return caps;
}

/* mac: labels of subject and object compared through a hashed rule cache */
static u64 module_mac(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u32 *labels = e->hooks.labels, key = subject * 31 + object, i;

	MODULE(1);
	for (i = 0; i < 12; i++, key = key * 0x9e3779b1u + 1)
		if (labels[key >> 27] % 8 == (key & 7))
			break;
	labels[key >> 27] += i;
	return key;
}

/* path: hash of a made-up path */
static u64 module_path(struct env *e, struct hook *h, u32 subject, u32 object)
{
	char name[NAME_BYTES];

	MODULE(2);
	name_make(name, subject + object);
	return str_hash(name) & 0xffffff;
}

/* audit: append to a digest of events */
static u64 module_audit(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u64 event[6] = {e->core.now, subject, object, h->uses, 1, e->hooks.state[3]};

	MODULE(3);
	e->hooks.state[3] = mem_hash(event, sizeof(event), 3);
	e->hooks.state[3] ^= mem_hash(e->hooks.labels, 64, h->uses);
	return e->hooks.state[3] >> 8;
}

/* lockdown: a list of ranges */
static u64 module_lockdown(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u32 i, hits = 0;

	MODULE(4);
	for (i = 0; i < 24; i++)
		hits += object - i * 97 < subject % 256 + i;
	return hits;
}

/* acl: walk entries of (id, mask) */
static u64 module_acl(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u64 rights = object;
	u32 i;

	MODULE(5);
	for (i = 0; i < 16; i++) {
		u32 entry = e->hooks.labels[i];

		if ((entry ^ subject) % 5)
			rights = rights * 3 + entry;
		else
			rights ^= entry << 3;
	}
	return rights >> 4;
}

/* quota: buckets that fill and leak */
static u64 module_quota(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u64 *bucket = &e->hooks.state[6];
	u32 i;

	MODULE(6);
	*bucket += object & 0xff;
	for (i = 0; i < 14; i++)
		*bucket -= *bucket >> (5 + (subject + i) % 4);
	return *bucket + mem_hash(e->hooks.labels + 8, 48, *bucket) % 16;
}

/* ima: measure a few bytes */
static u64 module_measure(struct env *e, struct hook *h, u32 subject, u32 object)
{
	MODULE(7);
	e->hooks.state[7] += mem_crc32(e->hooks.labels, 12, subject ^ object);
	return e->hooks.state[7] >> 9;
}

/* seccomp-like: run a tiny filter */
static u64 module_rules(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u64 a = subject, x = object;
	u32 i;

	MODULE(8);
	for (i = 0; i < 16; i++) {
		u32 insn = (u32)(0x39b1c6e4d2a75083ull >> i * 4) & 3;

		if (insn == 0)
			a += x;
		else if (insn == 1)
			a ^= x << 1;
		else if (insn == 2)
			x = x * 5 + 1;
		else
			a = a >> 1 | a << 63;
	}
	return a;
}

/* statistics over the labels */
static u64 module_stat(struct env *e, struct hook *h, u32 subject, u32 object)
{
	u32 *labels = e->hooks.labels, i, low = ~0u, high = 0;

	MODULE(9);
	for (i = 0; i < 20; i++) {
		u32 v = labels[i] ^ subject;

		low = v < low ? v : low;
		high = v > high ? v : high;
	}
	labels[object % 32] += high - low;
	return low ^ high;
}

YARD_FN void hooks_init(struct env *e)
{
	hook_fn *m = e->hooks.modules;

	m[0] = module_cap;
	m[1] = module_mac;
	m[2] = module_path;
	m[3] = module_audit;
	m[4] = module_lockdown;
	m[5] = module_acl;
	m[6] = module_quota;
	m[7] = module_measure;
	m[8] = module_rules;
	m[9] = module_stat;
}

/* Phase A runs modules 0 to 4 and a bit of the others; phase B has another set in another order. */
YARD_FN void hooks_reset(struct env *e)
{
	static const u8 order[2][HOOK_DEPTH] = {{0, 1, 2, 3, 4, 9}, {5, 6, 8, 7, 9, 3}};
	static const u8 depth[HOOKS][2] = {
#define X(name, a, b) [HOOK_##name] = {a, b},
		HOOK_POINTS(X)
#undef X
	};
	struct hooks *hooks = &e->hooks;
	u32 p, n;

	for (p = 0; p < HOOKS; p++) {
		for (n = 0; n < HOOK_DEPTH; n++) {
			struct hook *h = &hooks->chains[p][n];
			u32 module = order[e->core.phase][(n + p) % depth[p][e->core.phase]];

			h->fn = n < depth[p][e->core.phase] ? hooks->modules[module] : NULL;
			h->class = CLASS_MODULE + module;
			h->op = OP_HOOK + p;
			h->uses = 0;
		}
	}
	mem_fill(hooks->state, RANDOM(e), sizeof(hooks->state));
	for (n = 0; n < ARRAY_SIZE(hooks->labels); n++)
		hooks->labels[n] = (u32)RANDOM(e);
}
