// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arena: blocks of code inside the module's text, written once through a second mapping of
 * the same pages, and the data half: a copy of the learning tables for each CPU, then the
 * miss counters.
 */
#include "hotrail.h"

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "sizes.h"

#define GRAIN  16 /* tracks are aligned to it */
#define GRAINS (ARENA_CODE_BYTES / GRAIN)
#define TABLE  320 /* bytes of a learning table, aligned to lines; protocol/agent.h */

extern u8 hotrail_arena[ARENA_CODE_BYTES];

/* In the top 2 GiB like all of a module; never executable. */
static u8 data[ARENA_TABLES_BYTES + ARENA_SHARED_BYTES] __aligned(PAGE_SIZE);
static DEFINE_PER_CPU(u64, table_offset);

static u8 *writable; /* the pages of hotrail_arena, mapped read-write */
static DECLARE_BITMAP(used, GRAINS);
static u8 length[GRAINS]; /* of the block that begins there; 0 = none does */
static u32 copies, stride;

static int map_writable(void)
{
	const u32 n = ARENA_CODE_BYTES / PAGE_SIZE;
	struct page **pages = kcalloc(n, sizeof(*pages), GFP_KERNEL);
	u32 i;

	if (!pages)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		pages[i] = vmalloc_to_page(hotrail_arena + i * PAGE_SIZE);
	writable = vmap(pages, n, VM_MAP, PAGE_KERNEL);
	kfree(pages);
	return writable ? 0 : -ENOMEM;
}

/* A copy of the tables for each CPU where there is room for tables of a few sites at least, and
 * where %gs: reaches the offset; else one that all share. */
static void divide(void)
{
	unsigned long disp = (unsigned long)&table_offset;
	u32 each = ARENA_TABLES_BYTES / num_possible_cpus();
	u32 cpu, n = 0;

	copies = num_possible_cpus();
	if (each < 32 * TABLE || disp != (unsigned long)(s32)disp)
		copies = 1;
	else
		kernel.features |= AGENT_CAN_PER_CPU;
	stride = round_down(ARENA_TABLES_BYTES / copies, PAGE_SIZE);
	for_each_possible_cpu(cpu) {
		per_cpu(table_offset, cpu) = copies > 1 ? n * stride : 0;
		n++;
	}
}

int arena_init(void)
{
	divide();
	return map_writable();
}

void arena_exit(void)
{
	vunmap(writable);
}

void arena_describe(struct agent_hello_reply *r)
{
	r->arena_code = (unsigned long)hotrail_arena;
	r->arena_code_size = ARENA_CODE_BYTES;
	r->arena_data = (unsigned long)data;
	r->arena_data_size = copies * stride + ARENA_SHARED_BYTES;
	r->cpus = copies;
	r->table_stride = stride;
	r->cpu_disp = kernel.features & AGENT_CAN_PER_CPU ? (u32)(unsigned long)&table_offset : 0;
}

static struct block_place place(unsigned long at)
{
	struct block_place p = {
		.at = at,
		.data_start = (unsigned long)data,
		.data_end = (unsigned long)data + copies * stride + ARENA_SHARED_BYTES,
		.copy_end = (unsigned long)data + stride,
		.thunk_register = symbols_thunk_register,
	};

	if (kernel.features & AGENT_CAN_PER_CPU)
		p.cpu_disp = (u32)(unsigned long)&table_offset;
	return p;
}

/* Counts for a block that lies wholly inside; else 0. */
static u32 grains(const struct agent_block *b)
{
	if (b->offset % GRAIN || !b->len || b->len > AGENT_BLOCK_BYTES ||
	    b->offset > ARENA_CODE_BYTES || ARENA_CODE_BYTES - b->offset < b->len)
		return 0;
	return DIV_ROUND_UP(b->len, GRAIN);
}

u8 arena_write(const struct agent_block *b)
{
	struct block_place p = place((unsigned long)hotrail_arena + b->offset);
	struct block_view view;
	u32 n = grains(b), first = b->offset / GRAIN;
	const char *wrong;

	if (!n || find_next_bit(used, first + n, first) < first + n)
		return AGENT_RANGE;
	wrong = block_check(&p, b->bytes, b->len, &view);
	if (wrong) {
		pr_warn_ratelimited("block at 0x%x refused: it %s\n", b->offset, wrong);
		return AGENT_TARGET;
	}
	memcpy(writable + b->offset, b->bytes, b->len);
	if (memcmp(hotrail_arena + b->offset, b->bytes, b->len))
		return AGENT_READBACK;
	bitmap_set(used, first, n);
	length[first] = b->len;
	return AGENT_OK;
}

bool arena_contains(unsigned long addr)
{
	return addr - (unsigned long)hotrail_arena < ARENA_CODE_BYTES;
}

static bool within(unsigned long addr, u32 len, const void *start, unsigned long size)
{
	return addr >= (unsigned long)start && addr - (unsigned long)start <= size &&
	       size - (addr - (unsigned long)start) >= len;
}

bool arena_readable(unsigned long addr, u32 len)
{
	return within(addr, len, hotrail_arena, ARENA_CODE_BYTES) ||
	       within(addr, len, data, copies * stride + ARENA_SHARED_BYTES);
}

bool arena_block(unsigned long addr, struct block_view *view)
{
	unsigned long offset = addr - (unsigned long)hotrail_arena;
	struct block_place p = place(addr);

	if (offset >= ARENA_CODE_BYTES || offset % GRAIN || !length[offset / GRAIN])
		return false;
	return !block_check(&p, hotrail_arena + offset, length[offset / GRAIN], view);
}

u8 arena_retire(const struct agent_block *b)
{
	u32 first = b->offset / GRAIN;

	if (!grains(b) || length[first] != b->len)
		return AGENT_RANGE;
	if (sites_lead_to((unsigned long)hotrail_arena + b->offset))
		return AGENT_IN_USE;
	length[first] = 0;
	return AGENT_OK;
}

void arena_free(const struct agent_block *b)
{
	u32 n = grains(b);

	memset(writable + b->offset, 0xcc, n * GRAIN);
	bitmap_clear(used, b->offset / GRAIN, n);
}

u32 arena_used(void)
{
	return bitmap_weight(used, GRAINS) * GRAIN;
}

u32 *arena_table(u32 cpu, u32 offset)
{
	if (cpu >= copies || offset % 64 || offset > stride || stride - offset < TABLE)
		return NULL;
	return (u32 *)(data + cpu * stride + offset);
}

u32 arena_tables(void)
{
	return copies;
}
