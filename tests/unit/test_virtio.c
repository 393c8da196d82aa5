// SPDX-License-Identifier: GPL-2.0-only
/* The virtio-mmio register protocol, with the entropy device as the simplest one behind it. */
#include "suite.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <pthread.h>

#include "virtio_driver.h"

static struct ram ram;
static struct driver d;

static struct virtio *rng(void)
{
	struct virtio_host host = driver_host(&ram);
	struct virtio *v = NULL;
	struct error err;

	CU_ASSERT_EQUAL_FATAL(virtio_rng_create(&host, &v, &err), 0);
	return v;
}

static uint64_t misuse(struct virtio *v)
{
	struct virtio_counters c;

	virtio_get_counters(v, &c);
	return c.misuse;
}

static void test_identity(void)
{
	struct virtio *v = rng();

	CU_ASSERT_EQUAL(reg_read(v, 0), 0x74726976);
	CU_ASSERT_EQUAL(reg_read(v, 4), 2);
	CU_ASSERT_EQUAL(reg_read(v, 8), VIRTIO_ID_RNG);
	CU_ASSERT_EQUAL(reg_read(v, 0x70), 0);
	CU_ASSERT_EQUAL(reg_read(v, 0x34), VIRTQUEUE_SIZE_MAX);
	reg_write(v, VIRTIO_MMIO_QUEUE_SEL, 1); /* it has one queue */
	CU_ASSERT_EQUAL(reg_read(v, 0x34), 0);
	reg_write(v, VIRTIO_MMIO_QUEUE_SEL, 0xffffffff);
	CU_ASSERT_EQUAL(reg_read(v, 0x34), 0);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	CU_ASSERT_EQUAL(misuse(v), 0);
	CU_ASSERT_STRING_EQUAL(virtio_name(v), "rng");
	CU_ASSERT_EQUAL(virtio_queues(v), 1);
	virtio_destroy(v);
}

static void test_odd_accesses(void)
{
	struct virtio *v = rng();
	uint64_t value = 7;

	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0, 1, false, &value), 0);
	CU_ASSERT_EQUAL(value, 0);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 2, 4, false, &value), 0);
	CU_ASSERT_EQUAL(value, 0);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0, 8, false, &value), 0);
	value = 1;
	CU_ASSERT_EQUAL(virtio_mmio_access(v, VIRTIO_MMIO_STATUS, 1, true, &value), 0);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	reg_read(v, VIRTIO_MMIO_QUEUE_NOTIFY); /* write-only */
	reg_write(v, 0, 1);		       /* read-only */
	reg_write(v, 0xfc, 1);
	CU_ASSERT_EQUAL(misuse(v), 7);
	value = 7;
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0x100, 1, false, &value), 0); /* no config space */
	CU_ASSERT_EQUAL(value, 0);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0xffc, 4, false, &value), 0);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0xffe, 4, false, &value), -ENODEV);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0x1000, 4, false, &value), -ENODEV);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, UINT64_MAX, 4, false, &value), -ENODEV);
	CU_ASSERT_EQUAL(virtio_mmio_access(v, 0, 16, false, &value), -ENODEV);
	virtio_destroy(v);
}

static void test_features(void)
{
	struct virtio *v = rng();
	uint64_t offered = driver_offered(v);

	CU_ASSERT_EQUAL(offered, F_VERSION_1 | F_INDIRECT | F_EVENT_IDX);
	reg_write(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	CU_ASSERT_FALSE(driver_negotiate(v, 0)); /* a legacy driver */
	CU_ASSERT_FALSE(driver_negotiate(v, F_INDIRECT));
	CU_ASSERT_FALSE(driver_negotiate(v, F_VERSION_1 | 1));
	CU_ASSERT_FALSE(driver_negotiate(v, F_VERSION_1 | 1ull << 63));
	CU_ASSERT_TRUE(driver_negotiate(v, F_VERSION_1));
	CU_ASSERT_TRUE(driver_negotiate(v, offered));
	/* too late to change them: a later bit is not taken */
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(v, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), VIRTIO_CONFIG_S_ACKNOWLEDGE |
								 VIRTIO_CONFIG_S_DRIVER |
								 VIRTIO_CONFIG_S_FEATURES_OK);
	virtio_destroy(v);
}

static void test_status(void)
{
	struct virtio *v = rng();
	const uint32_t all = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	reg_write(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER); /* out of order */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	reg_write(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	reg_write(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_NEEDS_RESET); /* the device's to set */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	reg_write(v, VIRTIO_MMIO_STATUS, all);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), all);
	reg_write(v, VIRTIO_MMIO_STATUS, all | VIRTIO_CONFIG_S_DRIVER_OK); /* no features yet */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), all);
	reg_write(v, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE); /* bits do not go */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), all);
	CU_ASSERT_TRUE(driver_up(&d, &ram, v, F_VERSION_1));
	driver_status(v, VIRTIO_CONFIG_S_FAILED);
	CU_ASSERT(reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FAILED);
	reg_write(v, VIRTIO_MMIO_STATUS, 0);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	CU_ASSERT_EQUAL(misuse(v), 4);
	virtio_destroy(v);
}

static void test_queue_setup(void)
{
	struct virtio *v = rng();
	static const uint32_t sizes[] = {0, 3, 100, 512, 0x10000};
	unsigned i;

	reg_write(v, VIRTIO_MMIO_QUEUE_SEL, 0);
	reg_write(v, VIRTIO_MMIO_QUEUE_READY, 1); /* before the features */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 0);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CU_ASSERT_TRUE_FATAL(driver_negotiate(v, F_VERSION_1));
		driver_queue_at(v, 0, sizes[i], RAM_BASE);
		CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 0);
		CU_ASSERT(reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
		CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_INTERRUPT_STATUS), 0); /* not up yet */
	}
	CU_ASSERT_TRUE_FATAL(driver_negotiate(v, F_VERSION_1));
	driver_queue_at(v, 0, 16, RAM_BASE + RAM_BYTES);
	CU_ASSERT(reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	CU_ASSERT_TRUE_FATAL(driver_negotiate(v, F_VERSION_1));
	driver_queue_at(v, 0, 16, RAM_BASE);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 1);
	reg_write(v, VIRTIO_MMIO_QUEUE_NUM, 3); /* in use: ignored */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 1);
	reg_write(v, VIRTIO_MMIO_QUEUE_READY, 0);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 0);
	driver_queue_at(v, 5, 16, RAM_BASE); /* no such queue */
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_QUEUE_READY), 0);
	CU_ASSERT_FALSE(reg_read(v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_destroy(v);
}

static unsigned nonzero(const uint8_t *p, unsigned n)
{
	unsigned count = 0;

	while (n--)
		count += p[n] != 0;
	return count;
}

static void test_requests(uint64_t features)
{
	struct virtio *v = rng();
	const struct part p[] = {{DATA_GPA(0), 100, true}, {DATA_GPA(512), 9000, true}};
	unsigned i;

	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, features));
	memset(DATA(&d, 0), 0, 0x4000);
	CU_ASSERT_EQUAL(driver_request(&d, 0, p, 1), 100);
	CU_ASSERT(nonzero(DATA(&d, 0), 100) > 80);
	CU_ASSERT_EQUAL(nonzero(DATA(&d, 100), 412), 0);
	CU_ASSERT_EQUAL(driver_request(&d, 0, p, 2), 4096); /* bounded */
	CU_ASSERT_EQUAL(nonzero(DATA(&d, 512 + 3996), 1000), 0);
	for (i = 0; i < 200; i++)
		CU_ASSERT_EQUAL_FATAL(driver_request(&d, 0, p, 1), 100);
	virtio_destroy(v);
}

static void test_requests_plain(void)
{
	test_requests(F_VERSION_1);
}

static void test_requests_event(void)
{
	test_requests(F_VERSION_1 | F_EVENT_IDX | F_INDIRECT);
}

/* Chains made available before DRIVER_OK and without a kick are found. */
static void test_early_chain(void)
{
	struct virtio *v = rng();
	const struct part p = {DATA_GPA(0), 64, true};

	d = (struct driver){&ram, v, {{.ram = &ram}}};
	CU_ASSERT_TRUE_FATAL(driver_negotiate(v, F_VERSION_1));
	memset(&ram, 0, sizeof(ram));
	driver_queue_at(v, 0, RING_SIZE, ring_gpa(&d.ring[0]));
	ring_add(&d.ring[0], &p, 1);
	driver_kick(&d, 0); /* too early: not worked on */
	clock_sleep_ms(30);
	CU_ASSERT_EQUAL(ring_used(&d.ring[0])->idx, 0);
	driver_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
	CU_ASSERT_EQUAL(driver_take(&d, 0, NULL), 64);
	virtio_destroy(v);
}

static void test_needs_reset(void)
{
	struct virtio *v = rng();
	const struct part bad = {RAM_BASE - 8, 16, true}, good = {DATA_GPA(0), 16, true};
	struct virtio_counters c;

	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, F_VERSION_1));
	ring_add(&d.ring[0], &bad, 1);
	driver_kick(&d, 0);
	CU_ASSERT_TRUE(driver_broken(&d));
	CU_ASSERT_EQUAL(driver_interrupt(&d, 1000) & VIRTIO_MMIO_INT_CONFIG,
			VIRTIO_MMIO_INT_CONFIG);
	virtio_get_counters(v, &c);
	CU_ASSERT(c.broken == 1 && c.requests == 0 && strstr(c.why, "outside RAM"));
	ring_add(&d.ring[0], &good, 1);
	driver_kick(&d, 0);
	clock_sleep_ms(30);
	CU_ASSERT_EQUAL(ring_used(&d.ring[0])->idx, 0);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, F_VERSION_1)); /* and all is well again */
	CU_ASSERT_EQUAL(driver_request(&d, 0, &good, 1), 16);
	virtio_destroy(v);
}

struct line {
	unsigned raised, lowered;
	bool level;
};

static void set_line(void *ctx, bool level)
{
	struct line *l = ctx;

	__atomic_fetch_add(level ? &l->raised : &l->lowered, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->level, level, __ATOMIC_SEQ_CST);
}

static void wait_level(struct line *l)
{
	uint64_t until = clock_ns() + 5000000000ull;

	while (!__atomic_load_n(&l->level, __ATOMIC_SEQ_CST) && clock_ns() < until)
		clock_sleep_ms(1);
}

static void test_level(void)
{
	struct line line = {0};
	struct virtio_host host = driver_host(&ram);
	const struct part p = {DATA_GPA(0), 16, true};
	struct virtio *v;

	host.irq = set_line;
	host.irq_ctx = &line;
	CU_ASSERT_EQUAL_FATAL(virtio_rng_create(&host, &v, NULL), 0);
	CU_ASSERT_EQUAL(virtio_irq_fd(v), -1);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, F_VERSION_1));
	ring_add(&d.ring[0], &p, 1);
	driver_kick(&d, 0);
	wait_level(&line);
	CU_ASSERT(line.raised == 1 && line.lowered == 0);
	CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	reg_write(v, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG); /* another one */
	CU_ASSERT_EQUAL(line.lowered, 0);
	reg_write(v, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	CU_ASSERT(line.lowered == 1 && !line.level);
	ring_add(&d.ring[0], &p, 1);
	driver_kick(&d, 0);
	wait_level(&line);
	reg_write(v, VIRTIO_MMIO_STATUS, 0); /* a reset takes the line down */
	CU_ASSERT(!line.level && line.lowered == 2);
	virtio_destroy(v);
}

/* Resets while a driver on another CPU floods the queue: they return, and nothing is touched after.
 */
static void *flood(void *arg)
{
	bool *stop = arg;
	struct vring_avail *a = ring_avail(&d.ring[0]);

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&a->idx, 1, __ATOMIC_SEQ_CST);
		eventfd_write(virtio_kick_fd(d.v), 1);
	}
	return NULL;
}

static void test_reset_under_load(void)
{
	struct virtio *v = rng();
	struct vring_used before;
	bool stop = false;
	pthread_t t;
	unsigned i, j;

	CU_ASSERT_TRUE_FATAL(driver_up(&d, &ram, v, F_VERSION_1));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, flood, &stop), 0);
	for (i = 0; i < 100; i++) {
		CU_ASSERT_TRUE_FATAL(driver_negotiate(v, F_VERSION_1));
		for (j = 0; j < RING_SIZE; j++) {
			ring_desc(&d.ring[0])[j] =
				(struct vring_desc){DATA_GPA(0), 64, VRING_DESC_F_WRITE, 0};
			ring_avail(&d.ring[0])->ring[j] = (uint16_t)j;
		}
		__atomic_store_n(&ring_avail(&d.ring[0])->idx, 0, __ATOMIC_SEQ_CST);
		driver_queue_at(v, 0, RING_SIZE, ring_gpa(&d.ring[0]));
		driver_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
		clock_sleep_ms(1);
		reg_write(v, VIRTIO_MMIO_STATUS, 0);
		memcpy(&before, ring_used(&d.ring[0]), sizeof(before));
		sched_yield();
		CU_ASSERT_EQUAL(memcmp(&before, ring_used(&d.ring[0]), sizeof(before)), 0);
		CU_ASSERT_EQUAL(reg_read(v, VIRTIO_MMIO_STATUS), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	virtio_destroy(v);
	virtio_destroy(NULL);
}

static const struct suite_test tests[] = {
	{"magic version and device", test_identity},
	{"odd accesses are ignored and counted", test_odd_accesses},
	{"features", test_features},
	{"status bits come in order", test_status},
	{"queue setup", test_queue_setup},
	{"requests with flags", test_requests_plain},
	{"requests with event indexes", test_requests_event},
	{"a chain before the driver is ready", test_early_chain},
	{"a broken driver needs a reset", test_needs_reset},
	{"a level interrupt", test_level},
	{"resets under load", test_reset_under_load},
};
SUITE_MAIN("virtio", tests, 60)
