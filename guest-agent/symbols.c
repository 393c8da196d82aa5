// SPDX-License-Identifier: GPL-2.0-only
/* Finds what the kernel has but does not export, and says what can be done without it. */
#include "hotrail.h"

#include <linux/extable.h>
#include <asm/sections.h>
#include <asm/asm-prototypes.h>
#include <asm/nospec-branch.h>
#include <asm/pgtable.h>

struct kernel_symbols kernel;

static void *(*lookup)(const char *name);

/* kallsyms_lookup_name() is not exported, but a probe on it knows where it is. The probe is never
 * armed. */
static void find_lookup(void)
{
#ifdef CONFIG_KPROBES
	struct kprobe kp = {.symbol_name = "kallsyms_lookup_name", .flags = KPROBE_FLAG_DISABLED};

	if (force_fallback == FALLBACK_NO_SYMBOLS || register_kprobe(&kp))
		return;
	lookup = (void *)kp.addr;
	unregister_kprobe(&kp);
#endif
}

static void *find(const char *name)
{
	return lookup ? lookup(name) : NULL;
}

static const u8 *const thunks[] = {
#define GEN(reg) __x86_indirect_thunk_##reg,
#include <asm/GEN-for-each-reg.h>
#undef GEN
};

int symbols_thunk_register(unsigned long addr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(thunks); i++)
		if ((unsigned long)thunks[i] == addr)
			return i;
	return -1;
}

/* Is the page of kernel image at `addr` executable? Sets its end. */
static bool executable(unsigned long addr, unsigned long *start, unsigned long *end)
{
	unsigned int level;
	pte_t *pte = lookup_address(addr, &level);
	unsigned long size = level == PG_LEVEL_2M ? PMD_SIZE : PAGE_SIZE;

	if (!pte || level > PG_LEVEL_2M || !(pte_flags(*pte) & _PAGE_PRESENT) ||
	    pte_flags(*pte) & _PAGE_NX)
		return false;
	*start = addr & ~(size - 1);
	*end = *start + size;
	return true;
}

/* Without symbols: core text is the executable range around a function of it. */
static void text_by_page_tables(void)
{
	unsigned long start, end;

	if (!executable((unsigned long)thunks[0], &start, &end))
		return;
	kernel.text_start = start;
	kernel.text_end = end;
	while (executable(kernel.text_end, &start, &end))
		kernel.text_end = end;
	while (executable(kernel.text_start - 1, &start, &end))
		kernel.text_start = start;
}

static void find_text(void)
{
	kernel.text_start = (unsigned long)find("_stext");
	kernel.text_end = (unsigned long)find("_etext");
	if (!kernel.text_start || kernel.text_end <= kernel.text_start)
		text_by_page_tables();
}

/* An ELF note: sizes of name and descriptor, type, name, descriptor, each padded to 4 bytes. */
static void find_build_id(void)
{
	const u8 *p = find("__start_notes"), *end = find("__stop_notes");

	while (p && end - p >= 16) {
		u32 name = ((const u32 *)p)[0], desc = ((const u32 *)p)[1];
		u32 type = ((const u32 *)p)[2], size;

		if (name > 256 || desc > 65536)
			return;
		size = 12 + ALIGN(name, 4) + ALIGN(desc, 4);
		if (size > end - p)
			return;
		if (type == 3 && name == 4 && !memcmp(p + 12, "GNU", 4) &&
		    desc <= sizeof(kernel.build_id)) {
			memcpy(kernel.build_id, p + 16, desc);
			kernel.build_id_len = desc;
			return;
		}
		p += size;
	}
}

static void find_fineibt(void)
{
#ifdef CONFIG_FINEIBT
	const int *mode = find("cfi_mode");

	/* enum cfi_mode: CFI_FINEIBT = 3. When it cannot be told, it is taken to be on. */
	kernel.fineibt = !mode || *mode == 3;
#endif
}

static const struct {
	const char *start, *end;
	u32 kind;
} sections[] = {
	{"__noinstr_text_start", "__noinstr_text_end", AGENT_RANGE_NOINSTR},
	{"__entry_text_start", "__entry_text_end", AGENT_RANGE_ENTRY},
	{"__irqentry_text_start", "__irqentry_text_end", AGENT_RANGE_ENTRY},
	{"__softirqentry_text_start", "__softirqentry_text_end", AGENT_RANGE_ENTRY},
	{"__cpuidle_text_start", "__cpuidle_text_end", AGENT_RANGE_NOINSTR},
	{"__kprobes_text_start", "__kprobes_text_end", AGENT_RANGE_KPROBES},
	{"_sinittext", "_einittext", AGENT_RANGE_INIT},
};

static struct agent_range ranges[ARRAY_SIZE(sections)];
static u32 nranges;

static void find_ranges(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		unsigned long start = (unsigned long)find(sections[i].start);
		unsigned long end = (unsigned long)find(sections[i].end);

		if (start && end > start)
			ranges[nranges++] = (struct agent_range){
				.start = start, .end = end, .kind = sections[i].kind};
	}
}

bool symbols_in_range(unsigned long addr, u32 len)
{
	u32 i;

	for (i = 0; i < nranges; i++)
		if (addr < ranges[i].end && addr + len > ranges[i].start)
			return true;
	return false;
}

void symbols_find(void)
{
	find_lookup();
	find_text();
	find_ranges();
	find_build_id();
	find_fineibt();
	kernel.text_poke_queue = find("text_poke_queue");
	kernel.text_poke_finish = find("text_poke_finish");
	kernel.text_mutex = find("text_mutex");
	kernel.search_exception_tables = find("search_exception_tables");
#ifdef CONFIG_KPROBES
	kernel.get_kprobe = find("get_kprobe");
	kernel.kprobe_mutex = find("kprobe_mutex");
	kernel.kprobe_blacklist = find("kprobe_blacklist");
	kernel.features |= AGENT_CAN_PROTECT;
	if (kernel.get_kprobe && kernel.kprobe_mutex)
		kernel.features |= AGENT_CAN_RECLAIM;
#else
	kernel.features |= AGENT_CAN_RECLAIM; /* no probe can hold a copy of anything */
#endif
	/* Batches are only exact where probes can be kept away meanwhile. */
	if (!force_fallback && kernel.text_poke_queue && kernel.text_poke_finish &&
	    kernel.text_mutex && (kernel.features & AGENT_CAN_RECLAIM))
		kernel.features |= AGENT_CAN_BATCH | AGENT_CAN_PAIRS;
}

/* A static call's change ends in BUG() where a probe is, so probes must be kept away there too. */
bool symbols_can_poke(void)
{
	return kernel.features & AGENT_CAN_BATCH ||
	       (IS_ENABLED(CONFIG_HAVE_STATIC_CALL_INLINE) && kernel.features & AGENT_CAN_RECLAIM);
}

struct filler {
	struct agent_range *out;
	u32 first, room, filled, total;
};

static void fill(struct filler *f, unsigned long start, unsigned long end, u32 kind)
{
	u32 n = f->total++;

	if (n < f->first || f->filled == f->room)
		return;
	f->out[f->filled++] = (struct agent_range){.start = start, .end = end, .kind = kind};
}

u32 symbols_ranges(u32 first, struct agent_range *out, u32 room, u32 *filled)
{
	struct filler f = {.out = out, .first = first, .room = room};
	u32 i;

	for (i = 0; i < nranges; i++)
		fill(&f, ranges[i].start, ranges[i].end, ranges[i].kind);
#ifdef CONFIG_KPROBES
	if (kernel.kprobe_mutex && kernel.kprobe_blacklist) {
		struct kprobe_blacklist_entry *e;

		mutex_lock(kernel.kprobe_mutex);
		list_for_each_entry(e, kernel.kprobe_blacklist, list)
			fill(&f, e->start_addr, e->end_addr, AGENT_RANGE_KPROBES);
		mutex_unlock(kernel.kprobe_mutex);
	}
#endif
	*filled = f.filled;
	return f.total;
}
