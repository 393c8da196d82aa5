/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses, x86 register numbers and exit codes that every part of Hotrail shares. */
#ifndef HOTRAIL_TYPES_H
#define HOTRAIL_TYPES_H

#include <stdint.h>

/*
 * Guest addresses are never host pointers. A gva_t becomes a gpa_t only through
 * a page walk, and a gpa_t becomes a host pointer only through
 * machine_ram_range(), which checks the whole range.
 */
typedef uint64_t gva_t; /* guest virtual, bytes */
typedef uint64_t gpa_t; /* guest physical, bytes */

/* General registers in x86 encoding order (Intel SDM vol. 2, table 2-2 with REX). */
/* clang-format off */
enum hotrail_reg {
	HOTRAIL_RAX, HOTRAIL_RCX, HOTRAIL_RDX, HOTRAIL_RBX,
	HOTRAIL_RSP, HOTRAIL_RBP, HOTRAIL_RSI, HOTRAIL_RDI,
	HOTRAIL_R8, HOTRAIL_R9, HOTRAIL_R10, HOTRAIL_R11,
	HOTRAIL_R12, HOTRAIL_R13, HOTRAIL_R14, HOTRAIL_R15,
	HOTRAIL_REGS
};
/* clang-format on */

/* Process exit codes, documented in hotrail(1). */
enum hotrail_exit {
	HOTRAIL_EXIT_OK = 0,
	HOTRAIL_EXIT_FAILED = 1,
	HOTRAIL_EXIT_USAGE = 2,
	HOTRAIL_EXIT_BUSY = 3,
	HOTRAIL_EXIT_UNSUPPORTED = 4,
	HOTRAIL_EXIT_REFUSED = 5,
	HOTRAIL_EXIT_ROLLED_BACK = 6,
	HOTRAIL_EXIT_PERMISSION = 77,
};

#define HOTRAIL_MAX_VCPUS   8
#define HOTRAIL_MAX_TARGETS 4 /* hot targets one track compares */

#endif
