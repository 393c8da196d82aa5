/* SPDX-License-Identifier: GPL-2.0-only */
/* 4- and 5-level page walk (Intel SDM vol. 3A, 4.5). Pure: memory comes through a callback. */
#ifndef HOTRAIL_X86_PAGEWALK_H
#define HOTRAIL_X86_PAGEWALK_H

#include <stdbool.h>
#include <hotrail/types.h>

typedef int (*pagewalk_read_fn)(void *ctx, gpa_t gpa, uint64_t *entry); /* 0 or -EFAULT */

struct pagewalk_result {
	gpa_t gpa;
	uint64_t page_size;		 /* 4 KiB, 2 MiB or 1 GiB */
	bool writable, user, executable; /* after combining all levels */
};

/* -EFAULT: not present or unreadable table; -EINVAL: not canonical, or levels not 4 or 5. */
int pagewalk(gpa_t root, unsigned levels, gva_t gva, pagewalk_read_fn read, void *ctx,
	     struct pagewalk_result *out);

#endif
