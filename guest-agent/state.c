// SPDX-License-Identifier: GPL-2.0-only
/* What an administrator can read: /sys/class/misc/hotrail and, in debugfs, every site. */
#include "pairs.h"

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/seq_file.h>
#include <linux/sysfs.h>

static const char *state(void)
{
	if (refusals())
		return "refusing";
	return host.present ? "serving" : "waiting";
}

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", state());
}
static DEVICE_ATTR_RO(state);

/* One number each, read under the lock. */
#define NUMBER(name, format, value)                                                                \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)   \
	{                                                                                          \
		ssize_t n;                                                                         \
                                                                                                   \
		mutex_lock(&hotrail_lock);                                                         \
		n = sysfs_emit(buf, format "\n", value);                                           \
		mutex_unlock(&hotrail_lock);                                                       \
		return n;                                                                          \
	}                                                                                          \
	static DEVICE_ATTR_RO(name)

NUMBER(promotions, "%u", sites_promoted());
NUMBER(pairs, "%u", pairs_led());
NUMBER(undone, "%u", counts.undone);
NUMBER(conflicts, "%u", counts.conflicts);
NUMBER(busy, "%u", counts.busy);
NUMBER(rounds, "%u", counts.rounds);
NUMBER(messages, "%llu", host.messages);
NUMBER(bad_messages, "%llu", host.bad);
NUMBER(lease_ms, "%u", host.lease_ms);
NUMBER(arena_bytes, "%u", arena_used());
NUMBER(features, "0x%x", kernel.features);
NUMBER(refusals, "0x%x", refusals());

static struct attribute *attributes[] = {
	&dev_attr_state.attr,	     &dev_attr_promotions.attr,
	&dev_attr_pairs.attr,	     &dev_attr_undone.attr,
	&dev_attr_conflicts.attr,    &dev_attr_busy.attr,
	&dev_attr_rounds.attr,	     &dev_attr_messages.attr,
	&dev_attr_bad_messages.attr, &dev_attr_lease_ms.attr,
	&dev_attr_arena_bytes.attr,  &dev_attr_features.attr,
	&dev_attr_refusals.attr,     NULL,
};

static const struct attribute_group group = {.attrs = attributes};
const struct attribute_group *state_groups[] = {&group, NULL};

static struct dentry *folder;

static int sites_show(struct seq_file *m, void *unused)
{
	struct site *s;

	mutex_lock(&hotrail_lock);
	for (s = site_first(); s; s = site_next(s))
		seq_printf(m, "%lx %pS %s %*phN was %*phN%s\n", s->addr, (void *)s->addr,
			   site_promoted(s) ? "promoted" : "original", s->len, s->now, s->len,
			   s->orig, s->seen ? " probed" : "");
	mutex_unlock(&hotrail_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sites);

void state_init(void)
{
	folder = debugfs_create_dir("hotrail", NULL);
	debugfs_create_file("sites", 0400, folder, NULL, &sites_fops);
}

void state_exit(void)
{
	debugfs_remove_recursive(folder);
}
