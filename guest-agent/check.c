// SPDX-License-Identifier: GPL-2.0-only
/* Whether a site may be poked with what the host wants there. Each refusal has a name. */
#include "hotrail.h"

#include <linux/slab.h>

#define CALL 0xe8
#define JUMP 0xe9
#define CS   0x2e

static bool core_text(unsigned long addr, u32 len)
{
	return addr >= kernel.text_start && addr < kernel.text_end && kernel.text_end - addr >= len;
}

bool check_readable(unsigned long addr, u32 len)
{
	return core_text(addr, len) || modules_own(addr, len) || arena_readable(addr, len);
}

bool check_program(const struct module *owner, unsigned long addr)
{
	return (core_text(addr, 1) || modules_own(addr, 1) || modules_text_of(owner, addr, 1)) &&
	       !symbols_in_range(addr, 1) && symbols_thunk_register(addr) < 0;
}

/* One instruction for one of the same length: only the rel32 may differ. */
static bool same_opcode(const struct agent_poke *p)
{
	u8 opcode = p->old[p->len - 5];

	if (p->len == 6 && (p->old[0] != CS || p->new[0] != CS))
		return false;
	return (opcode == CALL || opcode == JUMP) && p->new[p->len - 5] == opcode;
}

/* Back to what was there, or to a track for the very register that the site calls through. */
static u8 check_target(const struct agent_poke *p, const u8 *orig)
{
	struct block_view view;

	if (!memcmp(p->new, orig, p->len))
		return AGENT_OK;
	if (!arena_block(site_target(p->site, p->new, p->len), &view) ||
	    view.thunk != site_target(p->site, orig, p->len))
		return AGENT_TARGET;
	return refusals() ? AGENT_REFUSED : AGENT_OK;
}

/* A site that was never poked before must be a retpoline call, where the kernel has nothing of its
 * own. Whether it is an instruction at all is asked of the kernel later, for many at once. */
static u8 check_new(const struct agent_poke *p)
{
	if (symbols_thunk_register(site_target(p->site, p->old, p->len)) < 0)
		return AGENT_OPCODE;
	if (symbols_in_range(p->site, p->len))
		return AGENT_PROTECTED;
	if (kernel.search_exception_tables && kernel.search_exception_tables(p->site))
		return AGENT_PROTECTED;
	return AGENT_OK;
}

static u8 check_one(const struct agent_poke *p, struct site **site)
{
	struct site *s;
	u8 status;

	*site = NULL;
	if (!same_opcode(p))
		return AGENT_OPCODE;
	if (!core_text(p->site, p->len) && !modules_own(p->site, p->len))
		return AGENT_OWNER;
	s = site_find(p->site);
	if (s && s->len != p->len)
		return AGENT_OPCODE;
	status = check_target(p, s ? s->orig : p->old);
	if (status == AGENT_OK && !s)
		status = check_new(p);
	if (status == AGENT_OK)
		*site = s;
	return status;
}

#ifdef CONFIG_KPROBES
/*
 * The kernel itself knows best where an instruction begins and which ones it patches: a probe is
 * registered there, never armed, and taken away again.
 */
static u8 ask_kernel(unsigned long addr, struct kprobe *kp)
{
	u8 first = 0;

	if (!poke_read(addr, &first, 1))
		return AGENT_OWNER;
	if (first == 0xcc)
		return AGENT_BUSY;
	kp->addr = (kprobe_opcode_t *)addr;
	kp->flags = KPROBE_FLAG_DISABLED;
	return register_kprobe(kp) ? AGENT_PROTECTED : AGENT_OK;
}

/* One verdict for each job without a site so far; they hold for as long as its owner lives. */
void check_instructions(struct poke_job *jobs, u32 n)
{
	struct kprobe *kp = kvcalloc(n, sizeof(*kp), GFP_KERNEL);
	struct kprobe **registered = kvcalloc(n, sizeof(*registered), GFP_KERNEL);
	u32 i, r = 0;

	for (i = 0; i < n; i++) {
		if (jobs[i].status != AGENT_OK || jobs[i].site)
			continue;
		if (!kp || !registered) {
			jobs[i].status = AGENT_NO_MEMORY;
			continue;
		}
		jobs[i].status = ask_kernel(jobs[i].addr, &kp[i]);
		if (jobs[i].status == AGENT_OK)
			registered[r++] = &kp[i];
	}
	if (r)
		unregister_kprobes(registered, r);
	kvfree(registered);
	kvfree(kp);
}
#else
void check_instructions(struct poke_job *jobs, u32 n)
{
}
#endif

/* Remembers the site before its first poke. Its old bytes are compared again under text_mutex. */
static u8 remember(const struct agent_poke *p, struct site **s)
{
	u8 have[AGENT_SITE_BYTES];

	if (!poke_read(p->site, have, p->len))
		return AGENT_OWNER;
	if (have[0] == 0xcc || have[p->len - 5] == 0xcc)
		return AGENT_BUSY;
	if (memcmp(have, p->old, p->len))
		return AGENT_MISMATCH;
	switch (site_add(p->site, p->len, p->old, s)) {
	case 0:
		return AGENT_OK;
	case -EEXIST:
		return AGENT_OPCODE;
	}
	return AGENT_NO_MEMORY;
}

/* Above all before it: no site may be twice in one round. */
static bool valid(const struct agent_poke *p, u64 last, bool learn)
{
	return (p->len == 5 || p->len == 6) && p->site > last &&
	       (!learn || learn_table_valid(p->table));
}

void check_pokes(const struct agent_poke *pokes, u32 n, bool learn, struct poke_job *jobs)
{
	u64 last = 0;
	u32 i;

	for (i = 0; i < n; i++) {
		jobs[i] = (struct poke_job){.addr = pokes[i].site, .len = pokes[i].len};
		memcpy(jobs[i].old, pokes[i].old, sizeof(jobs[i].old));
		memcpy(jobs[i].want, pokes[i].new, sizeof(jobs[i].want));
		jobs[i].status = AGENT_BAD_MESSAGE;
		if (valid(&pokes[i], last, learn))
			jobs[i].status = check_one(&pokes[i], &jobs[i].site);
		last = max(last, pokes[i].site);
	}
	check_instructions(jobs, n);
	for (i = 0; i < n; i++)
		if (jobs[i].status == AGENT_OK && !jobs[i].site)
			jobs[i].status = remember(&pokes[i], &jobs[i].site);
}
