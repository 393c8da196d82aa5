/* SPDX-License-Identifier: GPL-2.0-only */
/* How assembly begins and ends a function: on a cache line, with nothing to fall into. */
#ifndef YARD_FUNCTION_H
#define YARD_FUNCTION_H

	.macro FUNCTION name
	.balign 64, 0xcc
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro END name
	.size \name, . - \name
	.endm

#endif
