// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's reference: the guest's workload from the same sources, called
 * directly, with every function static and all state in the calling thread.
 */
#define YARD_HOST
#include <hotrail/yard.h>
#include "guest/yard.h"

/* clang-format off: the order follows who calls whom */
#include "lib.c"
#include "digest.c"
#include "hooks.c"
#include "filter.c"
#include "block.c"
#include "fs_ext.c"
#include "fs_log.c"
#include "fs_tmp.c"
#include "vfs.c"
#include "device.c"
#include "proto.c"
#include "family.c"
#include "socket.c"
#include "task.c"
#include "timer.c"
#include "order.c"
#include "sys_file.c"
#include "sys_net.c"
#include "sys_task.c"
#include "batch.c"
#include "layout.h"
#include "flow.c"

static void core_wrong(struct core *c)
{
	c->wrong++;
}

uint64_t yard_reference(uint64_t seed, unsigned slot, unsigned phase)
{
	/* 65 KiB. Not a variable of the thread: then every other one would have them, too. */
	struct env env = {0};

	kernel_init(&env);
	return kernel_batch(&env, seed, slot, phase);
}

/* The same packets by a dissector of its own: plain C, no tail jump, no patched text. */
static u64 flow_fold(u64 digest, u64 v)
{
	return (((digest << 23) | (digest >> 41)) ^ v) * FLOW_FOLD;
}

static u64 flow_word(const u8 *p, u32 len)
{
	u64 v = 0;

	while (len--)
		v = v << 8 | p[len];
	return v;
}

static u64 flow_transport(u64 digest, const u8 *p, u32 len, u32 protocol)
{
	u32 size;

	if (protocol == 17)
		return flow_fold(digest, len < 8 ? FLOW_SHORT : flow_word(p, 8));
	if (protocol != 6)
		return flow_fold(digest, FLOW_UNKNOWN);
	if (len < 20)
		return flow_fold(digest, FLOW_SHORT);
	digest = flow_fold(digest, flow_word(p, 4));
	size = (u32)(p[12] >> 4) * 4;
	return flow_fold(digest, size < 20 || size > len ? FLOW_SHORT : size);
}

static u64 flow_network(u64 digest, const u8 *p, u32 len, u32 type)
{
	u32 size = type == 0x0800 ? 20 : 40, at;

	if (type != 0x0800 && type != 0x86dd)
		return flow_fold(digest, FLOW_UNKNOWN);
	if (len < size)
		return flow_fold(digest, FLOW_SHORT);
	if (type == 0x0800) {
		size = (u32)(p[0] & 15) * 4;
		if (size < 20 || size > len)
			return flow_fold(digest, FLOW_SHORT);
		digest = flow_fold(flow_fold(digest, flow_word(p + 12, 8)), p[9]);
		return flow_transport(digest, p + size, len - size, p[9]);
	}
	for (at = 8; at < 40; at += 8)
		digest = flow_fold(digest, flow_word(p + at, 8));
	return flow_transport(flow_fold(digest, p[6]), p + 40, len - 40, p[6]);
}

static u64 flow_reference(u64 digest, const struct flow_packet *packet)
{
	const u8 *p = packet->bytes;
	u32 len = packet->len, type;

	if (len < 14)
		return flow_fold(digest, FLOW_SHORT);
	type = (u32)p[12] << 8 | p[13];
	digest = flow_fold(flow_fold(digest, flow_word(p, 8)), type);
	p += 14;
	len -= 14;
	if (type != 0x8100)
		return flow_network(digest, p, len, type);
	if (len < 4)
		return flow_fold(digest, FLOW_SHORT);
	type = (u32)p[2] << 8 | p[3];
	digest = flow_fold(flow_fold(digest, flow_word(p, 2)), type);
	return flow_network(digest, p + 4, len - 4, type);
}

uint64_t yard_flow_expected(uint64_t seed, uint64_t runs)
{
	uint64_t each, sum = 0;
	struct flow f;
	u32 n;

	flow_init(&f, seed);
	for (n = 0; n < YARD_FLOW_SHAPES; n++) {
		each = flow_reference(n, &f.packets[n]);
		sum += each * (runs / YARD_FLOW_SHAPES + (n < runs % YARD_FLOW_SHAPES));
	}
	return sum;
}

uint64_t yard_micro_expected(unsigned target)
{
	return YARD_MICRO_VALUE(target % YARD_MICRO_TARGETS);
}
