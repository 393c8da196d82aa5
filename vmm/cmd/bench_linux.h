/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of `bench linux` share. */
#ifndef HOTRAIL_CMD_BENCH_LINUX_H
#define HOTRAIL_CMD_BENCH_LINUX_H

#include "cmd/agent_port.h"
#include "cmd/bench.h"
#include "cmd/linux_console.h"
#include "guest/kernel.h"
#include "guest/linux.h"

/* For an answer, beyond the run itself: servers start, an emulated host is slow. */
#define LINUX_BENCH_ANSWER_MS 120000

/* One booted guest under our monitor; with an engine when asked for. */
struct linux_bench_guest {
	struct kernel *kernel;
	struct linux_console console;
	struct pc *pc;
	struct agent_port agent;
	struct target *target;
	struct guest *guest;
	struct engine *engine;
	double boot_s;	/* from the first look at its files to the first process */
	double rss_mib; /* the most seen right after a promotion; see util/rss.h */
};

struct linux_bench_files {
	char kernel[512], initrd[512];
};
/* Those the user named, else those of `make linux-images` beside the program. -ENOENT. */
int linux_bench_find(struct bench_options *o, struct linux_bench_files *files, struct error *err);

/* `extra` is added to the kernel's command line. `look`: the guest is recognised, so that it can be
 * patched. On failure nothing is left. */
int linux_bench_open(struct linux_bench_guest *g, const struct bench_options *o, const char *extra,
		     bool look, struct error *err);
/* Loads the agent in there and waits until it answers. */
int linux_bench_load_agent(struct linux_bench_guest *g, struct error *err);
/* An engine for a guest that was looked at. By --via agent it has the agent, which is loaded. */
int linux_bench_optimise(struct linux_bench_guest *g, const struct bench_options *o,
			 struct error *err);
void linux_bench_close(struct linux_bench_guest *g); /* powers the guest off; twice is fine */
/* The same kernel and root file system under QEMU: seconds to the same point, negative where there
 * is no QEMU or it fails. */
double linux_bench_boot_qemu(const struct bench_options *o);
const char *linux_bench_cmdline(void);
/* Is this host's CPU a program? Then times are its. */
bool linux_bench_emulated(void);
/* Adds what to do where such a guest cannot run, `make TARGET`; returns ret. */
int linux_bench_advise(int ret, const char *target, struct error *err);

/* A host that is busy or emulated may not stop a vCPU in time; that changes nothing and is tried
 * again. After a failure: may it be? Waits a little then. `tries` starts at 0. */
bool linux_bench_again(int ret, unsigned *tries);

/* bench_linux_load.c: one workload, unpromoted and promoted in turn. */
int linux_bench_load(struct linux_bench_guest *g, const struct bench_options *o, const char *name,
		     struct progress *progress, double at, double share, json_t **out,
		     struct error *err);
/* One measured run; errors are added. `unit` may be NULL. */
int linux_bench_run(struct linux_bench_guest *g, const char *name, unsigned seconds, double *value,
		    uint64_t *errors, char *unit, size_t unit_len, struct error *err);

#endif
