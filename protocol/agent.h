/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the host and the in-guest agent say to each other: protocol/README.md is the norm, this
 * file its bytes. Builds in user space and in the kernel module.
 *
 * All fields are little-endian. Both ends are x86-64, so they are used as they are.
 */
#ifndef HOTRAIL_PROTOCOL_AGENT_H
#define HOTRAIL_PROTOCOL_AGENT_H

#include <linux/types.h>

#define AGENT_MAGIC	  0x4c525448u /* "HTRL" as bytes */
#define AGENT_VERSION	  1
#define AGENT_MAX_PAYLOAD 16384u /* a longer frame is refused unread */
#define AGENT_CHANNEL	  "org.hotrail.agent.0"
#define AGENT_DEVICE	  "/dev/hotrail"
#define AGENT_REPLY	  0x8000u /* set in the type of a reply */
#define AGENT_MAX_POKES	  256	  /* sites in one batch: what text_poke_bp takes at once */
#define AGENT_MAX_BLOCKS  128
#define AGENT_MAX_RANGES  512
#define AGENT_MAX_TABLES  32
#define AGENT_MAX_READ	  8192
#define AGENT_MAX_MODULES 128
#define AGENT_MAX_PAIRS	  256 /* in one message */
#define AGENT_MAX_PROGS	  1024
#define AGENT_BLOCK_BYTES 112 /* the longest track, with room */
#define AGENT_SITE_BYTES  6   /* cs call rel32 */
#define AGENT_LEARN_SLOTS 32
#define AGENT_NAME	  56 /* MODULE_NAME_LEN of Linux on 64 bits */
#define AGENT_TEXT	  120
#define AGENT_MAX_NAMES	  128
#define AGENT_FUNCTION	  104 /* longer names of functions are cut */

struct agent_header {
	__u32 magic;
	__u16 version;
	__u16 type;   /* enum agent_type, | AGENT_REPLY in a reply */
	__u32 length; /* of the payload that follows */
	__u32 seq;    /* a reply carries its request's; events count for themselves */
	__u32 crc;    /* CRC-32C of header (this field 0) and payload */
};

/* What the agent can do: bits of agent_hello_reply.features. */
enum agent_feature {
	AGENT_CAN_BATCH = 1 << 0,   /* many sites in one round of text_poke_bp */
	AGENT_CAN_RECLAIM = 1 << 1, /* knows which kprobes hold a copy of a site */
	AGENT_CAN_PROTECT = 1 << 2, /* asks the kernel whether an instruction may be replaced */
	AGENT_CAN_PER_CPU = 1 << 3, /* learning tables for each CPU */
	AGENT_CAN_PAIRS = 1 << 4,   /* lists and leads pairs that modules have declared */
};

/* Conditions under which the agent patches nothing: bits of agent_hello_reply.refusals. */
enum agent_refusal {
	AGENT_NO_DISABLED = 1 << 0, /* its parameter says so */
	AGENT_NO_LOCKDOWN = 1 << 1,
	AGENT_NO_FINEIBT = 1 << 2,
	AGENT_NO_CALL_DEPTH = 1 << 3,
	AGENT_NO_RETPOLINE = 1 << 4, /* thunks are no retpolines: nothing to gain */
	AGENT_NO_POKE = 1 << 5,	     /* neither text_poke_bp nor static calls to be had */
};

/* Why something was not done. */
enum agent_status {
	AGENT_OK,
	AGENT_UNSUPPORTED, /* unknown message, or a feature this kernel lacks */
	AGENT_BAD_MESSAGE, /* length, count or a field out of bounds */
	AGENT_BAD_VERSION,
	AGENT_REFUSED,	 /* agent_hello_reply.refusals says why */
	AGENT_MISMATCH,	 /* bytes are not the expected ones */
	AGENT_BUSY,	 /* an int3 there: the guest patches or probes it */
	AGENT_PROTECTED, /* the kernel does not let this instruction be replaced */
	AGENT_OWNER,	 /* neither core text nor text of a live module */
	AGENT_TARGET,	 /* the new bytes lead neither back nor to a block of the arena */
	AGENT_OPCODE,	 /* no call or jump, or not the same in old and new */
	AGENT_READBACK,	 /* poked, and something else is there */
	AGENT_RANGE,	 /* outside the arena, or over a block written before */
	AGENT_IN_USE,	 /* a site leads there */
	AGENT_NO_MEMORY,
	AGENT_NO_HELLO, /* anything before hello */
	AGENT_NO_PAIR,	/* nobody has declared a pair there */
	AGENT_STATUSES
};

enum agent_policy {			/* what becomes of the promotions when the host is lost */
		    AGENT_LOST_RESTORE, /* everything back to the original bytes */
		    AGENT_LOST_KEEP,	/* left as it is until the module leaves */
};

/* --- payloads: `Q` asked by the host, `R` the agent's reply, `E` an event of the agent --- */

struct agent_hello {	/* Q: first of all, and again to begin anew */
	__u32 lease_ms; /* without a message for so long the host is lost; 0 = never */
	__u32 policy;	/* enum agent_policy */
	__u64 host;	/* the host's choice, to know itself again */
};

struct agent_hello_reply {
	__u32 features, refusals;
	__u64 instance; /* random for each load of the module */
	__u64 host;	/* whose promotions are in place; 0 = none were */
	__u64 text_start, text_end;
	__u64 arena_code, arena_data;
	__u32 arena_code_size, arena_data_size; /* data: arena_cpus copies of table_stride, then
						   what is shared */
	__u32 cpu_disp;	    /* %gs:cpu_disp holds this CPU's offset (u64) into the tables */
	__u32 cpus;	    /* copies of the table area */
	__u32 table_stride; /* bytes of one copy; copy c starts at arena_data + c * stride */
	__u32 pokes;	    /* promotions in place */
	__u8 build_id[20];
	__u32 build_id_len;
	char release[64]; /* NUL-terminated, as all text here */
};

struct agent_range {
	__u64 start, end;
	__u32 kind; /* enum agent_range_kind */
	__u32 pad;
};

enum agent_range_kind {
	AGENT_RANGE_NOINSTR,
	AGENT_RANGE_ENTRY,
	AGENT_RANGE_KPROBES, /* the kernel's list of functions that no probe may enter */
	AGENT_RANGE_INIT,
};

struct agent_protected { /* Q */
	__u32 first;
	__u32 pad;
};

struct agent_protected_reply {
	__u32 total, count;
	struct agent_range range[]; /* count <= AGENT_MAX_RANGES, from `first` on */
};

struct agent_poke { /* replace `old` by `new`, both `len` bytes at `site` */
	__u64 site;
	__u8 old[8], new[8];
	__u8 len; /* 5, or 6 with a cs prefix */
	__u8 pad[3];
	__u32 table; /* learn_start: offset of the table in a copy of the area; else 0 */
};

struct agent_pokes { /* Q: poke, learn_start, learn_stop */
	__u32 count, pad;
	struct agent_poke poke[]; /* ascending by site */
};

struct agent_pokes_reply {
	__u32 count, rounds; /* rounds of text_poke_bp */
	__u64 ns;	     /* from the first byte to the last */
	__u8 status[];	     /* enum agent_status, in the order asked */
};

struct agent_block {
	__u32 offset; /* in the code half, 16-aligned */
	__u16 len;
	__u16 pad;
	__u8 bytes[AGENT_BLOCK_BYTES];
};

struct agent_blocks { /* Q: arena_write, reclaim (bytes unused) */
	__u32 count, pad;
	struct agent_block block[];
};

struct agent_statuses { /* R: arena_write, reclaim */
	__u32 count, pad;
	__u8 status[];
};

struct agent_read { /* Q: text or arena, within one mapping */
	__u64 addr;
	__u32 len, pad;
};

struct agent_read_reply {
	__u64 addr;
	__u32 len, pad;
	__u8 bytes[];
};

struct agent_counters { /* Q: tables by their offset in a copy of the area */
	__u32 count, pad;
	__u32 table[];
};

struct agent_counted { /* one table, summed over the CPUs */
	__u32 table, used, other, pad;
	struct {
		__u32 target, count; /* low half of an address in the top 2 GiB */
	} slot[AGENT_LEARN_SLOTS];
};

struct agent_counters_reply {
	__u32 count, pad;
	struct agent_counted counted[];
};

enum agent_module_state { AGENT_MODULE_LIVE, AGENT_MODULE_GOING };

struct agent_module {
	__u64 text, text_size;
	__u32 state;   /* enum agent_module_state */
	__u32 demoted; /* going: sites led back first, in its text or to its functions */
	__u32 id;      /* another for each load, never 0; later ones are greater */
	__u32 pad;
	char name[AGENT_NAME];
};

struct agent_modules { /* Q: those with a greater id than `after` */
	__u32 after;
	__u32 pad;
};

struct agent_modules_reply {
	__u32 total, count; /* of those asked for; in this reply, which are the first of them */
	struct agent_module module[]; /* ascending by id; count <= AGENT_MAX_MODULES */
};

struct agent_pair {		    /* declared by a module; protocol/pair.h */
	__u64 bypass, target, slow; /* bypass 0: a single jump */
	__u64 program;		    /* where it leads now; 0 = nowhere */
	__u32 set;		    /* number of its declaration */
	__u32 state;		    /* enum pair_state */
};

struct agent_pairs { /* Q: from the `first`-th on */
	__u32 first, pad;
};

struct agent_pairs_reply {
	__u32 total, count;
	struct agent_pair pair[];
};

struct agent_programs { /* Q: that the pairs of a declaration may lead to */
	__u32 first, set;
};

struct agent_programs_reply {
	__u32 total, count;
	__u64 program[];
};

struct agent_lead { /* one pair, by its target slot */
	__u64 target;
	__u64 from, to; /* programs; 0 = none */
};

struct agent_leads { /* Q; the reply is agent_pokes_reply */
	__u32 count, pad;
	struct agent_lead lead[]; /* ascending by target */
};

struct agent_names { /* Q: which functions of modules these addresses are in */
	__u32 count, pad;
	__u64 addr[];
};

struct agent_function {
	__u64 start; /* 0: the kernel has no name for it */
	__u32 size, pad;
	char name[AGENT_FUNCTION];
};

struct agent_names_reply {
	__u32 count, pad;
	struct agent_function function[]; /* in the order asked */
};

struct agent_conflict { /* E */
	__u64 site;
	__u8 want[8], have[8];
	__u8 len;
	__u8 action; /* enum agent_conflict_action */
	__u8 pad[6];
};

enum agent_conflict_action {
	AGENT_CONFLICT_SEEN,	 /* somebody's int3 is there; led back when it is gone */
	AGENT_CONFLICT_DEMOTED,	 /* led back */
	AGENT_CONFLICT_GIVEN_UP, /* other bytes: no longer ours */
};

struct agent_unpatch_reply {
	__u32 undone, left;
};

struct agent_ping_reply {
	__u64 uptime_ms;
	__u32 pokes;	 /* in place */
	__u32 conflicts; /* since load */
	__u32 busy;	 /* sites that wait to be led back */
	__u32 rounds;
	__u32 undone; /* by the agent itself: lost host, leaving modules, conflicts */
	__u32 refusals;
};

struct agent_bye { /* E: the agent leaves; everything is as it was */
	__u32 undone, left;
};

struct agent_error {	/* R to anything */
	__u32 status;	/* enum agent_status */
	__u32 refusals; /* with AGENT_REFUSED */
	char text[AGENT_TEXT];
};

/*
 * MESSAGE(number, name, direction, least payload, most payload)
 * Q: the host asks, R: the agent's reply to it, E: the agent says so by itself.
 */
#define AGENT_MESSAGES(MESSAGE)                                                                    \
	MESSAGE(1, HELLO, Q, sizeof(struct agent_hello), sizeof(struct agent_hello))               \
	MESSAGE(1, HELLO, R, sizeof(struct agent_hello_reply), sizeof(struct agent_hello_reply))   \
	MESSAGE(2, PING, Q, 0, 0)                                                                  \
	MESSAGE(2, PING, R, sizeof(struct agent_ping_reply), sizeof(struct agent_ping_reply))      \
	MESSAGE(3, PROTECTED, Q, sizeof(struct agent_protected), sizeof(struct agent_protected))   \
	MESSAGE(3, PROTECTED, R, sizeof(struct agent_protected_reply), AGENT_MAX_PAYLOAD)          \
	MESSAGE(4, POKE, Q, sizeof(struct agent_pokes), AGENT_MAX_PAYLOAD)                         \
	MESSAGE(4, POKE, R, sizeof(struct agent_pokes_reply), AGENT_MAX_PAYLOAD)                   \
	MESSAGE(5, ARENA_WRITE, Q, sizeof(struct agent_blocks), AGENT_MAX_PAYLOAD)                 \
	MESSAGE(5, ARENA_WRITE, R, sizeof(struct agent_statuses), AGENT_MAX_PAYLOAD)               \
	MESSAGE(6, READ_TEXT, Q, sizeof(struct agent_read), sizeof(struct agent_read))             \
	MESSAGE(6, READ_TEXT, R, sizeof(struct agent_read_reply), AGENT_MAX_PAYLOAD)               \
	MESSAGE(7, LEARN_START, Q, sizeof(struct agent_pokes), AGENT_MAX_PAYLOAD)                  \
	MESSAGE(7, LEARN_START, R, sizeof(struct agent_pokes_reply), AGENT_MAX_PAYLOAD)            \
	MESSAGE(8, LEARN_STOP, Q, sizeof(struct agent_pokes), AGENT_MAX_PAYLOAD)                   \
	MESSAGE(8, LEARN_STOP, R, sizeof(struct agent_pokes_reply), AGENT_MAX_PAYLOAD)             \
	MESSAGE(9, COUNTERS, Q, sizeof(struct agent_counters), AGENT_MAX_PAYLOAD)                  \
	MESSAGE(9, COUNTERS, R, sizeof(struct agent_counters_reply), AGENT_MAX_PAYLOAD)            \
	MESSAGE(10, MODULES, Q, sizeof(struct agent_modules), sizeof(struct agent_modules))        \
	MESSAGE(10, MODULES, R, sizeof(struct agent_modules_reply), AGENT_MAX_PAYLOAD)             \
	MESSAGE(11, GRACE, Q, 0, 0)                                                                \
	MESSAGE(11, GRACE, R, 0, 0)                                                                \
	MESSAGE(12, RECLAIM, Q, sizeof(struct agent_blocks), AGENT_MAX_PAYLOAD)                    \
	MESSAGE(12, RECLAIM, R, sizeof(struct agent_statuses), AGENT_MAX_PAYLOAD)                  \
	MESSAGE(13, UNPATCH_ALL, Q, 0, 0)                                                          \
	MESSAGE(13, UNPATCH_ALL, R, sizeof(struct agent_unpatch_reply),                            \
		sizeof(struct agent_unpatch_reply))                                                \
	MESSAGE(14, PAIRS, Q, sizeof(struct agent_pairs), sizeof(struct agent_pairs))              \
	MESSAGE(14, PAIRS, R, sizeof(struct agent_pairs_reply), AGENT_MAX_PAYLOAD)                 \
	MESSAGE(15, PROGRAMS, Q, sizeof(struct agent_programs), sizeof(struct agent_programs))     \
	MESSAGE(15, PROGRAMS, R, sizeof(struct agent_programs_reply), AGENT_MAX_PAYLOAD)           \
	MESSAGE(16, LEAD, Q, sizeof(struct agent_leads), AGENT_MAX_PAYLOAD)                        \
	MESSAGE(16, LEAD, R, sizeof(struct agent_pokes_reply), AGENT_MAX_PAYLOAD)                  \
	MESSAGE(17, NAMES, Q, sizeof(struct agent_names), AGENT_MAX_PAYLOAD)                       \
	MESSAGE(17, NAMES, R, sizeof(struct agent_names_reply), AGENT_MAX_PAYLOAD)                 \
	MESSAGE(32, MODULE_STATE, E, sizeof(struct agent_module), sizeof(struct agent_module))     \
	MESSAGE(33, CONFLICT, E, sizeof(struct agent_conflict), sizeof(struct agent_conflict))     \
	MESSAGE(34, BYE, E, sizeof(struct agent_bye), sizeof(struct agent_bye))                    \
	MESSAGE(63, ERROR, R, sizeof(struct agent_error), sizeof(struct agent_error))

/* One number a name, taken from the lines that open a conversation. */
#define AGENT_TYPE_Q(number, name) AGENT_MSG_##name = number,
#define AGENT_TYPE_R(number, name)
#define AGENT_TYPE_E(number, name)	    AGENT_MSG_##name = number,
#define AGENT_TYPE(number, name, dir, a, b) AGENT_TYPE_##dir(number, name)
enum agent_type {
	AGENT_MESSAGES(AGENT_TYPE) AGENT_MSG_ERROR = 63,
};
#undef AGENT_TYPE
#undef AGENT_TYPE_Q
#undef AGENT_TYPE_R
#undef AGENT_TYPE_E

#endif
