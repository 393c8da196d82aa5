// SPDX-License-Identifier: GPL-2.0-only
/* Three checksum algorithms. */
#include "env.h"

static u64 crc_init(struct env *e, const struct digest_ops *d, u64 key)
{
	ENTER(e, d->class, CLASS_CRC, OP_DIGEST_INIT);
	return (key ^ key >> 32) & 0xffffffff;
}

static u64 crc_update(struct env *e, const struct digest_ops *d, u64 state, const u8 *p, u32 len)
{
	ENTER(e, d->class, CLASS_CRC, OP_DIGEST_UPDATE);
	return mem_crc32(p, len / 4, (u32)state) ^ mem_hash(p, len, 1) >> 40;
}

static u64 crc_final(struct env *e, const struct digest_ops *d, u64 state)
{
	ENTER(e, d->class, CLASS_CRC, OP_DIGEST_FINAL);
	return ~state & 0xffffffff;
}

static u64 adler_init(struct env *e, const struct digest_ops *d, u64 key)
{
	ENTER(e, d->class, CLASS_ADLER, OP_DIGEST_INIT);
	return key << 16 | 1;
}

/* Adler-32 (RFC 1950) with the reduction left to the end of each block. */
static u64 adler_update(struct env *e, const struct digest_ops *d, u64 state, const u8 *p, u32 len)
{
	u64 a = state & 0xffff, b = (state >> 16) & 0xffff;

	ENTER(e, d->class, CLASS_ADLER, OP_DIGEST_UPDATE);
	while (len--) {
		a += *p++;
		b += a;
	}
	return (a % 65521) | (b % 65521) << 16;
}

static u64 adler_final(struct env *e, const struct digest_ops *d, u64 state)
{
	ENTER(e, d->class, CLASS_ADLER, OP_DIGEST_FINAL);
	return state ^ state >> 16;
}

static u64 mix_init(struct env *e, const struct digest_ops *d, u64 key)
{
	ENTER(e, d->class, CLASS_MIX, OP_DIGEST_INIT);
	return mem_hash(&key, sizeof(key), 5);
}

static u64 mix_update(struct env *e, const struct digest_ops *d, u64 state, const u8 *p, u32 len)
{
	ENTER(e, d->class, CLASS_MIX, OP_DIGEST_UPDATE);
	return mem_hash(p, len, state);
}

static u64 mix_final(struct env *e, const struct digest_ops *d, u64 state)
{
	ENTER(e, d->class, CLASS_MIX, OP_DIGEST_FINAL);
	return state ^ state >> 31;
}

static const struct digest_ops crc_ops = {CLASS_CRC, crc_init, crc_update, crc_final};
static const struct digest_ops adler_ops = {CLASS_ADLER, adler_init, adler_update, adler_final};
static const struct digest_ops mix_ops = {CLASS_MIX, mix_init, mix_update, mix_final};

YARD_FN void digest_init(struct env *e)
{
	e->digests[0] = &crc_ops;
	e->digests[1] = &adler_ops;
	e->digests[2] = &mix_ops;
}

YARD_FN const struct digest_ops *digest_get(struct env *e, u32 n)
{
	return e->digests[(n + e->core.phase) % DIGEST_COUNT];
}
