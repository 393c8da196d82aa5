/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One yard guest from image to running vCPUs: image, machine, target, guest, host
 * view, console and doorbell, opened and closed together. Used by `run`, by the
 * benchmarks and by tests; not thread-safe itself.
 */
#ifndef HOTRAIL_ENGINE_INSTANCE_H
#define HOTRAIL_ENGINE_INSTANCE_H

#include "device/bus.h"
#include "guest/yard.h"

struct instance_config {
	const char *image;   /* path; NULL = one of ours that fits the backend */
	const char *variant; /* which of ours: "retpoline" (also for NULL) or "plain" */
	enum machine_backend backend;
	enum machine_cpl cpl;
	unsigned vcpus;
	uint64_t mem; /* bytes of guest RAM, 0 = what the image needs */
	bool huge_pages;
	uint64_t seed;
	unsigned phase;	    /* 0 = A, 1 = B */
	unsigned start_ms;  /* time to get ready; 0 = a default that suits emulated CPUs too */
	bool writable_text; /* hostile tests: an image that rewrites its own text */
	int console_fd;	    /* copy of the guest's console, -1 = keep the last lines only */
};
#define INSTANCE_DEFAULT                                                                           \
	{                                                                                          \
		.backend = MACHINE_AUTO, .cpl = MACHINE_CPL_AUTO, .vcpus = 2, .seed = 1,           \
		.console_fd = -1                                                                   \
	}

struct instance {
	struct image *image;
	struct machine *machine;
	struct target *target;
	struct guest *guest;
	struct yard *yard;
	struct console *console;
	struct doorbell *doorbell;
	struct bus bus;
	char image_path[256];
	unsigned start_ms;
};

/*
 * Where an image of ours lies: `variant` is "retpoline", "plain" or "hostile". Looked for in
 * $HOTRAIL_IMAGES, next to the program (build/yard/, ../share/hotrail) and in PREFIX/share/hotrail;
 * the linked base follows the backend. -ENOENT names the places.
 */
int instance_find_image(const char *variant, enum machine_backend backend, char *path, size_t len,
			struct error *err);
/* MACHINE_AUTO becomes the backend that works here; the error of the last one tried otherwise. */
int instance_backend(enum machine_backend asked, enum machine_backend *out, struct error *err);

/* Everything created, nothing running. On failure nothing is left. */
int instance_open(const struct instance_config *c, struct instance **out, struct error *err);
/* Start and wait (bounded) until every vCPU reached its main loop; the guest then works on phase
 * c->phase. */
int instance_start(struct instance *i, struct error *err);
void instance_close(struct instance *i); /* stops the machine first; NULL is fine */

#endif
