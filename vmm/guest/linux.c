// SPDX-License-Identifier: GPL-2.0-only
/* guest_ops over a running Linux kernel. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux_state.h"
#include "x86/pagewalk.h"

gva_t linux_address(const struct linux_guest *l, const char *symbol)
{
	gva_t at = kernel_lookup(l->k, symbol);

	/* Per-CPU symbols are offsets into another area and lie far below. */
	return at >= LINUX_IMAGE_BASE ? at + l->info.offset : 0;
}

int linux_read(struct linux_guest *l, const char *symbol, void *buf, size_t len)
{
	gva_t at = linux_address(l, symbol);
	struct target *t = l->guest.target;

	return at ? t->ops->read(t, at, buf, len) : -ENOENT;
}

/* --- guest_ops --- */

static int may_patch(struct guest *g, struct error *err)
{
	struct linux_guest *l = linux_guest(g);

	if (l->refused) {
		if (err)
			*err = l->refusal;
		return l->refused;
	}
	return linux_check_thunks(l, err);
}

static bool in_arena(const struct guest *g, gva_t addr)
{
	return addr - g->arena.code < g->arena.code_size;
}

static void symbol(struct guest *g, gva_t addr, char *buf, size_t len)
{
	struct linux_guest *l = linux_guest(g);
	uint64_t offset;
	const char *name = kernel_symbol_at(l->k, addr - l->info.offset, &offset);

	if (name && offset)
		snprintf(buf, len, "%s+0x%llx", name, (unsigned long long)offset);
	else if (name)
		snprintf(buf, len, "%s", name);
	else if (linux_module_symbol(l, addr, buf, len))
		return;
	else if (in_arena(g, addr))
		snprintf(buf, len, "track+0x%llx", (unsigned long long)(addr - g->arena.code));
	else
		snprintf(buf, len, "%s0x%llx",
			 addr >= LINUX_MODULES && addr < LINUX_MODULES_END ? "module:" : "",
			 (unsigned long long)addr);
}

static gva_t lookup(struct guest *g, const char *name)
{
	return linux_address(linux_guest(g), name);
}

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	struct target *t = ctx;

	return t->ops->read_phys(t, gpa, entry, sizeof(*entry));
}

/*
 * A function of the core kernel by name, or anything the kernel may execute in the module
 * area: modules and JIT text come and go, but a track jumps only to the address that the
 * register holds at that moment, so a target that is gone is never taken.
 */
static bool is_target(struct guest *g, gva_t addr)
{
	struct linux_guest *l = linux_guest(g);
	struct pagewalk_result walk;

	if (addr >= LINUX_MODULES && addr < LINUX_MODULES_END)
		return !pagewalk(l->info.root, l->info.levels, addr, read_entry, g->target,
				 &walk) &&
		       walk.executable && !walk.user;
	return kernel_is_function(l->k, addr - l->info.offset);
}

static const char *site_protected(struct guest *g, uint32_t site)
{
	struct linux_guest *l = linux_guest(g);
	const struct kernel_range *r;

	if (site >= g->sites.count || site_is_slot(&g->sites, site))
		return NULL; /* of modules the guest's agent knows what is not to be touched */
	r = kernel_protected(l->k, g->sites.sites[site].addr - l->info.offset,
			     g->sites.sites[site].len);
	return r ? kernel_range_text(r->kind) : NULL;
}

static const char *subsystem(struct guest *g, gva_t addr)
{
	struct linux_guest *l = linux_guest(g);
	const char *name = kernel_symbol_at(l->k, addr - l->info.offset, NULL);

	if (!name && (name = linux_module_name(l, addr)))
		return name;
	if (!name)
		return addr >= LINUX_MODULES && addr < LINUX_MODULES_END ? "module" : "unknown";
	return kernel_subsystem(name);
}

static const struct guest_ops linux_ops = {
	.name = "linux",
	.preempts = true,
	.may_patch = may_patch,
	.symbol = symbol,
	.lookup = lookup,
	.is_target = is_target,
	.site_protected = site_protected,
	.still_there = linux_still_there,
	.subsystem = subsystem,
	.module_add = linux_module_add,
	.module_remove = linux_module_remove,
	.module_name = linux_module_functions,
};

/* --- life --- */

static int check_target(const struct target *t, struct error *err)
{
	const struct target_ops *o = t->ops;

	if (o->get_paging && o->get_msr && o->set_root && o->read_phys && o->write_phys &&
	    o->slot_add && o->slot_remove)
		return 0;
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
			 "a Linux guest cannot be reached through \"%s\": no access to its system "
			 "registers",
			 o->name);
}

static int look(struct linux_guest *l, struct error *err)
{
	int ret = linux_find_kernel(l, err);

	if (!ret)
		ret = linux_check_kernel(l, err);
	if (!ret)
		ret = linux_read_sites(l, err);
	if (ret)
		return ret;
	l->refused = linux_judge(l, &l->refusal);
	if (!l->refused) /* what the thunks hold is asked again by may_patch */
		ret = linux_window_open(l, err);
	return ret;
}

int linux_guest_create(const struct kernel *k, struct target *t, struct guest **out,
		       struct error *err)
{
	struct linux_guest *l;
	int ret = check_target(t, err);

	*out = NULL;
	if (ret)
		return ret;
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the guest");
	linux_modules_init(l);
	l->k = k;
	l->guest.ops = &linux_ops;
	l->guest.target = t;
	l->guest.build_id_len = k->build_id_len;
	memcpy(l->guest.build_id, k->build_id, sizeof(l->guest.build_id));
	ret = look(l, err);
	if (ret) {
		linux_guest_destroy(&l->guest);
		return ret;
	}
	*out = &l->guest;
	return 0;
}

void linux_guest_destroy(struct guest *g)
{
	struct linux_guest *l;

	if (!g)
		return;
	l = linux_guest(g);
	linux_window_close(l);
	g->target->ops->set_root(g->target, 0, 0);
	site_table_free(&g->sites);
	linux_modules_free(l);
	free(l);
}

const struct linux_info *linux_guest_info(const struct guest *g)
{
	return &((const struct linux_guest *)((const char *)g -
					      offsetof(struct linux_guest, guest)))
			->info;
}

int linux_guest_check(struct guest *g, struct error *err)
{
	struct target *t = g->target;
	struct machine_pause pause = {0};
	int ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (ret)
		return ret;
	ret = linux_still_there(g, err);
	t->ops->resume(t, &pause);
	return ret;
}
