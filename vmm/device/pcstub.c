// SPDX-License-Identifier: GPL-2.0-only
/* Clock chip, power and reset registers of a PC. */
#include "device/pcstub.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* MC146818 registers and bits (Motorola data sheet; kernel: linux/mc146818rtc.h). */
enum {
	RTC_SECONDS = 0,
	RTC_MINUTES = 2,
	RTC_HOURS = 4,
	RTC_WEEKDAY = 6,
	RTC_DAY = 7,
	RTC_MONTH = 8,
	RTC_YEAR = 9,
	RTC_A = 10,
	RTC_B = 11,
	RTC_C = 12,
	RTC_D = 13,
	RTC_CENTURY = 0x32, /* where ACPI's FADT says it is */
};
#define RTC_A_VALUE  0x26 /* 32768 Hz, 1024 Hz interrupts, no update in progress */
#define RTC_B_24H    0x02 /* BCD, 24 hours, no interrupt enabled */
#define RTC_D_VALID  0x80
#define CMOS_NMI_BIT 0x80

/* ACPI 6.4, 4.8.3.2.1: PM1 control. */
#define PM1_SCI_EN   0x0001
#define PM1_SLP_TYP  10
#define PM1_SLP_MASK 7
#define PM1_SLP_EN   0x2000

#define KEYBOARD_COMMAND (PCSTUB_KEYBOARD + 4)
#define KEYBOARD_RESET	 0xfe /* pulse output line 0 */
#define RESET_CPU	 0x04 /* port 0xcf9: the bit whose setting resets */

static uint8_t bcd(int n)
{
	return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

/* -1 when it is no clock register. */
static int clock_register(struct pcstub *s, uint8_t index)
{
	time_t now = s->now ? (time_t)s->now() : time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (index) {
	case RTC_SECONDS:
		return bcd(tm.tm_sec);
	case RTC_MINUTES:
		return bcd(tm.tm_min);
	case RTC_HOURS:
		return bcd(tm.tm_hour);
	case RTC_WEEKDAY:
		return tm.tm_wday + 1;
	case RTC_DAY:
		return bcd(tm.tm_mday);
	case RTC_MONTH:
		return bcd(tm.tm_mon + 1);
	case RTC_YEAR:
		return bcd(tm.tm_year % 100);
	case RTC_CENTURY:
		return bcd((tm.tm_year + 1900) / 100);
	case RTC_A:
		return RTC_A_VALUE;
	case RTC_B:
		return RTC_B_24H;
	case RTC_C:
		return 0;
	case RTC_D:
		return RTC_D_VALID;
	default:
		return -1;
	}
}

/* Setting the clock is dropped: the host's time is the guest's. */
static int cmos(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		uint64_t *value)
{
	struct pcstub *s = dev;
	int clock;

	pthread_mutex_lock(&s->lock);
	if (offset == 0) {
		if (write)
			s->cmos_index = (uint8_t)*value & (uint8_t)~CMOS_NMI_BIT;
		else
			*value = 0xff; /* write only, as on a PC */
	} else if (write) {
		s->cmos[s->cmos_index] = (uint8_t)*value;
	} else {
		clock = clock_register(s, s->cmos_index);
		*value = clock >= 0 ? (uint8_t)clock : s->cmos[s->cmos_index];
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int post(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		uint64_t *value)
{
	return write ? 0 : -ENODEV;
}

static int keyboard_data(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
			 uint64_t *value)
{
	return 0; /* no key */
}

static int keyboard_command(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
			    uint64_t *value)
{
	struct pcstub *s = dev;

	/* The status reads as 0: ready for commands, no key. */
	if (write && *value == KEYBOARD_RESET)
		s->ask(s->ctx, PCSTUB_ASK_RESET, "by the keyboard controller");
	return 0;
}

static int reset(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		 uint64_t *value)
{
	struct pcstub *s = dev;

	if (write && *value & RESET_CPU)
		s->ask(s->ctx, PCSTUB_ASK_RESET, "by port 0xcf9");
	return 0;
}

static void pm1_write(struct pcstub *s, uint64_t offset, uint16_t value)
{
	bool off = false;

	pthread_mutex_lock(&s->lock);
	if (offset == 2) {
		s->pm1_enable = value;
	} else if (offset == 4) {
		s->pm1_control = value & (uint16_t)~PM1_SLP_EN; /* SLP_EN reads as 0 */
		off = value & PM1_SLP_EN && (value >> PM1_SLP_TYP & PM1_SLP_MASK) == PCSTUB_S5_TYPE;
	}
	pthread_mutex_unlock(&s->lock);
	if (off)
		s->ask(s->ctx, PCSTUB_ASK_POWEROFF, "by ACPI");
}

/* Status (nothing ever happens here: 0), enable, control. */
static int pm1(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
	       uint64_t *value)
{
	struct pcstub *s = dev;

	if (offset % 2)
		return -ENODEV;
	if (write) {
		pm1_write(s, offset, (uint16_t)*value);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	if (offset == 2)
		*value = s->pm1_enable;
	else if (offset == 4)
		*value = s->pm1_control | PM1_SCI_EN; /* there is no other mode to switch to */
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int pcstub_attach(struct pcstub *s, struct access_bus *bus)
{
	const struct access_range ranges[] = {
		{.port = true, .sizes = 1, .base = PCSTUB_CMOS, .len = 2, .fn = cmos},
		{.port = true, .sizes = 1, .base = PCSTUB_POST, .len = 1, .fn = post},
		{.port = true, .sizes = 1, .base = PCSTUB_KEYBOARD, .len = 1, .fn = keyboard_data},
		{.port = true,
		 .sizes = 1,
		 .base = KEYBOARD_COMMAND,
		 .len = 1,
		 .fn = keyboard_command},
		{.port = true, .sizes = 1, .base = PCSTUB_RESET, .len = 1, .fn = reset},
		{.port = true,
		 .sizes = 2,
		 .base = PCSTUB_PM1A_EVT,
		 .len = PCSTUB_PM_PORTS,
		 .fn = pm1},
	};
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct access_range r = ranges[i];

		r.dev = s;
		ret = access_add(bus, &r);
	}
	return ret;
}

void pcstub_init(struct pcstub *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

void pcstub_fini(struct pcstub *s)
{
	pthread_mutex_destroy(&s->lock);
}
