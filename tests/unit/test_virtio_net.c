// SPDX-License-Identifier: GPL-2.0-only
/* The network device over a socket pair that stands for the tap; what tap_open() refuses. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/tap.h"
#include "virtio_driver.h"

#define HEADER sizeof(struct virtio_net_hdr_v1)

enum { RX, TX };

static struct ram ram;
static struct driver d;
static int wire = -1; /* our end */
static unsigned destroyed;

static ssize_t pair_receive(void *ctx, void *buf, size_t len)
{
	ssize_t n = recv(*(int *)ctx, buf, len, MSG_DONTWAIT);

	return n > 0 ? n : n == 0 ? -EIO : -errno;
}

static int pair_send(void *ctx, const struct iovec *iov, int n)
{
	const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov,
				 .msg_iovlen = (size_t)n};

	return sendmsg(*(int *)ctx, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void pair_destroy(void *ctx)
{
	close(*(int *)ctx);
	destroyed++;
}

static const struct packet_ops pair_ops = {"pair", pair_receive, pair_send, pair_destroy};

static void up(const uint8_t mac[6])
{
	static int end;
	struct virtio_host host = driver_host(&ram);
	struct packet_backend backend = {&pair_ops, &end, -1};
	struct virtio *v = NULL;
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	wire = fds[0];
	end = backend.poll_fd = fds[1];
	CU_ASSERT_EQUAL_FATAL(virtio_net_create(&backend, mac, &host, &v, NULL), 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, driver_offered(v)));
}

static void down(void)
{
	unsigned before = destroyed;

	virtio_destroy(d.v);
	CU_ASSERT_EQUAL(destroyed, before + 1);
	if (wire >= 0)
		close(wire);
}

static uint64_t dropped(void)
{
	struct virtio_counters c;

	virtio_get_counters(d.v, &c);
	return c.dropped;
}

static ssize_t from_wire(void *buf, size_t len, int timeout_ms)
{
	struct pollfd p = {.fd = wire, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1 ? recv(wire, buf, len, MSG_DONTWAIT) : -1;
}

static void test_mac(void)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3}, none[6];
	uint64_t value = 0;

	up(mac);
	virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 8, false, &value);
	CU_ASSERT_EQUAL(memcmp(&value, mac, 6), 0);
	CU_ASSERT_EQUAL(value >> 48, VIRTIO_NET_S_LINK_UP);
	down();
	up(none); /* one is made up: local, not a group */
	virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 8, false, &value);
	CU_ASSERT(memcmp(&value, none, 6) && (value & 3) == 2);
	down();
}

static void test_transmit(void)
{
	static const uint8_t none[6];
	const struct part p[] = {{DATA_GPA(0), HEADER, false},
				 {DATA_GPA(0x1000), 40, false},
				 {DATA_GPA(0x2000), 60, false}};
	const struct part one[] = {{DATA_GPA(0x3000), HEADER + 60, false}};
	const struct part tiny[] = {{DATA_GPA(0x3000), HEADER + 13, false}};
	uint8_t buf[2000];

	up(none);
	memset(DATA(&d, 0), 0, HEADER);
	memset(DATA(&d, 0x1000), 'a', 40);
	memset(DATA(&d, 0x2000), 'b', 60);
	CU_ASSERT_EQUAL(driver_request(&d, TX, p, 3), 0);
	CU_ASSERT_EQUAL(from_wire(buf, sizeof(buf), 5000), 100);
	CU_ASSERT(buf[0] == 'a' && buf[39] == 'a' && buf[40] == 'b' && buf[99] == 'b');
	CU_ASSERT_EQUAL(driver_request(&d, TX, one, 1), 0);
	CU_ASSERT_EQUAL(from_wire(buf, sizeof(buf), 5000), 60);
	CU_ASSERT_EQUAL(driver_request(&d, TX, tiny, 1), 0); /* no Ethernet frame */
	CU_ASSERT_EQUAL(from_wire(buf, sizeof(buf), 30), -1);
	CU_ASSERT_EQUAL(dropped(), 1);
	down();
}

static void test_receive(void)
{
	static const uint8_t none[6];
	const struct part p[] = {{DATA_GPA(0), HEADER, true}, {DATA_GPA(0x1000), 1518, true}};
	struct virtio_net_hdr_v1 h;
	uint8_t frame[1514];

	up(none);
	memset(frame, 'f', sizeof(frame));
	CU_ASSERT_EQUAL(send(wire, frame, sizeof(frame), 0), sizeof(frame)); /* before any buffer */
	clock_sleep_ms(20);
	memset(DATA(&d, 0), 0xff, HEADER);
	CU_ASSERT_EQUAL(driver_request(&d, RX, p, 2), HEADER + sizeof(frame));
	memcpy(&h, DATA(&d, 0), sizeof(h));
	CU_ASSERT(h.num_buffers == 1 && h.flags == 0 && h.gso_type == 0);
	CU_ASSERT_EQUAL(memcmp(DATA(&d, 0x1000), frame, sizeof(frame)), 0);
	ring_add(&d.ring[RX], p, 2); /* and with the buffer waiting */
	driver_kick(&d, RX);
	clock_sleep_ms(20);
	CU_ASSERT_EQUAL(send(wire, frame, 60, 0), 60);
	CU_ASSERT_EQUAL(driver_take(&d, RX, NULL), HEADER + 60);
	down();
}

static void test_receive_refusals(void)
{
	static const uint8_t none[6];
	const struct part small[] = {{DATA_GPA(0), 64, true}}, wrong[] = {{DATA_GPA(0), 64, false}};
	uint8_t frame[100] = {0};

	up(none);
	ring_add(&d.ring[RX], small, 1);
	driver_kick(&d, RX);
	CU_ASSERT_EQUAL(send(wire, frame, sizeof(frame), 0), sizeof(frame));
	CU_ASSERT_EQUAL(driver_take(&d, RX, NULL), 0); /* does not fit */
	CU_ASSERT_EQUAL(dropped(), 1);
	ring_add(&d.ring[RX], wrong, 1);
	driver_kick(&d, RX);
	CU_ASSERT_EQUAL(send(wire, frame, sizeof(frame), 0), sizeof(frame));
	CU_ASSERT_TRUE(driver_broken(&d));
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, d.v, F_VERSION_1));
	ring_add(&d.ring[TX], (const struct part[]){{DATA_GPA(0), HEADER, false}}, 1);
	driver_kick(&d, TX);
	CU_ASSERT_TRUE(driver_broken(&d)); /* a header and nothing behind it */
	down();
}

/* The other end goes away: sending loses frames, nothing spins, nothing hangs. */
static void test_peer_gone(void)
{
	static const uint8_t none[6];
	const struct part p[] = {{DATA_GPA(0), HEADER + 60, false}};

	up(none);
	close(wire);
	wire = -1;
	clock_sleep_ms(20);
	CU_ASSERT_EQUAL(driver_request(&d, TX, p, 1), 0);
	CU_ASSERT_EQUAL(dropped(), 1);
	down();
}

static void tap_refused(const char *name, enum hotrail_exit exit_code, const char *word)
{
	struct packet_backend b;
	struct error err = {0};

	CU_ASSERT(tap_open(name, &b, &err) < 0);
	CU_ASSERT_EQUAL(err.exit_code, exit_code);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, word));
}

static void test_tap_refusals(void)
{
	tap_refused("", HOTRAIL_EXIT_USAGE, "name");
	tap_refused("tap%d", HOTRAIL_EXIT_USAGE, "name");
	tap_refused("a-name-that-is-too-long", HOTRAIL_EXIT_USAGE, "name");
	tap_refused("hotrail-none", HOTRAIL_EXIT_USAGE, "ip tuntap add");
}

/* A tap of a network namespace of our own: 0 when there cannot be one here. */
static bool make_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, ret;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	strcpy(request.ifr_name, name);
	ret = fd < 0 || ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETPERSIST, 1);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = IFF_UP;
	ret = ret || ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
	return !ret;
}

static void test_tap(void)
{
	uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6};
	struct iovec iov[2] = {{frame, 20}, {frame + 20, 40}};
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	struct packet_backend b;
	struct error err = {0};
	uint8_t buf[2000];
	unsigned i;
	ssize_t n;
	int fd;

	if (!make_tap("hotrail-t0")) {
		printf("no tap can be made here\n");
		return;
	}
	CU_ASSERT_EQUAL_FATAL(tap_open("hotrail-t0", &b, &err), 0);
	tap_refused("hotrail-t0", HOTRAIL_EXIT_BUSY, "in use");
	tap_refused("lo", HOTRAIL_EXIT_USAGE, "not a tap");
	CU_ASSERT_EQUAL(b.ops->send(b.ctx, iov, 2), 0);
	iov[0].iov_len = 5;
	CU_ASSERT(b.ops->send(b.ctx, iov, 1) < 0); /* too short for a frame */
	while (b.ops->receive(b.ctx, buf, sizeof(buf)) > 0)
		; /* what the host says by itself on a new interface */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	to.sll_ifindex = (int)if_nametoindex("hotrail-t0");
	frame[59] = 0x99;
	for (i = 0; i < 500; i++) {
		/* A new interface may drop frames until its queue is up, and the host has things to
		 * say. */
		if (i % 50 == 0)
			CU_ASSERT_EQUAL(
				sendto(fd, frame, sizeof(frame), 0, (void *)&to, sizeof(to)), 60);
		n = b.ops->receive(b.ctx, buf, sizeof(buf));
		if (n == 60 && buf[59] == 0x99)
			break;
		if (n <= 0)
			usleep(10000);
	}
	CU_ASSERT(i < 500);
	close(fd);
	b.ops->destroy(b.ctx);
}

static const struct suite_test tests[] = {
	{"address", test_mac},
	{"frames from the guest", test_transmit},
	{"frames to the guest", test_receive},
	{"buffers that do not do", test_receive_refusals},
	{"the peer goes away", test_peer_gone},
	{"taps that cannot be", test_tap_refusals},
	{"a tap", test_tap}, /* last: it leaves the network namespace */
};
SUITE_MAIN("virtio_net", tests, 60)
