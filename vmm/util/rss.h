/* SPDX-License-Identifier: GPL-2.0-only */
/* Resident memory of this process. Linux, /proc/self/smaps. */
#ifndef HOTRAIL_UTIL_RSS_H
#define HOTRAIL_UTIL_RSS_H

#include <stdint.h>

/* Bytes resident, without mappings of memfds: what a guest sees as memory, its RAM and the window
 * of its arena. 0 when /proc cannot be read. */
uint64_t rss_beyond_memfd(void);

#endif
