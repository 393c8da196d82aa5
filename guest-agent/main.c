// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-guest agent of Hotrail: a host that watches which retpoline calls this kernel really
 * makes asks for them to be made direct. The host decides, this module checks and does it.
 */
#include "hotrail.h"

#include <linux/cpufeature.h>
#include <linux/delay.h>
#include <linux/rcupdate.h>
#include <linux/security.h>

DEFINE_MUTEX(hotrail_lock);

static bool disable;
unsigned int force_fallback;
unsigned int conflict_ms = 1000;
unsigned int lease_override_ms;

module_param(force_fallback, uint, 0444);
MODULE_PARM_DESC(force_fallback, "for tests: 1 = one site at a time, 2 = as without symbols");
module_param(conflict_ms, uint, 0444);
MODULE_PARM_DESC(conflict_ms, "how often promoted sites are compared (1000; 0 = never)");
module_param_named(lease_ms, lease_override_ms, uint, 0644);
MODULE_PARM_DESC(lease_ms, "the host is lost after so long without a message (0 = as it asks)");

/* Loaded at a time when state is still being set up the parameter only sets the flag. */
static bool ready;

static int disable_set(const char *text, const struct kernel_param *kp)
{
	u32 left;
	int r = param_set_bool(text, kp);

	if (r || !ready || !disable)
		return r;
	mutex_lock(&hotrail_lock);
	restore_all("disabled", &left);
	mutex_unlock(&hotrail_lock);
	return 0;
}

static const struct kernel_param_ops disable_ops = {.set = disable_set, .get = param_get_bool};
module_param_cb(disable, &disable_ops, &disable, 0644);
MODULE_PARM_DESC(disable, "patch nothing; setting it undoes what is in place");

/* For as long as the kernel runs, and said in the log each time it is asked: asked no more then. */
static bool locked_down(void)
{
	static bool locked;

	if (!READ_ONCE(locked) && security_locked_down(LOCKDOWN_DBG_WRITE_KERNEL)) {
		WRITE_ONCE(locked, true);
		pr_info("the kernel is locked down: nothing more will be changed\n");
	}
	return locked;
}

u32 refusals(void)
{
	u32 r = disable ? AGENT_NO_DISABLED : 0;

	if (locked_down())
		r |= AGENT_NO_LOCKDOWN;
	if (kernel.fineibt)
		r |= AGENT_NO_FINEIBT;
#ifdef X86_FEATURE_CALL_DEPTH
	if (boot_cpu_has(X86_FEATURE_CALL_DEPTH))
		r |= AGENT_NO_CALL_DEPTH;
#endif
	if (!boot_cpu_has(X86_FEATURE_RETPOLINE) || boot_cpu_has(X86_FEATURE_RETPOLINE_LFENCE))
		r |= AGENT_NO_RETPOLINE;
	if (!symbols_can_poke())
		r |= AGENT_NO_POKE;
	return r;
}

static void greet(void)
{
	static const char *const why[] = {"it is disabled",
					  "the kernel is locked down",
					  "the kernel uses FineIBT",
					  "the kernel tracks call depth",
					  "this kernel's calls are no retpolines",
					  "this kernel offers no safe way to change its text"};
	u32 r = refusals();
	int i;

	pr_info("ready, %s\n", kernel.features & AGENT_CAN_BATCH
				       ? "sites are changed in batches"
				       : "sites are changed one at a time");
	for (i = 0; i < ARRAY_SIZE(why); i++)
		if (r & 1 << i)
			pr_info("nothing will be changed: %s\n", why[i]);
}

static int __init agent_init(void)
{
	int r;

	symbols_find();
	r = arena_init();
	if (r)
		return r;
	r = watch_init();
	if (r)
		goto out_arena;
	r = modules_init();
	if (r)
		goto out_watch;
	r = device_init();
	if (r)
		goto out_modules;
	state_init();
	ready = true;
	greet();
	return 0;

out_modules:
	modules_exit();
out_watch:
	watch_exit();
out_arena:
	arena_exit();
	return r;
}

/* A site with somebody's probe on it cannot be changed, and the probe holds a copy that leads into
 * the arena: the module has to stay until the probe is gone. */
static void put_back(void)
{
	u32 undone, left, tries = 0;

	mutex_lock(&hotrail_lock);
	undone = restore_all("unloading", &left);
	while (left) {
		if (tries++ % 50 == 0)
			pr_warn("unloading waits for the probes on %u promoted sites to go\n",
				left);
		mutex_unlock(&hotrail_lock);
		msleep(200);
		mutex_lock(&hotrail_lock);
		undone += sites_restore(NULL, NULL, &left);
	}
	event_bye(undone, left);
	dispatch_host_lost();
	mutex_unlock(&hotrail_lock);
}

static void __exit agent_exit(void)
{
	struct site *s;

	ready = false;
	disable = true; /* from now on sites can only be led back */
	put_back();
	device_finish();
	state_exit();
	modules_exit();
	device_exit();
	watch_exit();
	/* Whoever is still in a track, or on the way out of release(), goes first. */
	grace();
	while ((s = site_first()))
		site_forget(s);
	arena_exit();
	pr_info("gone\n");
}

module_init(agent_init);
module_exit(agent_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hotrail in-guest agent: makes hot retpoline calls direct, on the host's word");
MODULE_VERSION(HOTRAIL_VERSION);
