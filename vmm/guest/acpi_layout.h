/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that acpi.c and dsdt.asl share; the ASL compiler sees this after the C preprocessor. */
#ifndef HOTRAIL_GUEST_ACPI_LAYOUT_H
#define HOTRAIL_GUEST_ACPI_LAYOUT_H

/* The tables lie where kernels look for firmware: 0xe0000..0xfffff, reserved in the e820 map. */
#define ACPI_BASE     0xe0000
#define ACPI_SIZE     0x10000
#define ACPI_PRESENCE 0xe0040 /* one byte a slot: 1 = a device is there; after the RSDP */
#define ACPI_SLOTS    8
/* PC_MMIO_BASE and PC_GSI_FIRST onwards, as literals: iasl cannot be trusted with sums here. */
#define ACPI_MMIO_0	0xd0000000
#define ACPI_MMIO_1	0xd0001000
#define ACPI_MMIO_2	0xd0002000
#define ACPI_MMIO_3	0xd0003000
#define ACPI_MMIO_4	0xd0004000
#define ACPI_MMIO_5	0xd0005000
#define ACPI_MMIO_6	0xd0006000
#define ACPI_MMIO_7	0xd0007000
#define ACPI_GSI_0	16
#define ACPI_GSI_1	17
#define ACPI_GSI_2	18
#define ACPI_GSI_3	19
#define ACPI_GSI_4	20
#define ACPI_GSI_5	21
#define ACPI_GSI_6	22
#define ACPI_GSI_7	23
#define ACPI_SERIAL	0x3f8
#define ACPI_SERIAL_IRQ 4
#define ACPI_S5_TYPE	5 /* PCSTUB_S5_TYPE */

#endif
