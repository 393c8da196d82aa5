// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/hotrail: the relay writes what the host sends, a stream cut anywhere, and reads whole
 * frames. One relay at a time. What arrives is handled by the workqueue, so that a grace
 * period keeps nobody from closing the device. Both directions are bounded: a writer waits
 * while requests are waiting, and events without a reader are dropped.
 */
#include "hotrail.h"

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define INCOMING_MAX (4 * WIRE_MAX) /* bytes not handled yet */
#define OUTGOING_MAX 128	    /* frames */
#define REPLIES_MAX  64		    /* with so many waiting no request is taken */

static DEFINE_SPINLOCK(queue_lock); /* over what follows */
static LIST_HEAD(outgoing);
static u32 queued;
static bool opened, leaving;
static DECLARE_WAIT_QUEUE_HEAD(readable);
static DECLARE_WAIT_QUEUE_HEAD(writable);
static DECLARE_WAIT_QUEUE_HEAD(closed);

static DEFINE_MUTEX(in_lock); /* over incoming */
static u8 *incoming;
static u32 in_len;
static bool lost; /* the stream is; said so once until a frame is found again */
static u8 *buffer;
static u8 *frame; /* the one being handled, its payload aligned to 8; workqueue only */

static void handle(struct work_struct *work);
static DECLARE_WORK(work, handle);

struct outgoing *outgoing_new(u32 payload)
{
	struct outgoing *o;

	if (payload > AGENT_MAX_PAYLOAD)
		return NULL;
	o = kvmalloc(sizeof(*o) + sizeof(struct agent_header) + payload, GFP_KERNEL);
	return o;
}

void outgoing_send(struct outgoing *o, u16 type, u32 payload, u32 seq)
{
	bool taken;

	o->len = wire_seal(o->frame, type, payload, seq);
	spin_lock(&queue_lock);
	taken = opened && queued < OUTGOING_MAX;
	if (taken) {
		list_add_tail(&o->list, &outgoing);
		queued++;
	}
	spin_unlock(&queue_lock);
	if (taken)
		wake_up_interruptible(&readable);
	else
		kvfree(o);
}

/* Drops `n` bytes at the front. */
static void consume(u32 n)
{
	in_len -= n;
	memmove(incoming, incoming + n, in_len);
}

/* Where a frame could begin again. */
static u32 resync(void)
{
	const u32 magic = AGENT_MAGIC;
	u32 n;

	for (n = 1; n + sizeof(magic) <= in_len; n++)
		if (!memcmp(incoming + n, &magic, sizeof(magic)))
			return n;
	return in_len >= sizeof(magic) ? in_len - sizeof(magic) + 1 : in_len;
}

/* The next frame is copied to `frame`; false: there is none yet. */
static bool next_frame(enum wire_verdict *v)
{
	u32 used;

	mutex_lock(&in_lock);
	do {
		*v = wire_check(WIRE_AGENT, incoming, in_len, &used);
		if (*v == WIRE_BAD_MAGIC || *v == WIRE_BAD_LENGTH) {
			consume(resync());
			if (!lost)
				break;
		}
	} while (*v == WIRE_BAD_MAGIC || *v == WIRE_BAD_LENGTH);
	lost = *v == WIRE_BAD_MAGIC || *v == WIRE_BAD_LENGTH || (lost && *v == WIRE_SHORT);
	if (used) {
		memcpy(frame, incoming, used);
		consume(used);
	}
	mutex_unlock(&in_lock);
	return *v != WIRE_SHORT;
}

bool device_pending(void)
{
	enum wire_verdict v;
	u32 used;

	mutex_lock(&in_lock);
	v = wire_check(WIRE_AGENT, incoming, in_len, &used);
	mutex_unlock(&in_lock);
	return v != WIRE_SHORT;
}

void device_reset(void)
{
	mutex_lock(&in_lock);
	in_len = 0;
	lost = false;
	mutex_unlock(&in_lock);
}

static void handle(struct work_struct *w)
{
	enum wire_verdict v;

	while (READ_ONCE(queued) < REPLIES_MAX && next_frame(&v)) {
		wake_up_interruptible(&writable);
		if (v == WIRE_GOOD)
			dispatch_frame(frame);
		else
			dispatch_bad(frame, v);
	}
	wake_up_interruptible(&writable);
}

static int hotrail_open(struct inode *inode, struct file *file)
{
	bool busy;

	spin_lock(&queue_lock);
	busy = opened || leaving;
	opened = opened || !leaving;
	spin_unlock(&queue_lock);
	return busy ? -EBUSY : stream_open(inode, file);
}

static int hotrail_release(struct inode *inode, struct file *file)
{
	struct outgoing *o, *next;
	LIST_HEAD(dropped);

	spin_lock(&queue_lock);
	list_splice_init(&outgoing, &dropped);
	queued = 0;
	spin_unlock(&queue_lock);
	list_for_each_entry_safe(o, next, &dropped, list)
		kvfree(o);
	mutex_lock(&in_lock);
	in_len = 0;
	lost = false;
	mutex_unlock(&in_lock);
	spin_lock(&queue_lock);
	opened = false;
	spin_unlock(&queue_lock);
	wake_up(&closed);
	return 0;
}

static struct outgoing *take(size_t room, bool *too_long)
{
	struct outgoing *o;

	spin_lock(&queue_lock);
	o = list_first_entry_or_null(&outgoing, struct outgoing, list);
	*too_long = o && o->len > room;
	if (o && !*too_long) {
		list_del(&o->list);
		queued--;
	} else {
		o = NULL;
	}
	spin_unlock(&queue_lock);
	return o;
}

/* As many whole frames as fit; -EMSGSIZE when not even the first does. */
static ssize_t hotrail_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct outgoing *o;
	bool too_long;
	size_t done = 0;

	while (!(o = take(size, &too_long)) && !too_long) {
		if (READ_ONCE(leaving))
			return 0;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(readable, !list_empty(&outgoing) || leaving))
			return -ERESTARTSYS;
	}
	if (too_long)
		return -EMSGSIZE;
	for (; o; o = take(size - done, &too_long)) {
		bool failed = copy_to_user(buf + done, o->frame, o->len);

		done += failed ? 0 : o->len;
		kvfree(o);
		if (failed)
			return done ? done : -EFAULT;
	}
	queue_work(hotrail_queue, &work); /* requests may have waited for this */
	return done;
}

static u32 room(void)
{
	return INCOMING_MAX - READ_ONCE(in_len);
}

static ssize_t hotrail_write(struct file *file, const char __user *buf, size_t size, loff_t *pos)
{
	ssize_t n = 0;

	if (!size)
		return 0;
	while (!n) {
		if (READ_ONCE(leaving))
			return -EPIPE;
		if (!room() && file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(writable, room() || leaving))
			return -ERESTARTSYS;
		mutex_lock(&in_lock);
		n = min_t(size_t, size, room());
		if (n && copy_from_user(incoming + in_len, buf, n)) {
			mutex_unlock(&in_lock);
			return -EFAULT;
		}
		WRITE_ONCE(in_len, in_len + n);
		mutex_unlock(&in_lock);
	}
	queue_work(hotrail_queue, &work);
	return n;
}

static __poll_t hotrail_poll(struct file *file, poll_table *wait)
{
	__poll_t mask = 0;

	poll_wait(file, &readable, wait);
	poll_wait(file, &writable, wait);
	if (!list_empty(&outgoing))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (room())
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (READ_ONCE(leaving))
		mask |= EPOLLIN | EPOLLHUP;
	return mask;
}

/* No owner: an open device does not keep the module from leaving, device_finish() waits instead. */
static const struct file_operations operations = {
	.open = hotrail_open,
	.release = hotrail_release,
	.read = hotrail_read,
	.write = hotrail_write,
	.poll = hotrail_poll,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hotrail",
	.fops = &operations,
	.groups = state_groups,
	.mode = 0600,
};

int device_init(void)
{
	int r = -ENOMEM;

	incoming = kvmalloc(INCOMING_MAX, GFP_KERNEL);
	buffer = kvmalloc(WIRE_MAX + 4, GFP_KERNEL);
	frame = buffer + 4;
	if (incoming && buffer)
		r = misc_register(&device);
	if (r) {
		kvfree(incoming);
		kvfree(buffer);
	}
	return r;
}

void device_finish(void)
{
	WRITE_ONCE(leaving, true);
	wake_up_all(&readable);
	wake_up_all(&writable);
	misc_deregister(&device); /* no open() is under way behind this */
	while (!wait_event_timeout(closed, !READ_ONCE(opened), 10 * HZ))
		pr_info("waiting for the relay to close /dev/hotrail\n");
}

void device_exit(void)
{
	cancel_work_sync(&work);
	kvfree(incoming);
	kvfree(buffer);
}
