// SPDX-License-Identifier: GPL-2.0-only
/* A guest under a following engine: time to the first gain, time to follow a phase change, memory.
 */
#include "cmd/bench.h"

#include <errno.h>

#include "util/clock.h"
#include "util/rss.h"
#include "util/stats.h"

#define FIRST_GAIN_LIMIT_MS 10000
#define FOLLOW_LIMIT_MS	    5000
#define WINDOW_MS	    20
#define SETTLED_LOOKS	    50
#define FOLLOWED_SHARE	    0.98 /* of the settled fast-path share */

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

/* One look at the engine after the switch. */
struct look {
	double at, fast_share;
	bool relearned;
};

/*
 * Seconds from the switch until the new phase's calls stay on tracks as they will when all has
 * settled. Throughput cannot tell this on a shared machine; the miss counters can. Negative: never
 * reached.
 */
static double follow_switch(struct bench_guest *g, double *settled)
{
	struct look looks[FOLLOW_LIMIT_MS / WINDOW_MS];
	double late[SETTLED_LOOKS];
	unsigned n = FOLLOW_LIMIT_MS / WINDOW_MS, i;
	struct engine_status s;
	uint64_t begin = clock_ns(), rounds;

	engine_get_status(g->engine, &s);
	rounds = s.relearned;
	yard_phase(g->instance->yard, 1);
	for (i = 0; i < n; i++) {
		clock_sleep_ms(WINDOW_MS);
		engine_get_status(g->engine, &s);
		looks[i] = (struct look){(clock_ns() - begin) / 1e9, s.fast_share,
					 s.relearned > rounds};
	}
	for (i = 0; i < SETTLED_LOOKS; i++)
		late[i] = looks[n - 1 - i].fast_share;
	*settled = stats_median(late, SETTLED_LOOKS);
	for (i = 0; i<n && * settled> 0; i++)
		if (looks[i].relearned && looks[i].fast_share >= *settled * FOLLOWED_SHARE)
			return looks[i].at;
	return -1;
}

int bench_follow(const struct bench_options *o, json_t *doc, uint64_t *wrong, struct error *err)
{
	struct bench_guest g = {0};
	double first_gain = -1, follow, settled;
	int ret = start_following(&g, o, &first_gain, err);

	if (ret)
		goto out_close;
	clock_sleep_ms(1500);
	follow = follow_switch(&g, &settled);
	json_object_set_new(doc, "first_gain_s", json_real(first_gain));
	json_object_set_new(doc, "phase_follow_s", follow >= 0 ? json_real(follow) : json_null());
	json_object_set_new(doc, "fast_share_after_switch",
			    settled >= 0 ? json_real(settled) : json_null());
	json_object_set_new(doc, "rss_mib", json_real(rss_beyond_guest(NULL, 0) / 1048576.0));
	ret = bench_wrong(&g, wrong, err);
out_close:
	if (g.instance)
		bench_close(&g);
	return ret;
}
