/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs inside: how to find sites and thunks, name an address, where the arena
 * goes, and whether patching is allowed and useful. Implemented by yard.c (our own
 * images); Linux fits the same table.
 */
#ifndef HOTRAIL_GUEST_GUEST_H
#define HOTRAIL_GUEST_GUEST_H

#include "guest/site.h"
#include "target/target.h"

struct guest;

struct guest_arena {
	gva_t code, data;
	uint64_t code_size, data_size;
};

struct guest_module { /* as somebody inside the guest says: not to be trusted */
	gva_t text;
	uint64_t text_size;
	uint32_t id; /* another for each load */
	const char *name;
};

struct guest_function { /* as they say, too: a piece of module text that has a name */
	gva_t start;
	uint32_t size;
	const char *name;
};

struct guest_found {	     /* in a module's text */
	unsigned sites, odd; /* odd: as in struct site_table */
	unsigned left;	     /* not taken: no slot, or over another site */
};

typedef void (*guest_sites_fn)(void *ctx, const uint32_t *sites, size_t n);

struct guest_ops {
	const char *name;
	/* Tasks are switched anywhere: where the vCPUs stand does not say who is inside a block. */
	bool preempts;
	/* 0; -ENOTSUP with the reason in words (nothing to gain) or -EPERM (refused for safety). */
	int (*may_patch)(struct guest *g, struct error *err);
	void (*symbol)(struct guest *g, gva_t addr, char *buf, size_t len);
	gva_t (*lookup)(struct guest *g, const char *name);
	/* Is addr a legal target of an indirect call (start of a function in text)? */
	bool (*is_target)(struct guest *g, gva_t addr);

	/* --- all below may be NULL --- */

	/* Why this site is left alone although its bytes are right, in words; NULL = it is not. */
	const char *(*site_protected)(struct guest *g, uint32_t site);
	/* In a pause, before anything is written: is this still the system that was looked at?
	 * -ESTALE after a reboot into another kernel. */
	int (*still_there)(struct guest *g, struct error *err);
	/* Which part of the system an address belongs to: "vfs", "net"; constant. */
	const char *(*subsystem)(struct guest *g, gva_t addr);

	/*
	 * Code that comes and goes while the guest runs. module_add looks a module's text through
	 * for retpoline calls, puts them into slots of g->sites (site_table_reserve) and tells
	 * which; module_remove tells them all and then empties their slots. fn may be NULL. With
	 * the lock of whoever owns the slots; symbol() and subsystem() know the module meanwhile,
	 * on any thread. -EINVAL: no module can be there; -EEXIST: another one is; -EFAULT: its
	 * text cannot be read; -ENOSPC. Nothing is taken or told then.
	 */
	int (*module_add)(struct guest *g, const struct guest_module *m, struct guest_found *found,
			  guest_sites_fn fn, void *ctx, struct error *err);
	void (*module_remove)(struct guest *g, uint32_t id, guest_sites_fn fn, void *ctx);
	/* For symbol(), until the module goes. What lies in none, or over another, is dropped. */
	void (*module_name)(struct guest *g, const struct guest_function *f, size_t n);
};

struct guest {
	const struct guest_ops *ops;
	struct target *target;
	struct site_table sites; /* but for slots constant after creation */
	struct guest_arena arena;
	uint8_t build_id[20];
	unsigned build_id_len;
	gva_t text_start, text_end;
};

#endif
