// SPDX-License-Identifier: GPL-2.0-only
/* How many of a plain guest's instructions are indirect calls, counted by single-stepping. */
#include "cmd/bench.h"

#include <errno.h>

#include "util/clock.h"
#include "x86/decode.h"

/* Bursts at different moments, so that no single operation is the whole picture. */
#define BURSTS	     40
#define BURST_STEPS  400
#define BURST_GAP_MS 7

static bool is_indirect(struct target *t, gva_t rip)
{
	struct x86_insn insn;
	uint8_t bytes[15]; /* longest x86 instruction: Intel SDM vol. 2, 2.3.11 */

	if (t->ops->read(t, rip, bytes, sizeof(bytes)) ||
	    x86_decode(bytes, sizeof(bytes), rip, &insn))
		return false;
	return insn.kind == X86_CALL_REG || insn.kind == X86_JMP_REG || insn.kind == X86_CALL_MEM ||
	       insn.kind == X86_JMP_MEM;
}

static int burst(struct target *t, unsigned *steps, unsigned *calls, struct error *err)
{
	struct machine_regs regs;
	unsigned i;
	int ret = t->ops->get_regs(t, 0, &regs);

	for (i = 0; !ret && i < BURST_STEPS; i++) {
		*calls += is_indirect(t, regs.rip);
		ret = t->ops->step(t, 0, &regs, err);
		*steps += !ret;
	}
	return ret;
}

int bench_indirect_share(struct bench_guest *plain, double *share, struct error *err)
{
	struct target *t = plain->instance->target;
	unsigned steps = 0, calls = 0, i;
	int ret = t->ops->step ? 0 : -ENOTSUP;

	for (i = 0; !ret && i < BURSTS; i++) {
		bench_release(plain);
		clock_sleep_ms(BURST_GAP_MS);
		ret = bench_hold(plain, err);
		if (!ret)
			ret = burst(t, &steps, &calls, err);
	}
	*share = steps ? (double)calls / steps : 0;
	return ret;
}
