// SPDX-License-Identifier: GPL-2.0-only
/* Where the guest's kernel is: run-time offset, page tables, and whether it is the one we know. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/linux_state.h"
#include "x86/pagewalk.h"

/* Intel SDM vol. 4 table 2-2; vol. 3A 2.5 and 4.1.1. */
#define MSR_LSTAR 0xc0000082
#define CR0_PG	  (1ull << 31)
#define CR4_LA57  (1ull << 12)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)

#define CR3_ADDR 0x000ffffffffff000ull
/* Bit of CR3 that tells the user half of a pair of tables (arch/x86/mm/pti.c:
 * PTI_USER_PGTABLE_BIT). */
#define CR3_USER_HALF 0x1000ull

#define PTE_PRESENT (1ull << 0)
#define PTE_LARGE   (1ull << 7)
#define PTE_ADDR    0x000ffffffffff000ull

#define SYSTEM_RUNNING 3 /* enum system_states (include/linux/kernel.h), since 5.16 */

#define NOTES_MAX	4096
#define NT_GNU_BUILD_ID 3

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	struct target *t = ctx;

	return t->ops->read_phys(t, gpa, entry, sizeof(*entry));
}

int linux_walk_to(struct target *t, gpa_t root, unsigned levels, unsigned level, gva_t gva,
		  gpa_t *entry)
{
	gpa_t table = root;
	unsigned now = levels;
	uint64_t value;

	for (;; now--) {
		*entry = table + ((gva >> (12 + 9 * (now - 1))) & 511) * sizeof(value);
		if (now == level)
			return 0;
		if (read_entry(t, *entry, &value) || !(value & PTE_PRESENT) || (value & PTE_LARGE))
			return -EFAULT;
		table = value & PTE_ADDR;
	}
}

static int busy(struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_BUSY, -EAGAIN, "%s: try again later", what);
}

static int odd_paging(struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
			 "the guest's page tables are not those of a Linux kernel (%s): nothing is "
			 "touched",
			 what);
}

/* --- run-time offset --- */

static int find_offset(struct linux_guest *l, struct error *err)
{
	struct target *t = l->guest.target;
	const struct kernel *k = l->k;
	gva_t entry = kernel_lookup(k, "entry_SYSCALL_64");
	uint64_t room, offset;
	int ret;

	if (!entry)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "the kernel image has no symbol entry_SYSCALL_64");
	ret = t->ops->get_msr(t, 0, MSR_LSTAR, &l->lstar);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "cannot read the guest's system call entry: %s", strerror(-ret));
	if (!l->lstar)
		return busy(err, "the guest's kernel is still starting");
	offset = l->lstar - entry;
	room = LINUX_IMAGE_BASE + LINUX_IMAGE_SIZE - k->image_end;
	if (k->image_end < k->text_end || k->text_start < LINUX_IMAGE_BASE ||
	    k->image_end > LINUX_IMAGE_BASE + LINUX_IMAGE_SIZE || offset % LINUX_LARGE ||
	    offset > room)
		return error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE,
				 "the guest does not run %s: its system call entry at 0x%llx does "
				 "not fit; give the kernel file it was booted from",
				 k->release, (unsigned long long)l->lstar);
	l->info.offset = offset;
	l->top = linux_address(l, "init_top_pgt");
	l->directory = linux_address(l, "level2_kernel_pgt");
	return 0;
}

/* --- page tables --- */

/*
 * From tables a vCPU uses to the kernel's own, which live as long as the kernel: found by
 * symbol. Both must agree about the text and about the directory of the kernel image.
 */
static int try_root(struct linux_guest *l, gpa_t root)
{
	struct target *t = l->guest.target;
	gva_t text = l->k->text_start + l->info.offset;
	struct pagewalk_result own, a, b, directory;
	gpa_t entry;

	if (pagewalk(root, l->info.levels, l->top, read_entry, t, &own) || own.gpa % 4096)
		return -EFAULT;
	if (pagewalk(root, l->info.levels, text, read_entry, t, &a) ||
	    pagewalk(own.gpa, l->info.levels, text, read_entry, t, &b) || a.gpa != b.gpa ||
	    !b.executable || b.user)
		return -EFAULT;
	if (linux_walk_to(t, own.gpa, l->info.levels, 2, text, &entry) ||
	    pagewalk(own.gpa, l->info.levels, l->directory, read_entry, t, &directory) ||
	    (entry & PTE_ADDR) != directory.gpa)
		return -EFAULT;
	l->info.root = own.gpa;
	return 0;
}

/* The tables of one vCPU: as they are, or their kernel half if it is in user code under KPTI. */
static int try_vcpu(struct linux_guest *l, const struct machine_paging *p)
{
	gpa_t root = p->cr3 & CR3_ADDR;

	l->info.levels = p->cr4 & CR4_LA57 ? 5 : 4;
	if (!try_root(l, root))
		return 0;
	return root & CR3_USER_HALF ? try_root(l, root & ~CR3_USER_HALF) : -EFAULT;
}

static int find_root(struct linux_guest *l, struct error *err)
{
	struct target *t = l->guest.target;
	unsigned n = t->ops->vcpus(t), i, paged = 0;
	struct machine_paging p;
	int ret;

	if (!l->top || !l->directory)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "the kernel image has no symbols for its page tables");
	for (i = 0; i < n; i++) {
		ret = t->ops->get_paging(t, i, &p);
		if (ret)
			return error_set(err, HOTRAIL_EXIT_FAILED, ret,
					 "cannot read vCPU %u's control registers: %s", i,
					 strerror(-ret));
		if (!(p.cr0 & CR0_PG) || !(p.efer & EFER_LMA))
			continue; /* waits to be started */
		paged++;
		if (!(p.efer & EFER_NXE))
			return odd_paging(err, "no execute disable");
		if (!try_vcpu(l, &p))
			return 0;
	}
	return paged ? odd_paging(err, "its own tables are not where its symbols say")
		     : busy(err, "the guest's kernel is still starting");
}

int linux_find_kernel(struct linux_guest *l, struct error *err)
{
	struct target *t = l->guest.target;
	struct machine_pause pause = {0};
	int ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (ret)
		return ret;
	ret = find_offset(l, err);
	if (!ret)
		ret = find_root(l, err);
	t->ops->resume(t, &pause);
	if (ret)
		return ret;
	t->ops->set_root(t, l->info.root, l->info.levels);
	l->guest.text_start = l->k->text_start + l->info.offset;
	l->guest.text_end = l->k->text_end + l->info.offset;
	return 0;
}

/* --- is it this kernel? --- */

static int another(const struct linux_guest *l, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE,
			 "the guest does not run %s: its %s differs; give the kernel file it was "
			 "booted from",
			 l->k->release, what);
}

static bool banner_fits(struct linux_guest *l)
{
	char want[160], have[sizeof(want)];
	int len = snprintf(want, sizeof(want), "Linux version %s ", l->k->release);

	return len > 0 && (size_t)len < sizeof(want) &&
	       !linux_read(l, "linux_banner", have, (size_t)len) &&
	       !memcmp(want, have, (size_t)len);
}

/* The GNU build id among ELF notes: name size, descriptor size, type, then both, padded to 4. */
static const uint8_t *find_build_id(const uint8_t *notes, size_t len, size_t id_len)
{
	uint32_t head[3];
	size_t at = 0, name, desc;

	while (len - at >= sizeof(head)) {
		memcpy(head, notes + at, sizeof(head));
		at += sizeof(head);
		name = ((size_t)head[0] + 3) & ~(size_t)3;
		desc = ((size_t)head[1] + 3) & ~(size_t)3;
		if (name > len - at || desc > len - at - name)
			return NULL;
		if (head[2] == NT_GNU_BUILD_ID && head[0] == 4 && head[1] == id_len &&
		    !memcmp(notes + at, "GNU", 4))
			return notes + at + name;
		at += name + desc;
	}
	return NULL;
}

static bool build_fits(struct linux_guest *l)
{
	gva_t from = linux_address(l, "__start_notes"), to = linux_address(l, "__stop_notes");
	struct target *t = l->guest.target;
	uint8_t notes[NOTES_MAX];
	const uint8_t *id;

	if (!l->k->build_id_len || !from) /* the banner and the text must do */
		return true;
	if (to < from || to - from > sizeof(notes) || t->ops->read(t, from, notes, to - from))
		return false;
	id = find_build_id(notes, to - from, l->k->build_id_len);
	return id && !memcmp(id, l->k->build_id, l->k->build_id_len);
}

int linux_check_kernel(struct linux_guest *l, struct error *err)
{
	uint32_t state;

	if (!banner_fits(l))
		return another(l, err, "version");
	if (!build_fits(l))
		return another(l, err, "build id");
	if (linux_read(l, "system_state", &state, sizeof(state)))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "cannot tell whether the guest has finished booting");
	if (state < SYSTEM_RUNNING)
		return busy(err, "the guest has not finished booting");
	if (state > SYSTEM_RUNNING)
		return busy(err, "the guest is shutting down or suspended");
	return 0;
}

/* Do the tables of some vCPU still lead to those that were found? */
static bool same_tables(const struct linux_guest *l)
{
	struct target *t = l->guest.target;
	struct linux_guest now = *l;
	unsigned n = t->ops->vcpus(t), i;
	struct machine_paging p;

	for (i = 0; i < n; i++)
		if (!t->ops->get_paging(t, i, &p) && !try_vcpu(&now, &p))
			return now.info.root == l->info.root && now.info.levels == l->info.levels;
	return false;
}

int linux_still_there(struct guest *g, struct error *err)
{
	struct linux_guest *l = linux_guest(g);
	struct target *t = g->target;
	uint64_t lstar;

	if (!t->ops->get_msr(t, 0, MSR_LSTAR, &lstar) && lstar == l->lstar && same_tables(l) &&
	    linux_window_intact(l))
		return 0;
	return error_set(err, HOTRAIL_EXIT_REFUSED, -ESTALE,
			 "the guest started another kernel: what was promoted is gone with the old "
			 "one, nothing is touched; to promote the new one, run the guest anew with "
			 "that kernel file");
}
