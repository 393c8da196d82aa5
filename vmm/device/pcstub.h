/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel pokes at on any PC and that needs little more than an answer: the clock chip,
 * the ACPI power registers, three ways to reset. Pure but for the time of day.
 */
#ifndef HOTRAIL_DEVICE_PCSTUB_H
#define HOTRAIL_DEVICE_PCSTUB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/access.h"

/* Ports. Fixed by the PC, but for the ACPI block, which the FADT names. */
#define PCSTUB_CMOS	0x70 /* index and data */
#define PCSTUB_POST	0x80
#define PCSTUB_KEYBOARD 0x60 /* the i8042: data, and at 0x64 status and command */
#define PCSTUB_RESET	0xcf9
#define PCSTUB_PM1A_EVT 0x600 /* status and enable, 2 bytes each */
#define PCSTUB_PM1A_CNT 0x604
#define PCSTUB_PM_PORTS 6

#define PCSTUB_S5_TYPE 5 /* SLP_TYP of "soft off" in the DSDT's _S5 */

enum pcstub_ask { PCSTUB_ASK_POWEROFF, PCSTUB_ASK_RESET };

struct pcstub {
	/* The guest asked to end. On the vCPU's thread, no lock held. */
	void (*ask)(void *ctx, enum pcstub_ask ask, const char *how);
	void *ctx;
	int64_t (*now)(void); /* seconds since 1970; NULL = the host's clock */

	pthread_mutex_t lock; /* all below */
	uint8_t cmos_index, cmos[128];
	uint16_t pm1_enable, pm1_control;
};

void pcstub_init(struct pcstub *s);
void pcstub_fini(struct pcstub *s);
int pcstub_attach(struct pcstub *s, struct access_bus *bus); /* all its ranges */

#endif
