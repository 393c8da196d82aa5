/* SPDX-License-Identifier: GPL-2.0-only */
/* Resident memory of this process. Linux, /proc/self/smaps. */
#ifndef HOTRAIL_UTIL_RSS_H
#define HOTRAIL_UTIL_RSS_H

#include <stdint.h>

/* Bytes resident, without what guests see as memory: mappings of memfds (RAM that is shared, the
 * window of an arena), and private RAM at `ram`. 0 when /proc cannot be read. */
uint64_t rss_beyond_guest(const void *ram, uint64_t bytes);

#endif
