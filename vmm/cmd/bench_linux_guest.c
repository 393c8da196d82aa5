// SPDX-License-Identifier: GPL-2.0-only
/* The guest of `bench linux`: booted, looked at, powered off. */
#include "cmd/bench_linux.h"

#include <cpuid.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"

/* A CPU with automatic IBRS would choose that and leave nothing to be gained; the benchmark is
 * about retpolines. Elsewhere they are what the kernel chooses by itself. */
#define CMDLINE	      "console=ttyS0 panic=-1 quiet spectre_v2=retpoline"
#define BOOT_LIMIT_MS 300000 /* an emulated host is slow */
#define LOOK_LIMIT_MS 30000
#define OFF_LIMIT_MS  20000
#define AGENT_MS      60000
#define BUSY_TRIES    25

const char *linux_bench_cmdline(void)
{
	return CMDLINE;
}

/*
 * Is this CPU a program? QEMU's software CPU says so in the hypervisor's leaf (qemu:
 * target/i386/cpu.c, TCG signature). A KVM that emulates level 0 never gets here: the machine
 * measures that and refuses such a guest.
 */
bool linux_bench_emulated(void)
{
	unsigned a, b, c, d;
	char name[13] = "";

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 31))) /* no hypervisor */
		return false;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	return !strcmp(name, "TCGTCGTCGTCG");
}

int linux_bench_advise(int ret, const char *target, struct error *err)
{
	struct error why = *err;

	if (err->exit_code == HOTRAIL_EXIT_UNSUPPORTED)
		error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret,
			  "%.200s; `make %s` runs it in an emulated machine that can", why.text,
			  target);
	return ret;
}

/* "DIR/linux/NAME" where DIR holds this program: that is the build folder. */
static bool beside_program(const char *name, char *path, size_t len)
{
	char dir[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	int used;

	if (n < 0)
		return false;
	dir[n] = '\0';
	slash = strrchr(dir, '/');
	if (!slash)
		return false;
	*slash = '\0';
	used = snprintf(path, len, "%s/linux/%s", dir, name);
	return used > 0 && (size_t)used < len && !access(path, R_OK);
}

int linux_bench_find(struct bench_options *o, struct linux_bench_files *files, struct error *err)
{
	if (!o->kernel && beside_program("vmlinuz-cloud", files->kernel, sizeof(files->kernel)))
		o->kernel = files->kernel;
	if (!o->initrd && beside_program("bench.cpio", files->initrd, sizeof(files->initrd)))
		o->initrd = files->initrd;
	if (o->kernel && o->initrd)
		return 0;
	return error_set(err, HOTRAIL_EXIT_USAGE, -ENOENT,
			 "no %s for the guest: run `make linux-images`, or name it with --%s",
			 o->kernel ? "root file system" : "kernel",
			 o->kernel ? "initrd" : "kernel");
}

static int boot(struct linux_bench_guest *g, const struct bench_options *o, const char *extra,
		struct error *err)
{
	char cmdline[256];
	const struct pc_config config = {
		.kernel = o->kernel,
		.initrd = o->initrd,
		.cmdline = cmdline,
		.backend = MACHINE_KVM,
		.cpl = o->cpl,
		.vcpus = o->vcpus,
		.wake = linux_console_wake,
		.wake_ctx = &g->console,
	};
	uint64_t begin = clock_ns(); /* as for QEMU, which reads the files, too */
	int ret;

	snprintf(cmdline, sizeof(cmdline), "%s%s%s", CMDLINE, *extra ? " " : "", extra);
	ret = pc_open(&config, &g->pc, err);
	if (ret)
		return ret;
	g->console.pc = g->pc;
	ret = agent_port_open(g->pc, &g->agent, err);
	if (!ret)
		ret = pc_start(g->pc, err);
	if (!ret)
		ret = linux_console_ready(&g->console, BOOT_LIMIT_MS, err);
	g->boot_s = (clock_ns() - begin) / 1e9;
	return ret;
}

bool linux_bench_again(int ret, unsigned *tries)
{
	if (ret != -ETIMEDOUT || ++*tries > BUSY_TRIES)
		return false;
	clock_sleep_ms(200);
	return true;
}

/* Boot is not over when the first process runs: the kernel's own threads may still be at it. */
static int look_at(struct linux_bench_guest *g, struct error *err)
{
	uint64_t limit = clock_ns() + LOOK_LIMIT_MS * 1000000ull;
	int ret;

	g->target = target_machine_create(g->pc->machine);
	if (!g->target)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a target");
	for (;;) {
		ret = linux_guest_create(g->kernel, g->target, &g->guest, err);
		if (!ret)
			kernel_shrink(g->kernel); /* looked at for the last time */
		if ((ret != -EAGAIN && ret != -ETIMEDOUT) || clock_ns() > limit)
			return ret;
		clock_sleep_ms(100);
	}
}

static void clear(struct linux_bench_guest *g)
{
	memset(g, 0, sizeof(*g));
	g->console.event = -1;
	g->agent = (struct agent_port)AGENT_PORT_NONE;
}

int linux_bench_open(struct linux_bench_guest *g, const struct bench_options *o, const char *extra,
		     bool look, struct error *err)
{
	int ret;

	clear(g);
	ret = linux_console_open(&g->console, err);
	if (!ret && look)
		ret = kernel_load(o->kernel, &g->kernel, err);
	if (!ret)
		ret = boot(g, o, extra, err);
	if (!ret && look)
		ret = look_at(g, err);
	if (ret)
		linux_bench_close(g);
	return ret;
}

int linux_bench_load_agent(struct linux_bench_guest *g, struct error *err)
{
	uint64_t limit = clock_ns() + AGENT_MS * 1000000ull;
	struct linux_answer a = {0};
	int ret = linux_console_ask(&g->console, AGENT_MS, &a, err, "agent");

	if (ret)
		return ret;
	if (a.errors)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
				 "the guest cannot load the agent: this kernel's is in the root "
				 "file system of `make linux-images`");
	while ((ret = agent_ready(g->agent.agent, err)) == -ENOTCONN && clock_ns() < limit)
		clock_sleep_ms(50);
	return ret;
}

int linux_bench_optimise(struct linux_bench_guest *g, const struct bench_options *o,
			 struct error *err)
{
	struct engine_config ec = {.policy = POLICY_DEFAULT};
	int ret = 0;

	if (o->via == ENGINE_VIA_AGENT) {
		ret = linux_bench_load_agent(g, err);
		/* Promoting goes by the agent alone. To count all calls, its arena has no room for
		 * every site at once: there the host does the rest. */
		ec.agent = g->agent.agent;
	}
	return ret ? ret : engine_create(g->guest, &ec, &g->engine, err);
}

void linux_bench_close(struct linux_bench_guest *g)
{
	struct machine_report report;

	engine_destroy(g->engine);
	/* The arena goes with the machine: a guest that still runs keeps its tracks until then. */
	if (g->console.pc && !machine_wait_end(g->pc->machine, 0, &report) &&
	    !linux_console_ask(&g->console, OFF_LIMIT_MS, NULL, NULL, "poweroff"))
		machine_wait_end(g->pc->machine, OFF_LIMIT_MS, &report);
	if (g->pc)
		machine_stop(g->pc->machine);
	linux_guest_destroy(g->guest);
	if (g->target)
		target_machine_destroy(g->target);
	agent_port_close(&g->agent);
	pc_close(g->pc);
	linux_console_close(&g->console);
	kernel_free(g->kernel);
	clear(g);
}
