/* SPDX-License-Identifier: GPL-2.0-only */
/* Checksum algorithms behind one table, as a kernel's crypto layer has them. */
#ifndef YARD_DIGEST_H
#define YARD_DIGEST_H

#include "kernel.h"

enum digest_class { CLASS_CRC = 0x30, CLASS_ADLER, CLASS_MIX, CLASS_DIGESTS };
enum digest_op { OP_DIGEST_INIT = 0x180, OP_DIGEST_UPDATE, OP_DIGEST_FINAL };
#define DIGEST_COUNT (CLASS_DIGESTS - CLASS_CRC)

struct digest_ops {
	u32 class;
	u64 (*init)(struct env *e, const struct digest_ops *d, u64 key);
	u64 (*update)(struct env *e, const struct digest_ops *d, u64 state, const u8 *p, u32 len);
	u64 (*final)(struct env *e, const struct digest_ops *d, u64 state);
};

YARD_FN void digest_init(struct env *e);
YARD_FN const struct digest_ops *digest_get(struct env *e, u32 n);

#define DIGEST_INIT(e, d, key) ICALL(e, OP_DIGEST_INIT, (d)->init(e, d, key))
#define DIGEST_UPDATE(e, d, state, p, len)                                                         \
	ICALL(e, OP_DIGEST_UPDATE, (d)->update(e, d, state, p, len))
#define DIGEST_FINAL(e, d, state) ICALL(e, OP_DIGEST_FINAL, (d)->final(e, d, state))

#endif
