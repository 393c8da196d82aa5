/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ABI between Hotrail and the guests it builds itself ("yard"): the header
 * in the image, the control page the host writes and the statistics pages the
 * guest writes. Freestanding: the guest includes this file too.
 *
 * An image is an ELF64 x86-64 ET_EXEC file. Its section HOTRAIL_SECTION holds
 * exactly one struct hotrail_image_header; nothing in it is trusted before
 * image_parse() has checked it against the program headers.
 */
#ifndef HOTRAIL_YARD_H
#define HOTRAIL_YARD_H

#include <hotrail/types.h>

#define HOTRAIL_SECTION	      ".hotrail"
#define HOTRAIL_SITES_SECTION ".hotrail_sites"
#define HOTRAIL_IMAGE_MAGIC   0x31304c4941525448ull /* "HTRAIL01", little-endian */
#define HOTRAIL_IMAGE_ABI     2

/* Link bases. KVM guests sit where a kernel sits; a plain process cannot map
 * the upper half, so the process backend takes an image linked low. Both are
 * reachable by a sign-extended imm32, which the tracks rely on. */
#define HOTRAIL_BASE_HIGH 0xffffffff80000000ull
#define HOTRAIL_BASE_LOW  0x40000000ull

enum hotrail_image_kind {
	HOTRAIL_KIND_PLAIN = 0,	    /* sites are `call *%reg` */
	HOTRAIL_KIND_RETPOLINE = 1, /* sites are `call thunk` */
};

struct hotrail_image_header {
	uint64_t magic;	    /* HOTRAIL_IMAGE_MAGIC */
	uint32_t abi;	    /* HOTRAIL_IMAGE_ABI */
	uint32_t size;	    /* sizeof this header */
	uint32_t kind;	    /* enum hotrail_image_kind */
	uint32_t max_vcpus; /* stacks and statistics pages present, 1..HOTRAIL_MAX_VCPUS */
	uint64_t text_start, text_end;	      /* [start, end): all executable code but the arena */
	uint64_t thunks[HOTRAIL_REGS];	      /* address of __x86_indirect_thunk_<reg>, 0 = none */
	uint64_t arena_code, arena_code_size; /* own page-aligned segment, R+X */
	uint64_t arena_data, arena_data_size; /* own page-aligned segment, R+W */
	uint64_t control;	     /* struct yard_control, page aligned, R for the guest */
	uint64_t stats;		     /* struct yard_stats[max_vcpus], page aligned */
	uint64_t stacks, stack_size; /* vCPU n's stack is [stacks + n*size, +size) */
	uint64_t sites;		     /* uint32_t offsets from text_start, ascending */
	uint32_t sites_count, pairs_count;
	uint64_t pairs; /* struct hotrail_pair */
};

/*
 * Where the host may lead a tail jump straight to its program. A slot is 5 bytes:
 * `jmp rel32`, or nopl 0(%rax,%rax,1). In the file a pair is empty: `bypass` leads to
 * `slow`, `target` is the nop. Where `bypass` is 0 there is a single slot, and
 * `target` leads to `slow`. All addresses are in the text.
 */
#define HOTRAIL_MAX_PAIRS 256
struct hotrail_pair {
	uint64_t bypass, target, slow;
	uint64_t program;   /* what the program array holds for this jump */
	uint64_t alternate; /* another program of the same meaning, to replace it by */
};

/* vCPU entry: RIP = ELF entry, RDI = vCPU number, RSP = top of its stack - 8,
 * RFLAGS = 2 (plus IOPL 3 at privilege level 3), everything else 0. */

/*
 * Doorbell: `out %eax, $YARD_PORT`, EAX = a yard_bell. Rings the host; the guest
 * goes on after it. `out` needs IOPL 3 at privilege level 3 (Intel SDM vol. 1, 19.5).
 */
#define YARD_PORT 0x70
enum yard_bell {
	YARD_BELL_READY = 1,   /* this vCPU reached its main loop */
	YARD_BELL_IDLE = 2,    /* the asked micro run is finished */
	YARD_BELL_WRONG = 3,   /* the guest itself saw a wrong call */
	YARD_BELL_STOPPED = 4, /* command YARD_CMD_STOP seen; parked in a pause loop */
};
#define YARD_CONSOLE_PORT 0x71 /* `out %al`: one byte of console text */

enum yard_cmd {
	YARD_CMD_WORK = 0,  /* run workload batches, phase from `phase` */
	YARD_CMD_IDLE = 1,  /* spin in `pause` */
	YARD_CMD_MICRO = 2, /* run one micro measurement, see below, on vCPU 0 */
	YARD_CMD_STOP = 3,
	YARD_CMD_PATCH_SELF = 4, /* hostile tests: the guest image built for it rewrites a site */
	YARD_CMD_FLOW = 5,	 /* every vCPU dissects packets, by the way in micro_kind */
};

enum yard_micro {
	YARD_MICRO_SITE = 0,   /* the thunk (or promoted) call site in a loop */
	YARD_MICRO_DIRECT = 1, /* `call target` */
	YARD_MICRO_PLAIN = 2,  /* `call *%rax` */
	YARD_MICRO_EMPTY = 3,  /* the loop alone */
	/* An iteration dissects one packet; parsers are linked by tail jumps: */
	YARD_MICRO_FLOW_INDIRECT = 4, /* through the program array */
	YARD_MICRO_FLOW_POKE = 5,     /* by single slots */
	YARD_MICRO_FLOW_POKE2 = 6,    /* by pairs */
};
#define YARD_MICRO_TARGETS 8
#define YARD_FLOW_SHAPES   8 /* packet number n has shape n % 8, contents by the seed */

/* Host -> guest, one page. The host may write it at any moment; the guest reads
 * each field once per batch. */
struct yard_control {
	uint32_t cmd;			   /* enum yard_cmd */
	uint32_t phase;			   /* 0 = A, 1 = B */
	uint64_t seed;			   /* set before start, constant afterwards */
	uint32_t micro_kind, micro_target; /* enum yard_micro; 0..YARD_MICRO_TARGETS-1 */
	uint64_t micro_iterations;
	uint64_t micro_serial; /* a new value starts a new micro run */
};

/*
 * Work is done in batches. Batch number b of a phase uses seed slot
 * b % YARD_SEEDS, starts from a state that only (seed, slot, phase) define, runs
 * YARD_BATCH_OPS operations and yields one 64-bit digest. Sums are modulo 2^64,
 * so for each slot: digest_sum == batches * reference(seed, slot, phase).
 * Both fields of a slot are updated by one vCPU only; the host reads them while
 * that vCPU is parked, or retries when `sequence` (odd while writing) changed.
 */
#define YARD_SEEDS     32
#define YARD_PHASES    2
#define YARD_BATCH_OPS 256

struct yard_slot {
	uint64_t batches, digest_sum;
};

struct yard_stats { /* guest -> host, padded to a whole number of pages */
	uint64_t sequence;
	uint64_t ops;	       /* operations finished since start */
	uint64_t wrong_calls;  /* calls that arrived at a function not meant */
	uint64_t micro_serial; /* last finished micro run */
	uint64_t micro_tsc;    /* its TSC ticks */
	uint64_t micro_check;  /* sum of what the targets returned */
	uint64_t phase;	       /* phase of the batch in progress */
	uint64_t cmd;	       /* command in effect */
	/* YARD_CMD_FLOW: packets dissected, a multiple of YARD_FLOW_SHAPES, and the sum of
	 * their digests. */
	uint64_t flow_runs, flow_sum;
	struct yard_slot slots[YARD_PHASES][YARD_SEEDS];
} __attribute__((aligned(4096)));

#endif
