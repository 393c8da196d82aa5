// SPDX-License-Identifier: GPL-2.0-only
/* The PC's bus and its small devices: clock, power, reset. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "device/access.h"
#include "device/pcstub.h"

struct seen {
	unsigned calls, vcpu, size;
	bool write;
	uint64_t offset, value;
	int ret;
};

static int on_access(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		     uint64_t *value)
{
	struct seen *s = dev;

	s->calls++;
	s->vcpu = vcpu;
	s->write = write;
	s->offset = offset;
	s->size = size;
	s->value = *value;
	if (!write)
		*value = 0x1122334455667788;
	return s->ret;
}

static int add(struct access_bus *bus, bool port, uint64_t base, uint64_t len, unsigned sizes,
	       struct seen *s)
{
	const struct access_range r = {
		.port = port, .base = base, .len = len, .sizes = sizes, .fn = on_access, .dev = s};

	return access_add(bus, &r);
}

static int go(struct access_bus *bus, bool port, bool write, uint64_t at, unsigned size,
	      uint64_t *value)
{
	struct machine_access a = {
		.port = port, .write = write, .address = at, .size = size, .value = *value};
	int ret = access_handle(bus, 3, &a);

	*value = a.value;
	return ret;
}

static void test_ranges(void)
{
	struct access_bus bus = {0};
	struct seen s = {0};
	unsigned i;

	CU_ASSERT_EQUAL(add(&bus, true, 0x3f8, 8, 1, &s), 0);
	CU_ASSERT_EQUAL(add(&bus, true, 0x3ff, 1, 1, &s), -EEXIST);
	CU_ASSERT_EQUAL(add(&bus, true, 0x3f0, 9, 1, &s), -EEXIST);
	CU_ASSERT_EQUAL(add(&bus, true, 0x3f0, 0x20, 1, &s), -EEXIST);
	CU_ASSERT_EQUAL(add(&bus, true, 0x3f0, 8, 1, &s), 0);
	CU_ASSERT_EQUAL(add(&bus, true, 0x400, 1, 1, &s), 0);
	CU_ASSERT_EQUAL(add(&bus, false, 0x3f8, 8, 4, &s), 0); /* memory is another space */
	CU_ASSERT_EQUAL(add(&bus, true, 0x500, 0, 1, &s), -EINVAL);
	CU_ASSERT_EQUAL(add(&bus, true, 0xffff, 2, 1, &s), -EINVAL);
	CU_ASSERT_EQUAL(add(&bus, true, 0x10000, 1, 1, &s), -EINVAL);
	CU_ASSERT_EQUAL(add(&bus, false, UINT64_MAX - 7, 16, 1, &s), -EINVAL);
	CU_ASSERT_EQUAL(add(&bus, true, 0x500, 1, 0, &s), -EINVAL);
	CU_ASSERT_EQUAL(add(&bus, true, 0x500, 1, 16, &s), -EINVAL);
	for (i = bus.count; i < ACCESS_MAX; i++)
		CU_ASSERT_EQUAL(add(&bus, true, 0x1000 + i, 1, 1, &s), 0);
	CU_ASSERT_EQUAL(add(&bus, true, 0x2000, 1, 1, &s), -ENOSPC);
}

static void test_handle(void)
{
	struct access_bus bus = {0};
	struct seen port = {0}, page = {0};
	uint64_t v = 0xdeadbeef;

	add(&bus, true, 0x3f8, 8, 1 | 2, &port);
	add(&bus, false, 0xd0000000, 0x1000, 4 | 8, &page);
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x3fa, 2, &v), 0);
	CU_ASSERT_EQUAL(port.calls, 1);
	CU_ASSERT_EQUAL(port.vcpu, 3);
	CU_ASSERT_EQUAL(port.offset, 2);
	CU_ASSERT_EQUAL(port.size, 2);
	CU_ASSERT_TRUE(port.write);
	CU_ASSERT_EQUAL(port.value, 0xdeadbeef);
	v = 5;
	CU_ASSERT_EQUAL(go(&bus, false, false, 0xd0000ffc, 4, &v), 0);
	CU_ASSERT_EQUAL(page.offset, 0xffc);
	CU_ASSERT_EQUAL(page.value, 0); /* a read starts from nothing */
	CU_ASSERT_EQUAL(v, 0x1122334455667788);
	/* Nobody: other space, beside, over the end, a size the device has not, odd sizes. */
	CU_ASSERT_EQUAL(go(&bus, false, false, 0x3f8, 1, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, true, false, 0x3f7, 1, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, true, false, 0x400, 1, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, true, false, 0x3ff, 2, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, true, false, 0x3f8, 4, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, false, false, 0xd0000ffc, 8, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, false, false, 0xd0000000, 3, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, false, false, UINT64_MAX, 8, &v), -ENODEV);
	CU_ASSERT_EQUAL(port.calls, 1);
	CU_ASSERT_EQUAL(page.calls, 1);
	page.ret = -ENODEV; /* the device's own refusal is passed on */
	CU_ASSERT_EQUAL(go(&bus, false, true, 0xd0000000, 8, &v), -ENODEV);
}

/* --- pcstub --- */

struct asked {
	unsigned calls;
	enum pcstub_ask ask;
};

static void on_ask(void *ctx, enum pcstub_ask ask, const char *how)
{
	struct asked *a = ctx;

	CU_ASSERT_TRUE(strlen(how) > 0);
	a->calls++;
	a->ask = ask;
}

static int64_t some_time(void)
{
	return 1795943418; /* Sunday 2026-11-29 09:10:18 UTC */
}

static unsigned cmos(struct access_bus *bus, unsigned index)
{
	uint64_t v = index;

	CU_ASSERT_EQUAL(go(bus, true, true, 0x70, 1, &v), 0);
	v = 0;
	CU_ASSERT_EQUAL(go(bus, true, false, 0x71, 1, &v), 0);
	return (unsigned)v;
}

static void setup(struct pcstub *s, struct access_bus *bus, struct asked *a)
{
	memset(s, 0, sizeof(*s));
	pcstub_init(s);
	s->ask = on_ask;
	s->ctx = a;
	s->now = some_time;
	CU_ASSERT_EQUAL_FATAL(pcstub_attach(s, bus), 0);
}

static void test_clock(void)
{
	struct access_bus bus = {0};
	struct asked a = {0};
	struct pcstub s;
	uint64_t v;

	setup(&s, &bus, &a);
	CU_ASSERT_EQUAL(cmos(&bus, 0), 0x18);
	CU_ASSERT_EQUAL(cmos(&bus, 2), 0x10);
	CU_ASSERT_EQUAL(cmos(&bus, 4), 0x09);
	CU_ASSERT_EQUAL(cmos(&bus, 6), 1);
	CU_ASSERT_EQUAL(cmos(&bus, 7), 0x29);
	CU_ASSERT_EQUAL(cmos(&bus, 8), 0x11);
	CU_ASSERT_EQUAL(cmos(&bus, 9), 0x26);
	CU_ASSERT_EQUAL(cmos(&bus, 0x32), 0x20);
	CU_ASSERT_EQUAL(cmos(&bus, 0x80 | 7), 0x29); /* bit 7 masks NMIs, no more */
	CU_ASSERT_EQUAL(cmos(&bus, 0x0a) & 0x80, 0); /* no update in progress */
	CU_ASSERT_EQUAL(cmos(&bus, 0x0b), 2);	     /* 24 hours, BCD */
	CU_ASSERT_EQUAL(cmos(&bus, 0x0d), 0x80);     /* valid */
	/* RAM keeps what is written, the clock does not. */
	CU_ASSERT_EQUAL(cmos(&bus, 0x7f), 0);
	v = 0x5a;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x71, 1, &v), 0);
	CU_ASSERT_EQUAL(cmos(&bus, 0x7f), 0x5a);
	CU_ASSERT_EQUAL(cmos(&bus, 9), 0x26);
	v = 0x99;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x71, 1, &v), 0);
	CU_ASSERT_EQUAL(cmos(&bus, 9), 0x26);
	pcstub_fini(&s);
}

static void test_power(void)
{
	struct access_bus bus = {0};
	struct asked a = {0};
	struct pcstub s;
	uint64_t v = 0xffff;

	setup(&s, &bus, &a);
	CU_ASSERT_EQUAL(go(&bus, true, false, PCSTUB_PM1A_CNT, 2, &v), 0);
	CU_ASSERT_EQUAL(v, 1); /* ACPI mode is on */
	v = 0x120;
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_EVT + 2, 2, &v), 0);
	CU_ASSERT_EQUAL(go(&bus, true, false, PCSTUB_PM1A_EVT + 2, 2, &v), 0);
	CU_ASSERT_EQUAL(v, 0x120);
	CU_ASSERT_EQUAL(go(&bus, true, false, PCSTUB_PM1A_EVT, 2, &v), 0);
	CU_ASSERT_EQUAL(v, 0);
	/* Another sleep type, or no SLP_EN: not off. Two registers at once: nobody. */
	v = 1u << 10 | 0x2000;
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_CNT, 2, &v), 0);
	v = PCSTUB_S5_TYPE << 10;
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_CNT, 2, &v), 0);
	v = PCSTUB_S5_TYPE << 10 | 0x2000;
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_CNT - 1, 2, &v), -ENODEV);
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_CNT, 4, &v), -ENODEV);
	CU_ASSERT_EQUAL(a.calls, 0);
	CU_ASSERT_EQUAL(go(&bus, true, true, PCSTUB_PM1A_CNT, 2, &v), 0);
	CU_ASSERT_EQUAL(a.calls, 1);
	CU_ASSERT_EQUAL(a.ask, PCSTUB_ASK_POWEROFF);
	CU_ASSERT_EQUAL(go(&bus, true, false, PCSTUB_PM1A_CNT, 2, &v), 0);
	CU_ASSERT_EQUAL(v, PCSTUB_S5_TYPE << 10 | 1); /* SLP_EN reads as 0 */
	pcstub_fini(&s);
}

static void test_reset(void)
{
	struct access_bus bus = {0};
	struct asked a = {0};
	struct pcstub s;
	uint64_t v = 0xff;

	setup(&s, &bus, &a);
	CU_ASSERT_EQUAL(go(&bus, true, false, 0x64, 1, &v), 0);
	CU_ASSERT_EQUAL(v, 0); /* a kernel waits for bit 1 to clear */
	v = 0xfe;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x60, 1, &v), 0); /* data, no command */
	v = 0xd1;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x64, 1, &v), 0);
	v = 2;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0xcf9, 1, &v), 0);
	v = 0x42;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x80, 1, &v), 0); /* POST code */
	CU_ASSERT_EQUAL(a.calls, 0);
	v = 0xfe;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0x64, 1, &v), 0);
	CU_ASSERT_EQUAL(a.calls, 1);
	CU_ASSERT_EQUAL(a.ask, PCSTUB_ASK_RESET);
	v = 6;
	CU_ASSERT_EQUAL(go(&bus, true, true, 0xcf9, 1, &v), 0);
	CU_ASSERT_EQUAL(a.calls, 2);
	CU_ASSERT_EQUAL(a.ask, PCSTUB_ASK_RESET);
	pcstub_fini(&s);
}

static const struct suite_test tests[] = {
	{"ranges of a bus and what is no range", test_ranges},
	{"an access reaches one device or nobody", test_handle},
	{"the clock tells the host time", test_clock},
	{"ACPI power registers", test_power},
	{"ways to reset", test_reset},
};
SUITE_MAIN("access", tests, 20)
