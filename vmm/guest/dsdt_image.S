/* SPDX-License-Identifier: GPL-2.0-only */
/* The compiled DSDT, carried inside the monitor. */
	.section .rodata
	.balign 16
	.globl acpi_dsdt, acpi_dsdt_end
acpi_dsdt:
	.incbin "dsdt.aml"
acpi_dsdt_end:
	.section .note.GNU-stack, "", @progbits
