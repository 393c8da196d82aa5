/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A real Linux kernel under our monitor for tests: $HOTRAIL_KERNEL and $HOTRAIL_INITRD name the
 * files, $HOTRAIL_CMDLINE adds to its command line; the initramfs runs load.sh. Its console is read
 * by a thread and kept.
 */
#ifndef HOTRAIL_TESTS_LINUX_GUEST_H
#define HOTRAIL_TESTS_LINUX_GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../unit/suite.h"
#include "guest/linux.h"
#include "guest/pc_guest.h"
#include "util/clock.h"

#define LG_CONSOLE (1 << 20)

struct lg {
	struct kernel *kernel;
	struct pc *pc;
	struct target *target;
	pthread_t reader;
	atomic_bool stop;
	pthread_mutex_t lock;
	char *console;
	size_t len; /* under lock */
};

static void *lg_read(void *arg)
{
	struct lg *g = arg;
	char chunk[4096];
	size_t n;

	while (!atomic_load(&g->stop)) {
		n = serial_take(g->pc->serial, chunk, sizeof(chunk));
		if (!n) {
			clock_sleep_ms(5);
			continue;
		}
		fwrite(chunk, 1, n, stdout);
		pthread_mutex_lock(&g->lock);
		if (n > LG_CONSOLE - 1 - g->len)
			n = LG_CONSOLE - 1 - g->len;
		memcpy(g->console + g->len, chunk, n);
		g->len += n;
		pthread_mutex_unlock(&g->lock);
	}
	return NULL;
}

static inline bool lg_said(struct lg *g, const char *words)
{
	bool said;

	pthread_mutex_lock(&g->lock);
	g->console[g->len] = 0;
	said = strstr(g->console, words) != NULL;
	pthread_mutex_unlock(&g->lock);
	return said;
}

static inline bool lg_wait(struct lg *g, const char *words, unsigned ms)
{
	uint64_t until = clock_ns() + ms * 1000000ull;

	while (!lg_said(g, words) && clock_ns() < until)
		clock_sleep_ms(20);
	return lg_said(g, words);
}

/* Started, not waited for. Skips where it cannot be had. */
static inline void lg_open(struct lg *g, const char *cmdline)
{
	struct pc_config c = {.vcpus = 2, .mem = 384ull << 20, .cpl = MACHINE_CPL_AUTO};
	struct error err = {0};
	char line[256];
	int ret;

	memset(g, 0, sizeof(*g));
	c.kernel = getenv("HOTRAIL_KERNEL");
	c.initrd = getenv("HOTRAIL_INITRD");
	if (getenv("HOTRAIL_CMDLINE")) /* one more: "pti=on" */
		snprintf(line, sizeof(line), "%s %s", cmdline, getenv("HOTRAIL_CMDLINE"));
	else
		snprintf(line, sizeof(line), "%s", cmdline);
	c.cmdline = line;
	if (!c.kernel || !c.initrd)
		SUITE_SKIP("HOTRAIL_KERNEL and HOTRAIL_INITRD name no guest");
	if (machine_probe(MACHINE_KVM, &err))
		SUITE_SKIP("%s", err.text);
	c.backend = MACHINE_KVM;
	ret = kernel_load(c.kernel, &g->kernel, &err);
	if (!ret)
		ret = pc_open(&c, &g->pc, &err);
	if (ret == -ENOTSUP) /* level 0 is emulated here */
		SUITE_SKIP("%s", err.text);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	kernel_drop_elf(g->kernel);
	g->console = calloc(1, LG_CONSOLE);
	g->target = target_machine_create(g->pc->machine);
	CU_ASSERT_FATAL(g->console && g->target);
	pthread_mutex_init(&g->lock, NULL);
	ret = pc_start(g->pc, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&g->reader, NULL, lg_read, g), 0);
}

static inline void lg_close(struct lg *g)
{
	machine_stop(g->pc->machine);
	atomic_store(&g->stop, true);
	pthread_join(g->reader, NULL);
	target_machine_destroy(g->target);
	pc_close(g->pc);
	kernel_free(g->kernel);
	free(g->console);
}

#endif
