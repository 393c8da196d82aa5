/* SPDX-License-Identifier: GPL-2.0-only */
/* What the monitor and the stub program of a vCPU process agree on; also read by stub.S. */
#ifndef HOTRAIL_MACHINE_STUB_H
#define HOTRAIL_MACHINE_STUB_H

#define STUB_TEXT   0x10000 /* vm.mmap_min_addr is 64 KiB on most systems */
#define STUB_CONFIG 0x11000 /* struct stub_config; unmapped again by the stub */
#define STUB_END    0x12000
#define STUB_TOP    0x7ffffffff000 /* end of 4-level user space (kernel: x86/x86_64/mm.rst) */

#define STUB_MAPS_MAX 64

/* In R12 at the stub's final int3; RAX is 0 or the negative errno of that step. */
#define STUB_STEP_MAP	  1 /* R13 = maps left */
#define STUB_STEP_PRIVS	  2
#define STUB_STEP_SECCOMP 3
#define STUB_STEP_DONE	  4

#ifndef __ASSEMBLER__
#include <stdint.h>

struct stub_map {
	uint64_t addr, size, prot, offset; /* arguments of mmap() */
};

struct stub_config {
	uint64_t ram_fd, count;
	struct stub_map map[STUB_MAPS_MAX];
};

extern const char stub_image[], stub_image_end[]; /* the linked stub, an ELF file */
#endif

#endif
