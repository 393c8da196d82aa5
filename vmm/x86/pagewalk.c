// SPDX-License-Identifier: GPL-2.0-only
/* 4- and 5-level page walk. The tables belong to the guest: every entry is read once. */
#include "x86/pagewalk.h"

#include <errno.h>

/* Intel SDM vol. 3A, tables 4-15 to 4-20. */
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE   (1ull << 1)
#define PTE_USER    (1ull << 2)
#define PTE_LARGE   (1ull << 7)
#define PTE_NX	    (1ull << 63)
#define PTE_ADDR    0x000ffffffffff000ull

static bool canonical(gva_t gva, unsigned levels)
{
	unsigned shift = levels == 5 ? 64 - 57 : 64 - 48;

	return (gva_t)((int64_t)(gva << shift) >> shift) == gva;
}

int pagewalk(gpa_t root, unsigned levels, gva_t gva, pagewalk_read_fn read, void *ctx,
	     struct pagewalk_result *out)
{
	struct pagewalk_result r = {.writable = true, .user = true, .executable = true};
	gpa_t table = root & PTE_ADDR;
	unsigned level, shift;
	uint64_t entry;

	if ((levels != 4 && levels != 5) || !canonical(gva, levels))
		return -EINVAL;
	for (level = levels; level > 0; level--) {
		shift = 12 + 9 * (level - 1);
		if (read(ctx, table + ((gva >> shift) & 511) * sizeof(entry), &entry))
			return -EFAULT;
		if (!(entry & PTE_PRESENT))
			return -EFAULT;
		r.writable &= !!(entry & PTE_WRITE);
		r.user &= !!(entry & PTE_USER);
		r.executable &= !(entry & PTE_NX);
		if (level > 1 && (entry & PTE_LARGE)) {
			if (level > 3) /* reserved bit: the CPU would fault */
				return -EFAULT;
			break;
		}
		table = entry & PTE_ADDR;
	}
	shift = level ? 12 + 9 * (level - 1) : 12;
	r.page_size = 1ull << shift;
	r.gpa = (entry & PTE_ADDR & ~(r.page_size - 1)) | (gva & (r.page_size - 1));
	*out = r;
	return 0;
}
