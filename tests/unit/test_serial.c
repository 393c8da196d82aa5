// SPDX-License-Identifier: GPL-2.0-only
/* The serial port as Linux' 8250 driver probes and uses it, and what a hostile guest may do. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "device/serial.h"

struct host {
	unsigned edges, wakes;
	bool level;
};

static void on_irq(void *ctx, bool level)
{
	struct host *h = ctx;

	CU_ASSERT_NOT_EQUAL(level, h->level); /* only changes are told */
	h->level = level;
	h->edges += level;
}

static void on_wake(void *ctx)
{
	((struct host *)ctx)->wakes++;
}

static struct serial *make(struct host *h)
{
	const struct serial_host host = {.irq = on_irq, .wake = on_wake, .ctx = h};
	struct serial *s = serial_create(&host);

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static void out(struct serial *s, unsigned reg, unsigned value)
{
	uint64_t v = value;

	CU_ASSERT_EQUAL(serial_access(s, 0, true, reg, 1, &v), 0);
}

static unsigned in(struct serial *s, unsigned reg)
{
	uint64_t v = 0;

	CU_ASSERT_EQUAL(serial_access(s, 0, false, reg, 1, &v), 0);
	return (unsigned)v;
}

/* autoconfig() and autoconfig_16550a() of drivers/tty/serial/8250/8250_port.c, step by step. */
static void test_probe(void)
{
	struct host h = {0};
	struct serial *s = make(&h);
	unsigned mcr;

	out(s, 1, 0);
	CU_ASSERT_EQUAL(in(s, 1) & 0x0f, 0);
	out(s, 1, 0x0f);
	CU_ASSERT_EQUAL(in(s, 1) & 0x0f, 0x0f);
	out(s, 1, 0);
	mcr = in(s, 4);
	out(s, 4, 0x10 | 0x0a); /* loop, OUT2, RTS */
	CU_ASSERT_EQUAL(in(s, 6) & 0xf0, 0x90);
	out(s, 4, mcr);
	out(s, 3, 0xbf); /* EFR on chips that have one */
	out(s, 2, 0);
	out(s, 3, 0);
	out(s, 2, 1);
	CU_ASSERT_EQUAL(in(s, 2) >> 6, 3); /* 16550A */
	out(s, 3, 0x80);
	CU_ASSERT_NOT_EQUAL(in(s, 2), 0); /* no EFR */
	out(s, 3, 0);
	out(s, 2, 1);
	CU_ASSERT_EQUAL(in(s, 2) >> 5, 6);
	out(s, 2, 0x21);
	out(s, 3, 0x80);
	out(s, 2, 0x21);
	CU_ASSERT_EQUAL(in(s, 2) >> 5, 6); /* no 64-byte FIFO */
	out(s, 3, 0);
	out(s, 1, 0x40);
	CU_ASSERT_EQUAL(in(s, 1) & 0x40, 0); /* no XScale UUE bit */
	out(s, 1, 0);
	out(s, 7, 0xa5);
	CU_ASSERT_EQUAL(in(s, 7), 0xa5);
	/* The divisor does not reach the data register or IER. */
	out(s, 3, 0x83);
	out(s, 0, 12);
	out(s, 1, 34);
	CU_ASSERT_EQUAL(in(s, 0), 12);
	CU_ASSERT_EQUAL(in(s, 1), 34);
	out(s, 3, 3);
	CU_ASSERT_EQUAL(in(s, 1), 0);
	CU_ASSERT_EQUAL(h.wakes, 1); /* IER was 0x0f for a moment: the guest listened */
	serial_destroy(s);
	serial_destroy(NULL);
}

static void test_output(void)
{
	struct host h = {0};
	struct serial *s = make(&h);
	char buf[8];

	CU_ASSERT_EQUAL(in(s, 5) & 0x60, 0x60);
	out(s, 0, 'a');
	out(s, 0, 'b');
	CU_ASSERT_EQUAL(h.wakes, 1); /* one for the first byte only */
	CU_ASSERT_EQUAL(serial_take(s, buf, 1), 1);
	CU_ASSERT_EQUAL(buf[0], 'a');
	CU_ASSERT_EQUAL(serial_take(s, buf, sizeof(buf)), 1);
	CU_ASSERT_EQUAL(buf[0], 'b');
	CU_ASSERT_EQUAL(serial_take(s, buf, sizeof(buf)), 0);
	out(s, 0, 'c');
	CU_ASSERT_EQUAL(h.wakes, 2);
	CU_ASSERT_EQUAL(serial_lost(s), 0);
	serial_destroy(s);
}

static void test_output_interrupt(void)
{
	struct host h = {0};
	struct serial *s = make(&h);
	char buf[4];

	out(s, 1, 2);
	CU_ASSERT_FALSE(h.level); /* OUT2 gates the line */
	out(s, 4, 8);
	CU_ASSERT_TRUE(h.level);
	CU_ASSERT_EQUAL(in(s, 2) & 0x0f, 2);
	CU_ASSERT_FALSE(h.level); /* reading IIR answers it */
	CU_ASSERT_EQUAL(in(s, 2) & 0x0f, 1);
	out(s, 0, 'x');
	CU_ASSERT_TRUE(h.level); /* sent at once */
	out(s, 1, 0);
	CU_ASSERT_FALSE(h.level);
	out(s, 1, 2); /* enabling it while empty reports again: the driver's THRE test */
	CU_ASSERT_TRUE(h.level);
	CU_ASSERT_EQUAL(in(s, 2) & 0x0f, 2);
	CU_ASSERT_EQUAL(serial_take(s, buf, 4), 1);
	CU_ASSERT_FALSE(h.level); /* that the host took a byte is nothing to report */
	serial_destroy(s);
}

static void test_full(void)
{
	static char buf[SERIAL_OUTPUT_MAX];
	struct host h = {0};
	struct serial *s = make(&h);
	unsigned i;

	out(s, 4, 8);
	out(s, 1, 2);
	in(s, 2);
	for (i = 0; i < SERIAL_OUTPUT_MAX; i++)
		out(s, 0, i & 0xff);
	CU_ASSERT_EQUAL(in(s, 5) & 0x60, 0); /* busy */
	CU_ASSERT_FALSE(h.level);
	out(s, 0, 'l');
	out(s, 0, 'o');
	CU_ASSERT_EQUAL(serial_lost(s), 2);
	CU_ASSERT_EQUAL(h.wakes, 1);
	CU_ASSERT_EQUAL(serial_take(s, buf, 1), 1);
	CU_ASSERT_TRUE(h.level); /* room again: the guest is told */
	CU_ASSERT_EQUAL(in(s, 5) & 0x60, 0x60);
	CU_ASSERT_EQUAL(serial_take(s, buf, sizeof(buf)), SERIAL_OUTPUT_MAX - 1);
	for (i = 0; i < SERIAL_OUTPUT_MAX - 1; i++)
		if ((uint8_t)buf[i] != ((i + 1) & 0xff))
			break;
	CU_ASSERT_EQUAL(i, SERIAL_OUTPUT_MAX - 1);
	serial_destroy(s);
}

static void test_input(void)
{
	static char big[SERIAL_INPUT_MAX + 10];
	struct host h = {0};
	struct serial *s = make(&h);
	unsigned i;

	/* Until the guest listens nothing is taken: its driver would throw it away. */
	CU_ASSERT_EQUAL(serial_room(s), 0);
	CU_ASSERT_EQUAL(serial_put(s, "early", 5), 0);
	out(s, 4, 8);
	out(s, 1, 1);
	CU_ASSERT_EQUAL(h.wakes, 1);
	CU_ASSERT_EQUAL(serial_room(s), SERIAL_INPUT_MAX);
	CU_ASSERT_EQUAL(serial_put(s, "hi", 2), 2);
	CU_ASSERT_TRUE(h.level);
	CU_ASSERT_EQUAL(in(s, 2) & 0x0f, 4);
	CU_ASSERT_EQUAL(in(s, 5) & 1, 1);
	CU_ASSERT_EQUAL(in(s, 0), 'h');
	CU_ASSERT_TRUE(h.level);
	CU_ASSERT_EQUAL(in(s, 0), 'i');
	CU_ASSERT_FALSE(h.level);
	CU_ASSERT_EQUAL(in(s, 5) & 1, 0);
	CU_ASSERT_EQUAL(in(s, 0), 0); /* nothing there */
	/* More than there is room for: a part, and a wake when there is room again. */
	CU_ASSERT_EQUAL(serial_put(s, big, sizeof(big)), SERIAL_INPUT_MAX);
	CU_ASSERT_EQUAL(serial_put(s, big, 1), 0);
	CU_ASSERT_EQUAL(h.wakes, 1);
	in(s, 0);
	CU_ASSERT_EQUAL(h.wakes, 2);
	CU_ASSERT_EQUAL(serial_room(s), 1);
	for (i = 1; i < SERIAL_INPUT_MAX; i++)
		in(s, 0);
	CU_ASSERT_EQUAL(h.wakes, 2);
	CU_ASSERT_FALSE(h.level);
	serial_put(s, "x", 1);
	out(s, 2, 3); /* clear the receive FIFO */
	CU_ASSERT_EQUAL(in(s, 5) & 1, 0);
	CU_ASSERT_FALSE(h.level);
	serial_destroy(s);
}

static void test_loop(void)
{
	struct host h = {0};
	struct serial *s = make(&h);
	char buf[4];
	unsigned i;

	out(s, 1, 1);
	out(s, 4, 0x1f);
	CU_ASSERT_EQUAL(in(s, 6), 0xf0);
	CU_ASSERT_EQUAL(serial_put(s, "a", 1), 0); /* the line is cut */
	out(s, 0, 'z');
	CU_ASSERT_EQUAL(in(s, 0), 'z');
	CU_ASSERT_EQUAL(serial_take(s, buf, 4), 0);
	CU_ASSERT_EQUAL(h.edges, 0); /* no interrupt in loopback */
	for (i = 0; i < SERIAL_INPUT_MAX + 5; i++)
		out(s, 0, 'y');
	CU_ASSERT_EQUAL(in(s, 5) & 2, 2); /* overrun, once */
	CU_ASSERT_EQUAL(in(s, 5) & 2, 0);
	serial_destroy(s);
}

static void test_hostile(void)
{
	struct host h = {0};
	struct serial *s = make(&h);
	uint64_t v = 0;
	uint32_t x = 12345;
	unsigned i;

	CU_ASSERT_EQUAL(serial_access(s, 0, true, 8, 1, &v), -ENODEV);
	CU_ASSERT_EQUAL(serial_access(s, 0, false, UINT64_MAX, 1, &v), -ENODEV);
	CU_ASSERT_EQUAL(serial_access(s, 0, true, 0, 2, &v), -ENODEV);
	/* Whatever is written, rings stay in bounds and the line's changes alternate. */
	for (i = 0; i < 500000; i++) {
		x = x * 1664525 + 1013904223;
		v = x >> 8 & 0xff;
		serial_access(s, x >> 30, x & 0x400000, x >> 24 & 7, 1, &v);
		if (i % 7 == 0)
			serial_put(s, &x, sizeof(x));
		if (i % 50000 == 0)
			serial_take(s, &v, sizeof(v));
	}
	CU_ASSERT_TRUE(serial_room(s) <= SERIAL_INPUT_MAX);
	serial_destroy(s);
}

static const struct suite_test tests[] = {
	{"the 8250 driver finds a 16550A", test_probe},
	{"output comes in order with one wake", test_output},
	{"transmit interrupts", test_output_interrupt},
	{"a full ring makes the guest wait", test_full},
	{"input and receive interrupts", test_input},
	{"loopback", test_loop},
	{"odd accesses and random registers", test_hostile},
};
SUITE_MAIN("serial", tests, 30)
