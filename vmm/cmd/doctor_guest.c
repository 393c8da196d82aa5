// SPDX-License-Identifier: GPL-2.0-only
/* What of Hotrail itself works here: backends, images, folders, and samplers and counters on a
 * scratch guest. */
#include "cmd/doctor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/registry.h"
#include "engine/instance.h"
#include "sample/counters.h"
#include "sample/sampler.h"
#include "util/clock.h"

static const char *const kvm_remedy = "modprobe kvm_intel or kvm_amd, and join the group that owns "
				      "/dev/kvm: usermod -aG kvm USER";
static const char *const process_remedy =
	"allow ptrace of own children: sysctl kernel.yama.ptrace_scope=1 or lower, and a container "
	"profile that permits it";

void doctor_machines(struct doctor *d)
{
	struct error err = {0};
	int kvm = machine_probe(MACHINE_KVM, &err), process;

	doctor_add_result(d, "machine kvm", kvm, "/dev/kvm works", &err, DOCTOR_NO, kvm_remedy);
	memset(&err, 0, sizeof(err));
	process = machine_probe(MACHINE_PROCESS, &err);
	doctor_add_result(d, "machine process", process,
			  kvm ? "traced processes work; used, as there is no KVM"
			      : "traced processes work; not needed, as KVM does",
			  &err, kvm ? DOCTOR_NO : DOCTOR_LIMITED, process_remedy);
	d->machine = !kvm || !process;
}

void doctor_images(struct doctor *d)
{
	static const char *const variants[] = {"retpoline", "plain"};
	enum machine_backend backend;
	struct error err = {0};
	char path[512], name[32];
	unsigned i;
	int ret;

	if (instance_backend(MACHINE_AUTO, &backend, NULL))
		backend = MACHINE_KVM;
	for (i = 0; i < 2; i++) {
		ret = instance_find_image(variants[i], backend, path, sizeof(path), &err);
		snprintf(name, sizeof(name), "image %s", variants[i]);
		doctor_add_result(d, name, ret, path, &err, i ? DOCTOR_LIMITED : DOCTOR_NO,
				  NULL); /* the error already says what to type */
		if (!i)
			d->image = !ret;
	}
}

/* Really claims a name: a folder that looks writable may be on a full or read-only disk. */
void doctor_folders(struct doctor *d)
{
	struct registry_entry entry;
	struct error err = {0};
	char name[64], dir[512];
	int ret, lock;

	snprintf(name, sizeof(name), "doctor-%ld", (long)getpid());
	lock = registry_claim(name, &entry, &err);
	if (lock >= 0) {
		snprintf(dir, sizeof(dir), "%s", entry.dir);
		if (strrchr(dir, '/'))
			*strrchr(dir, '/') = 0;
		registry_release(&entry, lock);
	}
	doctor_add_result(d, "run folder", lock < 0 ? lock : 0, dir, &err, DOCTOR_NO,
			  "set XDG_RUNTIME_DIR or HOTRAIL_RUNTIME_DIR to a folder of your own");
	memset(&err, 0, sizeof(err));
	ret = registry_state_dir(dir, sizeof(dir), &err);
	if (!ret && access(dir, W_OK))
		ret = error_errno(&err, "%.200s: not writable", dir);
	doctor_add_result(d, "state folder", ret, dir, &err, DOCTOR_LIMITED,
			  "set XDG_STATE_HOME or HOTRAIL_STATE_DIR to a folder of your own");
}

#define SAMPLERS_MAX 16

/* All of them, also those that "auto" would not get to; one that works is enough. */
static void samplers(struct doctor *d, struct guest *g)
{
	struct error err[SAMPLERS_MAX] = {0};
	const char *best = NULL;
	char name[48], remedy[80];
	int ret[SAMPLERS_MAX];
	unsigned i;

	for (i = 0; i < SAMPLERS_MAX && sampler_table[i]; i++) {
		ret[i] = sampler_table[i]->probe(g, &err[i]);
		if (!ret[i] && !best)
			best = sampler_table[i]->name;
	}
	snprintf(remedy, sizeof(remedy), "none needed: --sampler auto takes %s", best ? best : "");
	for (i = 0; i < SAMPLERS_MAX && sampler_table[i]; i++) {
		snprintf(name, sizeof(name), "sampler %s", sampler_table[i]->name);
		doctor_add_result(d, name, ret[i], sampler_table[i]->what, &err[i],
				  best ? DOCTOR_LIMITED : DOCTOR_NO, best ? remedy : NULL);
	}
}

static void counters(struct doctor *d, struct target *t)
{
	struct counter_values values = {0};
	struct error why = {0};
	struct counters *c;
	char detail[320];
	unsigned i, n = 0;
	size_t used;

	if (counters_open(t, &c, &why)) {
		doctor_add(d, "pmu counters", DOCTOR_LIMITED, why.text, NULL);
		return;
	}
	clock_sleep_ms(20); /* give a multiplexed counter its turn */
	counters_read(c, &values);
	counters_close(c);
	snprintf(detail, sizeof(detail), "present:");
	for (i = 0; i < COUNTERS; i++) {
		if (!values.present[i])
			continue;
		used = strlen(detail);
		snprintf(detail + used, sizeof(detail) - used, " %s", counter_names[i]);
		n++;
	}
	if (n == COUNTERS)
		doctor_add(d, "pmu counters", DOCTOR_OK, detail, NULL);
	else
		doctor_add(d, "pmu counters", DOCTOR_LIMITED, n ? detail : "none present",
			   why.text[0] ? why.text : "benchmarks fall back to time");
}

void doctor_scratch(struct doctor *d)
{
	struct instance_config config = INSTANCE_DEFAULT;
	struct instance *instance = NULL;
	struct error err = {0};
	char detail[160] = "";
	uint64_t before;
	int ret;

	if (!d->machine || !d->image)
		return;
	config.vcpus = 1;
	before = clock_ns();
	ret = instance_open(&config, &instance, &err);
	if (!ret)
		ret = instance_start(instance, &err);
	if (!ret)
		snprintf(detail, sizeof(detail),
			 "started on the %s machine at level %d in %.0f ms, %zu sites",
			 machine_backend_name(machine_backend(instance->machine)),
			 machine_cpl(instance->machine), (double)(clock_ns() - before) / 1e6,
			 instance->guest->sites.count);
	doctor_add_result(d, "scratch guest", ret, detail, &err, DOCTOR_NO, NULL);
	if (!ret) {
		samplers(d, instance->guest);
		counters(d, instance->target);
	} else {
		d->machine = false;
	}
	instance_close(instance);
}
