// SPDX-License-Identifier: GPL-2.0-only
/* 4-level page tables for config->maps, 2 MiB leaves where alignment allows. */
#include "machine/paging.h"

#include <errno.h>
#include <string.h>

/* Intel SDM vol. 3A, tables 4-15 to 4-20. */
#define PTE_P	 (1ull << 0)
#define PTE_W	 (1ull << 1)
#define PTE_U	 (1ull << 2)
#define PTE_A	 (1ull << 5) /* set here so that the processor never has to write the tables */
#define PTE_D	 (1ull << 6)
#define PTE_PS	 (1ull << 7) /* in a page directory: 2 MiB leaf */
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

#define SMALL		  0x1000ull
#define LARGE		  0x200000ull
#define CANONICAL_LOW_END 0x800000000000ull
#define CANONICAL_HIGH	  0xffff800000000000ull

struct builder {
	uint8_t *ram;
	gpa_t next; /* first free table page */
	bool user;
};

static int bad_map(struct error *err, const struct machine_map *m, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
			 "guest map at %#llx (physical %#llx, %#llx bytes) %s",
			 (unsigned long long)m->gva, (unsigned long long)m->gpa,
			 (unsigned long long)m->size, what);
}

static int check_map(const struct machine_map *m, uint64_t ram_bytes, struct error *err)
{
	uint64_t last = m->gva + m->size - 1;

	if ((m->gva | m->gpa | m->size) % SMALL || !m->size)
		return bad_map(err, m, "is not made of whole 4 KiB pages");
	if (!m->prot || m->prot & ~(unsigned)(MACHINE_R | MACHINE_W | MACHINE_X))
		return bad_map(err, m, "has no valid protection");
	if (last < m->gva || !(last < CANONICAL_LOW_END || m->gva >= CANONICAL_HIGH))
		return bad_map(err, m, "is not canonical");
	if (m->gpa < PAGING_END)
		return bad_map(err, m, "reaches into the monitor's low 2 MiB");
	if (m->gpa >= ram_bytes || m->size > ram_bytes - m->gpa)
		return bad_map(err, m, "reaches beyond guest RAM");
	return 0;
}

static int check_maps(const struct machine_map *maps, unsigned count, uint64_t ram_bytes,
		      struct error *err)
{
	unsigned i, j;
	int ret;

	for (i = 0; i < count; i++) {
		ret = check_map(&maps[i], ram_bytes, err);
		if (ret)
			return ret;
		for (j = 0; j < i; j++)
			/* Both ranges were checked not to wrap. */
			if (maps[i].gva <= maps[j].gva + (maps[j].size - 1) &&
			    maps[j].gva <= maps[i].gva + (maps[i].size - 1))
				return bad_map(err, &maps[i], "overlaps another map");
	}
	return 0;
}

static gpa_t new_table(struct builder *b)
{
	gpa_t page = b->next;

	if (page >= PAGING_END)
		return 0;
	memset(b->ram + page, 0, SMALL);
	b->next += SMALL;
	return page;
}

/* The entry for gva at `level` (4..1), making tables on the way. NULL when full. */
static uint64_t *entry_at(struct builder *b, gpa_t root, gva_t gva, unsigned level)
{
	gpa_t table = root;
	unsigned l;
	uint64_t *entry;

	for (l = 4;; l--) {
		entry = (uint64_t *)(void *)(b->ram + table) + ((gva >> (12 + 9 * (l - 1))) & 511);
		if (l == level)
			return entry;
		if (!(*entry & PTE_P)) {
			table = new_table(b);
			if (!table)
				return NULL;
			/* Open at upper levels: the leaf alone decides. */
			*entry = table | PTE_P | PTE_W | PTE_A | (b->user ? PTE_U : 0);
		}
		table = *entry & PTE_ADDR;
	}
}

static int build_map(struct builder *b, gpa_t root, const struct machine_map *m)
{
	uint64_t flags = PTE_P | PTE_A | PTE_D, off, step, *entry;

	flags |= b->user ? PTE_U : 0;
	flags |= m->prot & MACHINE_W ? PTE_W : 0;
	flags |= m->prot & MACHINE_X ? 0 : PTE_NX;
	for (off = 0; off < m->size; off += step) {
		bool large = !((m->gva + off) % LARGE) && !((m->gpa + off) % LARGE) &&
			     m->size - off >= LARGE;

		step = large ? LARGE : SMALL;
		entry = entry_at(b, root, m->gva + off, large ? 2 : 1);
		if (!entry)
			return -ENOSPC;
		*entry = (m->gpa + off) | flags | (large ? PTE_PS : 0);
	}
	return 0;
}

int paging_build(void *ram, uint64_t ram_bytes, const struct machine_map *maps, unsigned count,
		 bool user, gpa_t *root, struct error *err)
{
	struct builder b = {.ram = ram, .next = PAGING_FIRST, .user = user};
	unsigned i;
	int ret;

	if (ram_bytes < PAGING_END)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "guest RAM of %llu KiB is less than the monitor's own 2 MiB",
				 (unsigned long long)(ram_bytes >> 10));
	ret = check_maps(maps, count, ram_bytes, err);
	if (ret)
		return ret;
	*root = new_table(&b);
	for (i = 0; i < count; i++) {
		ret = build_map(&b, *root, &maps[i]);
		if (ret)
			return error_set(err, HOTRAIL_EXIT_FAILED, ret,
					 "page tables for %u maps do not fit in %llu KiB", count,
					 (unsigned long long)((PAGING_END - PAGING_FIRST) >> 10));
	}
	return 0;
}
