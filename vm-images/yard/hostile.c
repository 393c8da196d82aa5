// SPDX-License-Identifier: GPL-2.0-only
/*
 * PATCH_SELF: only the hostile image has writable text. It keeps a hot call site
 * blinking between `call thunk` and a nop, the way a kernel's own static keys do,
 * and without telling anyone.
 */
#include "micro.h"

#ifdef YARD_HOSTILE
extern u8 yard_hostile_site[]; /* the 5 bytes of the call, inside one aligned 8-byte word */
u64 yard_hostile_calls(u64 n); /* calls micro target 0 through the site */

void hostile_patch_self(void)
{
	volatile u64 *word = (volatile u64 *)yard_hostile_site;
	const u64 mask = 0xffffffffffull;
	u64 original = *word, nop = 0x0000441f0full; /* nopl 0(%rax,%rax,1) */

	yard_hostile_calls(100);
	*word = (original & ~mask) | nop;
	for (u32 i = 0; i < 100; i++)
		__asm__ volatile("pause" ::: "memory");
	*word = original;
}
#else
void hostile_patch_self(void)
{
	__asm__ volatile("pause" ::: "memory");
}
#endif
