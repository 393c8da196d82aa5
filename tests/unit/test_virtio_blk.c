// SPDX-License-Identifier: GPL-2.0-only
/* The block device over a file, driven by rings in a byte array. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <sys/stat.h>

#include "virtio_driver.h"

#define SECTORS 2048u
#define STATUS	0x100 /* places in the data area: header at 0 */
#define BODY	0x1000

static struct ram ram;
static struct driver d;
static char path[64];

static void make_disk(size_t bytes)
{
	int fd;

	strcpy(path, "/tmp/hotrail-disk-XXXXXX");
	fd = mkstemp(path);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static int create(bool readonly, struct virtio **v, struct error *err)
{
	struct virtio_host host = driver_host(&ram);
	struct virtio_blk_options o = {path, readonly, "serial-of-this-disk-which-is-long"};

	return virtio_blk_create(&o, &host, v, err);
}

static void up_with(bool readonly, uint64_t refuse)
{
	struct virtio *v = NULL;
	struct error err;

	make_disk(SECTORS * 512);
	CU_ASSERT_EQUAL_FATAL(create(readonly, &v, &err), 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, driver_offered(v) & ~refuse));
}

static void down(void)
{
	virtio_destroy(d.v);
	unlink(path);
}

/* A request whose body is `len` bytes at BODY. Its status, or -1 when the device broke. */
static int request(uint32_t type, uint64_t sector, uint32_t len, bool write_body)
{
	const struct virtio_blk_outhdr h = {.type = type, .sector = sector};
	struct part p[3] = {{DATA_GPA(0), sizeof(h), false},
			    {DATA_GPA(BODY), len, write_body},
			    {DATA_GPA(STATUS), 1, true}};

	memcpy(DATA(&d, 0), &h, sizeof(h));
	*DATA(&d, STATUS) = 0xee;
	if (!len)
		p[1] = p[2];
	if (driver_request(&d, 0, p, len ? 3 : 2) < 0)
		return -1;
	return *DATA(&d, STATUS);
}

static int read_at(uint64_t sector, uint32_t len)
{
	return request(VIRTIO_BLK_T_IN, sector, len, true);
}

static int write_at(uint64_t sector, uint32_t len)
{
	return request(VIRTIO_BLK_T_OUT, sector, len, false);
}

static bool all_are(const uint8_t *p, size_t n, uint8_t byte)
{
	while (n--)
		if (p[n] != byte)
			return false;
	return true;
}

static bool file_is(uint64_t sector, size_t n, uint8_t byte)
{
	static uint8_t buf[65536];
	int fd = open(path, O_RDONLY);
	ssize_t got = pread(fd, buf, n, (off_t)sector * 512);

	close(fd);
	return got == (ssize_t)n && all_are(buf, n, byte);
}

static void test_config(void)
{
	uint64_t value = 0, offered;

	up_with(false, 0);
	CU_ASSERT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG), SECTORS);
	CU_ASSERT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG + 4), 0);
	CU_ASSERT_EQUAL(virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG + 1, 1, false, &value), 0);
	CU_ASSERT_EQUAL(value, SECTORS >> 8);
	CU_ASSERT_EQUAL(virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 8, false, &value), 0);
	CU_ASSERT_EQUAL(value, SECTORS);
	CU_ASSERT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG + 12), VIRTQUEUE_SIZE_MAX - 2);
	value = 1;
	virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 4, true, &value); /* not to be written */
	CU_ASSERT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG), SECTORS);
	offered = driver_offered(d.v);
	CU_ASSERT(offered >> VIRTIO_BLK_F_FLUSH & offered >> VIRTIO_BLK_F_DISCARD & 1);
	CU_ASSERT_FALSE(offered >> VIRTIO_BLK_F_RO & 1);
	down();
}

static void test_read_write(void)
{
	up_with(false, 0);
	memset(DATA(&d, BODY), 0xa5, 8192);
	CU_ASSERT_EQUAL(write_at(7, 8192), VIRTIO_BLK_S_OK);
	CU_ASSERT_TRUE(file_is(7, 8192, 0xa5) && file_is(6, 512, 0) && file_is(23, 512, 0));
	memset(DATA(&d, BODY), 0, 8192);
	CU_ASSERT_EQUAL(read_at(8, 4096), VIRTIO_BLK_S_OK);
	CU_ASSERT_TRUE(all_are(DATA(&d, BODY), 4096, 0xa5) && *DATA(&d, BODY + 4096) == 0);
	CU_ASSERT_EQUAL(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	CU_ASSERT_EQUAL(read_at(SECTORS - 1, 512), VIRTIO_BLK_S_OK);
	down();
	up_with(false, 1ull << VIRTIO_BLK_F_FLUSH); /* write-through */
	CU_ASSERT_EQUAL(write_at(0, 512), VIRTIO_BLK_S_OK);
	down();
}

/* Header, data and status cut anywhere: framing is the driver's choice (2.7.4). */
static void test_framing(void)
{
	const struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_IN, .sector = 2};
	const struct part p[] = {{DATA_GPA(0), 3, false},
				 {DATA_GPA(3), 13, false},
				 {DATA_GPA(BODY), 100, true},
				 {DATA_GPA(BODY + 100), 411, true},
				 {DATA_GPA(BODY + 511), 2, true}};

	up_with(false, 0);
	memset(DATA(&d, BODY), 0x5a, 512);
	CU_ASSERT_EQUAL(write_at(2, 512), VIRTIO_BLK_S_OK);
	memset(DATA(&d, BODY), 0xff, 600);
	memcpy(DATA(&d, 0), &h, sizeof(h));
	CU_ASSERT_EQUAL(driver_request(&d, 0, p, 5), 513);
	CU_ASSERT_TRUE(all_are(DATA(&d, BODY), 512, 0x5a));
	CU_ASSERT_EQUAL(*DATA(&d, BODY + 512), VIRTIO_BLK_S_OK);
	CU_ASSERT_EQUAL(*DATA(&d, BODY + 513), 0xff);
	down();
}

static void test_bounds(void)
{
	struct virtio_counters c;

	up_with(false, 0);
	CU_ASSERT_EQUAL(read_at(SECTORS, 512), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(read_at(SECTORS - 1, 1024), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(read_at(UINT64_MAX, 512), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(write_at(UINT64_MAX - 1, 1024), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(write_at(UINT64_MAX / 512 + 1, 512), VIRTIO_BLK_S_IOERR); /* * 512 = 0 */
	CU_ASSERT_EQUAL(read_at(0, 511), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(write_at(0, 513), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(request(99, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
	virtio_get_counters(d.v, &c);
	CU_ASSERT(c.failed == 8 && c.broken == 0 && c.requests == 8);
	CU_ASSERT_TRUE(file_is(0, 4096, 0));
	CU_ASSERT_EQUAL(truncate(path, 512), 0); /* the file shrinks under us */
	CU_ASSERT_EQUAL(read_at(100, 512), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(read_at(0, 512), VIRTIO_BLK_S_OK);
	down();
}

static void test_serial(void)
{
	up_with(false, 0);
	memset(DATA(&d, BODY), 0x77, 64);
	CU_ASSERT_EQUAL(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	CU_ASSERT_EQUAL(memcmp(DATA(&d, BODY), "serial-of-this-disk-", 20), 0);
	CU_ASSERT_EQUAL(*DATA(&d, BODY + 20), 0x77);
	CU_ASSERT_EQUAL(request(VIRTIO_BLK_T_GET_ID, 0, 5, true), VIRTIO_BLK_S_OK);
	down();
}

static int range_request(uint32_t type, uint64_t sector, uint32_t n, uint32_t flags, uint32_t len)
{
	const struct virtio_blk_discard_write_zeroes r = {sector, n, flags};

	memset(DATA(&d, BODY), 0, 512);
	memcpy(DATA(&d, BODY), &r, sizeof(r));
	return request(type, 0, len, false);
}

static void test_discard(void)
{
	const uint32_t discard = VIRTIO_BLK_T_DISCARD, zero = VIRTIO_BLK_T_WRITE_ZEROES;

	up_with(false, 0);
	memset(DATA(&d, BODY), 0x11, 65536);
	CU_ASSERT_EQUAL(write_at(0, 65536), VIRTIO_BLK_S_OK);
	CU_ASSERT_EQUAL(range_request(zero, 8, 8, 0, 16), VIRTIO_BLK_S_OK);
	CU_ASSERT_TRUE(file_is(0, 4096, 0x11) && file_is(8, 4096, 0) && file_is(16, 4096, 0x11));
	CU_ASSERT_EQUAL(range_request(zero, 17, 3, 1, 16), VIRTIO_BLK_S_OK); /* unmap */
	CU_ASSERT_TRUE(file_is(16, 512, 0x11) && file_is(17, 1536, 0) && file_is(20, 512, 0x11));
	CU_ASSERT_EQUAL(range_request(discard, 32, 8, 0, 16), VIRTIO_BLK_S_OK);
	CU_ASSERT_EQUAL(range_request(discard, 32, 8, 1, 16), VIRTIO_BLK_S_UNSUPP);
	CU_ASSERT_EQUAL(range_request(zero, 32, 8, 2, 16), VIRTIO_BLK_S_UNSUPP);
	CU_ASSERT_EQUAL(range_request(discard, SECTORS - 1, 2, 0, 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(discard, UINT64_MAX, 2, 0, 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(discard, 0, UINT32_MAX, 0, 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(discard, 0, 1, 0, 15), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(discard, 0, 1, 0, 17 * 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(discard, 0, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_TRUE(file_is(0, 4096, 0x11));
	CU_ASSERT_EQUAL(truncate(path, SECTORS * 512), 0);
	down();
}

static void test_readonly(void)
{
	up_with(true, 0);
	CU_ASSERT_TRUE(driver_offered(d.v) >> VIRTIO_BLK_F_RO & 1);
	CU_ASSERT_EQUAL(read_at(0, 512), VIRTIO_BLK_S_OK);
	memset(DATA(&d, BODY), 1, 512);
	CU_ASSERT_EQUAL(write_at(0, 512), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(VIRTIO_BLK_T_DISCARD, 0, 1, 0, 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_EQUAL(range_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0, 16), VIRTIO_BLK_S_IOERR);
	CU_ASSERT_TRUE(file_is(0, 512, 0));
	down();
}

static void test_broken_requests(void)
{
	const struct part no_status[] = {{DATA_GPA(0), 16, false}};
	const struct part short_header[] = {{DATA_GPA(0), 15, false}, {DATA_GPA(STATUS), 1, true}};
	struct virtio_counters c;

	up_with(false, 0);
	CU_ASSERT_EQUAL(driver_request(&d, 0, no_status, 1), -1);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, d.v, F_VERSION_1));
	CU_ASSERT_EQUAL(driver_request(&d, 0, short_header, 2), -1);
	virtio_get_counters(d.v, &c);
	CU_ASSERT(c.broken == 2 && strstr(c.why, "header"));
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, d.v, F_VERSION_1));
	CU_ASSERT_EQUAL(read_at(0, 512), VIRTIO_BLK_S_OK);
	down();
}

static void test_locks(void)
{
	struct virtio *a = NULL, *b = NULL, *c = NULL;
	struct error err = {0};

	make_disk(SECTORS * 512);
	CU_ASSERT_EQUAL_FATAL(create(false, &a, &err), 0);
	CU_ASSERT_EQUAL(create(false, &b, &err), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT(strstr(err.text, path) && strstr(err.text, "in use"));
	CU_ASSERT_EQUAL(create(true, &b, &err), -EBUSY);
	virtio_destroy(a);
	CU_ASSERT_EQUAL(create(true, &b, &err), 0);
	CU_ASSERT_EQUAL(create(true, &c, &err), 0); /* readers share */
	CU_ASSERT_EQUAL(create(false, &a, &err), -EBUSY);
	virtio_destroy(b);
	virtio_destroy(c);
	unlink(path);
}

static void refused(int ret, enum hotrail_exit exit_code, const char *word)
{
	struct virtio *v = NULL;
	struct error err = {0};

	CU_ASSERT_EQUAL(create(false, &v, &err), ret);
	CU_ASSERT_EQUAL(err.exit_code, exit_code);
	CU_ASSERT(strstr(err.text, path) && strstr(err.text, word));
	CU_ASSERT_PTR_NULL(v);
}

static void test_refuses_files(void)
{
	int fd;

	make_disk(1000);
	refused(-EINVAL, HOTRAIL_EXIT_USAGE, "multiple");
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	refused(-EINVAL, HOTRAIL_EXIT_USAGE, "multiple");
	CU_ASSERT_EQUAL(truncate(path, 4096), 0);
	fd = open(path, O_WRONLY);
	CU_ASSERT_EQUAL(pwrite(fd, "QFI\xfb", 4, 0), 4);
	close(fd);
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "qcow2");
	unlink(path);
	refused(-ENOENT, HOTRAIL_EXIT_USAGE, "does not exist");
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	refused(-EINVAL, HOTRAIL_EXIT_USAGE, "neither");
	unlink(path);
	strcpy(path, "/tmp");
	refused(-EISDIR, HOTRAIL_EXIT_FAILED, "cannot open");
}

static const struct suite_test tests[] = {
	{"size and features", test_config},
	{"read write flush", test_read_write},
	{"any framing", test_framing},
	{"requests outside the disk", test_bounds},
	{"serial number", test_serial},
	{"discard and write zeroes", test_discard},
	{"a read-only disk stays as it is", test_readonly},
	{"requests without header or status", test_broken_requests},
	{"two guests do not share a writable disk", test_locks},
	{"files that are no disks", test_refuses_files},
};
SUITE_MAIN("virtio_blk", tests, 60)
