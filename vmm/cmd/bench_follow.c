// SPDX-License-Identifier: GPL-2.0-only
/* A guest under a following engine: time to the first gain, time to follow a phase change, memory.
 */
#include "cmd/bench.h"

#include <errno.h>

#include "util/clock.h"
#include "util/rss.h"
#include "util/stats.h"

#define FIRST_GAIN_LIMIT_MS 10000
#define FOLLOW_LIMIT_MS	    6000
#define WINDOW_MS	    50
#define STEADY_WINDOWS	    20
/* Followed: a window reaches this share of what the settled phase later yields. */
#define FOLLOWED_SHARE 0.95

static uint64_t guest_ops(void *yard)
{
	return yard_ops(yard);
}

static int start_following(struct bench_guest *g, const struct bench_options *o, double *first_gain,
			   struct error *err)
{
	struct engine_config ec = {.policy = POLICY_DEFAULT, .follow = true, .work = guest_ops};
	struct engine_status s = {0};
	uint64_t begin;
	int ret = bench_open(g, "retpoline", o, err);

	if (ret)
		return ret;
	ec.work_ctx = g->instance->yard;
	bench_release(g);
	begin = clock_ns();
	ret = engine_create(g->instance->guest, &ec, &g->engine, err);
	while (!ret && !s.promoted) {
		clock_sleep_ms(5);
		engine_get_status(g->engine, &s);
		if (clock_ns() - begin > FIRST_GAIN_LIMIT_MS * 1000000ull)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT,
					 "nothing was promoted within %u s",
					 FIRST_GAIN_LIMIT_MS / 1000);
	}
	*first_gain = (clock_ns() - begin) / 1e9;
	return ret;
}

/* Seconds from the switch to the first window at the new phase's settled speed; that speed is only
 * known afterwards, so the windows are kept and judged at the end. Negative: never reached. */
static double follow_switch(struct bench_guest *g)
{
	double rate[FOLLOW_LIMIT_MS / WINDOW_MS], at[FOLLOW_LIMIT_MS / WINDOW_MS];
	double steady[STEADY_WINDOWS], settled;
	unsigned n = FOLLOW_LIMIT_MS / WINDOW_MS, i;
	uint64_t begin = clock_ns();

	yard_phase(g->instance->yard, 1);
	for (i = 0; i < n; i++) {
		rate[i] = bench_rate(g, WINDOW_MS);
		at[i] = (clock_ns() - begin) / 1e9;
	}
	for (i = 0; i < STEADY_WINDOWS; i++)
		steady[i] = rate[n - 1 - i];
	settled = stats_median(steady, STEADY_WINDOWS);
	/* Two windows in a row: one alone may be noise. */
	for (i = 0; i + 1 < n; i++)
		if (rate[i] >= settled * FOLLOWED_SHARE && rate[i + 1] >= settled * FOLLOWED_SHARE)
			return at[i];
	return -1;
}

/* The phase has really been followed: the tracks of the new phase take its calls. */
static json_t *fast_share(struct bench_guest *g)
{
	struct engine_status s;

	engine_get_status(g->engine, &s);
	return s.fast_share >= 0 ? json_real(s.fast_share) : json_null();
}

int bench_follow(const struct bench_options *o, json_t *doc, uint64_t *wrong, struct error *err)
{
	struct bench_guest g = {0};
	double first_gain = -1, follow;
	int ret = start_following(&g, o, &first_gain, err);

	if (ret)
		goto out_close;
	clock_sleep_ms(1500);
	follow = follow_switch(&g);
	json_object_set_new(doc, "first_gain_s", json_real(first_gain));
	json_object_set_new(doc, "phase_follow_s", follow >= 0 ? json_real(follow) : json_null());
	json_object_set_new(doc, "fast_share_after_switch", fast_share(&g));
	json_object_set_new(doc, "rss_mib", json_real(rss_beyond_memfd() / 1048576.0));
	ret = bench_wrong(&g, wrong, err);
out_close:
	if (g.instance)
		bench_close(&g);
	return ret;
}
