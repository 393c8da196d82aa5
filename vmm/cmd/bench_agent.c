// SPDX-License-Identifier: GPL-2.0-only
/* bench agent: what it costs a guest that sites are written by its agent, and by the host. */
#include "cmd/bench_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define CHECK_SECONDS 2
#define BACK_MS	      30000
#define SETTLE_MS     300

struct agent_bench {
	const struct bench_options *o;
	struct linux_bench_guest guest;
	struct patcher *patcher;
	struct agent_bench_sites sites;
	struct agent_bench_result *r;
	struct progress progress;
};

static int open_guest(struct agent_bench *b, struct error *err)
{
	int ret;

	progress_update(&b->progress, "booting", 0);
	ret = linux_bench_open(&b->guest, b->o, "", true, err);
	if (ret)
		return linux_bench_advise(ret, "bench-agent-rig", err);
	ret = b->guest.guest->ops->may_patch(b->guest.guest, err);
	if (!ret)
		ret = linux_bench_load_agent(&b->guest, err);
	if (!ret)
		ret = patcher_create(b->guest.guest, NULL, &b->patcher, err);
	return ret ? ret : patch_use_agent(b->patcher, b->guest.agent.agent, err);
}

static void close_guest(struct agent_bench *b)
{
	if (b->patcher)
		patcher_destroy(b->patcher);
	b->patcher = NULL;
	linux_bench_close(&b->guest);
}

/* --- batches --- */

static void note(struct agent_bench_batches *b, const struct patch_summary *sum, unsigned asked,
		 enum patch_way way, uint64_t ns)
{
	b->not_written += asked - sum->applied;
	b->pauses += sum->pause_us > 0;
	if (sum->rounds > b->rounds)
		b->rounds = sum->rounds;
	b->batch_ms[b->count] = ns / 1e6;
	b->write_ms[b->count++] = (way == PATCH_WAY_AGENT ? sum->agent_ns : sum->pause_ns) / 1e6;
}

/* The host's pause did not fit, or the agent did not answer in time and is greeted anew: what is
 * late is told, and comes with the next batch. 0, or ret. */
static int late(struct agent_bench *b, int ret, struct agent_bench_batches *to, struct error *err)
{
	uint64_t limit = clock_ns() + BACK_MS * 1000000ull;

	if (ret != -ETIMEDOUT)
		return ret;
	to->late++;
	while ((ret = agent_ready(b->guest.agent.agent, err)) == -ENOTCONN && clock_ns() < limit)
		clock_sleep_ms(20);
	return ret;
}

/* To the other tracks. */
static int write_batch(struct agent_bench *b, enum patch_way way, struct agent_bench_batches *to,
		       struct error *err)
{
	struct patch_request *requests = b->sites.to[!b->sites.at];
	struct patch_outcome outcomes[AGENT_BENCH_SITES];
	struct patch_summary sum;
	uint64_t begin;
	unsigned i;
	int ret;

	for (i = 0; i < b->sites.n; i++)
		requests[i].way = way;
	begin = clock_ns();
	ret = patch_apply(b->patcher, requests, b->sites.n, outcomes, &sum, err);
	if (ret)
		return late(b, ret, to, err);
	note(to, &sum, b->sites.n, way, clock_ns() - begin);
	b->sites.at = !b->sites.at;
	return 0;
}

/* The same, unmeasured: all sites on tracks of that way, and both tracks of each laid. */
static int change_way(struct agent_bench *b, enum patch_way way, struct error *err)
{
	unsigned turn, i;
	int ret = 0;

	for (turn = 0; !ret && turn < 2; turn++) {
		struct patch_request *to = b->sites.to[!b->sites.at];

		for (i = 0; i < b->sites.n; i++)
			to[i].way = way;
		b->sites.at = !b->sites.at;
		ret = agent_bench_apply(b->patcher, to, b->sites.n, err);
	}
	clock_sleep_ms(SETTLE_MS); /* its aftermath is no window's */
	return ret;
}

/* --- windows --- */

static void read_meter(struct agent_bench *b, uint32_t count[AGENT_BENCH_METER])
{
	unsigned i;

	for (i = 0; i < b->sites.meters; i++)
		(void)patch_read_miss(b->patcher, b->sites.meter[i].site, &count[i]);
}

/* One turn, with a batch at its begin or none: counted calls a second. */
static int window(struct agent_bench *b, struct agent_bench_batches *to, enum patch_way way,
		  double *rate, struct error *err)
{
	uint64_t begin = clock_ns(), end = begin + 1000000000 / b->o->rate, now, calls = 0;
	uint32_t before[AGENT_BENCH_METER] = {0}, after[AGENT_BENCH_METER] = {0};
	unsigned i;
	int ret = 0;

	read_meter(b, before);
	if (to)
		ret = write_batch(b, way, to, err);
	now = clock_ns();
	if (now < end)
		clock_sleep_ms((unsigned)((end - now) / 1000000));
	read_meter(b, after);
	for (i = 0; i < b->sites.meters; i++)
		calls += (uint32_t)(after[i] - before[i]); /* 32 bits that wrap */
	*rate = calls / ((clock_ns() - begin) / 1e9);
	return ret;
}

static int run_round(struct agent_bench *b, unsigned round, struct error *err)
{
	struct agent_bench_result *r = b->r;
	int ret = window(b, &r->batches[PATCH_WAY_AGENT], PATCH_WAY_AGENT,
			 &r->under[PATCH_WAY_AGENT][round], err);

	if (!ret)
		ret = change_way(b, PATCH_WAY_HOST, err);
	if (!ret)
		ret = window(b, NULL, 0, &r->quiet[2 * round + 1], err);
	if (!ret)
		ret = window(b, &r->batches[PATCH_WAY_HOST], PATCH_WAY_HOST,
			     &r->under[PATCH_WAY_HOST][round], err);
	if (!ret)
		ret = change_way(b, PATCH_WAY_AGENT, err);
	return ret ? ret : window(b, NULL, 0, &r->quiet[2 * round + 2], err);
}

static int set_load(struct agent_bench *b, bool on, struct error *err)
{
	struct linux_answer a = {0};
	int ret = linux_console_ask(&b->guest.console, LINUX_BENCH_ANSWER_MS, &a, err,
				    on ? "start %s" : "stop", b->o->workload);

	b->r->errors += ret ? 0 : a.errors;
	return ret;
}

static int run_rounds(struct agent_bench *b, struct error *err)
{
	unsigned round;
	int ret = set_load(b, true, err);

	if (!ret)
		ret = agent_bench_apply(b->patcher, b->sites.meter, b->sites.meters, err);
	if (!ret)
		ret = write_batch(b, PATCH_WAY_AGENT, &b->r->first, err);
	if (!ret)
		ret = change_way(b, PATCH_WAY_HOST, err);
	if (!ret)
		ret = change_way(b, PATCH_WAY_AGENT, err);
	if (!ret)
		ret = window(b, NULL, 0, &b->r->quiet[0], err);
	for (round = 0; !ret && round < b->o->rounds; round++) {
		progress_update(&b->progress, "writing", 0.25 + 0.75 * round / b->o->rounds);
		ret = run_round(b, round, err);
	}
	return ret ? ret : set_load(b, false, err);
}

/* What has been written to and fro still does its work. */
static int run_checked(struct agent_bench *b, struct error *err)
{
	double rate = 0;
	int ret = linux_bench_run(&b->guest, b->o->workload, CHECK_SECONDS, &rate, &b->r->errors,
				  NULL, 0, err);

	b->r->errors += !ret && rate <= 0;
	return ret;
}

/* Complaints of the guest's kernel, and sites that are not as they should be. */
static int check_after(struct agent_bench *b, struct error *err)
{
	struct linux_answer a = {0};
	struct patch_verify v = {0};
	unsigned tries = 0;
	int ret;

	do
		ret = patch_verify(b->patcher, &v, err);
	while (linux_bench_again(ret, &tries));
	if (!ret)
		ret = linux_console_ask(&b->guest.console, LINUX_BENCH_ANSWER_MS, &a, err,
					"dmesg-check");
	b->r->differ = v.differ + v.unreadable;
	b->r->complaints = a.errors;
	return ret;
}

static int run_all(struct agent_bench *b, struct error *err)
{
	int ret = open_guest(b, err);

	if (!ret)
		ret = agent_bench_learn(&b->guest, b->patcher, b->o, &b->sites, &b->progress, err);
	if (!ret)
		ret = run_rounds(b, err);
	if (!ret)
		ret = run_checked(b, err);
	return ret ? ret : check_after(b, err);
}

static void describe(struct agent_bench *b)
{
	struct guest *g = b->guest.guest;
	struct agent_bench_result *r = b->r;
	unsigned i;

	r->kernel = b->guest.kernel->release;
	r->workload = b->o->workload;
	r->emulated = linux_bench_emulated();
	r->vcpus = b->o->vcpus;
	r->rounds = b->o->rounds;
	r->rate = b->o->rate;
	r->sites = b->sites.n;
	r->learned = b->sites.learned;
	r->meters = b->sites.meters;
	for (i = 0; i < r->meters; i++)
		g->ops->symbol(g, g->sites.sites[b->sites.meter[i].site].addr, r->meter[i],
			       sizeof(r->meter[i]));
}

int bench_agent(const struct bench_options *o, json_t **doc, struct error *err)
{
	struct bench_options own = *o;
	struct agent_bench b = {.o = &own};
	struct linux_bench_files files;
	int ret = machine_probe(MACHINE_KVM, err);

	b.guest.console.event = -1;
	if (ret)
		return linux_bench_advise(ret, "bench-agent-rig", err);
	ret = linux_bench_find(&own, &files, err);
	if (ret)
		return ret;
	b.r = calloc(1, sizeof(*b.r));
	if (!b.r)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to measure");
	ret = run_all(&b, err);
	if (!ret) {
		describe(&b);
		*doc = agent_bench_document(b.r);
	}
	close_guest(&b);
	progress_end(&b.progress);
	free(b.r);
	return ret;
}
