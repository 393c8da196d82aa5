// SPDX-License-Identifier: GPL-2.0-only
/*
 * bzImage -> vmlinux: where the payload lies (Documentation/arch/x86/boot.rst) and the
 * six compressions a kernel may be built with. The size of the result comes from the
 * file and is bounded; a payload that gives more or less than that is broken.
 */
#include <bzlib.h>
#include <elf.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "guest/kernel_view.h"

/* Offsets in the file of the setup header's fields. */
#define SETUP_SECTS	 0x1f1
#define SETUP_MAGIC	 0x202 /* "HdrS" */
#define SETUP_VERSION	 0x206
#define SETUP_PAYLOAD	 0x248 /* from the end of the setup sectors; since protocol 2.08 */
#define SETUP_LENGTH	 0x24c
#define SETUP_MIN	 0x250
#define SECTOR		 512
#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_LEGACY_BLOCK (8u << 20) /* most bytes one block unpacks to */
#define XZ_MAX_MEMORY	 (256ull << 20)

struct buffer {
	const uint8_t *in;
	size_t in_size;
	uint8_t *out;
	size_t out_size, done;
};

/* All decoders: 0 when the input ended well, else -1. b->done says what came out. */

static int unpack_lz4(struct buffer *b)
{
	size_t at = 4;
	int got, room;

	while (b->in_size - at >= 4) {
		uint32_t len = kernel_u32(b->in + at);

		at += 4;
		if (len == LZ4_LEGACY_MAGIC) /* frames may follow each other */
			continue;
		if (!len || len > b->in_size - at || len > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK))
			return -1;
		room = (int)(b->out_size - b->done < LZ4_LEGACY_BLOCK ? b->out_size - b->done
								      : LZ4_LEGACY_BLOCK);
		got = LZ4_decompress_safe((const char *)b->in + at, (char *)b->out + b->done,
					  (int)len, room);
		if (got < 0)
			return -1;
		b->done += (size_t)got;
		at += len;
	}
	return at == b->in_size ? 0 : -1;
}

static int unpack_gzip(struct buffer *b)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)b->in,
		      .avail_in = (uInt)b->in_size,
		      .next_out = b->out,
		      .avail_out = (uInt)b->out_size};
	int ret;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -1;
	ret = inflate(&z, Z_FINISH);
	b->done = b->out_size - z.avail_out;
	inflateEnd(&z);
	return ret == Z_STREAM_END ? 0 : -1;
}

/* xz and the older lzma: one decoder that tells them apart by itself. */
static int unpack_lzma(struct buffer *b)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret ret;

	if (lzma_auto_decoder(&z, XZ_MAX_MEMORY, 0) != LZMA_OK)
		return -1;
	z.next_in = b->in;
	z.avail_in = b->in_size;
	z.next_out = b->out;
	z.avail_out = b->out_size;
	ret = lzma_code(&z, LZMA_FINISH);
	b->done = b->out_size - z.avail_out;
	lzma_end(&z);
	return ret == LZMA_STREAM_END ? 0 : -1;
}

static int unpack_zstd(struct buffer *b)
{
	size_t ret = ZSTD_decompress(b->out, b->out_size, b->in, b->in_size);

	if (ZSTD_isError(ret))
		return -1;
	b->done = ret;
	return 0;
}

static int unpack_bzip2(struct buffer *b)
{
	unsigned size = (unsigned)b->out_size;
	int ret = BZ2_bzBuffToBuffDecompress((char *)b->out, &size, (char *)(uintptr_t)b->in,
					     (unsigned)b->in_size, 0, 0);

	if (ret != BZ_OK)
		return -1;
	b->done = size;
	return 0;
}

static const struct format {
	const char *name, *magic;
	uint8_t magic_len;
	bool own_size; /* the format's own last four bytes are the size; else they follow it */
	int (*unpack)(struct buffer *b);
} formats[] = {
	{"lz4", "\x02\x21\x4c\x18", 4, false, unpack_lz4},
	{"gzip", "\x1f\x8b\x08", 3, true, unpack_gzip},
	{"xz",
	 "\xfd"
	 "7zXZ",
	 5, false, unpack_lzma},
	{"zstd", "\x28\xb5\x2f\xfd", 4, false, unpack_zstd},
	{"lzma", "\x5d\x00\x00", 3, false, unpack_lzma},
	{"bzip2", "BZh", 3, false, unpack_bzip2},
};

static const struct format *find_format(const uint8_t *bytes, size_t size)
{
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (size > formats[i].magic_len + 4u &&
		    !memcmp(bytes, formats[i].magic, formats[i].magic_len))
			return &formats[i];
	return NULL;
}

static int find_payload(const struct kernel_view *v, struct buffer *b)
{
	uint64_t setup, at;
	uint32_t offset, length;

	if (v->size < SETUP_MIN)
		return kernel_broken(v, "bzImage header: truncated; fetch the kernel again");
	if (kernel_u16(v->file + SETUP_VERSION) < 0x208)
		return kernel_unknown(
			v, "boot protocol %u.%02u: older than known (2.08, Linux 2.6.26)",
			v->file[SETUP_VERSION + 1], v->file[SETUP_VERSION]);
	setup = v->file[SETUP_SECTS] ? v->file[SETUP_SECTS] : 4;
	offset = kernel_u32(v->file + SETUP_PAYLOAD);
	length = kernel_u32(v->file + SETUP_LENGTH);
	at = (setup + 1) * SECTOR + offset;
	if (length < 8 || at > v->size || length > v->size - at)
		return kernel_broken(v,
				     "payload_length: %u bytes at %llu, but the file has %zu: "
				     "truncated; fetch the kernel again",
				     length, (unsigned long long)at, v->size);
	*b = (struct buffer){.in = v->file + at, .in_size = length};
	return 0;
}

static int unpack_payload(const struct kernel_view *v, struct buffer *b)
{
	const struct format *f = find_format(b->in, b->in_size);
	int ret;

	if (!f)
		return kernel_unknown(v,
				      "payload: unknown compression (it begins with %02x %02x %02x "
				      "%02x); lz4, gzip, xz, zstd, lzma and bzip2 are known",
				      b->in[0], b->in[1], b->in[2], b->in[3]);
	b->out_size = kernel_u32(b->in + b->in_size - 4);
	if (!f->own_size)
		b->in_size -= 4;
	if (b->out_size < sizeof(Elf64_Ehdr) || b->out_size > KERNEL_MAX_UNPACKED)
		return kernel_broken(v, "payload: %zu bytes unpacked, %zu to %u allowed",
				     b->out_size, sizeof(Elf64_Ehdr), KERNEL_MAX_UNPACKED);
	b->out = malloc(b->out_size);
	if (!b->out)
		return kernel_no_memory(v, "the unpacked kernel");
	ret = f->unpack(b);
	if (!ret && b->done == b->out_size)
		return 0;
	ret = kernel_broken(
		v, "payload: broken %s data after %zu of %zu bytes; fetch the kernel again",
		f->name, b->done, b->out_size);
	free(b->out);
	return ret;
}

static bool is_bzimage(const struct kernel_view *v)
{
	return v->size >= SETUP_VERSION && !memcmp(v->file + SETUP_MAGIC, "HdrS", 4);
}

/* A vmlinux comes out as it is. */
static int copy_elf(const struct kernel_view *v, struct buffer *b)
{
	if (v->size > KERNEL_MAX_UNPACKED)
		return kernel_broken(v, "%zu bytes, at most %u allowed", v->size,
				     KERNEL_MAX_UNPACKED);
	b->out = malloc(v->size);
	if (!b->out)
		return kernel_no_memory(v, "the kernel");
	memcpy(b->out, v->file, v->size);
	b->out_size = v->size;
	return 0;
}

int kernel_unpack(const uint8_t *bytes, size_t size, const char *name, uint8_t **elf,
		  size_t *elf_size, struct error *err)
{
	const struct kernel_view v = {.file = bytes, .size = size, .name = name, .err = err};
	struct buffer b = {0};
	int ret;

	*elf = NULL;
	*elf_size = 0;
	if (size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG))
		ret = copy_elf(&v, &b);
	else if (!is_bzimage(&v))
		ret = kernel_unknown(&v, "not a kernel: neither bzImage nor ELF (on Debian the "
					 "kernel is /boot/vmlinuz-*)");
	else if (!(ret = find_payload(&v, &b)))
		ret = unpack_payload(&v, &b);
	if (ret)
		return ret;
	*elf = b.out;
	*elf_size = b.out_size;
	return 0;
}
