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

static void core_wrong(struct core *c)
{
	c->wrong++;
}

uint64_t yard_reference(uint64_t seed, unsigned slot, unsigned phase)
{
	static _Thread_local struct env env;

	kernel_init(&env);
	return kernel_batch(&env, seed, slot, phase);
}

uint64_t yard_micro_expected(unsigned target)
{
	return YARD_MICRO_VALUE(target % YARD_MICRO_TARGETS);
}
