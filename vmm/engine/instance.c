// SPDX-License-Identifier: GPL-2.0-only
/* Opening, starting and closing one yard guest. */
#include "engine/instance.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A healthy guest needs milliseconds; an emulated one (TCG, level 0 on kvm_pvm) seconds. */
#define START_TIMEOUT_MS 20000

#ifndef HOTRAIL_PREFIX
#define HOTRAIL_PREFIX "/usr/local"
#endif

int instance_backend(enum machine_backend asked, enum machine_backend *out, struct error *err)
{
	int ret;

	*out = asked;
	if (asked != MACHINE_AUTO)
		return machine_probe(asked, err);
	*out = MACHINE_KVM;
	if (!machine_probe(MACHINE_KVM, NULL))
		return 0;
	*out = MACHINE_PROCESS;
	ret = machine_probe(MACHINE_PROCESS, err);
	return ret;
}

static bool program_dir(char *dir, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", dir, len - 1);
	char *slash;

	if (n <= 0)
		return false;
	dir[n] = 0;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	return slash != NULL;
}

int instance_find_image(const char *variant, enum machine_backend backend, char *path, size_t len,
			struct error *err)
{
	const char *base = backend == MACHINE_PROCESS ? "low" : "high";
	const char *env = getenv("HOTRAIL_IMAGES");
	char exe[PATH_MAX], places[4][PATH_MAX + 32];
	unsigned n = 0, i;
	int used;

	if (env && *env)
		snprintf(places[n++], sizeof(places[0]), "%s", env);
	if (program_dir(exe, sizeof(exe))) {
		snprintf(places[n++], sizeof(places[0]), "%s/yard", exe);
		/* Installed under another prefix than it was built for. */
		snprintf(places[n++], sizeof(places[0]), "%s/../share/hotrail", exe);
	}
	snprintf(places[n++], sizeof(places[0]), "%s/share/hotrail", HOTRAIL_PREFIX);
	for (i = 0; i < n; i++) {
		used = snprintf(path, len, "%s/yard-%s-%s.img", places[i], variant, base);
		if (used > 0 && (size_t)used < len && !access(path, R_OK))
			return 0;
	}
	return error_set(
		err, HOTRAIL_EXIT_FAILED, -ENOENT,
		"no image yard-%s-%s.img in %.100s or %s/share/hotrail: build it with `make "
		"images`, or set HOTRAIL_IMAGES to its folder",
		variant, base, places[0], HOTRAIL_PREFIX);
}

static int add_devices(struct instance *i, int console_fd)
{
	i->console = console_create(console_fd);
	i->doorbell = doorbell_create();
	if (!i->console || !i->doorbell)
		return -ENOMEM;
	if (bus_add(&i->bus, YARD_PORT, doorbell_write, i->doorbell) ||
	    bus_add(&i->bus, YARD_CONSOLE_PORT, console_write, i->console))
		return -ENOSPC;
	return 0;
}

static int open_image(struct instance *i, const struct instance_config *c,
		      enum machine_backend backend, struct error *err)
{
	struct image_options options = {.writable_text = c->writable_text};
	int ret;

	if (c->image)
		snprintf(i->image_path, sizeof(i->image_path), "%s", c->image);
	else if ((ret = instance_find_image(c->variant ? c->variant : "retpoline", backend,
					    i->image_path, sizeof(i->image_path), err)))
		return ret;
	return image_load_with(i->image_path, &options, &i->image, err);
}

static int open_machine(struct instance *i, const struct instance_config *c,
			enum machine_backend backend, struct error *err)
{
	struct machine_config mc = {
		.backend = backend,
		.cpl = c->cpl,
		.vcpus = c->vcpus,
		.ram_bytes = c->mem,
		.huge_pages = c->huge_pages,
		.port = bus_write,
		.port_ctx = &i->bus,
	};
	int ret;

	if (c->vcpus > i->image->header.max_vcpus)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%s supports %u vCPUs, not %u: pass --vcpus %u or fewer",
				 i->image_path, i->image->header.max_vcpus, c->vcpus,
				 i->image->header.max_vcpus);
	ret = yard_configure(i->image, &mc, err);
	if (!ret)
		ret = machine_create(&mc, &i->machine, err);
	return ret;
}

int instance_open(const struct instance_config *c, struct instance **out, struct error *err)
{
	enum machine_backend backend;
	struct instance *i;
	int ret;

	*out = NULL;
	ret = instance_backend(c->backend, &backend, err);
	if (ret)
		return ret;
	i = calloc(1, sizeof(*i));
	if (!i || add_devices(i, c->console_fd)) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a guest");
		goto out_close;
	}
	i->start_ms = c->start_ms ? c->start_ms : START_TIMEOUT_MS;
	ret = open_image(i, c, backend, err);
	if (!ret)
		ret = open_machine(i, c, backend, err);
	if (!ret)
		ret = yard_boot(i->image, i->machine, c->seed, err);
	if (!ret)
		ret = yard_create(i->image, i->machine, c->seed, &i->yard, err);
	if (ret)
		goto out_close;
	i->target = target_machine_create(i->machine);
	if (!i->target) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a guest");
		goto out_close;
	}
	ret = yard_guest_create(i->image, i->target, &i->guest, err);
	if (ret)
		goto out_close;
	yard_phase(i->yard, c->phase);
	*out = i;
	return 0;

out_close:
	instance_close(i);
	return ret;
}

/* A guest that dies before it is ready explains itself better than a time-out does. */
static int not_ready(struct instance *i, unsigned vcpu, struct error *err)
{
	struct machine_report report;

	if (machine_wait_end(i->machine, 0, &report))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EIO,
				 "guest %s ended before it was ready: vCPU %u at %#llx: %s",
				 i->image_path, report.vcpu, (unsigned long long)report.regs.rip,
				 report.text);
	return error_set(err, HOTRAIL_EXIT_FAILED, -ETIMEDOUT,
			 "vCPU %u of %s did not reach its main loop within %g s", vcpu,
			 i->image_path, i->start_ms / 1000.0);
}

int instance_start(struct instance *i, struct error *err)
{
	unsigned waited = 0, vcpu;
	int ret;

	ret = machine_start(i->machine, err);
	if (ret)
		return ret;
	for (vcpu = 0; vcpu < machine_vcpus(i->machine); vcpu++) {
		/* Short waits, so that a guest that ended is noticed at once. */
		while (doorbell_wait(i->doorbell, vcpu, YARD_BELL_READY, 1, 50)) {
			waited += 50;
			if (waited >= i->start_ms ||
			    machine_wait_end(i->machine, 0, &(struct machine_report){0}))
				return not_ready(i, vcpu, err);
		}
	}
	return 0;
}

void instance_close(struct instance *i)
{
	if (!i)
		return;
	if (i->machine)
		machine_stop(i->machine);
	if (i->guest)
		yard_guest_destroy(i->guest);
	target_machine_destroy(i->target);
	yard_destroy(i->yard);
	machine_destroy(i->machine);
	image_free(i->image);
	console_destroy(i->console);
	doorbell_destroy(i->doorbell);
	free(i);
}
