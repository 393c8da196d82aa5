// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modules that are alive and their text. A module that leaves is asked for first: its notifier call
 * waits for hotrail_lock, so no poke is under way in it, and its sites are led back before its
 * memory goes. So nothing needs to be pinned, and nobody's rmmod fails because of us.
 */
#include "pairs.h"

#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/version.h>

struct known {
	struct list_head list;
	struct module *mod;
	unsigned long text;
	u32 size, id;
	char name[AGENT_NAME];
};

static LIST_HEAD(modules_known);
static u32 last_id;

static void text_of(const struct module *mod, unsigned long *text, u32 *size)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	*text = (unsigned long)mod->mem[MOD_TEXT].base;
	*size = mod->mem[MOD_TEXT].size;
#else
	*text = (unsigned long)mod->core_layout.base;
	*size = mod->core_layout.text_size;
#endif
}

bool modules_text_of(const struct module *mod, unsigned long addr, u32 len)
{
	unsigned long text;
	u32 size;

	text_of(mod, &text, &size);
	return addr - text < size && size - (addr - text) >= len;
}

static struct known *find(const struct module *mod)
{
	struct known *k;

	list_for_each_entry(k, &modules_known, list)
		if (k->mod == mod)
			return k;
	return NULL;
}

static struct known *learn_of(struct module *mod, gfp_t gfp)
{
	struct known *k = find(mod);

	if (k)
		return k;
	k = kzalloc(sizeof(*k), gfp);
	if (!k) {
		pr_warn("no memory to follow module %s: its sites are left alone\n", mod->name);
		return NULL;
	}
	k->mod = mod;
	k->id = ++last_id;
	text_of(mod, &k->text, &k->size);
	strscpy(k->name, mod->name, sizeof(k->name));
	list_add_tail(&k->list, &modules_known);
	return k;
}

static void describe(const struct known *k, u32 state, u32 demoted, struct agent_module *out)
{
	memset(out, 0, sizeof(*out));
	out->text = k->text;
	out->text_size = k->size;
	out->state = state;
	out->demoted = demoted;
	out->id = k->id;
	memcpy(out->name, k->name, sizeof(out->name));
}

bool modules_own(unsigned long addr, u32 len)
{
	struct known *k;

	list_for_each_entry(k, &modules_known, list)
		if (addr - k->text < k->size && k->size - (addr - k->text) >= len)
			return k->mod != THIS_MODULE &&
			       READ_ONCE(k->mod->state) == MODULE_STATE_LIVE;
	return false;
}

u32 modules_list(u32 after, struct agent_module *out, u32 room, u32 *filled)
{
	struct known *k;
	u32 total = 0;

	*filled = 0;
	list_for_each_entry(k, &modules_known, list) {
		if (k->mod == THIS_MODULE || k->id <= after)
			continue;
		total++;
		if (*filled < room)
			describe(k, AGENT_MODULE_LIVE, 0, &out[(*filled)++]);
	}
	return total;
}

static bool concerns(const struct site *s, const void *ctx)
{
	const struct known *k = ctx;
	struct block_view view;
	u32 i;

	if (s->addr - k->text < k->size)
		return true;
	if (!arena_block(site_target(s->addr, s->now, s->len), &view))
		return false;
	for (i = 0; i < view.ntargets; i++)
		if (view.target[i] - k->text < k->size)
			return true;
	return false;
}

static void leaves(struct known *k)
{
	struct agent_module m;
	struct site *s, *next;
	u32 left, demoted = sites_restore(concerns, k, &left);

	counts.undone += demoted;
	for (s = site_first(); s; s = next) {
		next = site_next(s);
		if (s->addr - k->text < k->size)
			site_forget(s);
	}
	if (demoted)
		pr_info("module %s leaves: %u sites led back first\n", k->name, demoted);
	describe(k, AGENT_MODULE_GOING, demoted, &m);
	event_module(&m);
	list_del(&k->list);
	kfree(k);
}

static int notified(struct notifier_block *nb, unsigned long what, void *ctx)
{
	struct module *mod = ctx;
	struct agent_module m;
	struct known *k;

	if (mod == THIS_MODULE)
		return NOTIFY_DONE;
	mutex_lock(&hotrail_lock);
	if (what == MODULE_STATE_LIVE) {
		k = learn_of(mod, GFP_KERNEL);
		if (k) {
			describe(k, AGENT_MODULE_LIVE, 0, &m);
			event_module(&m);
		}
	} else if (what == MODULE_STATE_GOING) {
		pairs_module_leaves(mod);
		k = find(mod);
		if (k)
			leaves(k);
	}
	mutex_unlock(&hotrail_lock);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = {.notifier_call = notified};

/*
 * Those that are there already. The list's head is not exported, but the list is a ring and this
 * module is on it; the head is the one entry that does not lie among modules.
 */
static void find_all(void)
{
	struct list_head *at;

	preempt_disable();
	for (at = READ_ONCE(THIS_MODULE->list.next); at != &THIS_MODULE->list;
	     at = READ_ONCE(at->next)) {
		struct module *mod = list_entry(at, struct module, list);

		if ((unsigned long)at < MODULES_VADDR || (unsigned long)at >= MODULES_END)
			continue;
		if (READ_ONCE(mod->state) == MODULE_STATE_LIVE)
			learn_of(mod, GFP_ATOMIC);
	}
	preempt_enable();
}

int modules_init(void)
{
	int r = register_module_notifier(&notifier);

	if (r)
		return r;
	mutex_lock(&hotrail_lock);
	find_all();
	mutex_unlock(&hotrail_lock);
	return 0;
}

void modules_exit(void)
{
	struct known *k, *next;

	unregister_module_notifier(&notifier);
	list_for_each_entry_safe(k, next, &modules_known, list) {
		list_del(&k->list);
		kfree(k);
	}
}
