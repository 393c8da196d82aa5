// SPDX-License-Identifier: GPL-2.0-only
/* Resident memory from /proc/self/smaps. */
#include "util/rss.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

uint64_t rss_beyond_guest(const void *ram, uint64_t bytes)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long long kib, sum = 0;
	bool counts = false;
	char line[512];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		unsigned long long from, to;

		/* A mapping's first line is "from-to perms offset dev inode path" (proc(5)). */
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			counts = !strstr(line, "/memfd:") &&
				 (from < (uintptr_t)ram || from - (uintptr_t)ram >= bytes);
		else if (counts && sscanf(line, "Rss: %llu kB", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum * 1024;
}
