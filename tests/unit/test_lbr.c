// SPDX-License-Identifier: GPL-2.0-only
/* The lbr sampler on hand-made ring buffers of several vCPUs, and its probe. */
#include "lbr_fixture.h"

#include "sample/lbr.h"

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
	{"interleaved vCPUs", interleaved_vcpus},
	{"silent losses", silent_losses},
	{"starts that fail", starts_that_fail},
	{"the trial needs the guest", trial_needs_the_guest},
	{"refusals in words", refusals_in_words},
	{"the real source here", the_real_source_here},
};

SUITE_MAIN("lbr", tests, 60)
