/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes that C, assembly and the image header share. */
#ifndef YARD_LAYOUT_H
#define YARD_LAYOUT_H

#define YARD_VCPUS	 8
#define YARD_STACK_SIZE	 0x8000
#define YARD_HEADER_SIZE 248

/* What micro target n returns; odd and different for each. */
#define YARD_MICRO_VALUE(n) (0x10001 + 2 * (n))
/* One micro run ends in seconds whatever the control page says. */
#define YARD_MICRO_MAX (1 << 28)

#endif
