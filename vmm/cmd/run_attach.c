// SPDX-License-Identifier: GPL-2.0-only
/*
 * A Linux guest boots for seconds, rewrites its own text meanwhile and may turn out to be
 * one that must be left alone. A thread looks at it from time to time; when it has become
 * what the kernel file promises, guest and engine are made and handed to the monitor.
 */
#include "cmd/run.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "guest/kernel.h"
#include "guest/linux.h"

#define LOOK_MS 500

struct attach {
	struct monitor *m;
	const struct run_options *o;
	struct kernel *kernel;
	struct target *target;
	struct guest *guest;
	struct engine *engine;
	struct profile *profile;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool started, stop;
};

static int make_engine(struct attach *a, struct error *err)
{
	char journal[320];
	struct engine_config c = {
		.policy = POLICY_DEFAULT,
		.sampler = a->o->sampler,
		.hz = SAMPLER_DEFAULT_HZ,
		.journal = journal,
		.follow = a->o->follow,
		.agent = a->m->agent,
		.via = a->o->via,
	};
	struct engine_result result = {0};
	int ret;

	registry_path(&a->m->entry, "journal", journal, sizeof(journal));
	ret = engine_create(a->guest, &c, &a->engine, err);
	if (!ret && a->profile) {
		ret = engine_warm(a->engine, a->profile, ENGINE_VIA_DEFAULT, &result, err);
		engine_result_free(&result);
	}
	return ret;
}

/* 0 = attached, -EAGAIN = look again, else never. */
static int look(struct attach *a)
{
	struct error err = {0};
	int ret = linux_guest_create(a->kernel, a->target, &a->guest, &err);

	if (!ret) {
		kernel_shrink(a->kernel);
		ret = make_engine(a, &err);
	}
	if (ret)
		monitor_wait_for(a->m, &err);
	else
		monitor_publish(a->m, a->guest, a->engine);
	malloc_trim(0); /* the kernel was unpacked and read: most of that memory is free again */
	return ret;
}

static void wait_a_moment(struct attach *a)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	pthread_mutex_lock(&a->lock);
	if (!a->stop)
		pthread_cond_timedwait(&a->wake, &a->lock, &until);
	pthread_mutex_unlock(&a->lock);
}

static bool stopped(struct attach *a)
{
	bool stop;

	pthread_mutex_lock(&a->lock);
	stop = a->stop;
	pthread_mutex_unlock(&a->lock);
	return stop;
}

static void *run(void *attach)
{
	struct attach *a = attach;
	int ret;

	do {
		wait_a_moment(a);
		ret = stopped(a) ? -ECANCELED : look(a);
	} while (ret == -EAGAIN);
	return NULL;
}

static void init_wake(struct attach *a)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->wake, &attr);
	pthread_condattr_destroy(&attr);
}

struct attach *attach_start(struct monitor *m, const struct run_options *o)
{
	struct attach *a = calloc(1, sizeof(*a));
	struct error err = {0};
	int ret;

	if (!a)
		return NULL;
	a->m = m;
	a->o = o;
	init_wake(a);
	error_set(&err, HOTRAIL_EXIT_BUSY, -EAGAIN, "%s: the guest has not finished its boot",
		  m->entry.name);
	monitor_wait_for(m, &err);
	ret = kernel_load(o->kernel, &a->kernel, &err);
	if (!ret && o->profile)
		ret = profile_load(o->profile, &a->profile, &err);
	if (!ret && !(a->target = target_machine_create(m->machine)))
		ret = error_set(&err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a target");
	if (!ret) {
		ret = -pthread_create(&a->thread, NULL, run, a);
		a->started = !ret;
	}
	if (ret)
		monitor_wait_for(m, &err);
	return a;
}

void attach_stop(struct attach *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
	if (a->started)
		pthread_join(a->thread, NULL);
	engine_destroy(a->engine);
	linux_guest_destroy(a->guest);
	target_machine_destroy(a->target);
	profile_free(a->profile);
	kernel_free(a->kernel);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
