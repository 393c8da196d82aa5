// SPDX-License-Identifier: GPL-2.0-only
/* The console device: port 0 over pipes, named ports over the control queues. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <sys/socket.h>

#include "virtio_driver.h"

enum { RX, TX, CONTROL_RX, CONTROL_TX, RX1, TX1 };

static struct ram ram;
static struct driver d;
static int to_guest[2], from_guest[2], named[2];

static void up(unsigned ports)
{
	struct virtio_host host = driver_host(&ram);
	struct virtio_console_options o = {.ports = ports, .columns = 80, .rows = 24};
	struct virtio *v = NULL;

	CU_ASSERT_EQUAL_FATAL(pipe(to_guest) | pipe(from_guest), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, named), 0);
	o.port[0] = (struct virtio_console_port){NULL, to_guest[0], from_guest[1]};
	o.port[1] = (struct virtio_console_port){"hotrail.agent", named[1], named[1]};
	CU_ASSERT_EQUAL_FATAL(virtio_console_create(&o, &host, &v, NULL), 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, driver_offered(v)));
}

static void down(void)
{
	unsigned i;

	virtio_destroy(d.v);
	for (i = 0; i < 2; i++) {
		close(to_guest[i]);
		close(from_guest[i]);
		close(named[i]);
	}
}

static bool arrives(int fd, const char *text)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t done = 0, len = strlen(text);
	char buf[256];
	ssize_t n;

	while (done < len && poll(&p, 1, 5000) == 1) {
		n = read(fd, buf + done, len - done);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return done == len && !memcmp(buf, text, len);
}

static int64_t say(unsigned queue, const char *text)
{
	const struct part p = {DATA_GPA(0), (uint32_t)strlen(text), false};

	memcpy(DATA(&d, 0), text, strlen(text));
	return driver_request(&d, queue, &p, 1);
}

static void test_port_0(void)
{
	const struct part p = {DATA_GPA(0x1000), 64, true};

	up(1);
	CU_ASSERT_EQUAL(virtio_queues(d.v), 2);
	CU_ASSERT_EQUAL(say(TX, "hello host"), 0);
	CU_ASSERT_TRUE(arrives(from_guest[0], "hello host"));
	CU_ASSERT_EQUAL(write(to_guest[1], "hello guest", 11), 11); /* before there is a buffer */
	clock_sleep_ms(20);
	CU_ASSERT_EQUAL(driver_request(&d, RX, &p, 1), 11);
	CU_ASSERT_EQUAL(memcmp(DATA(&d, 0x1000), "hello guest", 11), 0);
	ring_add(&d.ring[RX], &p, 1);
	driver_kick(&d, RX);
	CU_ASSERT_EQUAL(write(to_guest[1], "x", 1), 1);
	CU_ASSERT_EQUAL(driver_take(&d, RX, NULL), 1);
	close(to_guest[1]); /* end of input: no more, and no spinning */
	to_guest[1] = -1;
	CU_ASSERT_EQUAL(say(TX, "still here"), 0);
	CU_ASSERT_TRUE(arrives(from_guest[0], "still here"));
	down();
}

static void test_resize(void)
{
	uint64_t value = 0;
	uint32_t generation;

	up(1);
	virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 4, false, &value);
	CU_ASSERT_EQUAL(value, 80 | 24 << 16);
	generation = reg_read(d.v, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_console_resize(d.v, 132, 50);
	CU_ASSERT_EQUAL(driver_interrupt(&d, 1000), VIRTIO_MMIO_INT_CONFIG);
	virtio_mmio_access(d.v, VIRTIO_MMIO_CONFIG, 4, false, &value);
	CU_ASSERT_EQUAL(value, 132 | 50 << 16);
	CU_ASSERT_NOT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	down();
}

/* A reader that does not read holds the guest's text up, not the monitor: resets and teardown go.
 */
static void test_slow_reader(void)
{
	const struct part p = {DATA_GPA(0), 0x20000, false};

	up(1);
	memset(DATA(&d, 0), 's', 0x20000); /* twice a pipe's capacity */
	ring_add(&d.ring[TX], &p, 1);
	driver_kick(&d, TX);
	clock_sleep_ms(50);
	CU_ASSERT_EQUAL(ring_used(&d.ring[TX])->idx, 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, d.v, F_VERSION_1));
	ring_add(&d.ring[TX], &p, 1);
	driver_kick(&d, TX);
	clock_sleep_ms(20);
	close(from_guest[0]); /* nobody will read: the guest goes on without */
	from_guest[0] = -1;
	CU_ASSERT_EQUAL(driver_take(&d, TX, NULL), 0);
	CU_ASSERT_EQUAL(say(TX, "into the void"), 0);
	ring_add(&d.ring[TX], &p, 1);
	down();
}

static void control(uint32_t id, uint16_t event, uint16_t value)
{
	const struct part p = {DATA_GPA(0x2000), sizeof(struct virtio_console_control), false};
	struct virtio_console_control m = {id, event, value};

	memcpy(DATA(&d, 0x2000), &m, sizeof(m));
	CU_ASSERT_EQUAL(driver_request(&d, CONTROL_TX, &p, 1), 0);
}

static uint16_t told_value;

/* The next control message for us: its event, id and text. */
static unsigned told(uint32_t *id, char *text)
{
	const struct part p = {DATA_GPA(0x3000), 128, true};
	int64_t len = driver_request(&d, CONTROL_RX, &p, 1);
	struct virtio_console_control m;

	if (len < (int64_t)sizeof(m))
		return ~0u;
	memcpy(&m, DATA(&d, 0x3000), sizeof(m));
	*id = m.id;
	told_value = m.value;
	memcpy(text, DATA(&d, 0x3000 + sizeof(m)), (size_t)len - sizeof(m));
	text[(size_t)len - sizeof(m)] = '\0';
	return m.event;
}

static void test_named_port(void)
{
	const struct part p = {DATA_GPA(0x1000), 64, true};
	char text[128];
	uint32_t id = 99;

	up(2);
	CU_ASSERT_EQUAL(virtio_queues(d.v), 6);
	CU_ASSERT_EQUAL(reg_read(d.v, VIRTIO_MMIO_CONFIG + 4), 2);
	control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_ADD && id == 0);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_ADD && id == 1);
	control(0, VIRTIO_CONSOLE_PORT_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_CONSOLE_PORT && id == 0);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_OPEN && id == 0);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_NAME && id == 1);
	CU_ASSERT_STRING_EQUAL(text, "hotrail.agent");
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_OPEN && id == 1);
	CU_ASSERT_EQUAL(say(TX1, "agent to host"), 0);
	CU_ASSERT_TRUE(arrives(named[0], "agent to host"));
	ring_add(&d.ring[RX1], &p, 1);
	driver_kick(&d, RX1);
	CU_ASSERT_EQUAL(write(named[0], "ping", 4), 4);
	clock_sleep_ms(30); /* not open in the guest yet: it waits */
	CU_ASSERT_EQUAL(ring_used(&d.ring[RX1])->idx, 0);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	CU_ASSERT_EQUAL(driver_take(&d, RX1, NULL), 4);
	CU_ASSERT_EQUAL(memcmp(DATA(&d, 0x1000), "ping", 4), 0);
	down();
}

/* The other end of a port is closed: its reader is told, as it would be of a channel of libvirt. */
static void test_host_gone(void)
{
	char text[128];
	uint32_t id = 99;

	up(2);
	control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	told(&id, text);
	told(&id, text);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_NAME && id == 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_OPEN && told_value == 1);
	control(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	CU_ASSERT_EQUAL(say(TX1, "still there"), 0);
	CU_ASSERT_TRUE(arrives(named[0], "still there"));
	close(named[0]);
	named[0] = -1;
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_OPEN && id == 1 && told_value == 0);
	CU_ASSERT_EQUAL(say(TX1, "into the void"), 0); /* nobody waits for it */
	down();
}

/* A console that leads nowhere is not there; a port that leads nowhere is, and reads as closed. */
static void test_nobody_there(void)
{
	struct virtio_host host = driver_host(&ram);
	struct virtio_console_options o = {.ports = 3};
	struct virtio *v = NULL;
	char text[128];
	uint32_t id = 99;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, named), 0);
	o.port[0] = (struct virtio_console_port){NULL, -1, -1};
	o.port[1] = (struct virtio_console_port){"nobody", -1, -1};
	o.port[2] = (struct virtio_console_port){"somebody", named[1], named[1]};
	CU_ASSERT_EQUAL_FATAL(virtio_console_create(&o, &host, &v, NULL), 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, driver_offered(v)));
	control(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_ADD && id == 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_ADD && id == 2);
	control(1, VIRTIO_CONSOLE_PORT_READY, 1);
	control(2, VIRTIO_CONSOLE_PORT_READY, 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_NAME && id == 1);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_NAME && id == 2);
	CU_ASSERT(told(&id, text) == VIRTIO_CONSOLE_PORT_OPEN && id == 2 && told_value == 1);
	virtio_destroy(d.v);
	close(named[0]);
	close(named[1]);
}

static void test_control_nonsense(void)
{
	const struct part stub[] = {{DATA_GPA(0), 7, false}}, tiny[] = {{DATA_GPA(0), 4, true}};
	struct virtio_counters c;

	up(2);
	control(7, VIRTIO_CONSOLE_PORT_READY, 1); /* no such port */
	control(0xffffffff, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(0, 77, 1);
	virtio_get_counters(d.v, &c);
	CU_ASSERT(c.failed == 3 && c.broken == 0);
	ring_add(&d.ring[CONTROL_TX], stub, 1);
	driver_kick(&d, CONTROL_TX);
	CU_ASSERT_TRUE(driver_broken(&d));
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, d.v, driver_offered(d.v)));
	control(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	ring_add(&d.ring[CONTROL_RX], tiny, 1);
	driver_kick(&d, CONTROL_RX);
	CU_ASSERT_TRUE(driver_broken(&d));
	down();
}

static void test_options(void)
{
	struct virtio_host host = driver_host(&ram);
	struct virtio_console_options o = {.ports = 0};
	struct virtio *v = NULL;
	struct error err = {0};

	CU_ASSERT_EQUAL(virtio_console_create(&o, &host, &v, &err), -EINVAL);
	o.ports = VIRTIO_CONSOLE_PORTS + 1;
	CU_ASSERT_EQUAL(virtio_console_create(&o, &host, &v, &err), -EINVAL);
	o.ports = 2;
	CU_ASSERT_EQUAL(virtio_console_create(&o, &host, &v, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "name"));
	o.port[1].name = "a-name-that-is-longer-than-names-can-be";
	CU_ASSERT_EQUAL(virtio_console_create(&o, &host, &v, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(v);
}

static const struct suite_test tests[] = {
	{"port 0", test_port_0},
	{"resize", test_resize},
	{"a reader that does not read", test_slow_reader},
	{"a named port", test_named_port},
	{"a host that goes away", test_host_gone},
	{"nobody at the other end", test_nobody_there},
	{"control messages that make no sense", test_control_nonsense},
	{"options that cannot be", test_options},
};
SUITE_MAIN("virtio_console", tests, 60)
