// SPDX-License-Identifier: GPL-2.0-only
/* Split virtqueues: what is taken, what is refused, and who is told. */
#include "suite.h"

#include <errno.h>

#include "virtio_driver.h"

static struct ram ram;
static struct virtqueue q;
static struct ring r;
static struct virtqueue_chain c;
static const struct virtqueue_memory memory = {ram_range, &ram};

static void fresh(bool indirect, bool event_idx)
{
	memset(&ram, 0, sizeof(ram));
	virtqueue_reset(&q);
	r = (struct ring){.ram = &ram, .index = 0};
	q.size = RING_SIZE;
	q.desc = ring_gpa(&r);
	q.driver = q.desc + 0x2000;
	q.device = q.desc + 0x4000;
	CU_ASSERT_EQUAL_FATAL(virtqueue_start(&q, &memory, indirect, event_idx), 0);
}

static int start_with(uint32_t size, gpa_t desc, gpa_t driver, gpa_t device)
{
	virtqueue_reset(&q);
	q.size = size;
	q.desc = desc;
	q.driver = driver;
	q.device = device;
	return virtqueue_start(&q, &memory, true, true);
}

static void test_start(void)
{
	static const uint32_t bad[] = {0, 3, 12, 255, 257, 512, 0x80000000u, 0xffffffffu};
	const gpa_t b = RAM_BASE, end = RAM_BASE + RAM_BYTES;
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(start_with(bad[i], b, b + 0x2000, b + 0x4000), -EPROTO);
		CU_ASSERT(q.broken && !q.ready && q.why);
		CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
	}
	CU_ASSERT_EQUAL(start_with(256, b, b + 0x2000, b + 0x4000), 0);
	CU_ASSERT_EQUAL(start_with(1, b, b + 0x2000, b + 0x4000), 0);
	CU_ASSERT_EQUAL(start_with(16, b + 8, b + 0x2000, b + 0x4000), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, b, b + 0x2001, b + 0x4000), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, b, b + 0x2000, b + 0x4002), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, 0, b + 0x2000, b + 0x4000), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, end - 240, b + 0x2000, b + 0x4000), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, end - 256, b + 0x2000, b + 0x4000), 0);
	/* the event words count: 4 + 2 * 16 + 2 and 4 + 8 * 16 + 2 bytes */
	CU_ASSERT_EQUAL(start_with(16, b, end - 36, b + 0x4000), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, b, end - 38, b + 0x4000), 0);
	CU_ASSERT_EQUAL(start_with(16, b, b + 0x2000, end - 132), -EPROTO);
	CU_ASSERT_EQUAL(start_with(16, b, b + 0x2000, end - 136), 0);
	CU_ASSERT_EQUAL(start_with(16, b, b + 0x2000, 0xfffffffffffffffcull), -EPROTO);
}

static void test_chain(void)
{
	const struct part p[] = {{DATA_GPA(0), 16, false},
				 {DATA_GPA(64), 100, false},
				 {DATA_GPA(4096), 512, true},
				 {DATA_GPA(8192), 1, true}};
	uint8_t buf[200];
	struct iovec iov[4];
	uint16_t head;

	fresh(false, false);
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), 0);
	memset(ram.bytes + DATA_OFFSET, 'h', 16);
	memset(ram.bytes + DATA_OFFSET + 64, 'd', 100);
	head = ring_add(&r, p, 4);
	CU_ASSERT_EQUAL_FATAL(virtqueue_pop(&q, &c), 1);
	CU_ASSERT_EQUAL(c.head, head);
	CU_ASSERT(c.count == 4 && c.readable == 2 && c.in_bytes == 116 && c.out_bytes == 513);
	CU_ASSERT_EQUAL(virtqueue_read(&c, 15, buf, sizeof(buf)), 101);
	CU_ASSERT(buf[0] == 'h' && buf[1] == 'd' && buf[100] == 'd');
	CU_ASSERT_EQUAL(virtqueue_read(&c, 116, buf, sizeof(buf)), 0);
	memset(buf, 'w', sizeof(buf));
	CU_ASSERT_EQUAL(virtqueue_write(&c, 511, buf, sizeof(buf)), 2);
	CU_ASSERT(ram.bytes[DATA_OFFSET + 4096 + 511] == 'w' &&
		  ram.bytes[DATA_OFFSET + 8192] == 'w');
	CU_ASSERT(ram.bytes[DATA_OFFSET + 4096 + 510] == 0 && ram.bytes[DATA_OFFSET + 8193] == 0);
	CU_ASSERT_EQUAL(virtqueue_slice(&c, false, 10, 50, iov), 2);
	CU_ASSERT(iov[0].iov_len == 6 && iov[1].iov_len == 44);
	CU_ASSERT_PTR_EQUAL(iov[1].iov_base, ram.bytes + DATA_OFFSET + 64);
	CU_ASSERT_EQUAL(virtqueue_slice(&c, true, 512, 100, iov), 1);
	CU_ASSERT_EQUAL(virtqueue_slice(&c, true, 513, 100, iov), 0);
	virtqueue_push(&q, &c, 513);
	CU_ASSERT_EQUAL(ring_used(&r)->idx, 1);
	CU_ASSERT(ring_used(&r)->ring[0].id == head && ring_used(&r)->ring[0].len == 513);
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), 0);
}

static void test_written_is_cut(void)
{
	const struct part p = {DATA_GPA(0), 8, true};

	fresh(false, false);
	ring_add(&r, &p, 1);
	CU_ASSERT_EQUAL_FATAL(virtqueue_pop(&q, &c), 1);
	virtqueue_push(&q, &c, 1000000);
	CU_ASSERT_EQUAL(ring_used(&r)->ring[0].len, 8);
}

/* Indexes run over 65535 and around the ring many times. */
static void test_wraps(void)
{
	const struct part p = {DATA_GPA(0), 8, true};
	unsigned i, bad = 0;

	fresh(false, true);
	for (i = 0; i < 70000; i++) {
		uint16_t head = ring_add(&r, &p, 1);

		bad += virtqueue_pop(&q, &c) != 1 || c.head != head;
		virtqueue_push(&q, &c, i & 7);
		bad += ring_used(&r)->ring[i % RING_SIZE].id != head ||
		       ring_used(&r)->ring[i % RING_SIZE].len != (i & 7);
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(ring_used(&r)->idx, (uint16_t)70000);
}

static void table(unsigned i, gpa_t gpa, uint32_t len, unsigned flags, unsigned next)
{
	ring_table(&r)[i] = (struct vring_desc){gpa, len, (uint16_t)flags, (uint16_t)next};
}

static void desc(unsigned i, gpa_t gpa, uint32_t len, unsigned flags, unsigned next)
{
	ring_desc(&r)[i] = (struct vring_desc){gpa, len, (uint16_t)flags, (uint16_t)next};
}

static void test_indirect(void)
{
	unsigned i;

	fresh(true, false);
	desc(0, DATA_GPA(0), 4, VRING_DESC_F_NEXT, 1);
	desc(1, ring_table_gpa(&r), 32 * 16, VRING_DESC_F_INDIRECT, 0);
	for (i = 0; i < 32; i++) /* longer than the ring, which is allowed here */
		table(i, DATA_GPA(i * 64), 64,
		      VRING_DESC_F_WRITE | (i < 31 ? VRING_DESC_F_NEXT : 0), i + 1);
	ring_offer(&r, 0);
	CU_ASSERT_EQUAL_FATAL(virtqueue_pop(&q, &c), 1);
	CU_ASSERT(c.count == 33 && c.readable == 1 && c.in_bytes == 4 && c.out_bytes == 2048);
	CU_ASSERT_EQUAL(c.head, 0);
}

/* Offer head 0 with what was set up: it must be refused, and stay refused. */
static void refused(const char *word)
{
	ring_offer(&r, 0);
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
	CU_ASSERT(q.broken);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q.why);
	if (!strstr(q.why, word))
		printf("  '%s' was expected, said was: %s\n", word, q.why);
	CU_ASSERT_PTR_NOT_NULL(strstr(q.why, word));
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
	CU_ASSERT_FALSE(virtqueue_kicks_on(&q));
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	virtqueue_push(&q, &c, 0); /* says nothing to a driver that cannot be trusted */
	CU_ASSERT_EQUAL(ring_used(&r)->idx, 0);
}

static void test_refuses_chains(void)
{
	static const gpa_t outside[] = {0,
					RAM_BASE - 1,
					RAM_BASE + RAM_BYTES - 7,
					RAM_BASE + RAM_BYTES,
					UINT64_MAX - 3,
					UINT64_MAX};
	unsigned i;

	for (i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		fresh(false, false);
		desc(0, outside[i], 8, 0, 0);
		refused("outside RAM");
	}
	fresh(false, false); /* to itself */
	desc(0, DATA_GPA(0), 8, VRING_DESC_F_NEXT, 0);
	refused("loops");
	fresh(false, false); /* round the whole ring */
	for (i = 0; i < RING_SIZE; i++)
		desc(i, DATA_GPA(0), 8, VRING_DESC_F_NEXT, (i + 1) % RING_SIZE);
	refused("loops");
	fresh(false, false);
	desc(0, DATA_GPA(0), 8, VRING_DESC_F_NEXT, RING_SIZE);
	refused("index");
	fresh(false, false);
	desc(0, DATA_GPA(0), 8, VRING_DESC_F_NEXT, 0xffff);
	refused("index");
	fresh(false, false);
	desc(0, DATA_GPA(0), 0, 0, 0);
	refused("length");
	fresh(false, false);
	desc(0, DATA_GPA(0), 0xffffffff, VRING_DESC_F_WRITE, 0);
	refused("length");
	fresh(false, false);
	desc(0, DATA_GPA(0), 8, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	desc(1, DATA_GPA(64), 8, 0, 0);
	refused("behind a writable");
}

/* Buffers may overlap, so a small RAM can add up to any total. */
static void test_refuses_total(void)
{
	unsigned i, n = VIRTQUEUE_BYTES_MAX / (RAM_BYTES / 2) + 1;

	fresh(true, false);
	desc(0, ring_table_gpa(&r), n * 16, VRING_DESC_F_INDIRECT, 0);
	for (i = 0; i < n; i++)
		table(i, RAM_BASE, RAM_BYTES / 2, i + 1 < n ? VRING_DESC_F_NEXT : 0, i + 1);
	refused("length");
}

static void test_refuses_heads(void)
{
	fresh(false, false);
	ring_avail(&r)->ring[0] = RING_SIZE;
	ring_avail(&r)->idx = 1;
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
	CU_ASSERT(q.broken);
	fresh(false, false);
	ring_avail(&r)->idx = RING_SIZE + 1;
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(q.why, "jumped"));
	fresh(false, false);
	ring_avail(&r)->idx = 0xffff; /* backwards */
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), -EPROTO);
}

static void test_refuses_indirect(void)
{
	const struct {
		uint32_t len;
		gpa_t at;
		unsigned flags;
		const char *word;
	} bad[] = {
		{0, 0, 0, "absurd"},
		{15, 0, 0, "absurd"},
		{24, 0, 0, "absurd"},
		{257 * 16, 0, 0, "absurd"},
		{0xfffffff0u, 0, 0, "absurd"},
		{16, UINT64_MAX - 7, 0, "outside RAM"},
		{16, RAM_BASE + RAM_BYTES - 8, 0, "outside RAM"},
		{16, 0, VRING_DESC_F_NEXT, "goes on"},
	};
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh(true, false);
		desc(0, bad[i].at ? bad[i].at : ring_table_gpa(&r), bad[i].len,
		     VRING_DESC_F_INDIRECT | bad[i].flags, 1);
		desc(1, DATA_GPA(0), 8, 0, 0);
		table(0, DATA_GPA(0), 8, 0, 0);
		refused(bad[i].word);
	}
	fresh(false, false);
	desc(0, ring_table_gpa(&r), 16, VRING_DESC_F_INDIRECT, 0);
	table(0, DATA_GPA(0), 8, 0, 0);
	refused("negotiated");
	fresh(true, false);
	desc(0, ring_table_gpa(&r), 16, VRING_DESC_F_INDIRECT, 0);
	table(0, ring_table_gpa(&r), 16, VRING_DESC_F_INDIRECT, 0);
	refused("inside another");
	fresh(true, false);
	desc(0, ring_table_gpa(&r), 32, VRING_DESC_F_INDIRECT, 0);
	table(0, DATA_GPA(0), 8, VRING_DESC_F_NEXT, 1);
	table(1, DATA_GPA(0), 8, VRING_DESC_F_NEXT, 0);
	refused("loops");
}

/* 15 direct ones before a table of 256: more than a chain may have. */
static void test_refuses_many(void)
{
	unsigned i;

	fresh(true, false);
	for (i = 0; i < 15; i++)
		desc(i, DATA_GPA(0), 1, VRING_DESC_F_NEXT, i + 1);
	desc(15, ring_table_gpa(&r), 256 * 16, VRING_DESC_F_INDIRECT, 0);
	for (i = 0; i < 256; i++)
		table(i, DATA_GPA(0), 1, i < 255 ? VRING_DESC_F_NEXT : 0, i + 1);
	refused("too many");
}

static void give_back(unsigned n)
{
	const struct part p = {DATA_GPA(0), 8, true};

	while (n--) {
		ring_add(&r, &p, 1);
		CU_ASSERT_EQUAL_FATAL(virtqueue_pop(&q, &c), 1);
		virtqueue_push(&q, &c, 0);
	}
}

static void test_interrupt_flag(void)
{
	fresh(false, false);
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	give_back(1);
	CU_ASSERT_TRUE(virtqueue_wants_interrupt(&q));
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q)); /* nothing new */
	ring_avail(&r)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	give_back(1);
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	ring_avail(&r)->flags = 0;
	give_back(1);
	CU_ASSERT_TRUE(virtqueue_wants_interrupt(&q));
}

static void test_interrupt_event(void)
{
	fresh(false, true);
	give_back(1);
	CU_ASSERT_TRUE(virtqueue_wants_interrupt(&q));
	ring_avail(&r)->ring[RING_SIZE] = 3; /* used_event: after the fourth */
	give_back(1);
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	give_back(1);
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	give_back(1);
	CU_ASSERT_TRUE(virtqueue_wants_interrupt(&q));
	give_back(1);
	CU_ASSERT_FALSE(virtqueue_wants_interrupt(&q));
	ring_avail(&r)->flags = VRING_AVAIL_F_NO_INTERRUPT; /* is ignored then */
	ring_avail(&r)->ring[RING_SIZE] = 5;
	give_back(3);
	CU_ASSERT_TRUE(virtqueue_wants_interrupt(&q));
}

static void test_kicks(void)
{
	const struct part p = {DATA_GPA(0), 8, true};

	fresh(false, false);
	virtqueue_kicks_off(&q);
	CU_ASSERT_EQUAL(ring_used(&r)->flags, VRING_USED_F_NO_NOTIFY);
	ring_add(&r, &p, 1);
	CU_ASSERT_TRUE(virtqueue_kicks_on(&q)); /* came in meanwhile */
	CU_ASSERT_EQUAL(ring_used(&r)->flags, 0);
	CU_ASSERT_EQUAL(virtqueue_pop(&q, &c), 1);
	CU_ASSERT_FALSE(virtqueue_kicks_on(&q));
	fresh(false, true);
	give_back(2);
	CU_ASSERT_FALSE(virtqueue_kicks_on(&q));
	CU_ASSERT_EQUAL(*(uint16_t *)&ring_used(&r)->ring[RING_SIZE], 2); /* avail_event */
	CU_ASSERT_EQUAL(ring_used(&r)->flags, 0);
}

static const struct suite_test tests[] = {
	{"a queue starts only where it can work", test_start},
	{"a chain is copied and taken apart", test_chain},
	{"written bytes are cut to the buffers", test_written_is_cut},
	{"indexes wrap", test_wraps},
	{"indirect tables", test_indirect},
	{"broken chains are refused", test_refuses_chains},
	{"a total that is too much is refused", test_refuses_total},
	{"broken available rings are refused", test_refuses_heads},
	{"broken indirect tables are refused", test_refuses_indirect},
	{"chains of too many buffers are refused", test_refuses_many},
	{"interrupts by flag", test_interrupt_flag},
	{"interrupts by event index", test_interrupt_event},
	{"kicks off and on", test_kicks},
};
SUITE_MAIN("virtqueue", tests, 30)
