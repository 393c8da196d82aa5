/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel cannot find by probing: the serial port, virtio-mmio slots, soft-off. */
#include "acpi_layout.h"

DefinitionBlock ("", "DSDT", 2, "HOTRAI", "HOTRAIL ", 1)
{
	/* The monitor writes one byte a slot before the guest starts. */
	OperationRegion (PRES, SystemMemory, ACPI_PRESENCE, ACPI_SLOTS)
	Field (PRES, ByteAcc, NoLock, Preserve)
	{
		P000, 8, P001, 8, P002, 8, P003, 8, P004, 8, P005, 8, P006, 8, P007, 8
	}

	Name (\_S5, Package (4) { ACPI_S5_TYPE, ACPI_S5_TYPE, 0, 0 })

/* Whole numbers only: iasl 20200925 folds expressions in resources into broken AML. */
#define SLOT(name, presence, n, address, gsi)                                            \
	Device (name)                                                                    \
	{                                                                                \
		Name (_HID, "LNRO0005")                                                  \
		Name (_UID, n)                                                           \
		Name (_CCA, 1)                                                           \
		Method (_STA, 0, NotSerialized)                                          \
		{                                                                        \
			If (presence)                                                    \
			{                                                                \
				Return (0x0F)                                            \
			}                                                                \
			Return (0)                                                       \
		}                                                                        \
		Name (_CRS, ResourceTemplate ()                                          \
		{                                                                        \
			Memory32Fixed (ReadWrite, address, 0x1000)                       \
			Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive)        \
			{                                                                \
				gsi                                                      \
			}                                                                \
		})                                                                       \
	}

	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, ACPI_SERIAL, ACPI_SERIAL, 1, 8)
				IRQNoFlags () { ACPI_SERIAL_IRQ }
			})
		}
		SLOT (V000, P000, 0, ACPI_MMIO_0, ACPI_GSI_0)
		SLOT (V001, P001, 1, ACPI_MMIO_1, ACPI_GSI_1)
		SLOT (V002, P002, 2, ACPI_MMIO_2, ACPI_GSI_2)
		SLOT (V003, P003, 3, ACPI_MMIO_3, ACPI_GSI_3)
		SLOT (V004, P004, 4, ACPI_MMIO_4, ACPI_GSI_4)
		SLOT (V005, P005, 5, ACPI_MMIO_5, ACPI_GSI_5)
		SLOT (V006, P006, 6, ACPI_MMIO_6, ACPI_GSI_6)
		SLOT (V007, P007, 7, ACPI_MMIO_7, ACPI_GSI_7)
	}
}
