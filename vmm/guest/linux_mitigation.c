// SPDX-License-Identifier: GPL-2.0-only
/* Is there anything to gain in this guest, and does something forbid it? (design: "when to refuse")
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/linux_state.h"
#include "guest/thunk.h"

#define CFI_FINEIBT 3 /* enum cfi_mode (arch/x86/include/asm/cfi.h), since 6.2 */

/* struct module (include/linux/module.h): state, list, name. */
#define MODULE_NAME	16 /* from the list's node */
#define MODULE_NAME_LEN 56
#define MODULES_MAX	4096

static int refuse(struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM, "%s: nothing is touched", what);
}

static int nothing_to_gain(const struct linux_guest *l, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
			 "%s (the guest's mitigation: %s): nothing to gain, nothing is touched",
			 what, l->info.mitigation);
}

/* enum spectre_v2_mitigation (arch/x86/include/asm/nospec-branch.h): words only, the bytes decide.
 */
static const char *mitigation(struct linux_guest *l)
{
	static const char *const names[] = {
		"none",
		"Retpolines",
		"LFENCE",
		"Enhanced IBRS",
		"Enhanced IBRS + Retpolines",
		"Enhanced IBRS + LFENCE",
		"IBRS",
	};
	uint32_t value;

	if (linux_read(l, "spectre_v2_enabled", &value, sizeof(value)) ||
	    value >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[value];
}

/* --- integrity checkers --- */

static bool is_checker(const char *name)
{
	return !strcmp(name, "lkrg") || !strcmp(name, "p_lkrg");
}

/* The list is the guest's: bounded, and an end that never comes is an end. */
static int check_modules(struct linux_guest *l, struct error *err)
{
	gva_t head = linux_address(l, "modules");
	struct target *t = l->guest.target;
	char name[MODULE_NAME_LEN + 1] = "";
	uint64_t node;

	if (!head) /* no modules at all */
		return 0;
	if (t->ops->read(t, head, &node, sizeof(node)))
		return refuse(err, "the guest's list of modules cannot be read");
	for (l->info.modules = 0; node != head; l->info.modules++) {
		if (l->info.modules == MODULES_MAX ||
		    t->ops->read(t, node + MODULE_NAME, name, MODULE_NAME_LEN))
			return refuse(err, "the guest's list of modules has no end");
		if (is_checker(name))
			return refuse(err, "the guest runs the integrity checker LKRG, which would "
					   "take changed text for an attack");
		if (t->ops->read(t, node, &node, sizeof(node)))
			return refuse(err, "the guest's list of modules has no end");
	}
	return 0;
}

/* --- thunks --- */

static bool is_return_thunk(const struct linux_guest *l, gva_t to)
{
	uint64_t offset;
	const char *name = kernel_symbol_at(l->k, to - l->info.offset, &offset);

	return name && !offset && strstr(name, "return_thunk") && !strstr(name, "call_depth");
}

static int check_thunk(struct linux_guest *l, enum hotrail_reg reg, gva_t at, struct error *err)
{
	struct target *t = l->guest.target;
	uint8_t bytes[THUNK_MAX_BYTES];
	char text[128], name[64];
	gva_t returns;

	l->guest.ops->symbol(&l->guest, at, name, sizeof(name));
	if (t->ops->read(t, at, bytes, sizeof(bytes)))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
				 "cannot read the thunk %s from the guest", name);
	switch (thunk_classify(bytes, sizeof(bytes), at, reg, &returns)) {
	case THUNK_RETPOLINE:
		if (!returns || is_return_thunk(l, returns))
			return 0;
		break;
	case THUNK_FENCE:
	case THUNK_JUMP:
		snprintf(text, sizeof(text), "the thunk %s is not a retpoline", name);
		return nothing_to_gain(l, err, text);
	case THUNK_UNKNOWN:
		break;
	}
	snprintf(text, sizeof(text), "the thunk %s holds code of an unknown form", name);
	return refuse(err, text);
}

int linux_check_thunks(struct linux_guest *l, struct error *err)
{
	unsigned reg;
	int ret = 0;

	for (reg = 0; !ret && reg < HOTRAIL_REGS; reg++)
		if (l->k->thunks[reg])
			ret = check_thunk(l, reg, l->k->thunks[reg] + l->info.offset, err);
	return ret;
}

/* --- all of it --- */

static int check_sites(struct linux_guest *l, struct error *err)
{
	const struct linux_census *c = &l->info.census;

	if (c->depth)
		return refuse(err,
			      "the guest counts call depth (retbleed=stuff), which direct calls "
			      "past its thunks would upset");
	if (!c->total)
		return nothing_to_gain(l, err, "the kernel was built without retpolines");
	if (c->its)
		return nothing_to_gain(l, err, "sites lead to ITS thunks, which are no retpolines");
	/* Not one is left alone by boot: a single one that is would be the exception. */
	if (c->indirect + c->fence > c->kept)
		return nothing_to_gain(l, err,
				       c->fence > c->indirect
					       ? "sites are already `lfence; call *%reg`"
					       : "sites are already `call *%reg`");
	return 0;
}

int linux_judge(struct linux_guest *l, struct error *err)
{
	uint32_t cfi;
	int ret;

	l->info.mitigation = mitigation(l);
	ret = check_sites(l, err);
	if (!ret && !linux_read(l, "cfi_mode", &cfi, sizeof(cfi)) && cfi == CFI_FINEIBT)
		ret = refuse(err, "the guest checks call targets with FineIBT");
	if (!ret)
		ret = check_modules(l, err);
	return ret;
}
