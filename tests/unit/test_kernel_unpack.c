// SPDX-License-Identifier: GPL-2.0-only
/* bzImage payloads made here by each library, and the refusals. */
#include "suite.h"

#include <bzlib.h>
#include <elf.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "guest/kernel.h"

#define DATA_BYTES  (9u << 20) /* more than one lz4 block */
#define FILE_BYTES  (16u << 20)
#define PAYLOAD	    (2 * 512 + 0x40) /* one setup sector, then the offset below */
#define LZ4_BLOCK   (8u << 20)
#define SETUP_SECTS 0x1f1
#define SETUP_PLACE 0x248

static uint8_t data[DATA_BYTES], file[FILE_BYTES];
static size_t file_size;

static void put32(size_t at, uint32_t v)
{
	memcpy(file + at, &v, sizeof(v));
}

/* Something that compresses, but not to nothing; it begins like an ELF. */
static void make_data(void)
{
	uint32_t i, x = 1;

	for (i = 0; i < sizeof(data); i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (uint8_t)(x >> 24 > 40 ? i >> 6 : x >> 16);
	}
	memcpy(data, ELFMAG, SELFMAG);
}

static size_t pack_lz4(uint8_t *out, size_t room, size_t len)
{
	size_t at = 4, done;
	int got;

	memcpy(out, "\x02\x21\x4c\x18", 4);
	for (done = 0; done < len; done += LZ4_BLOCK) {
		size_t n = len - done < LZ4_BLOCK ? len - done : LZ4_BLOCK;

		got = LZ4_compress_default((char *)data + done, (char *)out + at + 4, (int)n,
					   (int)(room - at - 4));
		CU_ASSERT_TRUE_FATAL(got > 0);
		memcpy(out + at, &got, 4);
		at += 4 + (size_t)got;
	}
	return at;
}

static size_t pack_gzip(uint8_t *out, size_t room, size_t len)
{
	z_stream z = {
		.next_in = data, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)room};

	CU_ASSERT_EQUAL_FATAL(
		deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static size_t pack_xz(uint8_t *out, size_t room, size_t len)
{
	size_t done = 0;

	CU_ASSERT_EQUAL_FATAL(
		lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, data, len, out, &done, room),
		LZMA_OK);
	return done;
}

static size_t pack_lzma(uint8_t *out, size_t room, size_t len)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_options_lzma o;

	lzma_lzma_preset(&o, 0);
	CU_ASSERT_EQUAL_FATAL(lzma_alone_encoder(&z, &o), LZMA_OK);
	z.next_in = data;
	z.avail_in = len;
	z.next_out = out;
	z.avail_out = room;
	CU_ASSERT_EQUAL_FATAL(lzma_code(&z, LZMA_FINISH), LZMA_STREAM_END);
	lzma_end(&z);
	return room - z.avail_out;
}

static size_t pack_zstd(uint8_t *out, size_t room, size_t len)
{
	size_t done = ZSTD_compress(out, room, data, len, 1);

	CU_ASSERT_FALSE_FATAL(ZSTD_isError(done));
	return done;
}

static size_t pack_bzip2(uint8_t *out, size_t room, size_t len)
{
	unsigned done = (unsigned)room;

	CU_ASSERT_EQUAL_FATAL(
		BZ2_bzBuffToBuffCompress((char *)out, &done, (char *)data, (unsigned)len, 1, 0, 0),
		BZ_OK);
	return done;
}

static const struct packer {
	const char *name;
	size_t (*pack)(uint8_t *out, size_t room, size_t len);
	bool own_size;
} packers[] = {
	{"lz4", pack_lz4, false},   {"gzip", pack_gzip, true},	{"xz", pack_xz, false},
	{"lzma", pack_lzma, false}, {"zstd", pack_zstd, false}, {"bzip2", pack_bzip2, false},
};

#define PACKERS (sizeof(packers) / sizeof(packers[0]))

/* The header's fields as arch/x86/boot/header.S fills them. */
static void wrap(size_t payload_len)
{
	memset(file, 0, PAYLOAD);
	file[SETUP_SECTS] = 1;
	memcpy(file + 0x202, "HdrS", 4);
	file[0x206] = 0x0f;
	file[0x207] = 0x02;
	put32(SETUP_PLACE, PAYLOAD - 2 * 512);
	put32(SETUP_PLACE + 4, (uint32_t)payload_len);
	file_size = PAYLOAD + payload_len + 100; /* the rest of the loader follows */
	memset(file + PAYLOAD + payload_len, 0xee, 100);
}

static void build(const struct packer *p, size_t len)
{
	size_t n = p->pack(file + PAYLOAD, FILE_BYTES - PAYLOAD - 200, len);

	if (!p->own_size) {
		put32(PAYLOAD + n, (uint32_t)len);
		n += 4;
	}
	wrap(n);
}

static void refused(int ret, enum hotrail_exit code, const char *words)
{
	struct error err = {0};
	uint8_t *elf = file;
	size_t size = 1;
	int got = kernel_unpack(file, file_size, "bz", &elf, &size, &err);

	CU_ASSERT_EQUAL(got, ret);
	CU_ASSERT_EQUAL(err.exit_code, code);
	CU_ASSERT_PTR_NULL(elf);
	CU_ASSERT_EQUAL(size, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("got: %s\nwanted: %s\n", err.text, words);
	if (!got)
		free(elf);
}

static void test_all_formats(void)
{
	static const size_t sizes[] = {DATA_BYTES, 100000};
	struct error err = {0};
	uint8_t *elf;
	size_t size;
	unsigned i, j;

	make_data();
	for (i = 0; i < PACKERS; i++)
		for (j = 0; j < 2; j++) {
			build(&packers[i], sizes[j]);
			if (kernel_unpack(file, file_size, "bz", &elf, &size, &err))
				CU_FAIL_FATAL(packers[i].name);
			CU_ASSERT_EQUAL(size, sizes[j]);
			CU_ASSERT_EQUAL(memcmp(elf, data, size), 0);
			free(elf);
		}
}

static void test_plain_elf(void)
{
	uint8_t *elf;
	size_t size;

	CU_ASSERT_EQUAL_FATAL(kernel_unpack(data, 5000, "elf", &elf, &size, NULL), 0);
	CU_ASSERT_EQUAL(size, 5000);
	CU_ASSERT_EQUAL(memcmp(elf, data, size), 0);
	CU_ASSERT_TRUE(elf != data);
	free(elf);
}

/* The size in the file lies: too small, too large, absurd. */
static void test_lying_size(void)
{
	unsigned i;

	for (i = 0; i < PACKERS; i++) {
		size_t at;

		build(&packers[i], 100000);
		at = file_size - 100 - 4;
		put32(at, 99999);
		refused(-EINVAL, HOTRAIL_EXIT_FAILED, packers[i].name);
		put32(at, 100001);
		refused(-EINVAL, HOTRAIL_EXIT_FAILED, packers[i].name);
		put32(at, KERNEL_MAX_UNPACKED + 1);
		refused(-EINVAL, HOTRAIL_EXIT_FAILED, "bytes unpacked");
		put32(at, 0xffffffff);
		refused(-EINVAL, HOTRAIL_EXIT_FAILED, "bytes unpacked");
		put32(at, 10);
		refused(-EINVAL, HOTRAIL_EXIT_FAILED, "10 bytes unpacked");
	}
}

static void test_lying_header(void)
{
	build(&packers[0], 100000);
	file[0x206] = 7;
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "boot protocol 2.07: older than known");
	build(&packers[0], 100000);
	put32(SETUP_PLACE, 0xffffffff);
	refused(-EINVAL, HOTRAIL_EXIT_FAILED, "payload_length");
	build(&packers[0], 100000);
	put32(SETUP_PLACE + 4, 0xffffffff);
	refused(-EINVAL, HOTRAIL_EXIT_FAILED, "truncated");
	build(&packers[0], 100000);
	put32(SETUP_PLACE + 4, 7);
	refused(-EINVAL, HOTRAIL_EXIT_FAILED, "payload_length: 7");
	build(&packers[0], 100000);
	file[SETUP_SECTS] = 0; /* means 4: the payload would begin 3 sectors later */
	refused(-EINVAL, HOTRAIL_EXIT_FAILED, "bytes at 2624");
}

static void test_not_a_kernel(void)
{
	build(&packers[0], 100000);
	memcpy(file + PAYLOAD, "\x89LZO", 4);
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED,
		"unknown compression (it begins with 89 4c 5a 4f)");
	file[0x202] = 'X';
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "not a kernel");
	file_size = 0;
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "not a kernel");
}

/* Copies exactly as long as the cut, so that the sanitizer sees any excess. */
static void check_cut(size_t len, size_t payload_end)
{
	uint8_t *copy = malloc(len ? len : 1), *elf;
	size_t size;
	int ret;

	memcpy(copy, file, len);
	ret = kernel_unpack(copy, len, "cut", &elf, &size, NULL);
	CU_ASSERT_EQUAL(ret == 0, len >= payload_end);
	if (!ret)
		free(elf);
	free(copy);
}

static void test_truncated(void)
{
	unsigned i;
	size_t len;

	for (i = 0; i < PACKERS; i++) {
		build(&packers[i], 100000);
		for (len = 0; len <= file_size;
		     len += len < 0x260 || len > file_size - 110 ? 1 : 331)
			check_cut(len, file_size - 100);
	}
}

/* The payload itself ends early, and its size says so. */
static void test_short_payload(void)
{
	unsigned i;
	size_t n, cut;

	for (i = 0; i < PACKERS; i++)
		for (cut = 1; cut < 2000; cut += 397) {
			n = packers[i].pack(file + PAYLOAD, FILE_BYTES - PAYLOAD - 200, 100000) -
			    cut;
			put32(PAYLOAD + n, 100000);
			wrap(n + 4);
			refused(-EINVAL, HOTRAIL_EXIT_FAILED, packers[i].name);
		}
}

static void test_damaged(void)
{
	unsigned i, round;
	uint8_t *elf;
	size_t size, n;

	srand(2);
	for (i = 0; i < PACKERS; i++)
		for (round = 0; round < 30; round++) {
			build(&packers[i], 30000);
			n = file_size - 100 - PAYLOAD - 4;
			file[PAYLOAD + (unsigned)rand() % n] ^= (uint8_t)(1 + rand() % 255);
			if (!kernel_unpack(file, file_size, "bz", &elf, &size, NULL)) {
				CU_ASSERT_EQUAL(size, 30000);
				free(elf);
			}
		}
}

static const struct suite_test tests[] = {
	{"all six compressions", test_all_formats},
	{"a vmlinux as it is", test_plain_elf},
	{"sizes that lie are refused", test_lying_size},
	{"headers that lie are refused", test_lying_header},
	{"not a kernel", test_not_a_kernel},
	{"every cut of the file is refused", test_truncated},
	{"payloads that end early are refused", test_short_payload},
	{"damaged payloads do no harm", test_damaged},
};

SUITE_MAIN("kernel-unpack", tests, 120)
