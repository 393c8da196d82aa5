/* SPDX-License-Identifier: GPL-2.0-only */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). Pure, any thread. */
#ifndef HOTRAIL_UTIL_CRC32C_H
#define HOTRAIL_UTIL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `seed` is 0 for a whole buffer, or the result for the bytes before these. */
uint32_t crc32c(uint32_t seed, const void *bytes, size_t len);

#endif
