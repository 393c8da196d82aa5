// SPDX-License-Identifier: GPL-2.0-only
/* Port bus, console and doorbell. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include <hotrail/types.h>
#include "device/bus.h"
#include "util/clock.h"

struct seen {
	unsigned calls, vcpu;
	uint32_t value;
};

static void on_write(void *dev, unsigned vcpu, uint32_t value)
{
	struct seen *s = dev;

	s->calls++;
	s->vcpu = vcpu;
	s->value = value;
}

static void test_bus(void)
{
	struct bus bus = {0};
	struct seen a = {0}, b = {0};
	unsigned i;

	CU_ASSERT_EQUAL(bus_write(&bus, 0, 0x70, 1), -ENODEV);
	CU_ASSERT_EQUAL(bus_add(&bus, 0x70, on_write, &a), 0);
	CU_ASSERT_EQUAL(bus_add(&bus, 0x71, on_write, &b), 0);
	CU_ASSERT_EQUAL(bus_add(&bus, 0x70, on_write, &b), -EEXIST);
	CU_ASSERT_EQUAL(bus_write(&bus, 3, 0x71, 0xdeadbeef), 0);
	CU_ASSERT_EQUAL(a.calls, 0);
	CU_ASSERT_EQUAL(b.calls, 1);
	CU_ASSERT_EQUAL(b.vcpu, 3);
	CU_ASSERT_EQUAL(b.value, 0xdeadbeef);
	CU_ASSERT_EQUAL(bus_write(&bus, 0, 0x72, 1), -ENODEV);
	for (i = bus.count; i < BUS_MAX; i++)
		CU_ASSERT_EQUAL(bus_add(&bus, (uint16_t)(0x100 + i), on_write, &a), 0);
	CU_ASSERT_EQUAL(bus_add(&bus, 0x200, on_write, &a), -ENOSPC);
}

static void put(struct console *c, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		console_write(c, 0, (uint32_t)(uint8_t)text[i]);
}

static void say(struct console *c, const char *text)
{
	put(c, text, strlen(text));
}

static void test_console_tail(void)
{
	struct console *c = console_create(-1);
	char buf[256];

	CU_ASSERT_EQUAL(console_tail(c, 5, buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "");
	say(c, "one\ntwo\n\nfour\nhalf");
	CU_ASSERT_EQUAL(console_tail(c, 2, buf, sizeof(buf)), 5);
	CU_ASSERT_STRING_EQUAL(buf, "\nfour");
	console_tail(c, 99, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, "one\ntwo\n\nfour"); /* half a line is no line */
	say(c, "!\n");
	console_tail(c, 1, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, "half!");
	CU_ASSERT_EQUAL(console_tail(c, 0, buf, sizeof(buf)), 0);
	/* Too small a buffer: the newest whole lines, never beyond its end. */
	memset(buf, 'x', sizeof(buf));
	CU_ASSERT_EQUAL(console_tail(c, 5, buf, 11), 10);
	CU_ASSERT_STRING_EQUAL(buf, "four\nhalf!");
	CU_ASSERT_EQUAL(buf[11], 'x');
	CU_ASSERT_EQUAL(console_tail(c, 5, buf, 10), 5);
	CU_ASSERT_STRING_EQUAL(buf, "half!");
	CU_ASSERT_EQUAL(console_tail(c, 5, buf, 5), 0);
	CU_ASSERT_STRING_EQUAL(buf, "");
	buf[0] = 'x';
	CU_ASSERT_EQUAL(console_tail(c, 5, buf, 0), 0);
	CU_ASSERT_EQUAL(buf[0], 'x');
	console_destroy(c);
	console_destroy(NULL);
}

static void test_console_hostile(void)
{
	static char big[CONSOLE_LINES * (CONSOLE_COLUMNS + 1) + 1];
	struct console *c = console_create(-1);
	size_t i, len;

	put(c, "\033[2J\a\tok\r\x7f\x9b\0z\n", 14);
	console_tail(c, 1, big, sizeof(big));
	CU_ASSERT_STRING_EQUAL(big, ".[2J.\tok....z");
	/* Only the low byte counts. */
	console_write(c, 7, 0xffffff41);
	console_write(c, 0, '\n');
	console_tail(c, 1, big, sizeof(big));
	CU_ASSERT_STRING_EQUAL(big, "A");
	/* A line without end is broken at the column limit; memory stays bounded. */
	for (i = 0; i < CONSOLE_COLUMNS * 100; i++)
		console_write(c, 0, 'a' + (uint32_t)(i / CONSOLE_COLUMNS) % 26);
	console_write(c, 0, '\n');
	len = console_tail(c, 10000, big, sizeof(big));
	CU_ASSERT_EQUAL(len, CONSOLE_LINES * (CONSOLE_COLUMNS + 1) - 1);
	CU_ASSERT_EQUAL(big[len - 1], 'a' + 99 % 26);
	CU_ASSERT_EQUAL(big[0], 'a' + (100 - CONSOLE_LINES) % 26);
	for (i = 0; i < 3 * CONSOLE_LINES; i++)
		say(c, i & 1 ? "odd\n" : "even\n");
	console_tail(c, 2, big, sizeof(big));
	CU_ASSERT_STRING_EQUAL(big, "even\nodd");
	console_destroy(c);
}

static void test_console_copy(void)
{
	char buf[4096];
	struct console *c;
	int fds[2], i;
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	c = console_create(fds[1]);
	say(c, "hello\033\nhalf");
	n = read(fds[0], buf, sizeof(buf));
	CU_ASSERT_TRUE(n == 7 && !memcmp(buf, "hello.\n", 7));
	/* A reader that does not read must not stop a vCPU; what it missed is counted. */
	fcntl(fds[1], F_SETPIPE_SZ, 4096);
	for (i = 0; i < 5000; i++)
		say(c, "0123456789abcdef\n");
	while (fcntl(fds[0], F_SETFL, O_NONBLOCK), (n = read(fds[0], buf, sizeof(buf))) > 0)
		CU_ASSERT_TRUE(buf[n - 1] == '\n');
	say(c, "again\n");
	n = read(fds[0], buf, sizeof(buf) - 1);
	CU_ASSERT_TRUE_FATAL(n > 0);
	buf[n] = '\0';
	CU_ASSERT_PTR_NOT_NULL(strstr(buf, "console lines not shown)\nagain\n"));
	console_tail(c, 1, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, "again");
	console_destroy(c);
	close(fds[0]);
	close(fds[1]);
}

static void test_doorbell_counts(void)
{
	struct doorbell *d = doorbell_create();

	CU_ASSERT_EQUAL(doorbell_count(d, 0, 1), 0);
	doorbell_write(d, 0, 1);
	doorbell_write(d, 0, 1);
	doorbell_write(d, 1, 7);
	doorbell_write(d, 1, 8); /* unknown bells fall together in 0 */
	doorbell_write(d, 1, 0xffffffff);
	doorbell_write(d, HOTRAIL_MAX_VCPUS, 1); /* no such vCPU */
	CU_ASSERT_EQUAL(doorbell_count(d, 0, 1), 2);
	CU_ASSERT_EQUAL(doorbell_count(d, 1, 1), 0);
	CU_ASSERT_EQUAL(doorbell_count(d, 1, 7), 1);
	CU_ASSERT_EQUAL(doorbell_count(d, 1, 0), 2);
	CU_ASSERT_EQUAL(doorbell_count(d, HOTRAIL_MAX_VCPUS, 1), 0);
	doorbell_destroy(d);
	doorbell_destroy(NULL);
}

static void *ring_later(void *arg)
{
	clock_sleep_ms(20);
	doorbell_write(arg, 1, 3);
	clock_sleep_ms(20);
	doorbell_write(arg, 1, 2);
	return NULL;
}

static void test_doorbell_wait(void)
{
	struct doorbell *d = doorbell_create();
	uint64_t start = clock_ns();
	pthread_t t;

	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 0, 0), 0);
	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 1, 0), -ETIMEDOUT);
	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 1, 30), -ETIMEDOUT);
	CU_ASSERT_TRUE(clock_ns() - start >= 30000000);
	CU_ASSERT_EQUAL(doorbell_wait(d, HOTRAIL_MAX_VCPUS, 2, 0, 0), -EINVAL);
	start = clock_ns();
	pthread_create(&t, NULL, ring_later, d);
	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 1, 5000), 0); /* bell 3 is not it */
	CU_ASSERT_TRUE(clock_ns() - start >= 40000000);
	pthread_join(t, NULL);
	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 1, 0), 0);
	CU_ASSERT_EQUAL(doorbell_wait(d, 1, 2, 2, 0), -ETIMEDOUT);
	doorbell_destroy(d);
}

static const struct suite_test tests[] = {
	{"bus finds devices and refuses the rest", test_bus},
	{"console keeps the last lines", test_console_tail},
	{"console is bounded and harmless", test_console_hostile},
	{"console copies without blocking", test_console_copy},
	{"doorbell counts", test_doorbell_counts},
	{"doorbell waits", test_doorbell_wait},
};

SUITE_MAIN("bus", tests, 30)
