// SPDX-License-Identifier: GPL-2.0-only
/* The lbr sampler on hand-made ring buffers: wrapped, cut off, lying, lost; and its probe. */
#include "lbr_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "sample/lbr.h"
#include "x86/encode.h"

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

/* --- records --- */

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

/* --- the sampler --- */

static struct ring_fixture rings[HOTRAIL_MAX_VCPUS];
static int fds[HOTRAIL_MAX_VCPUS];
static unsigned opened, opened_any;
static int fail_open;
static uint64_t events;
static bool know_events;

static pid_t fake_tid(struct target *t, unsigned vcpu)
{
	return 1;
}

static struct target_ops ops;

static int open_memory(struct target *t, unsigned vcpu, bool any, uint64_t period,
		       struct error *err)
{
	if (fail_open && vcpu)
		return lbr_explain("branches", true, fail_open, err);
	opened++;
	opened_any += any;
	return dup(fds[vcpu]);
}

static bool count_memory(int fd, uint64_t *count)
{
	*count = __atomic_load_n(&events, __ATOMIC_SEQ_CST);
	return know_events;
}

static const struct lbr_source memory = {open_memory, count_memory};

static void sampler_begin(unsigned vcpus)
{
	unsigned i;

	fx_begin(false);
	ops = fake_target_ops;
	ops.vcpu_tid = fake_tid;
	f.target.ops = &ops;
	f.vcpus = vcpus;
	opened = opened_any = 0;
	fail_open = 0;
	know_events = false;
	events = 0;
	for (i = 0; i < vcpus; i++) {
		fds[i] = memfd_create("ring", 0);
		/* The sampler maps 1 + 32 pages. */
		CU_ASSERT_EQUAL_FATAL(ftruncate(fds[i], 33 * 4096), 0);
		ring_open(&rings[i], 32, fds[i]);
	}
}

static void sampler_end(void)
{
	unsigned i;

	for (i = 0; i < f.vcpus; i++) {
		munmap(rings[i].map, rings[i].bytes);
		close(fds[i]);
	}
	fx_end();
}

static void on_edge(void *ctx, uint32_t n, gva_t target, uint32_t weight)
{
	CU_ASSERT_EQUAL(weight, 1);
	fx_edge(ctx, n, target);
}

static void interleaved_vcpus(void)
{
	const struct sampler_config config = {.hz = 250};
	const uint64_t lost[2] = {1, 9};
	struct sampler_stats st;
	struct sampler *s;
	unsigned i, n, pairs = 0;

	sampler_begin(3);
	CU_ASSERT_EQUAL_FATAL(lbr_start_source(&f.guest, &memory, &config, &s, NULL), 0);
	CU_ASSERT_EQUAL(opened, 3);
	CU_ASSERT_EQUAL(opened_any, 0);
	memset(&seen, 0, sizeof(seen));
	/* A call begun on one vCPU does not end on another. */
	branch(site(1)->addr, site(1)->thunk);
	ring_sample(&rings[0]);
	retpoline(1, fake_function(1));
	ring_sample(&rings[1]);
	for (i = 0; i < 30; i++) {
		n = i % SITES;
		call(n, fake_function(n));
		ring_sample(&rings[i % 3]);
	}
	ring_record(&rings[2], PERF_RECORD_LOST, 24, lost, 16);
	branch(0x1000, 0x2000);
	ring_sample(&rings[2]);
	sampler_lbr.drain(s, on_edge, &seen);
	sampler_lbr.stats(s, &st);
	for (i = 0; i < seen.calls; i++)
		pairs += seen.target[i] == fake_function(seen.site[i]);
	CU_ASSERT_EQUAL(pairs, 30);
	CU_ASSERT_EQUAL(seen.calls, 31);
	CU_ASSERT_EQUAL(st.taken, 33);
	CU_ASSERT_EQUAL(st.attributed, 31);
	CU_ASSERT_EQUAL(st.elsewhere, 2);
	CU_ASSERT_EQUAL(st.lost, 9);
	CU_ASSERT_EQUAL(st.unmatched, 2);
	sampler_lbr.drain(s, on_edge, &seen);
	CU_ASSERT_EQUAL(seen.calls, 31);
	sampler_lbr.stop(s);
	sampler_lbr.stop(NULL);
	sampler_end();
}

/* The counter says that it overflowed, the ring is empty: throttled, or switched off. */
static void silent_losses(void)
{
	const struct sampler_config config = {.hz = 250};
	struct sampler_stats st = {0};
	struct sampler *s;
	unsigned i;

	sampler_begin(1);
	know_events = true;
	CU_ASSERT_EQUAL_FATAL(lbr_start_source(&f.guest, &memory, &config, &s, NULL), 0);
	for (i = 0; i < 3; i++) {
		call(1, fake_function(1));
		ring_sample(&rings[0]);
	}
	__atomic_store_n(&events, 10 * 100003 + 5, __ATOMIC_SEQ_CST);
	for (i = 0; i < 500 && !st.lost; i++) {
		clock_sleep_ms(10);
		sampler_lbr.drain(s, on_edge, &seen);
		sampler_lbr.stats(s, &st);
	}
	CU_ASSERT_EQUAL(st.taken, 3);
	CU_ASSERT_EQUAL(st.lost, 7);
	sampler_lbr.stop(s);
	sampler_end();
}

static void starts_that_fail(void)
{
	struct sampler_config config = {.hz = 0};
	struct error err = {0};
	struct sampler *s = NULL;

	sampler_begin(2);
	CU_ASSERT_EQUAL(lbr_start_source(&f.guest, &memory, &config, &s, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	config.hz = 1000000;
	CU_ASSERT_EQUAL(lbr_start_source(&f.guest, &memory, &config, &s, &err), -EINVAL);
	config.hz = 250;
	fail_open = -EBUSY; /* the second vCPU's */
	CU_ASSERT_EQUAL(lbr_start_source(&f.guest, &memory, &config, &s, &err), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NULL(s);
	fail_open = 0;
	f.target.ops = &fake_target_ops; /* no threads */
	CU_ASSERT_EQUAL(lbr_start_source(&f.guest, &memory, &config, &s, &err), -ENOTSUP);
	f.target.ops = &ops;
	f.vcpus = HOTRAIL_MAX_VCPUS + 1;
	CU_ASSERT_EQUAL(lbr_start_source(&f.guest, &memory, &config, &s, &err), -EINVAL);
	f.vcpus = 2;
	sampler_end();
}

/* --- the probe --- */

static void trial_needs_the_guest(void)
{
	struct error err = {0};

	sampler_begin(2);
	CU_ASSERT_EQUAL(lbr_probe_source(&f.guest, &memory, &err), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none came"));
	CU_ASSERT_EQUAL(opened_any, 2);
	branch(0x1000, 0x2000); /* the host's own branches are no proof */
	ring_sample(&rings[1]);
	CU_ASSERT_EQUAL(lbr_probe_source(&f.guest, &memory, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none of 1 branch stacks"));
	branch(FAKE_BASE + 0x800, FAKE_BASE + 0x900);
	ring_sample(&rings[1]);
	CU_ASSERT_EQUAL(lbr_probe_source(&f.guest, &memory, &err), 0);
	fail_open = -EOPNOTSUPP;
	CU_ASSERT_EQUAL(lbr_probe_source(&f.guest, &memory, &err), -EOPNOTSUPP);
	sampler_end();
}

static void refusals_in_words(void)
{
	static const struct {
		int ret;
		enum hotrail_exit exit;
		const char *word;
	} cases[] = {
		{-EOPNOTSUPP, HOTRAIL_EXIT_UNSUPPORTED, "no branch stack"},
		{-ENOENT, HOTRAIL_EXIT_UNSUPPORTED, "PMU"},
		{-EACCES, HOTRAIL_EXIT_PERMISSION, "perf_event_paranoid"},
		{-EBUSY, HOTRAIL_EXIT_BUSY, "in use"},
		{-ENOSYS, HOTRAIL_EXIT_UNSUPPORTED, "CONFIG_PERF_EVENTS"},
		{-ESRCH, HOTRAIL_EXIT_FAILED, "ended"},
		{-ENOMEM, HOTRAIL_EXIT_FAILED, "memory"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = {0};

		CU_ASSERT_EQUAL(lbr_explain("branches", true, cases[i].ret, &err), cases[i].ret);
		CU_ASSERT_EQUAL(err.exit_code, cases[i].exit);
		if (strncmp(err.text, "lbr: ", 5) || !strstr(err.text, cases[i].word)) {
			printf("%d: %s\n", cases[i].ret, err.text);
			CU_FAIL("words");
		}
	}
}

static pid_t own_tid(struct target *t, unsigned vcpu)
{
	return getpid();
}

/* Whatever this machine is: a reason, or (with a branch stack) that this is no guest. */
static void the_real_source_here(void)
{
	struct error err = {0};
	int ret;

	sampler_begin(1);
	ops.vcpu_tid = own_tid;
	ret = sampler_lbr.probe(&f.guest, &err);
	CU_ASSERT_TRUE(ret < 0);
	CU_ASSERT_EQUAL(strncmp(err.text, "lbr: ", 5), 0);
	printf("%s\n", err.text);
	sampler_end();
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
	{"interleaved vCPUs", interleaved_vcpus},
	{"silent losses", silent_losses},
	{"starts that fail", starts_that_fail},
	{"the trial needs the guest", trial_needs_the_guest},
	{"refusals in words", refusals_in_words},
	{"the real source here", the_real_source_here},
};

SUITE_MAIN("lbr", tests, 60)
