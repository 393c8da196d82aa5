// SPDX-License-Identifier: GPL-2.0-only
/* Tap back end: frames to and from an interface of the host, without offloads. */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#define TUN_DEVICE "/dev/net/tun"

/* The context is the descriptor itself: there is nothing else to remember. */
static int tap_fd(void *ctx)
{
	return (int)(intptr_t)ctx;
}

static ssize_t tap_receive(void *ctx, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(tap_fd(ctx), buf, len);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	return n < 0 ? -errno : -EIO;
}

static int tap_send(void *ctx, const struct iovec *iov, int n)
{
	ssize_t ret;

	do
		ret = writev(tap_fd(ctx), iov, n);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static void tap_destroy(void *ctx)
{
	close(tap_fd(ctx));
}

static const struct packet_ops tap_ops = {
	.name = "tap",
	.receive = tap_receive,
	.send = tap_send,
	.destroy = tap_destroy,
};

/* The driver reads "%d" in a name as "choose a number". */
static bool name_is_sane(const char *name)
{
	return *name && strlen(name) < IFNAMSIZ && !strpbrk(name, "%/ \t\n");
}

static int explain_attach(const char *name, struct error *err)
{
	switch (errno) {
	case EBUSY:
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "tap %s is in use by another guest", name);
	case EPERM:
	case EACCES:
		return error_set(err, HOTRAIL_EXIT_PERMISSION, -EPERM,
				 "tap %s belongs to another user; as root: ip tuntap add dev %s "
				 "mode tap user $USER",
				 name, name);
	case EINVAL:
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%s is not a tap interface, or one with several queues", name);
	}
	return error_errno(err, "cannot use tap %s", name);
}

static int explain_open(const char *name, struct error *err)
{
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -errno,
				 "tap %s: this host has no " TUN_DEVICE "; modprobe tun", name);
	return error_errno(err, "tap %s: cannot open " TUN_DEVICE, name);
}

int tap_open(const char *name, struct packet_backend *out, struct error *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, ret;

	if (!name_is_sane(name))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "'%.40s' cannot be the name of an interface", name);
	if (!if_nametoindex(name))
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENODEV,
				 "there is no interface %s; as root: ip tuntap add dev %s mode tap "
				 "user $USER && ip link set %s up",
				 name, name, name);
	fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return explain_open(name, err);
	memcpy(request.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &request)) {
		ret = explain_attach(name, err);
		close(fd);
		return ret;
	}
	*out = (struct packet_backend){&tap_ops, (void *)(intptr_t)fd, fd};
	return 0;
}
