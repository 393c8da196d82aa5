/* SPDX-License-Identifier: GPL-2.0-only */
/* Is a thunk really a retpoline? Pure: bytes in, answer out. */
#ifndef HOTRAIL_GUEST_THUNK_H
#define HOTRAIL_GUEST_THUNK_H

#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>

#define THUNK_MAX_BYTES 32

/*
 * What a thunk does now. Only in place of a retpoline does a direct jump save anything.
 *
 *   retpoline  call 2f; 1: pause; lfence; jmp 1b; 2: mov %reg,(%rsp); ret - the form of Linux
 *              before 6.2, GCC and LLVM; since 6.2 Linux writes call 2f; int3; 2: ...
 *   fence      lfence; jmp *%reg
 *   jump       jmp *%reg
 */
enum thunk_kind { THUNK_UNKNOWN, THUNK_RETPOLINE, THUNK_FENCE, THUNK_JUMP };

/* *returns is 0 for a retpoline that ends in `ret`, or where it jumps instead: a return thunk.
 * May be NULL: then only `ret` counts. */
enum thunk_kind thunk_classify(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg,
			       gva_t *returns);

/* A retpoline that ends in `ret`. */
bool thunk_is_retpoline(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg);

#endif
