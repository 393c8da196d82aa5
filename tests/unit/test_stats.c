// SPDX-License-Identifier: GPL-2.0-only
/* Medians, percentiles and spreads; struct error. */
#include "suite.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"
#include "util/rss.h"
#include "util/stats.h"

static void median_of_odd_and_even(void)
{
	double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};

	CU_ASSERT_DOUBLE_EQUAL(stats_median(odd, 3), 3, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_median(even, 4), 2.5, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_median(odd, 0), 0, 0);
}

static void percentiles_stay_inside(void)
{
	double v[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100};

	CU_ASSERT_DOUBLE_EQUAL(stats_percentile(v, 10, 0), 10, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_percentile(v, 10, 0.5), 60, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_percentile(v, 10, 0.99), 100, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_percentile(v, 10, 1), 100, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_percentile(v, 0, 0.5), 0, 0);
}

static void spread_is_relative(void)
{
	double flat[] = {7, 7, 7, 7}, wide[] = {80, 100, 100, 120}, zero[] = {0, 0};

	CU_ASSERT_DOUBLE_EQUAL(stats_spread(flat, 4), 0, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_spread(wide, 4), 0.1, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(stats_spread(zero, 2), 0, 0);
	CU_ASSERT_DOUBLE_EQUAL(stats_spread(wide, 1), 0, 0);
}

static void error_carries_text_and_exit_code(void)
{
	struct error err = {0};

	CU_ASSERT_EQUAL(error_set(&err, HOTRAIL_EXIT_BUSY, -EBUSY, "guest %s is busy", "g1"),
			-EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_STRING_EQUAL(err.text, "guest g1 is busy");
	CU_ASSERT_EQUAL(error_set(NULL, HOTRAIL_EXIT_BUSY, -EBUSY, "nobody listens"), -EBUSY);
}

static void error_errno_tells_missing_permission_apart(void)
{
	struct error err = {0};

	errno = EACCES;
	CU_ASSERT_EQUAL(error_errno(&err, "cannot open %s", "x"), -EACCES);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_PERMISSION);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cannot open x: "));
	errno = ENOSPC;
	CU_ASSERT_EQUAL(error_errno(&err, "cannot write"), -ENOSPC);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_FAILED);
}

static void error_text_is_bounded(void)
{
	char longer[1000];
	struct error err;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	errno = EIO;
	error_errno(&err, "%s", longer);
	CU_ASSERT_EQUAL(strlen(err.text), sizeof(err.text) - 1);
}

static void resident_memory_is_found(void)
{
	uint64_t before = rss_beyond_guest(NULL, 0);
	volatile char *p = malloc(8 << 20); /* volatile: the pages must really be touched */
	size_t at;

	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	for (at = 0; at < 8 << 20; at += 4096)
		p[at] = 1;
	CU_ASSERT_TRUE(before > 0);
	CU_ASSERT_TRUE(rss_beyond_guest(NULL, 0) >= before + (6 << 20));
	free((void *)p);
}

static void guest_memory_does_not_count(void)
{
	size_t bytes = 8 << 20, at;
	uint64_t before = rss_beyond_guest(NULL, 0), counted, not_counted;
	char *ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("ram", MFD_CLOEXEC);
	volatile char *shared;

	CU_ASSERT_FATAL(ram != MAP_FAILED && fd >= 0 && !ftruncate(fd, (off_t)bytes));
	CU_ASSERT_EQUAL(madvise(ram, bytes, MADV_DONTFORK),
			0); /* as guest RAM; a mapping of its own */
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_FATAL(shared != MAP_FAILED);
	for (at = 0; at < bytes; at += 4096) {
		((volatile char *)ram)[at] = 1;
		shared[at] = 1;
	}
	counted = rss_beyond_guest(NULL, 0);
	not_counted = rss_beyond_guest(ram, bytes);
	CU_ASSERT_TRUE(counted >= before + bytes && counted < before + bytes + bytes / 2);
	CU_ASSERT_TRUE(not_counted < before + bytes / 2);
	munmap(ram, bytes);
	munmap((void *)shared, bytes);
	close(fd);
}

static const struct suite_test tests[] = {
	{"median of odd and even counts", median_of_odd_and_even},
	{"percentiles stay inside the array", percentiles_stay_inside},
	{"spread is relative to the median", spread_is_relative},
	{"an error carries text and exit code", error_carries_text_and_exit_code},
	{"missing permission has its own exit code", error_errno_tells_missing_permission_apart},
	{"an error text is bounded", error_text_is_bounded},
	{"resident memory grows with use", resident_memory_is_found},
	{"guest memory does not count", guest_memory_does_not_count},
};

SUITE_MAIN("util", tests, 20)
