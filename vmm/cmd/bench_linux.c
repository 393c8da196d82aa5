// SPDX-License-Identifier: GPL-2.0-only
/* bench linux: a stock kernel with real programs, unpromoted and promoted in turn in one boot. */
#include "cmd/bench_linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/stats.h"

static const char *const workloads[] = {"nginx", "redis", "dbench", "syscall", "udp"};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

struct linux_bench {
	const struct bench_options *o;
	struct linux_bench_guest guest;
	double boot[BENCH_MAX_ROUNDS], boot_qemu[BENCH_MAX_ROUNDS];
	unsigned boots_qemu; /* that came up */
	bool emulated;
	json_t *doc, *loads;
	struct progress progress;
};

/* As long as all have come up; a QEMU that fails once is not waited for again. */
static void boot_in_qemu(struct linux_bench *b, unsigned i)
{
	if (b->boots_qemu != i)
		return;
	progress_update(&b->progress, "booting in QEMU", 0.1 * i / b->o->boots);
	b->boot_qemu[i] = linux_bench_boot_qemu(b->o);
	b->boots_qemu += b->boot_qemu[i] >= 0;
}

/* QEMU's boots and ours in turn, so that both see the same host; all of ours but the last are only
 * timed. */
static int boot(struct linux_bench *b, struct error *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < b->o->boots; i++) {
		linux_bench_close(&b->guest);
		boot_in_qemu(b, i);
		progress_update(&b->progress, "booting", 0.1 * (i + 0.5) / b->o->boots);
		ret = linux_bench_open(&b->guest, b->o, "", i + 1 == b->o->boots, err);
		b->boot[i] = b->guest.boot_s;
		if (!ret && i + 1 == b->o->boots)
			ret = linux_bench_optimise(&b->guest, b->o, err);
	}
	return ret;
}

static void put_boots(struct linux_bench *b)
{
	bool qemu = b->boots_qemu == b->o->boots;
	unsigned n = b->o->boots;

	json_object_set_new(b->doc, "boots", json_integer(n));
	json_object_set_new(b->doc, "boot_s", json_real(stats_median(b->boot, n)));
	json_object_set_new(b->doc, "boot_s_spread", json_real(stats_spread(b->boot, n)));
	json_object_set_new(b->doc, "boot_s_qemu",
			    qemu ? json_real(stats_median(b->boot_qemu, n)) : json_null());
	json_object_set_new(b->doc, "boot_s_qemu_spread",
			    qemu ? json_real(stats_spread(b->boot_qemu, n)) : json_null());
}

static int run_loads(struct linux_bench *b, struct error *err)
{
	json_t *one;
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < WORKLOADS; i++) {
		one = NULL;
		ret = linux_bench_load(&b->guest, b->o, workloads[i], &b->progress,
				       0.1 + 0.7 * i / WORKLOADS, 0.7 / WORKLOADS, &one, err);
		if (!ret)
			json_object_set_new(b->loads, workloads[i], one);
	}
	return ret;
}

/* Complaints of the guest's kernel, sites that are not as they should be, memory. */
static int check_after(struct linux_bench *b, struct error *err)
{
	const struct linux_census *census = &linux_guest_info(b->guest.guest)->census;
	json_t *protected = json_object();
	struct engine_status status;
	struct patch_verify v = {0};
	struct linux_answer a = {0};
	unsigned i, tries = 0;
	int ret;

	do
		ret = engine_verify(b->guest.engine, &v, err);
	while (linux_bench_again(ret, &tries));
	if (!ret)
		ret = linux_console_ask(&b->guest.console, 60000, &a, err, "dmesg-check");
	for (i = 0; i < KERNEL_RANGES; i++)
		if (census->protected[i])
			json_object_set_new(protected, kernel_range_text(i),
					    json_integer((json_int_t)census->protected[i]));
	engine_get_status(b->guest.engine, &status);
	json_object_set_new(b->doc, "sampler", json_text(status.sampler));
	json_object_set_new(b->doc, "sites_total", json_integer((json_int_t)census->total));
	json_object_set_new(b->doc, "sites_kept", json_integer((json_int_t)census->kept));
	json_object_set_new(b->doc, "sites_protected", protected);
	json_object_set_new(b->doc, "verify_differ", json_integer(v.differ + v.unreadable));
	json_object_set_new(b->doc, "kernel_complaints", json_integer((json_int_t)a.errors));
	json_object_set_new(b->doc, "rss_mib", json_real(b->guest.rss_mib));
	return ret;
}

/* A boot without mitigations, where time means something: what promotion can win at most. */
static int run_without_mitigations(struct linux_bench *b, struct error *err)
{
	struct linux_bench_guest g;
	double rates[BENCH_MAX_ROUNDS], first;
	uint64_t errors = 0;
	unsigned round;
	size_t i;
	int ret = linux_bench_open(&g, b->o, "mitigations=off", false, err);

	for (i = 0; !ret && i < WORKLOADS; i++) {
		progress_update(&b->progress, "mitigations=off", 0.8 + 0.2 * i / WORKLOADS);
		ret = linux_bench_run(&g, workloads[i], 2, &first, &errors, NULL, 0, err);
		for (round = 0; !ret && round < b->o->rounds; round++)
			ret = linux_bench_run(&g, workloads[i], b->o->seconds, &rates[round],
					      &errors, NULL, 0, err);
		if (!ret)
			json_object_set_new(json_object_get(b->loads, workloads[i]), "off",
					    json_real(stats_median(rates, b->o->rounds)));
	}
	linux_bench_close(&g);
	return ret;
}

/* Failed requests, sites that are not as they should be, complaints of the kernel: all must be 0.
 */
static void sum_failures(struct linux_bench *b)
{
	json_int_t sum = json_integer_value(json_object_get(b->doc, "verify_differ")) +
			 json_integer_value(json_object_get(b->doc, "kernel_complaints"));
	size_t i;

	for (i = 0; i < WORKLOADS; i++)
		sum += json_integer_value(
			json_object_get(json_object_get(b->loads, workloads[i]), "errors"));
	json_object_set_new(b->doc, "failures", json_integer(sum));
}

static int run_all(struct linux_bench *b, struct error *err)
{
	int ret = boot(b, err);

	if (ret)
		return linux_bench_advise(ret, "bench-linux-rig", err);
	json_object_set_new(b->doc, "via",
			    json_string(b->o->via == ENGINE_VIA_AGENT ? "agent" : "host"));
	json_object_set_new(b->doc, "kernel", json_text(b->guest.kernel->release));
	json_object_set_new(b->doc, "mitigation",
			    json_text(linux_guest_info(b->guest.guest)->mitigation));
	put_boots(b);
	ret = run_loads(b, err);
	if (!ret)
		ret = check_after(b, err);
	linux_bench_close(&b->guest);
	if (!ret)
		sum_failures(b);
	if (!ret && !b->emulated)
		ret = run_without_mitigations(b, err);
	return ret;
}

int bench_linux(const struct bench_options *o, json_t **doc, struct error *err)
{
	struct bench_options own = *o;
	struct linux_bench b = {.o = &own, .emulated = linux_bench_emulated()};
	struct linux_bench_files files;
	int ret = machine_probe(MACHINE_KVM, err);

	b.guest.console.event = -1;
	if (ret)
		return linux_bench_advise(ret, "bench-linux-rig", err);
	ret = linux_bench_find(&own, &files, err);
	if (ret)
		return ret;
	b.loads = json_object();
	b.doc = json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:o}", "schema", JSON_SCHEMA, "bench",
			  "linux", "host", b.emulated ? "emulated" : "native", "vcpus",
			  (int)o->vcpus, "rounds", (int)o->rounds, "seconds", (int)o->seconds,
			  "workloads", b.loads);
	ret = b.doc ? run_all(&b, err)
		    : error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the document");
	linux_bench_close(&b.guest);
	progress_end(&b.progress);
	if (!ret)
		*doc = json_incref(b.doc);
	json_decref(b.doc);
	return ret;
}
