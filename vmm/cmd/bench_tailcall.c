// SPDX-License-Identifier: GPL-2.0-only
/* bench tailcall: what a packet costs when its parsers are linked by each kind of tail jump. */
#include "cmd/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "patch/applier.h"
#include "patch/pair.h"
#include "util/stats.h"

#define REPETITIONS 1024 /* packets a block, as BPF's own test runs are repeated */
#define BLOCKS	    15	 /* a round and variant: a block that lost its core shows in none */
/* Hardware counters also see the guest wait for the next command: long against that. */
#define COUNTED_RUNS   (REPETITIONS * 4096ull)
#define RUN_TIMEOUT_MS 30000
/* Seen: one guest in ten costs 1 to 3 % more by one variant, from its first round to its last. So
 * the rounds are spread over several. */
#define GUESTS	  5
#define MAX_TRIES 50

static const struct variant {
	const char *name;
	enum yard_micro kind;
} variants[] = {
	{"indirect", YARD_MICRO_FLOW_INDIRECT},
	{"poke", YARD_MICRO_FLOW_POKE},
	{"poke2", YARD_MICRO_FLOW_POKE2},
};
enum { INDIRECT, POKE, POKE2, VARIANTS };

static const enum counter_id shown[] = {COUNTER_CYCLES,	     COUNTER_INSTRUCTIONS,
					COUNTER_BRANCHES,    COUNTER_BRANCH_MISSES,
					COUNTER_ITLB_MISSES, COUNTER_L1I_MISSES};

struct tailcall {
	struct bench_guest guest;
	struct applier applier;
	struct pairs *pairs;
	struct pair_done done;
	double tsc_hz;
	double ticks[VARIANTS][BENCH_MAX_ROUNDS]; /* a run; by round */
	double pmu[VARIANTS][COUNTERS][BENCH_MAX_ROUNDS];
	bool present[COUNTERS];
};

/* Lead every slot to its program, by single pokes or by pairs. */
static int install(struct tailcall *t, struct error *err)
{
	const struct image *img = t->guest.instance->image;
	struct hotrail_pair entry;
	unsigned tries = 0;
	uint32_t i;
	int ret;

	if (!img->header.pairs_count)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
				 "%s names no tail jumps that can be patched; rebuild it with "
				 "`make images`",
				 t->guest.instance->image_path);
	t->done = (struct pair_done){0};
	applier_host_init(&t->applier, t->guest.instance->guest);
	ret = pairs_create_image(t->guest.instance->guest, &t->applier, img, NULL, &t->pairs, err);
	for (i = 0; !ret && i < img->header.pairs_count; i++) {
		image_pair(img, i, &entry);
		do /* a busy host gives no short pause at once */
			ret = pairs_set(t->pairs, i, entry.program, &t->done, err);
		while ((ret == -ETIMEDOUT || ret == -EBUSY) && ++tries < MAX_TRIES);
	}
	return ret;
}

static int run_once(struct tailcall *t, const struct variant *v, uint64_t runs,
		    struct yard_micro_result *r, struct error *err)
{
	int ret = yard_micro(t->guest.instance->yard, v->kind, 0, runs, RUN_TIMEOUT_MS, r, err);

	if (!ret && !r->correct)
		ret = error_set(
			err, HOTRAIL_EXIT_FAILED, -EIO,
			"wrong call: packets dissected by %s tail jumps have a wrong digest",
			v->name);
	return ret;
}

static int time_blocks(struct tailcall *t, unsigned at, unsigned round, struct error *err)
{
	struct yard_micro_result r;
	double ticks[BLOCKS];
	unsigned i;
	int ret;

	for (i = 0; i < BLOCKS; i++) {
		ret = run_once(t, &variants[at], REPETITIONS, &r, err);
		if (ret)
			return ret;
		ticks[i] = (double)r.tsc / REPETITIONS;
	}
	t->ticks[at][round] = stats_median(ticks, BLOCKS);
	return 0;
}

static int count_events(struct tailcall *t, unsigned at, unsigned round, struct error *err)
{
	struct counter_values before, after;
	struct yard_micro_result r;
	unsigned c;
	int ret;

	counters_read(t->guest.counters, &before);
	for (c = 0; c < COUNTERS && !before.present[c]; c++)
		;
	if (c == COUNTERS) /* no PMU: nothing to run for */
		return 0;
	ret = run_once(t, &variants[at], COUNTED_RUNS, &r, err);
	counters_read(t->guest.counters, &after);
	for (c = 0; !ret && c < COUNTERS; c++) {
		t->present[c] = before.present[c] && after.present[c];
		t->pmu[at][c][round] = (double)(after.value[c] - before.value[c]) / COUNTED_RUNS;
	}
	return ret;
}

/* Rounds [from, to) of `rounds`. */
static int run_rounds(struct tailcall *t, unsigned from, unsigned to, unsigned rounds,
		      struct error *err)
{
	struct progress progress = {0};
	unsigned round, i, at;
	int ret = 0;

	for (round = from; !ret && round < to; round++)
		for (i = 0; !ret && i < VARIANTS; i++) {
			progress_update(&progress, "tailcall",
					(round * VARIANTS + i) / (double)(rounds * VARIANTS));
			at = (round + i) % VARIANTS; /* nobody always comes first */
			ret = time_blocks(t, at, round, err);
			if (!ret)
				ret = count_events(t, at, round, err);
		}
	progress_end(&progress);
	return ret;
}

static json_t *result_of(const struct tailcall *t, unsigned at, unsigned rounds)
{
	double ns[BENCH_MAX_ROUNDS], counts[BENCH_MAX_ROUNDS];
	json_t *r = json_object();
	unsigned i;

	for (i = 0; i < rounds; i++)
		ns[i] = t->ticks[at][i] / t->tsc_hz * 1e9;
	json_object_set_new(r, "ns", json_real(stats_median(ns, rounds)));
	json_object_set_new(r, "ns_spread", json_real(stats_spread(ns, rounds)));
	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		memcpy(counts, t->pmu[at][shown[i]], sizeof(counts));
		json_object_set_new(r, counter_names[shown[i]],
				    t->present[shown[i]] ? json_real(stats_median(counts, rounds))
							 : json_null());
	}
	return r;
}

/* Within each round first: what disturbs a round disturbs both sides. */
static void put_ratio(const struct tailcall *t, json_t *ratios, const char *name, unsigned above,
		      unsigned below, unsigned rounds)
{
	double r[BENCH_MAX_ROUNDS];
	char spread[64];
	unsigned i;

	for (i = 0; i < rounds; i++)
		r[i] = t->ticks[above][i] / t->ticks[below][i];
	snprintf(spread, sizeof(spread), "%s_spread", name);
	json_object_set_new(ratios, name, json_real(stats_median(r, rounds)));
	json_object_set_new(ratios, spread, json_real(stats_spread(r, rounds)));
}

static unsigned guests_for(unsigned rounds)
{
	return rounds < GUESTS ? rounds : GUESTS;
}

static json_t *document(const struct tailcall *t, unsigned rounds, uint64_t wrong,
			const struct error *why)
{
	json_t *doc = bench_new("tailcall", &t->guest), *all = json_object(),
	       *ratios = json_object();
	unsigned i;

	for (i = 0; i < VARIANTS; i++)
		json_object_set_new(all, variants[i].name, result_of(t, i, rounds));
	put_ratio(t, ratios, "poke2_over_poke", POKE2, POKE, rounds);
	put_ratio(t, ratios, "indirect_over_poke2", INDIRECT, POKE2, rounds);
	json_object_set_new(doc, "rounds", json_integer(rounds));
	json_object_set_new(doc, "guests", json_integer(guests_for(rounds)));
	json_object_set_new(doc, "repetitions", json_integer(REPETITIONS));
	json_object_set_new(doc, "blocks", json_integer(BLOCKS));
	json_object_set_new(doc, "tsc_mhz", json_real(t->tsc_hz / 1e6));
	json_object_set_new(doc, "counters_why",
			    why->text[0] ? json_string(why->text) : json_null());
	json_object_set_new(doc, "slots", json_integer((json_int_t)pairs_count(t->pairs)));
	json_object_set_new(doc, "pokes", json_integer(t->done.steps));
	json_object_set_new(doc, "poke_pause_us", json_integer(t->done.pause_us));
	json_object_set_new(doc, "variants", all);
	json_object_set_new(doc, "ratios", ratios);
	json_object_set_new(doc, "wrong_calls", json_integer((json_int_t)wrong));
	return doc;
}

/* One guest's share of the rounds. The last one makes the document. */
static int measure(struct tailcall *t, unsigned guest, unsigned rounds, uint64_t *wrong,
		   json_t **doc, struct error *err)
{
	unsigned guests = guests_for(rounds);
	struct error why = {0};
	int ret;

	yard_command(t->guest.instance->yard, YARD_CMD_IDLE);
	bench_release(&t->guest);
	ret = install(t, err);
	if (!ret)
		ret = counters_open(t->guest.instance->target, &t->guest.counters, &why);
	if (!ret)
		ret = run_rounds(t, guest * rounds / guests, (guest + 1) * rounds / guests, rounds,
				 err);
	if (!ret)
		ret = bench_wrong(&t->guest, wrong, err);
	if (!ret && guest + 1 == guests)
		*doc = document(t, rounds, *wrong, &why);
	return ret;
}

int bench_tailcall(const struct bench_options *o, json_t **doc, struct error *err)
{
	struct tailcall *t = calloc(1, sizeof(*t));
	struct bench_options one = *o;
	uint64_t wrong = 0;
	unsigned guest;
	int ret = 0;

	if (!t)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to measure");
	one.vcpus = 1; /* only vCPU 0 is measured; another would only take a core */
	t->tsc_hz = bench_tsc_hz();
	for (guest = 0; !ret && guest < guests_for(o->rounds); guest++) {
		ret = bench_open(&t->guest, "retpoline", &one, err);
		if (ret)
			break;
		ret = measure(t, guest, o->rounds, &wrong, doc, err);
		pairs_destroy(t->pairs);
		t->pairs = NULL;
		bench_close(&t->guest);
	}
	free(t);
	return ret;
}
