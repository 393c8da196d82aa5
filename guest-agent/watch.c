// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the agent does unasked: compare the promoted sites every second, notice that the host is
 * gone, and stand still when the kernel panics.
 */
#include "pairs.h"

#include <linux/jiffies.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>

struct counts counts;
struct workqueue_struct *hotrail_queue;

static u32 lease_ms, lease_policy;
static unsigned long heard; /* jiffies */

static void lease_over(struct work_struct *work);
static void sweep(struct work_struct *work);
static DECLARE_DELAYED_WORK(lease_work, lease_over);
static DECLARE_DELAYED_WORK(sweep_work, sweep);

static void plan_lease(void)
{
	unsigned long due = heard + msecs_to_jiffies(lease_ms);

	if (lease_ms)
		mod_delayed_work(hotrail_queue, &lease_work,
				 time_after(due, jiffies) ? due - jiffies : 0);
}

void watch_lease(u32 ms, u32 policy)
{
	lease_ms = lease_override_ms ? lease_override_ms : ms;
	lease_policy = policy;
	heard = jiffies;
	host.lease_ms = lease_ms;
	host.policy = policy;
	if (lease_ms)
		plan_lease();
	else
		cancel_delayed_work(&lease_work);
}

void watch_heard(void)
{
	heard = jiffies;
}

u32 restore_everything(u32 *left)
{
	u32 pairs_left, pairs = pairs_restore(&pairs_left);
	u32 undone = pairs + sites_restore(NULL, NULL, left);

	*left += pairs_left;
	return undone;
}

u32 restore_all(const char *why, u32 *left)
{
	u32 undone = restore_everything(left);

	counts.undone += undone;
	if (undone)
		pr_info("%s: %u sites and pairs led back to their original bytes\n", why, undone);
	if (*left)
		pr_warn("%s: %u sites and pairs are probed and stay for now\n", why, *left);
	return undone;
}

static void lease_over(struct work_struct *work)
{
	u32 left;

	mutex_lock(&hotrail_lock);
	if (!host.present || !lease_ms) {
		/* said goodbye already, or has no lease */
	} else if (time_before(jiffies, heard + msecs_to_jiffies(lease_ms))) {
		plan_lease();
	} else if (device_pending()) {
		queue_delayed_work(hotrail_queue, &lease_work, HZ / 10); /* behind it */
	} else {
		pr_warn("no word from the host for %u ms: %s\n", lease_ms,
			lease_policy == AGENT_LOST_RESTORE
				? "its promotions are undone"
				: "its promotions stay, as its policy says");
		dispatch_host_lost();
		device_reset();
		if (lease_policy == AGENT_LOST_RESTORE)
			restore_all("host lost", &left);
	}
	mutex_unlock(&hotrail_lock);
}

/* Bytes that are neither ours nor a probe's: no longer our site. Where they still lead into the
 * arena it has to be led back before the arena goes. */
static void give_up(struct site *s, const u8 *have)
{
	event_conflict(s, have, AGENT_CONFLICT_GIVEN_UP);
	pr_warn("%pS holds foreign bytes: no longer a promotion of ours\n", (void *)s->addr);
	counts.conflicts++;
	if (have[s->len - 5] == s->orig[s->len - 5] &&
	    arena_contains(site_target(s->addr, have, s->len)))
		site_set(s, have);
	else
		site_forget(s);
}

static void lead_back(struct site *s)
{
	struct poke_job j = {.site = s, .addr = s->addr, .len = s->len};
	u64 ns = 0;

	memcpy(j.old, s->now, s->len);
	memcpy(j.want, s->orig, s->len);
	poke_run(&j, 1, &counts.rounds, &ns);
	if (j.status != AGENT_OK)
		return; /* tried again at the next sweep */
	counts.undone++;
	event_conflict(s, j.want, AGENT_CONFLICT_DEMOTED);
	pr_info("%pS led back: the probe there is gone\n", (void *)s->addr);
}

static void look_at(struct site *s)
{
	u8 have[AGENT_SITE_BYTES];

	if (!poke_read(s->addr, have, s->len))
		return;
	if (have[0] == 0xcc || have[s->len - 5] == 0xcc) {
		counts.busy++;
		if (s->seen)
			return;
		s->seen = true;
		counts.conflicts++;
		event_conflict(s, have, AGENT_CONFLICT_SEEN);
		pr_info("%pS is probed: led back when the probe is gone\n", (void *)s->addr);
	} else if (memcmp(have, s->now, s->len)) {
		give_up(s, have);
	} else if (s->seen) {
		counts.busy++;
		lead_back(s);
	}
}

static void sweep(struct work_struct *work)
{
	struct site *s, *next;

	mutex_lock(&hotrail_lock);
	counts.busy = 0;
	for (s = site_first(); s; s = next) {
		next = site_next(s);
		if (site_promoted(s))
			look_at(s);
	}
	pairs_retry();
	mutex_unlock(&hotrail_lock);
	if (conflict_ms)
		queue_delayed_work(hotrail_queue, &sweep_work, msecs_to_jiffies(conflict_ms));
}

/* Other CPUs are stopped, locks may be held by them: text can no longer be changed. All that is
 * left is to say so, for whoever reads the crash. */
static int panicked(struct notifier_block *nb, unsigned long what, void *ctx)
{
	pr_emerg("%u promoted sites are in place\n", sites_promoted());
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {.notifier_call = panicked};

int watch_init(void)
{
	hotrail_queue = alloc_ordered_workqueue("hotrail", WQ_MEM_RECLAIM);
	if (!hotrail_queue)
		return -ENOMEM;
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	if (conflict_ms)
		queue_delayed_work(hotrail_queue, &sweep_work, msecs_to_jiffies(conflict_ms));
	return 0;
}

void watch_exit(void)
{
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_block);
	cancel_delayed_work_sync(&lease_work);
	cancel_delayed_work_sync(&sweep_work);
	destroy_workqueue(hotrail_queue);
}
