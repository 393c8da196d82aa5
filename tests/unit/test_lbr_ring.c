// SPDX-License-Identifier: GPL-2.0-only
/* Ring buffers of branch stacks, made by hand: wrapped, cut off, lying, lost. */
#include "lbr_fixture.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>

static struct lbr_totals totals;
static struct lbr_ring ring;
static struct ring_fixture mem;

static void begin(size_t pages)
{
	fx_begin(false);
	ring_open(&mem, pages, -1);
	CU_ASSERT_EQUAL_FATAL(lbr_ring_init(&ring, mem.map, mem.bytes), 0);
}

static void end(void)
{
	munmap(mem.map, mem.bytes);
	fx_end();
}

static void fx_read_ring(void)
{
	memset(&seen, 0, sizeof(seen));
	memset(&totals, 0, sizeof(totals));
	lbr_ring_read(&ring, &join, fx_edge, &seen, &totals);
	CU_ASSERT_EQUAL(ring_page(&mem)->data_tail, ring_page(&mem)->data_head);
}

static void wrapped_records(void)
{
	unsigned i, whole = 0;

	begin(1);
	/* Records of 80 and 152 bytes do not divide 4096: every place gets its turn. */
	for (i = 0; i < 2000; i++) {
		unsigned n = i % SITES;

		call(n, fake_function(n));
		if (i % 2)
			call(0, fake_function(1));
		ring_sample(&mem);
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.stacks, 1);
		CU_ASSERT_EQUAL(totals.named, 1);
		CU_ASSERT_EQUAL(totals.in_guest, 1);
		CU_ASSERT_EQUAL(totals.malformed + totals.lost, 0);
		whole += saw(0, n, fake_function(n)) && seen.calls == 1 + i % 2;
	}
	CU_ASSERT_EQUAL(whole, 2000);
	CU_ASSERT_TRUE(ring_page(&mem)->data_head > 40 * mem.size);
	end();
}

static void a_full_ring_at_once(void)
{
	unsigned n;

	begin(1);
	/* Heads are 64 bits and go round as well. */
	ring_page(&mem)->data_head = ring_page(&mem)->data_tail = UINT64_MAX - 79;
	CU_ASSERT_EQUAL_FATAL(lbr_ring_init(&ring, mem.map, mem.bytes), 0);
	for (n = 0; n < 4096 / 88; n++) {
		call(n % SITES, fake_function(n % SITES));
		ring_sample(&mem);
	}
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.stacks, 4096 / 88);
	CU_ASSERT_EQUAL(totals.calls.pairs, 4096 / 88);
	CU_ASSERT_EQUAL(totals.malformed, 0);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.stacks, 0);
	end();
}

static void stacks_that_name_nothing(void)
{
	begin(1);
	ring_sample(&mem); /* nr = 0 */
	branch(0x1000, 0x2000);
	ring_sample(&mem);
	branch(FAKE_BASE + 0x800, FAKE_BASE + 0x900);
	ring_sample(&mem);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.stacks, 3);
	CU_ASSERT_EQUAL(totals.named, 0);
	CU_ASSERT_EQUAL(totals.in_guest, 1);
	CU_ASSERT_EQUAL(totals.malformed, 0);
	end();
}

static void losses_are_counted(void)
{
	const uint64_t lost[2] = {77, 5}, samples[1] = {11}, throttle[3] = {1, 2, 3};
	const uint64_t all[2] = {0, UINT64_MAX};

	begin(1);
	ring_record(&mem, PERF_RECORD_LOST, 24, lost, 16);
	call(1, fake_function(1));
	ring_sample(&mem);
	ring_record(&mem, 13 /* PERF_RECORD_LOST_SAMPLES */, 16, samples, 8);
	ring_record(&mem, PERF_RECORD_THROTTLE, 32, throttle, 24);
	ring_record(&mem, PERF_RECORD_UNTHROTTLE, 32, throttle, 24);
	ring_record(&mem, 4711, 16, samples, 8); /* of a newer kernel */
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.lost, 5 + 11);
	CU_ASSERT_EQUAL(totals.throttled, 1);
	CU_ASSERT_EQUAL(totals.stacks, 1);
	CU_ASSERT_EQUAL(totals.malformed, 0);
	CU_ASSERT_TRUE(saw(0, 1, fake_function(1)));
	/* Too short for the number they should hold: not read past their end. */
	ring_record(&mem, PERF_RECORD_LOST, 16, lost, 8);
	ring_record(&mem, 13, 8, NULL, 0);
	ring_record(&mem, PERF_RECORD_LOST, 24, lost, 16);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.malformed, 2);
	CU_ASSERT_EQUAL(totals.lost, 5);
	ring_record(&mem, PERF_RECORD_LOST, 24, all, 16);
	ring_record(&mem, PERF_RECORD_LOST, 24, lost, 16);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.lost, UINT64_MAX);
	end();
}

/* Numbers of branches that are not those of the record. */
static void lying_counts(void)
{
	static const uint64_t claims[] = {
		0,
		2,
		4,
		LBR_DEPTH_MAX,
		LBR_DEPTH_MAX + 1,
		1ull << 32,
		/* 24 * nr = 72 modulo 2^64 */
		3 + (1ull << 61),
		UINT64_MAX,
	};
	size_t i;

	begin(1);
	for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		call(1, fake_function(1));
		ring_sample_claim(&mem, claims[i]);
		call(2, fake_function(2));
		ring_sample(&mem); /* and the next record is found */
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.malformed, 1);
		CU_ASSERT_EQUAL(totals.stacks, 1);
		CU_ASSERT_EQUAL(seen.calls, 1);
		CU_ASSERT_TRUE(saw(0, 2, fake_function(2)));
	}
	ring_record(&mem, PERF_RECORD_SAMPLE, 8, NULL, 0); /* not even a number */
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.malformed, 1);
	end();
}

static void the_deepest_stack(void)
{
	unsigned i;

	begin(1);
	for (i = 0; i < LBR_DEPTH_MAX; i++)
		branch(0x1000, 0x2000);
	ring_sample(&mem);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.stacks, 1);
	for (i = 0; i < LBR_DEPTH_MAX + 1; i++)
		branch(0x1000, 0x2000);
	ring_sample(&mem);
	call(1, fake_function(1));
	ring_sample(&mem);
	fx_read_ring();
	CU_ASSERT_EQUAL(totals.malformed, 1);
	CU_ASSERT_EQUAL(totals.stacks, 1);
	end();
}

/* Sizes with which no next record can be found: the rest is given up, what comes later is not. */
static void hostile_sizes(void)
{
	static const uint16_t sizes[] = {0, 1, 7, 9, 12, 79, 81, 4104, 65528, 65535};
	size_t i;

	begin(1);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct perf_event_header h = {.type = PERF_RECORD_SAMPLE, .size = sizes[i]};

		call(1, fake_function(1));
		ring_sample(&mem);
		ring_put(&mem, &h, sizeof(h));
		call(2, fake_function(2));
		ring_sample(&mem);
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.stacks, 1);
		CU_ASSERT_EQUAL(totals.malformed, 1);
		CU_ASSERT_EQUAL(seen.calls, 1);
		call(3, fake_function(3));
		ring_sample(&mem);
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.stacks, 1);
		CU_ASSERT_EQUAL(totals.malformed, 0);
		CU_ASSERT_TRUE(saw(0, 3, fake_function(3)));
	}
	end();
}

/* The head stands inside a record, at each of its bytes. */
static void truncated_records(void)
{
	uint64_t start;
	unsigned cut;

	begin(1);
	for (cut = 1; cut < 88; cut++) {
		start = ring_page(&mem)->data_head;
		call(1, fake_function(1));
		ring_sample(&mem);
		CU_ASSERT_EQUAL(ring_page(&mem)->data_head, start + 88);
		ring_page(&mem)->data_head = start + cut;
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.malformed, 1);
		CU_ASSERT_EQUAL(totals.stacks, 0);
		CU_ASSERT_EQUAL(seen.calls, 0);
	}
	end();
}

static void heads_that_leap(void)
{
	static const uint64_t leaps[] = {4097, 1ull << 40, UINT64_MAX};
	size_t i;

	begin(1);
	for (i = 0; i < 3; i++) {
		ring_page(&mem)->data_head += leaps[i];
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.malformed, 1);
		CU_ASSERT_EQUAL(totals.stacks, 0);
		ring_page(&mem)->data_tail = 12345; /* theirs to spoil; ours is kept elsewhere */
		call(3, fake_function(3));
		ring_sample(&mem);
		fx_read_ring();
		CU_ASSERT_EQUAL(totals.stacks, 1);
	}
	end();
}

static void rings_of_no_form(void)
{
	struct perf_event_mmap_page *p;
	struct lbr_ring r;

	begin(4);
	p = ring_page(&mem);
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, 4096), -EINVAL);
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, 4096 * 4), -EINVAL); /* three pages of data */
	p->data_offset = 4096;
	p->data_size = 8192;
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, mem.bytes), 0);
	CU_ASSERT_EQUAL(r.size, 8192);
	p->data_size = 32768;
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, mem.bytes), -EINVAL);
	p->data_size = 4096;
	p->data_offset = UINT64_MAX - 4095;
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, mem.bytes), -EINVAL);
	p->data_offset = 0;
	CU_ASSERT_EQUAL(lbr_ring_init(&r, mem.map, mem.bytes), -EINVAL);
	end();
}

/* The kernel's own writer: a software event's samples have no stack, so they show as malformed. */
static void a_ring_of_the_kernel(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
				       .size = sizeof(attr),
				       .config = PERF_COUNT_SW_CPU_CLOCK,
				       .sample_period = 20000,
				       .sample_type = PERF_SAMPLE_IP,
				       .exclude_kernel = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	volatile unsigned work = 0;
	uint64_t read = 0;
	unsigned i;

	if (fd < 0) {
		printf("no software event here: %s\n", strerror(errno));
		return;
	}
	fx_begin(false);
	ring_open(&mem, 1, fd);
	CU_ASSERT_EQUAL_FATAL(lbr_ring_init(&ring, mem.map, mem.bytes), 0);
	for (i = 0; i < 2000 && read < 1000; i++) {
		uint64_t until = clock_ns() + 5000000;

		while (clock_ns() < until)
			work = work + 1;
		memset(&totals, 0, sizeof(totals));
		lbr_ring_read(&ring, &join, fx_edge, &seen, &totals);
		CU_ASSERT_EQUAL(totals.stacks, 0);
		read += totals.malformed;
	}
	/* 16 bytes a sample, 256 in the buffer: it went round, and the kernel never waited. */
	CU_ASSERT_TRUE(read >= 1000);
	close(fd);
	end();
}

static const struct suite_test tests[] = {
	{"records go round the end", wrapped_records},
	{"a full ring at once", a_full_ring_at_once},
	{"stacks that name nothing", stacks_that_name_nothing},
	{"losses are counted", losses_are_counted},
	{"lying counts", lying_counts},
	{"the deepest stack", the_deepest_stack},
	{"hostile sizes", hostile_sizes},
	{"truncated records", truncated_records},
	{"heads that leap", heads_that_leap},
	{"rings of no form", rings_of_no_form},
	{"a ring of the kernel", a_ring_of_the_kernel},
};

SUITE_MAIN("lbr ring", tests, 60)
