/* SPDX-License-Identifier: GPL-2.0-only */
/* One frame of every message of the agent protocol, its fields set by name: what tests/data/wire
 * holds as bytes. */
#ifndef HOTRAIL_TESTS_WIRE_FIXTURE_H
#define HOTRAIL_TESTS_WIRE_FIXTURE_H

#include <stdint.h>
#include <string.h>

#include "protocol/pair.h"
#include "protocol/wire.h"

#define FIXTURE_SITE  0xffffffff81234560ull
#define FIXTURE_PAIR  0xffffffffc0201000ull
#define FIXTURE_ARENA 0xffffffffc0100000ull

union wire_payload {
	uint8_t bytes[AGENT_MAX_PAYLOAD];
	struct agent_hello hello;
	struct agent_hello_reply hello_reply;
	struct agent_ping_reply ping_reply;
	struct agent_protected protect;
	struct agent_protected_reply protect_reply;
	struct agent_pokes pokes;
	struct agent_pokes_reply pokes_reply;
	struct agent_blocks blocks;
	struct agent_statuses statuses;
	struct agent_read read;
	struct agent_read_reply read_reply;
	struct agent_counters counters;
	struct agent_counters_reply counters_reply;
	struct agent_modules modules;
	struct agent_names names;
	struct agent_names_reply names_reply;
	struct agent_modules_reply modules_reply;
	struct agent_unpatch_reply unpatch_reply;
	struct agent_pairs pairs;
	struct agent_pairs_reply pairs_reply;
	struct agent_programs programs;
	struct agent_programs_reply programs_reply;
	struct agent_leads leads;
	struct agent_module module;
	struct agent_conflict conflict;
	struct agent_bye bye;
	struct agent_error error;
};

static inline void fixture_hello_reply(struct agent_hello_reply *r)
{
	*r = (struct agent_hello_reply){
		.features = AGENT_CAN_BATCH | AGENT_CAN_PROTECT | AGENT_CAN_PER_CPU,
		.instance = 0x1122334455667788ull,
		.text_start = 0xffffffff81000000ull,
		.text_end = 0xffffffff82000000ull,
		.arena_code = FIXTURE_ARENA,
		.arena_data = FIXTURE_ARENA + 0x100000,
		.arena_code_size = 0x40000,
		.arena_data_size = 0x20000,
		.cpu_disp = 0x2a040,
		.cpus = 2,
		.table_stride = 0x8000,
		.build_id_len = 20,
		.release = "6.1.0-99-cloud-amd64",
	};
	memset(r->build_id, 0xb1, sizeof(r->build_id));
}

static inline uint32_t fixture_pokes(struct agent_pokes *p, uint32_t table)
{
	p->count = 2;
	p->poke[0] = (struct agent_poke){
		.site = FIXTURE_SITE,
		.old = {0xe8, 0x10, 0x20, 0x30, 0x00},
		.new = {0xe8, 0x9b, 0xba, 0xec, 0x3e},
		.len = 5,
		.table = table,
	};
	p->poke[1] = (struct agent_poke){
		.site = FIXTURE_SITE + 0x40,
		.old = {0x2e, 0xe8, 0x10, 0x20, 0x30, 0x00},
		.new = {0x2e, 0xe8, 0x5a, 0xba, 0xec, 0x3e},
		.len = 6,
		.table = table ? table + 0x100 : 0,
	};
	return sizeof(*p) + 2 * sizeof(p->poke[0]);
}

static inline uint32_t fixture_module(struct agent_module *m)
{
	*m = (struct agent_module){
		.text = 0xffffffffc0200000ull,
		.text_size = 0x5000,
		.state = AGENT_MODULE_GOING,
		.demoted = 3,
		.id = 7,
		.name = "nf_tables",
	};
	return sizeof(*m);
}

static inline uint32_t fixture_statuses(struct agent_statuses *s)
{
	s->count = 2;
	s->status[0] = AGENT_OK;
	s->status[1] = AGENT_RANGE;
	return sizeof(*s) + 2;
}

/* The payload of a request or event. */
static inline uint32_t fixture_said(uint16_t type, union wire_payload *p)
{
	switch (type) {
	case AGENT_MSG_HELLO:
		p->hello = (struct agent_hello){10000, AGENT_LOST_RESTORE, 0x0102030405060708ull};
		return sizeof(p->hello);
	case AGENT_MSG_PROTECTED:
		p->protect.first = 512;
		return sizeof(p->protect);
	case AGENT_MSG_MODULES:
		p->modules.after = 3;
		return sizeof(p->modules);
	case AGENT_MSG_NAMES:
		p->names.count = 2;
		p->names.addr[0] = 0xffffffffc0200040ull;
		p->names.addr[1] = 0xffffffffc0201000ull;
		return sizeof(p->names) + 2 * sizeof(p->names.addr[0]);
	case AGENT_MSG_POKE:
		return fixture_pokes(&p->pokes, 0);
	case AGENT_MSG_LEARN_START:
	case AGENT_MSG_LEARN_STOP:
		return fixture_pokes(&p->pokes, 0x300);
	case AGENT_MSG_ARENA_WRITE:
	case AGENT_MSG_RECLAIM:
		p->blocks.count = 1;
		p->blocks.block[0] = (struct agent_block){.offset = 0x120, .len = 48};
		memset(p->blocks.block[0].bytes, 0xcc, AGENT_BLOCK_BYTES);
		return sizeof(p->blocks) + sizeof(p->blocks.block[0]);
	case AGENT_MSG_READ_TEXT:
		p->read = (struct agent_read){.addr = FIXTURE_SITE, .len = 6};
		return sizeof(p->read);
	case AGENT_MSG_COUNTERS:
		p->counters.count = 2;
		p->counters.table[0] = 0x300;
		p->counters.table[1] = 0x400;
		return sizeof(p->counters) + 2 * sizeof(p->counters.table[0]);
	case AGENT_MSG_PAIRS:
		p->pairs.first = 256;
		return sizeof(p->pairs);
	case AGENT_MSG_PROGRAMS:
		p->programs = (struct agent_programs){.first = 0, .set = 3};
		return sizeof(p->programs);
	case AGENT_MSG_LEAD:
		p->leads.count = 1;
		p->leads.lead[0] = (struct agent_lead){.target = FIXTURE_PAIR + 0x18,
						       .to = FIXTURE_PAIR + 0x100};
		return sizeof(p->leads) + sizeof(p->leads.lead[0]);
	case AGENT_MSG_MODULE_STATE:
		return fixture_module(&p->module);
	case AGENT_MSG_CONFLICT:
		p->conflict = (struct agent_conflict){
			.site = FIXTURE_SITE,
			.want = {0xe8, 0x9b, 0xba, 0xec, 0x3e},
			.have = {0xcc, 0x9b, 0xba, 0xec, 0x3e},
			.len = 5,
			.action = AGENT_CONFLICT_DEMOTED,
		};
		return sizeof(p->conflict);
	case AGENT_MSG_BYE:
		p->bye = (struct agent_bye){.undone = 12, .left = 1};
		return sizeof(p->bye);
	}
	return 0;
}

static inline uint32_t fixture_lists(uint16_t type, union wire_payload *p)
{
	switch (type) {
	case AGENT_MSG_PROTECTED:
		p->protect_reply.total = 513;
		p->protect_reply.count = 1;
		p->protect_reply.range[0] = (struct agent_range){
			0xffffffff81000000ull, 0xffffffff81000200ull, AGENT_RANGE_ENTRY, 0};
		return sizeof(p->protect_reply) + sizeof(struct agent_range);
	case AGENT_MSG_COUNTERS:
		p->counters_reply.count = 1;
		p->counters_reply.counted[0] =
			(struct agent_counted){.table = 0x300, .used = 2, .other = 5};
		p->counters_reply.counted[0].slot[0].target = 0x81234000;
		p->counters_reply.counted[0].slot[0].count = 900;
		p->counters_reply.counted[0].slot[1].target = 0x81235000;
		p->counters_reply.counted[0].slot[1].count = 100;
		return sizeof(p->counters_reply) + sizeof(struct agent_counted);
	case AGENT_MSG_MODULES:
		p->modules_reply.total = p->modules_reply.count = 1;
		fixture_module(&p->modules_reply.module[0]);
		p->modules_reply.module[0].state = AGENT_MODULE_LIVE;
		return sizeof(p->modules_reply) + sizeof(struct agent_module);
	case AGENT_MSG_PAIRS:
		p->pairs_reply.total = 257;
		p->pairs_reply.count = 1;
		p->pairs_reply.pair[0] = (struct agent_pair){.bypass = FIXTURE_PAIR,
							     .target = FIXTURE_PAIR + 0x18,
							     .slow = FIXTURE_PAIR + 0x1d,
							     .program = FIXTURE_PAIR + 0x100,
							     .set = 3,
							     .state = PAIR_DIRECT};
		return sizeof(p->pairs_reply) + sizeof(struct agent_pair);
	case AGENT_MSG_PROGRAMS:
		p->programs_reply.total = p->programs_reply.count = 2;
		p->programs_reply.program[0] = FIXTURE_PAIR + 0x100;
		p->programs_reply.program[1] = FIXTURE_PAIR + 0x140;
		return sizeof(p->programs_reply) + 2 * sizeof(uint64_t);
	case AGENT_MSG_NAMES:
		p->names_reply.count = 2;
		p->names_reply.function[0] = (struct agent_function){
			.start = 0xffffffffc0200020ull, .size = 0x80, .name = "nft_do_chain"};
		return sizeof(p->names_reply) + 2 * sizeof(struct agent_function);
	case AGENT_MSG_READ_TEXT:
		p->read_reply = (struct agent_read_reply){.addr = FIXTURE_SITE, .len = 6};
		memcpy(p->read_reply.bytes, "\x2e\xe8\x10\x20\x30\x00", 6);
		return sizeof(p->read_reply) + 6;
	}
	return 0;
}

/* The payload of a reply; `type` without AGENT_REPLY. */
static inline uint32_t fixture_answered(uint16_t type, union wire_payload *p)
{
	switch (type) {
	case AGENT_MSG_HELLO:
		fixture_hello_reply(&p->hello_reply);
		return sizeof(p->hello_reply);
	case AGENT_MSG_PING:
		p->ping_reply = (struct agent_ping_reply){123456, 40, 2, 1, 9, 5, 0};
		return sizeof(p->ping_reply);
	case AGENT_MSG_POKE:
	case AGENT_MSG_LEARN_START:
	case AGENT_MSG_LEARN_STOP:
		p->pokes_reply = (struct agent_pokes_reply){.count = 2, .rounds = 1, .ns = 54321};
		p->pokes_reply.status[0] = AGENT_OK;
		p->pokes_reply.status[1] = AGENT_MISMATCH;
		return sizeof(p->pokes_reply) + 2;
	case AGENT_MSG_LEAD:
		p->pokes_reply = (struct agent_pokes_reply){.count = 1, .rounds = 2, .ns = 65432};
		p->pokes_reply.status[0] = AGENT_OK;
		return sizeof(p->pokes_reply) + 1;
	case AGENT_MSG_ARENA_WRITE:
	case AGENT_MSG_RECLAIM:
		return fixture_statuses(&p->statuses);
	case AGENT_MSG_UNPATCH_ALL:
		p->unpatch_reply = (struct agent_unpatch_reply){.undone = 40, .left = 0};
		return sizeof(p->unpatch_reply);
	case AGENT_MSG_ERROR:
		p->error = (struct agent_error){AGENT_REFUSED, AGENT_NO_LOCKDOWN, "locked down"};
		return sizeof(p->error);
	}
	return fixture_lists(type, p);
}

/* A whole frame; its length. */
static inline uint32_t fixture_frame(uint16_t type, uint32_t seq, uint8_t frame[WIRE_MAX])
{
	static union wire_payload p; /* aligned, and zero where nothing is set */
	uint32_t len;

	memset(&p, 0, sizeof(p));
	len = type & AGENT_REPLY ? fixture_answered(type & ~AGENT_REPLY, &p)
				 : fixture_said(type, &p);
	memcpy(frame + sizeof(struct agent_header), p.bytes, len);
	return wire_seal(frame, type, len, seq);
}

#endif
