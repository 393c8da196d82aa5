/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). Pure, any thread. */
#ifndef HOTRAIL_PROTOCOL_CRC32C_H
#define HOTRAIL_PROTOCOL_CRC32C_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

/* `seed` is 0 for a whole buffer, or the result for the bytes before these. */
uint32_t hotrail_crc32c(uint32_t seed, const void *bytes, size_t len);

#endif
