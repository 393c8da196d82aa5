/* SPDX-License-Identifier: GPL-2.0-only */
/* Is a thunk really a retpoline? Pure: bytes in, answer out. */
#ifndef HOTRAIL_GUEST_THUNK_H
#define HOTRAIL_GUEST_THUNK_H

#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>

#define THUNK_MAX_BYTES 32

/*
 * call 2f; 1: pause; lfence; jmp 1b; 2: mov %reg,(%rsp); ret - the form of Linux,
 * GCC and LLVM. Only then does a direct jump save anything; `jmp *%reg` or
 * `lfence; jmp *%reg` in its place costs little.
 */
bool thunk_is_retpoline(const uint8_t *bytes, size_t len, gva_t at, enum hotrail_reg reg);

#endif
