/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The firmware tables of a PC: RSDP, XSDT, FADT, FACS, MADT, DSDT. Pure: bytes at ACPI_BASE.
 * Power-off goes through a PM1a block rather than hardware-reduced ACPI, which would
 * take the ISA interrupts and with them the timer and the serial port from the kernel.
 */
#ifndef HOTRAIL_GUEST_ACPI_H
#define HOTRAIL_GUEST_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotrail/types.h>
#include "guest/acpi_layout.h"

/* `area` is the ACPI_SIZE bytes of RAM at ACPI_BASE; 1..HOTRAIL_MAX_VCPUS vCPUs with APIC ids from
 * 0 on. Returns the bytes in use, -ENOSPC when they do not fit. The RSDP is at ACPI_BASE. */
int acpi_build(uint8_t *area, unsigned vcpus);
/* Is there a device in this slot? Before the guest starts. */
void acpi_set_present(uint8_t *area, unsigned slot, bool present);

#endif
