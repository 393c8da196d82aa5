// SPDX-License-Identifier: GPL-2.0-only
/* The yard kernel's library: copies, comparisons, checksums, names. */
#include "kernel.h"

#ifndef YARD_HOST
/* What GCC itself may call. */
void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int c, size_t len);

void *memcpy(void *to, const void *from, size_t len)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len)::"memory");
	return start;
}

void *memset(void *to, int c, size_t len)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(c) : "memory");
	return start;
}
#endif

static inline u64 load64(const void *p)
{
	u64 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

YARD_FN void mem_copy(void *to, const void *from, u32 len)
{
	u8 *d = to;
	const u8 *s = from;

	for (; len >= 8; len -= 8, d += 8, s += 8) {
		u64 v = load64(s);

		__builtin_memcpy(d, &v, sizeof(v));
	}
	while (len--)
		*d++ = *s++;
}

YARD_FN void mem_fill(void *to, u64 pattern, u32 len)
{
	u8 *d = to;

	for (; len >= 8; len -= 8, d += 8)
		__builtin_memcpy(d, &pattern, sizeof(pattern));
	for (; len; len--, pattern >>= 8)
		*d++ = (u8)pattern;
}

YARD_FN int mem_compare(const void *a, const void *b, u32 len)
{
	const u8 *x = a, *y = b;

	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

/* MurmurHash3's 64-bit finalizer (Appleby) for every word. */
YARD_FN u64 mem_hash(const void *p, u32 len, u64 seed)
{
	const u8 *s = p;
	u64 h = seed ^ len;

	for (; len >= 8; len -= 8, s += 8) {
		h = (h ^ load64(s)) * 0xff51afd7ed558ccdull;
		h ^= h >> 33;
		h *= 0xc4ceb9fe1a85ec53ull;
		h ^= h >> 33;
	}
	while (len--)
		h = (h ^ *s++) * 0x100000001b3ull;
	return h ^ (h >> 29);
}

/* CRC-32 (IEEE 802.3, reflected), half a byte at a time. */
YARD_FN u32 mem_crc32(const void *p, u32 len, u32 crc)
{
	static const u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const u8 *s = p;

	crc = ~crc;
	while (len--) {
		crc ^= *s++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return ~crc;
}

/* Internet checksum (RFC 1071) over 16-bit little-endian words. */
YARD_FN u16 inet_sum(const void *p, u32 len, u32 start)
{
	const u8 *s = p;
	u64 sum = start;

	for (; len >= 2; len -= 2, s += 2)
		sum += (u32)s[0] | (u32)s[1] << 8;
	if (len)
		sum += *s;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (u16)sum;
}

YARD_FN int str_compare(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (u8)*a - (u8)*b;
}

YARD_FN u32 str_hash(const char *s)
{
	u32 h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (u8)*s) * 16777619u;
	return h;
}

/* A name of 8 to 15 characters that differs from the others early or late. */
YARD_FN void name_make(char *to, u32 number)
{
	u32 h = number * 2654435761u, n = 7 + (h >> 29), i;

	for (i = 0; i < n; i++, h = h * 1664525u + 1013904223u)
		to[i] = (char)('a' + (h >> 24) % 13);
	to[n] = (char)('0' + number % 64);
	to[n + 1] = 0;
}
