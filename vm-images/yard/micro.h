/* SPDX-License-Identifier: GPL-2.0-only */
/* What main.c uses of the assembly and of the hostile image's own patching. */
#ifndef YARD_MICRO_H
#define YARD_MICRO_H

#include "kernel.h"

/* micro.S: `kind` is an enum yard_micro; returns the sum of what the targets returned. */
u64 micro_loop(u32 kind, u64 target, u64 iterations, u64 *ticks);

/* hostile.c: does nothing in an honest image. */
void hostile_patch_self(void);

#endif
