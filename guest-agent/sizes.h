/* SPDX-License-Identifier: GPL-2.0-only */
/* How large the arena is. To change it: make ARENA_CODE_KIB=1024 ARENA_TABLES_KIB=8192 ... */
#ifndef HOTRAIL_GUEST_AGENT_SIZES_H
#define HOTRAIL_GUEST_AGENT_SIZES_H

/* 112 bytes a block: 2340 blocks. */
#ifndef ARENA_CODE_KIB
#define ARENA_CODE_KIB 256
#endif

/* Learning tables, divided by the CPUs that there may be: 320 bytes a site and CPU. */
#ifndef ARENA_TABLES_KIB
#define ARENA_TABLES_KIB 1536
#endif

/* Miss counters, shared by all CPUs: 512 bytes for 16 sites. */
#ifndef ARENA_SHARED_KIB
#define ARENA_SHARED_KIB 128
#endif

#define ARENA_CODE_BYTES   (ARENA_CODE_KIB * 1024)
#define ARENA_TABLES_BYTES (ARENA_TABLES_KIB * 1024)
#define ARENA_SHARED_BYTES (ARENA_SHARED_KIB * 1024)

#endif
