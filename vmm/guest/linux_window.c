// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arena of an unmodified kernel: two memory slots of the host's, mapped by entries
 * written into free places of the directory that maps the kernel image. Every address
 * space shares that directory, and a CPU caches no entry that is not present, so adding
 * one needs no flush.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux_state.h"
#include "x86/pagewalk.h"

/* Intel SDM vol. 3A table 4-18. Accessed and dirty are set so that the CPU never writes to ours.
 * Not global: the kernel may run with global pages off, and nothing is lost. */
#define PDE_PRESENT  (1ull << 0)
#define PDE_WRITE    (1ull << 1)
#define PDE_ACCESSED (1ull << 5)
#define PDE_DIRTY    (1ull << 6)
#define PDE_LARGE    (1ull << 7)
#define PDE_NX	     (1ull << 63)
#define PDE_CODE     (PDE_PRESENT | PDE_ACCESSED | PDE_DIRTY | PDE_LARGE)
#define PDE_DATA     (PDE_PRESENT | PDE_WRITE | PDE_ACCESSED | PDE_DIRTY | PDE_LARGE | PDE_NX)

#define ENTRIES 512
#define INT3	0xcc
#define CHUNK	4096

static gva_t entry_gva(unsigned index)
{
	return LINUX_IMAGE_BASE + index * LINUX_LARGE;
}

/* Does the image, from its first to its last byte, touch what this entry maps? */
static bool in_image(const struct linux_guest *l, unsigned index)
{
	gva_t at = entry_gva(index);

	return at + LINUX_LARGE > l->guest.text_start && at < l->k->image_end + l->info.offset;
}

/* The highest run of free entries; the kernel, when it leaves room, leaves it there. */
static int find_free(struct linux_guest *l, gpa_t directory, unsigned *first, struct error *err)
{
	struct target *t = l->guest.target;
	unsigned index, run = 0;
	uint64_t value;

	for (index = ENTRIES; index-- > 0;) {
		if (t->ops->read_phys(t, directory + index * sizeof(value), &value, sizeof(value)))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
					 "cannot read the guest's page directory");
		run = value || in_image(l, index) ? 0 : run + 1;
		if (run == LINUX_WINDOW_MAX) {
			*first = index;
			return 0;
		}
	}
	return error_set(err, HOTRAIL_EXIT_REFUSED, -ENOSPC,
			 "the guest's kernel left no room for tracks beside its image");
}

/* In a pause. All or nothing. */
static int write_entries(struct linux_guest *l, gpa_t directory, unsigned first, struct error *err)
{
	struct target *t = l->guest.target;
	struct linux_window *w = &l->window;
	const uint64_t none = 0;
	uint64_t now;
	unsigned i;

	for (i = 0; i < LINUX_WINDOW_MAX; i++) {
		bool code = i < LINUX_WINDOW_CODE;
		gpa_t to = code ? w->code + i * LINUX_LARGE
				: w->data + (i - LINUX_WINDOW_CODE) * LINUX_LARGE;

		w->entry[i].at = directory + (first + i) * sizeof(uint64_t);
		w->entry[i].value = to | (code ? PDE_CODE : PDE_DATA);
		if (t->ops->read_phys(t, w->entry[i].at, &now, sizeof(now)) || now ||
		    t->ops->write_phys(t, w->entry[i].at, &w->entry[i].value, sizeof(now)))
			goto out_undo;
	}
	w->mapped = true;
	return 0;

out_undo:
	while (i-- > 0)
		t->ops->write_phys(t, w->entry[i].at, &none, sizeof(none));
	return error_set(err, HOTRAIL_EXIT_BUSY, -EAGAIN,
			 "the guest changes its page directory: try again later");
}

static int map(struct linux_guest *l, unsigned *first, struct error *err)
{
	struct target *t = l->guest.target;
	struct machine_pause pause = {0};
	gpa_t entry;
	int ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (ret)
		return ret;
	ret = linux_still_there(&l->guest, err);
	if (!ret && linux_walk_to(t, l->info.root, l->info.levels, 2, LINUX_IMAGE_BASE, &entry))
		ret = error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
				"the guest's page directory of the kernel image is gone");
	if (!ret)
		ret = find_free(l, entry, first, err);
	if (!ret)
		ret = write_entries(l, entry, *first, err);
	t->ops->resume(t, &pause);
	return ret;
}

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	struct target *t = ctx;

	return t->ops->read_phys(t, gpa, entry, sizeof(*entry));
}

/* Seen as the guest's CPUs will see it: right place, right permissions from all levels. */
static bool seen(struct linux_guest *l, gva_t gva, gpa_t gpa, bool code)
{
	struct pagewalk_result r;

	return !pagewalk(l->info.root, l->info.levels, gva, read_entry, l->guest.target, &r) &&
	       r.gpa == gpa && !r.user && r.executable == code && r.writable == !code;
}

static int check_mapped(struct linux_guest *l, struct error *err)
{
	const struct guest_arena *a = &l->guest.arena;
	const struct linux_window *w = &l->window;

	if (seen(l, a->code, w->code, true) &&
	    seen(l, a->code + a->code_size - 1, w->code + a->code_size - 1, true) &&
	    seen(l, a->data, w->data, false) &&
	    seen(l, a->data + a->data_size - 1, w->data + a->data_size - 1, false))
		return 0;
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
			 "the guest's page tables do not lead to the arena: nothing is promoted");
}

/* Whatever runs into the unused part stops there. */
static int fill_code(struct linux_guest *l, struct error *err)
{
	const struct guest_arena *a = &l->guest.arena;
	struct target *t = l->guest.target;
	uint8_t chunk[CHUNK];
	uint64_t at;

	memset(chunk, INT3, sizeof(chunk));
	for (at = 0; at < a->code_size; at += sizeof(chunk))
		if (t->ops->write_phys(t, l->window.code + at, chunk, sizeof(chunk)))
			return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
					 "cannot write to the arena");
	return 0;
}

int linux_window_open(struct linux_guest *l, struct error *err)
{
	struct target *t = l->guest.target;
	struct guest_arena *a = &l->guest.arena;
	unsigned first = 0;
	int ret;

	a->code_size = LINUX_WINDOW_CODE * LINUX_LARGE;
	a->data_size = LINUX_WINDOW_DATA * LINUX_LARGE;
	ret = t->ops->slot_add(t, a->code_size, true, &l->window.code, err);
	if (ret) {
		l->window.code = 0;
		return ret;
	}
	ret = t->ops->slot_add(t, a->data_size, false, &l->window.data, err);
	if (ret) {
		l->window.data = 0;
		return ret;
	}
	ret = fill_code(l, err);
	if (!ret)
		ret = map(l, &first, err);
	if (ret)
		return ret;
	a->code = entry_gva(first);
	a->data = a->code + a->code_size;
	return check_mapped(l, err);
}

bool linux_window_intact(const struct linux_guest *l)
{
	struct target *t = l->guest.target;
	uint64_t now;
	unsigned i;

	for (i = 0; l->window.mapped && i < LINUX_WINDOW_MAX; i++)
		if (t->ops->read_phys(t, l->window.entry[i].at, &now, sizeof(now)) ||
		    now != l->window.entry[i].value)
			return false;
	return true;
}

/*
 * Was a track ever written? Then the window stays, also after `demote --all` (law 4). Tracks never
 * call, so no return address leads into them; but an interrupt may come inside one, and where the
 * kernel preempts, the task then sleeps with that address in the registers saved on its stack. No
 * look at the vCPUs tells of it, with all of them outside, idle or in user mode; how the kernel
 * preempts can change while it runs; and stacks are the guest's to lie about. A grace period of RCU
 * tasks would tell, and only code in the guest can wait for one.
 */
static bool used(const struct linux_guest *l)
{
	struct target *t = l->guest.target;
	uint8_t chunk[CHUNK];
	uint64_t at;
	size_t i;

	for (at = 0; at < l->guest.arena.code_size; at += sizeof(chunk)) {
		if (t->ops->read_phys(t, l->window.code + at, chunk, sizeof(chunk)))
			return true;
		for (i = 0; i < sizeof(chunk); i++)
			if (chunk[i] != INT3)
				return true;
	}
	return false;
}

/* 0: the entries are gone, or the guest is. */
static int unmap(struct linux_guest *l)
{
	struct target *t = l->guest.target;
	struct machine_pause pause = {0};
	const uint64_t none = 0;
	bool busy = used(l), ours;
	unsigned i;
	int ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, NULL);

	if (ret)
		return ret == -ESHUTDOWN ? 0 : ret;
	/* Entries that the guest changed are the guest's now. */
	ours = linux_window_intact(l);
	for (i = 0; !busy && ours && i < LINUX_WINDOW_MAX; i++)
		t->ops->write_phys(t, l->window.entry[i].at, &none, sizeof(none));
	t->ops->resume(t, &pause);
	return busy ? -EBUSY : 0;
}

void linux_window_close(struct linux_guest *l)
{
	struct target *t = l->guest.target;
	struct linux_window *w = &l->window;

	if (w->mapped && unmap(l))
		return;
	w->mapped = false;
	if (w->code)
		t->ops->slot_remove(t, w->code);
	if (w->data)
		t->ops->slot_remove(t, w->data);
	w->code = w->data = 0;
}
