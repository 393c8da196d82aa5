// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts bytes into text that runs: many sites in one round of text_poke_bp(), or one by one through
 * arch_static_call_transform() where nothing better is to be had.
 *
 * Of a site with a cs prefix only the five bytes behind the prefix are poked: that is an
 * instruction by itself, the prefix means nothing on it, and text_poke_bp() takes six bytes for a
 * conditional jump.
 *
 * While the kernel's kprobe_mutex and text_mutex are held no probe can be put on a site; so a
 * probe's copy of a site always is what the site holds. A site with a probe is not poked.
 */
#include "hotrail.h"

#include <linux/ktime.h>
#include <linux/static_call.h>
#include <linux/uaccess.h>
#include <asm/text-patching.h>

#define INT3	    0xcc
#define CALL	    0xe8
#define PROBE_REACH 18 /* MAX_OPTIMIZED_LENGTH of asm/kprobes.h, but for the first byte */

bool poke_read(unsigned long addr, void *to, u32 len)
{
	return !copy_from_kernel_nofault(to, (const void *)addr, len);
}

static void lock_text(void)
{
#ifdef CONFIG_KPROBES
	if (kernel.kprobe_mutex)
		mutex_lock(kernel.kprobe_mutex);
#endif
	if (kernel.features & AGENT_CAN_BATCH)
		mutex_lock(kernel.text_mutex);
}

static void unlock_text(void)
{
	if (kernel.features & AGENT_CAN_BATCH)
		mutex_unlock(kernel.text_mutex);
#ifdef CONFIG_KPROBES
	if (kernel.kprobe_mutex)
		mutex_unlock(kernel.kprobe_mutex);
#endif
}

static bool probe_in(unsigned long addr, unsigned long end)
{
	bool is = false;

	preempt_disable();
	for (; kernel.get_kprobe && !is && addr < end; addr++)
		is = kernel.get_kprobe((void *)addr);
	preempt_enable();
	return is;
}

/* The jump that the kernel makes of a probe executes a copy of what it lies over. */
bool poke_slot_probed(unsigned long addr, u32 len)
{
	return probe_in(addr - PROBE_REACH, addr + len);
}

/* Is there a probe on what is to be poked? */
static bool probed(const struct poke_job *j)
{
	return j->site ? probe_in(j->addr, j->addr + 1) : poke_slot_probed(j->addr, j->len);
}

/* Is everything as it should be, now that nobody else can change it? */
static u8 compare(const struct poke_job *j)
{
	u8 have[AGENT_SITE_BYTES];
	u8 len = j->len;

	if (probed(j))
		return AGENT_BUSY;
	if (!poke_read(j->addr, have, len))
		return AGENT_OWNER;
	if (have[0] == INT3 || have[len - 5] == INT3)
		return AGENT_BUSY;
	return memcmp(have, j->old, len) ? AGENT_MISMATCH : AGENT_OK;
}

static void poke(const struct poke_job *j)
{
	u8 *at = (u8 *)j->addr + j->len - 5;
	const u8 *bytes = j->want + j->len - 5;

	if (kernel.features & AGENT_CAN_BATCH) {
		kernel.text_poke_queue(at, bytes, 5, NULL);
		return;
	}
#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
	arch_static_call_transform(at, NULL, (void *)site_target(j->addr, j->want, j->len),
				   *bytes != CALL);
#endif
}

static u8 read_back(const struct poke_job *j)
{
	u8 have[AGENT_SITE_BYTES];

	if (!poke_read(j->addr, have, j->len) || memcmp(have, j->want, j->len))
		return AGENT_READBACK;
	return AGENT_OK;
}

void poke_run(struct poke_job *jobs, u32 n, u32 *rounds, u64 *ns)
{
	u64 start = 0;
	u32 i, poked = 0;

	lock_text();
	for (i = 0; i < n; i++) {
		if (jobs[i].status != AGENT_OK)
			continue;
		jobs[i].status = compare(&jobs[i]);
		if (jobs[i].status != AGENT_OK)
			continue;
		if (!poked++)
			start = ktime_get_ns();
		poke(&jobs[i]);
	}
	if (poked) {
		if (kernel.features & AGENT_CAN_BATCH)
			kernel.text_poke_finish();
		*ns += ktime_get_ns() - start;
		*rounds += kernel.features & AGENT_CAN_BATCH ? 1 : poked;
	}
	for (i = 0; i < n; i++)
		if (jobs[i].status == AGENT_OK) {
			jobs[i].status = read_back(&jobs[i]);
			if (jobs[i].site)
				site_set(jobs[i].site, jobs[i].want);
		}
	unlock_text();
}
