// SPDX-License-Identifier: GPL-2.0-only
/* A guest that rewrites its queues while we read them: descriptors, tables, indexes and data. */
#include "../unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <sys/mman.h>

#include "../unit/virtio_driver.h"

#define ROUND_MS 1500

/* Between two pages that fault: a byte too far is a crash. */
static struct ram *ram;
static bool stop;

static void map_ram(void)
{
	const size_t page = 4096;
	uint8_t *at =
		mmap(NULL, RAM_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(at, MAP_FAILED);
	ram = (struct ram *)(at + page);
	CU_ASSERT_EQUAL_FATAL(mprotect(ram, RAM_BYTES, PROT_READ | PROT_WRITE), 0);
}

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static gpa_t nasty_address(uint32_t *s)
{
	static const gpa_t edges[] = {0,
				      RAM_BASE - 8,
				      RAM_BASE + RAM_BYTES - 8,
				      RAM_BASE + RAM_BYTES,
				      UINT64_MAX - 64,
				      RAM_BASE};
	uint32_t r = random_next(s);

	return r % 4 ? DATA_GPA(r % 0x10000) : edges[r / 4 % 6];
}

static void scribble(struct vring_desc *d, uint32_t *s)
{
	uint32_t r = random_next(s);

	/* Mostly right, so that chains are taken and wrong ones come in the middle of a read. */
	d->addr = nasty_address(s);
	d->len = r % 16 ? 16 + r % 600 : random_next(s);
	d->flags = (uint16_t)(random_next(s) % (r % 8 ? 4 : 8));
	d->next = (uint16_t)(r % 32 ? random_next(s) % RING_SIZE : random_next(s));
}

static void *flip(void *arg)
{
	struct ring *r = arg;
	uint32_t s = 0x12345678;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		scribble(&ring_desc(r)[random_next(&s) % RING_SIZE], &s);
		scribble(&ring_table(r)[random_next(&s) % 32], &s);
		ring_avail(r)->ring[random_next(&s) % RING_SIZE] =
			(uint16_t)(random_next(&s) % (RING_SIZE + random_next(&s) % 2));
	}
	return NULL;
}

/* What was checked must be what is used, whatever became of the memory since. */
static bool chain_is_sane(const struct virtqueue_chain *c)
{
	size_t in = 0, out = 0;
	unsigned i;

	for (i = 0; i < c->count; i++) {
		const uint8_t *at = c->iov[i].iov_base;

		if (at < ram->bytes || c->iov[i].iov_len > RAM_BYTES ||
		    at + c->iov[i].iov_len > ram->bytes + RAM_BYTES || !c->iov[i].iov_len)
			return false;
		*(i < c->readable ? &in : &out) += c->iov[i].iov_len;
	}
	return c->count && c->count <= VIRTQUEUE_SIZE_MAX && c->head < RING_SIZE &&
	       in == c->in_bytes && out == c->out_bytes;
}

static int start(struct virtqueue *q, struct ring *r)
{
	const struct virtqueue_memory memory = {ram_range, ram};

	virtqueue_reset(q);
	ring_avail(r)->idx = 0;
	q->size = RING_SIZE;
	q->desc = ring_gpa(r);
	q->driver = q->desc + 0x2000;
	q->device = q->desc + 0x4000;
	return virtqueue_start(q, &memory, true, true);
}

static void test_queue(void)
{
	static struct virtqueue_chain c;
	struct ring r = {.ram = ram};
	uint64_t until, taken = 0, broken = 0, insane = 0;
	struct virtqueue q = {0};
	pthread_t t;
	int ret;

	CU_ASSERT_EQUAL_FATAL(start(&q, &r), 0);
	stop = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, flip, &r), 0);
	for (until = clock_ns() + ROUND_MS * 1000000ull; clock_ns() < until;) {
		__atomic_fetch_add(&ring_avail(&r)->idx, 1, __ATOMIC_SEQ_CST);
		ret = virtqueue_pop(&q, &c);
		if (ret == 1) {
			taken++;
			insane += !chain_is_sane(&c);
			virtqueue_push(&q, &c, c.out_bytes);
			virtqueue_wants_interrupt(&q);
		} else {
			broken += ret == -EPROTO && q.broken && q.why;
			insane += ret != -EPROTO;
			insane += start(&q, &r) != 0;
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	printf("queue: %lu chains taken, %lu refused\n", taken, broken);
	CU_ASSERT_EQUAL(insane, 0);
	CU_ASSERT(taken > 100 && broken > 100); /* both paths were really gone */
}

/* A proper read of a sector; by the time the device looks it may be something else. */
static void offer_read(struct ring *r)
{
	const struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_IN};

	memcpy(ram->bytes + DATA_OFFSET, &h, sizeof(h));
	ring_desc(r)[0] = (struct vring_desc){DATA_GPA(0), sizeof(h), VRING_DESC_F_NEXT, 1};
	ring_desc(r)[1] = (struct vring_desc){DATA_GPA(512), 512, 3, 2}; /* next, write */
	ring_desc(r)[2] = (struct vring_desc){DATA_GPA(64), 1, VRING_DESC_F_WRITE, 0};
	ring_offer(r, 0);
}

static void raise_device(struct driver *d)
{
	struct virtio *v = d->v;
	struct ring *r = &d->ring[0];

	driver_negotiate(v, driver_offered(v));
	__atomic_store_n(&ring_avail(r)->idx, 0, __ATOMIC_SEQ_CST);
	driver_queue_at(v, 0, RING_SIZE, ring_gpa(r));
	driver_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Whether the disk's bytes outside what a request may touch stay, a read-only disk shows best. */
static void test_disk(void)
{
	char path[] = "/tmp/hotrail-disk-XXXXXX";
	struct virtio_host host = driver_host(ram);
	struct virtio_blk_options o = {path, true, NULL};
	struct driver d = {.ram = ram, .ring = {{.ram = ram}}};
	uint8_t before[4096], after[4096];
	struct virtio_counters c;
	pthread_t t;
	uint64_t until;
	int fd = mkstemp(path);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	memset(before, 'x', sizeof(before));
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, before, sizeof(before), 0), sizeof(before));
	CU_ASSERT_EQUAL_FATAL(virtio_blk_create(&o, &host, &d.v, NULL), 0);
	stop = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, flip, &d.ring[0]), 0);
	for (until = clock_ns() + ROUND_MS * 1000000ull; clock_ns() < until;) {
		if (!(reg_read(d.v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_DRIVER_OK) ||
		    (reg_read(d.v, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET))
			raise_device(&d);
		offer_read(&d.ring[0]);
		driver_kick(&d, 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	virtio_get_counters(d.v, &c);
	virtio_destroy(d.v);
	printf("disk: %lu requests, %lu failed, %lu resets needed\n", c.requests, c.failed,
	       c.broken);
	CU_ASSERT(c.requests > 20 && c.broken > 20);
	CU_ASSERT_EQUAL(pread(fd, after, sizeof(after), 0), sizeof(after));
	CU_ASSERT_EQUAL(memcmp(before, after, sizeof(after)), 0);
	close(fd);
	unlink(path);
}

/* Random accesses to all registers while the rings are rewritten. */
static void test_registers(void)
{
	struct virtio_host host = driver_host(ram);
	struct driver d = {.ram = ram, .ring = {{.ram = ram}}};
	const struct part p = {DATA_GPA(0), 32, true};
	uint32_t s = 0x9e3779b9;
	uint64_t until, value;
	pthread_t t;

	CU_ASSERT_EQUAL_FATAL(virtio_rng_create(&host, &d.v, NULL), 0);
	stop = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, flip, &d.ring[0]), 0);
	for (until = clock_ns() + ROUND_MS * 1000000ull; clock_ns() < until;) {
		if (random_next(&s) % 64 == 0)
			raise_device(&d);
		value = random_next(&s) % 8 ? random_next(&s) % 32 : random_next(&s);
		virtio_mmio_access(d.v, random_next(&s) % 80 * 4, 4, random_next(&s) & 1, &value);
		__atomic_fetch_add(&ring_avail(&d.ring[0])->idx, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	CU_ASSERT_TRUE_FATAL(driver_up(&d, ram, d.v, F_VERSION_1)); /* a reset heals all of it */
	CU_ASSERT_EQUAL(driver_request(&d, 0, &p, 1), 32);
	virtio_destroy(d.v);
}

static const struct suite_test tests[] = {
	{"memory between guard pages", map_ram},
	{"a queue rewritten while it is read", test_queue},
	{"a disk whose queue is rewritten", test_disk},
	{"random register accesses", test_registers},
};
SUITE_MAIN("hostile virtqueue", tests, 60)
