// SPDX-License-Identifier: GPL-2.0-only
/* The machine: RAM, vCPU threads, their exits, the report at the end. */
#include "machine/machine.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine/backend.h"
#include "machine/memory.h"
#include "machine/paging.h"
#include "machine/pause.h"
#include "util/clock.h"
#include "x86/pagewalk.h"

struct machine_vcpu {
	struct machine *m;
	unsigned index;
	pthread_t thread;
	struct backend_vcpu *bv; /* set before `created`, constant until teardown */
	bool created;		 /* under machine.lock, as the next two */
	int create_ret;
	struct error *create_err; /* the creator's, while it waits */
	bool told;		  /* the report is this vCPU's; own thread only */
};

struct machine {
	const struct backend_ops *ops;
	enum machine_backend backend;
	struct machine_config config; /* maps points to our own copy */
	struct machine_map *maps;
	struct memory mem;
	gpa_t root;
	int cpl;
	void *state; /* the backend's */
	struct pause pause;
	struct machine_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	unsigned threads; /* vcpu[0..threads) have a thread to join */

	/* A leaf: nothing else is locked and no callback is called under it. */
	pthread_mutex_t lock;
	pthread_cond_t cond;	      /* created, report or teardown changed; CLOCK_MONOTONIC */
	struct machine_report report; /* filled once */
	bool teardown;
	void (*on_end)(void *ctx);
	void *on_end_ctx;

	/* Read-held while a vCPU is inside the hook: taking it for writing waits for them. */
	pthread_rwlock_t hook_lock;
	machine_sample_fn hook;
	void *hook_ctx;
};

static const struct backend_ops *backend_table[] = {
	[MACHINE_KVM] = &backend_kvm,
	[MACHINE_PROCESS] = &backend_process,
};

const char *machine_backend_name(enum machine_backend backend)
{
	return backend == MACHINE_KVM ? "kvm" : backend == MACHINE_PROCESS ? "process" : "auto";
}

static int choose_backend(enum machine_backend asked, enum machine_backend *out, struct error *err)
{
	struct error kvm = {0}, process = {0};
	int ret;

	if (asked == MACHINE_KVM || asked == MACHINE_PROCESS) {
		*out = asked;
		return backend_table[asked]->probe(err);
	}
	if (asked != MACHINE_AUTO)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "no such machine backend");
	*out = MACHINE_KVM;
	if (!backend_kvm.probe(&kvm))
		return 0;
	*out = MACHINE_PROCESS;
	ret = backend_process.probe(&process);
	if (!ret)
		return 0;
	return error_set(err, process.exit_code, ret,
			 "no backend works here. kvm: %.130s; process: %.130s", kvm.text,
			 process.text);
}

int machine_probe(enum machine_backend backend, struct error *err)
{
	enum machine_backend chosen;

	return choose_backend(backend, &chosen, err);
}

/* --- the end of a run --- */

static int read_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	const struct machine *m = ctx;
	const void *p = machine_ram_range(m, gpa, sizeof(*entry));

	if (!p)
		return -EFAULT;
	memcpy(entry, p, sizeof(*entry));
	return 0;
}

static unsigned read_code(struct machine *m, gva_t gva, uint8_t *buf, unsigned len)
{
	struct pagewalk_result walk;
	const uint8_t *p;
	unsigned n;

	for (n = 0; n < len; n++) {
		if (pagewalk(m->root, 4, gva + n, read_entry, m, &walk))
			break;
		p = machine_ram_range(m, walk.gpa, 1);
		if (!p)
			break;
		buf[n] = *p;
	}
	return n;
}

/* The first end is the one that is told. On the vCPU's thread. */
static void record_end(struct machine_vcpu *v, enum machine_end end, const char *text)
{
	struct machine *m = v->m;
	struct machine_report r = {.end = end, .vcpu = v->index};

	if (m->ops->get_regs(v->bv, &r.regs))
		memset(&r.regs, 0, sizeof(r.regs));
	else
		r.bytes_len = read_code(m, r.regs.rip, r.bytes, sizeof(r.bytes));
	snprintf(r.text, sizeof(r.text), "%s", text);
	pthread_mutex_lock(&m->lock);
	if (m->report.end == MACHINE_END_NONE) {
		m->report = r;
		v->told = true;
		pthread_cond_broadcast(&m->cond);
	}
	pthread_mutex_unlock(&m->lock);
}

void machine_on_end(struct machine *m, void (*fn)(void *ctx), void *ctx)
{
	m->on_end = fn;
	m->on_end_ctx = ctx;
}

int machine_wait_end(struct machine *m, int timeout_ms, struct machine_report *report)
{
	uint64_t at = clock_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
	struct timespec ts = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
	int ret = 0, ended;

	pthread_mutex_lock(&m->lock);
	while (m->report.end == MACHINE_END_NONE && ret != ETIMEDOUT)
		ret = timeout_ms < 0 ? pthread_cond_wait(&m->cond, &m->lock)
				     : pthread_cond_timedwait(&m->cond, &m->lock, &ts);
	ended = m->report.end != MACHINE_END_NONE;
	if (ended)
		*report = m->report;
	pthread_mutex_unlock(&m->lock);
	return ended;
}

/* --- what the pause machine calls --- */

static enum pause_ran vcpu_port(struct machine_vcpu *v, const struct vcpu_exit_info *exit)
{
	struct machine *m = v->m;
	char text[160];
	int ret = -ENODEV;

	if (m->config.port)
		ret = m->config.port(m->config.port_ctx, v->index, exit->port, exit->value);
	if (!ret)
		return PAUSE_RAN_AGAIN;
	snprintf(text, sizeof(text), "wrote %#x to port %#x, where no device is", exit->value,
		 exit->port);
	record_end(v, MACHINE_END_FAULT, text);
	return PAUSE_RAN_ENDED;
}

static enum pause_ran op_run(void *ctx, unsigned vcpu)
{
	struct machine_vcpu *v = &((struct machine *)ctx)->vcpu[vcpu];
	struct vcpu_exit_info exit = {.end = MACHINE_END_INTERNAL};

	switch (v->m->ops->run(v->bv, &exit)) {
	case VCPU_EXIT_INTERRUPTED:
		return PAUSE_RAN_INTERRUPTED;
	case VCPU_EXIT_PORT:
		return vcpu_port(v, &exit);
	case VCPU_EXIT_END:
		break;
	}
	exit.text[sizeof(exit.text) - 1] = '\0';
	record_end(v, exit.end, exit.text);
	return PAUSE_RAN_ENDED;
}

static void op_kick(void *ctx, unsigned vcpu)
{
	struct machine *m = ctx;

	if (m->vcpu[vcpu].bv) /* NULL only while machine_create() fails */
		m->ops->kick(m->vcpu[vcpu].bv);
}

static void op_clear_kick(void *ctx, unsigned vcpu)
{
	struct machine *m = ctx;

	m->ops->clear_kick(m->vcpu[vcpu].bv);
}

static void op_finish_io(void *ctx, unsigned vcpu)
{
	struct machine *m = ctx;

	m->ops->finish_io(m->vcpu[vcpu].bv);
}

static void op_parking(void *ctx, unsigned vcpu)
{
	struct machine *m = ctx;

	if (m->ops->paused)
		m->ops->paused(m->vcpu[vcpu].bv);
}

static void op_sample(void *ctx, unsigned vcpu)
{
	struct machine *m = ctx;
	struct machine_regs regs;

	pthread_rwlock_rdlock(&m->hook_lock);
	if (m->hook && !m->ops->get_regs(m->vcpu[vcpu].bv, &regs))
		m->hook(m->hook_ctx, vcpu, &regs);
	pthread_rwlock_unlock(&m->hook_lock);
}

static const struct pause_ops pause_ops = {
	.run = op_run,
	.kick = op_kick,
	.clear_kick = op_clear_kick,
	.finish_io = op_finish_io,
	.parking = op_parking,
	.sample = op_sample,
};

/* --- threads --- */

static int vcpu_open(struct machine_vcpu *v)
{
	struct machine *m = v->m;
	struct backend_vcpu *bv = NULL;
	int ret = m->ops->vcpu_create(m->state, v->index, &bv, v->create_err);

	pthread_mutex_lock(&m->lock);
	v->bv = ret ? NULL : bv;
	v->create_ret = ret;
	v->created = true;
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
	return ret;
}

static void *vcpu_main(void *arg)
{
	struct machine_vcpu *v = arg;
	struct machine *m = v->m;
	char name[16];

	snprintf(name, sizeof(name), "vcpu-%u", v->index);
	pthread_setname_np(pthread_self(), name);
	if (vcpu_open(v))
		return NULL;
	pause_vcpu_loop(&m->pause, v->index);
	m->ops->finish_io(v->bv);
	record_end(v, MACHINE_END_STOPPED, "stopped by the monitor"); /* unless it ended itself */
	pause_stop(&m->pause); /* one vCPU's end is the machine's end */
	pause_vcpu_dead(&m->pause, v->index);
	if (v->told && m->on_end) /* after "dead": it may wait for who waits for us */
		m->on_end(m->on_end_ctx);
	/* bv and event_tid stay valid until teardown: others may still kick or count them. */
	pthread_mutex_lock(&m->lock);
	while (!m->teardown)
		pthread_cond_wait(&m->cond, &m->lock);
	pthread_mutex_unlock(&m->lock);
	m->ops->vcpu_destroy(v->bv);
	return NULL;
}

/* --- creation and destruction --- */

static int check_config(const struct machine_config *c, struct error *err)
{
	if (c->vcpus < 1 || c->vcpus > HOTRAIL_MAX_VCPUS)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%u vCPUs asked for; 1 to %d are possible", c->vcpus,
				 HOTRAIL_MAX_VCPUS);
	if (c->cpl != MACHINE_CPL_AUTO && c->cpl != MACHINE_CPL_0 && c->cpl != MACHINE_CPL_3)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "guests run at privilege level 0 or 3, not %d", (int)c->cpl);
	return 0;
}

static int copy_config(struct machine *m, const struct machine_config *c, struct error *err)
{
	m->config = *c;
	m->config.backend = m->backend;
	m->maps = calloc(c->maps_count ? c->maps_count : 1, sizeof(*m->maps));
	if (!m->maps)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory for guest maps");
	if (c->maps_count)
		memcpy(m->maps, c->maps, c->maps_count * sizeof(*m->maps));
	m->config.maps = m->maps;
	return 0;
}

static int build_tables(struct machine *m, bool user, struct error *err)
{
	return paging_build(m->mem.base, m->mem.size, m->maps, m->config.maps_count, user, &m->root,
			    err);
}

static int create_backend(struct machine *m, struct error *err)
{
	/* Hugetlbfs can only be mapped in whole huge pages; the process backend maps segments. */
	enum memory_huge huge = !m->config.huge_pages	    ? MEMORY_HUGE_NONE
				: m->backend == MACHINE_KVM ? MEMORY_HUGE_ANY
							    : MEMORY_HUGE_THP;
	bool user = m->config.cpl != MACHINE_CPL_0;
	int ret;

	ret = memory_create(&m->mem, m->config.ram_bytes, huge, err);
	if (ret)
		return ret;
	ret = build_tables(m, user, err);
	if (ret)
		return ret;
	ret = m->ops->create(&m->config, m->mem.fd, m->mem.base, m->root, &m->state, &m->cpl, err);
	if (ret) {
		m->state = NULL;
		return ret;
	}
	/* "auto" ended at level 0: nothing ran yet, so the user bits can still be dropped. */
	if (user && m->cpl == 0)
		ret = build_tables(m, false, err);
	return ret;
}

static int start_thread(struct machine *m, unsigned index, struct error *err)
{
	struct machine_vcpu *v = &m->vcpu[index];
	int ret;

	v->m = m;
	v->index = index;
	v->create_err = err;
	ret = pthread_create(&v->thread, NULL, vcpu_main, v);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ret,
				 "cannot start the thread of vCPU %u: %s", index, strerror(ret));
	m->threads++;
	pthread_mutex_lock(&m->lock);
	while (!v->created)
		pthread_cond_wait(&m->cond, &m->lock);
	ret = v->create_ret;
	v->create_err = NULL;
	pthread_mutex_unlock(&m->lock);
	return ret;
}

static void init_locks(struct machine *m)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&m->lock, NULL);
	pthread_rwlock_init(&m->hook_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->cond, &attr);
	pthread_condattr_destroy(&attr);
}

int machine_create(const struct machine_config *config, struct machine **out, struct error *err)
{
	enum machine_backend backend;
	struct machine *m;
	unsigned i;
	int ret;

	*out = NULL;
	ret = check_config(config, err);
	if (!ret)
		ret = choose_backend(config->backend, &backend, err);
	if (ret)
		return ret;
	/* struct pause keeps each vCPU on its own cache line. */
	m = aligned_alloc(64, (sizeof(*m) + 63) & ~63ul);
	if (!m)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "out of memory for a machine");
	memset(m, 0, sizeof(*m));
	m->backend = backend;
	m->ops = backend_table[backend];
	init_locks(m);
	pause_init(&m->pause, &pause_ops, m, config->vcpus);
	ret = copy_config(m, config, err);
	if (!ret)
		ret = create_backend(m, err);
	for (i = 0; !ret && i < config->vcpus; i++)
		ret = start_thread(m, i, err);
	if (ret) {
		machine_destroy(m);
		return ret;
	}
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	unsigned i;

	if (!m)
		return;
	pause_stop(&m->pause); /* also lets vCPUs go that were never started */
	pthread_mutex_lock(&m->lock);
	m->teardown = true;
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
	for (i = 0; i < m->threads; i++)
		pthread_join(m->vcpu[i].thread, NULL);
	if (m->state)
		m->ops->destroy(m->state);
	memory_destroy(&m->mem);
	pause_fini(&m->pause);
	pthread_cond_destroy(&m->cond);
	pthread_rwlock_destroy(&m->hook_lock);
	pthread_mutex_destroy(&m->lock);
	free(m->maps);
	free(m);
}

int machine_start(struct machine *m, struct error *err)
{
	if (atomic_load(&m->pause.started))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EALREADY, "the machine runs already");
	if (atomic_load(&m->pause.ended))
		return error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN, "the machine was stopped");
	pause_start(&m->pause);
	return 0;
}

void machine_stop(struct machine *m)
{
	pause_stop(&m->pause);
	if (!pause_on_vcpu(&m->pause)) /* a vCPU thread cannot wait for itself */
		pause_wait_dead(&m->pause);
}

/* --- what is known of a machine --- */

enum machine_backend machine_backend(const struct machine *m)
{
	return m->backend;
}

int machine_cpl(const struct machine *m)
{
	return m->cpl;
}

unsigned machine_vcpus(const struct machine *m)
{
	return m->config.vcpus;
}

gpa_t machine_page_table_root(const struct machine *m)
{
	return m->root;
}

void *machine_ram_range(const struct machine *m, gpa_t gpa, uint64_t len)
{
	return memory_range(&m->mem, gpa, len);
}

uint64_t machine_ram_bytes(const struct machine *m)
{
	return m->mem.size;
}

/* --- pausing and parked vCPUs --- */

int machine_pause_begin(struct machine *m, uint32_t budget_us, struct machine_pause *pause,
			struct error *err)
{
	return pause_begin(&m->pause, budget_us, pause, err);
}

int64_t machine_pause_end(struct machine *m, struct machine_pause *pause)
{
	return pause_end(&m->pause, pause);
}

/* One call made on a vCPU's own thread. */
struct call {
	struct machine *m;
	unsigned vcpu;
	int (*fn)(struct machine *m, unsigned vcpu, void *arg);
	void *arg;
	struct error *err;
};

static int call_user(void *arg)
{
	struct call *c = arg;

	return c->fn(c->m, c->vcpu, c->arg);
}

static int call_get_regs(void *arg)
{
	struct call *c = arg;

	return c->m->ops->get_regs(c->m->vcpu[c->vcpu].bv, c->arg);
}

static int call_set_regs(void *arg)
{
	struct call *c = arg;

	return c->m->ops->set_regs(c->m->vcpu[c->vcpu].bv, c->arg);
}

static int call_step(void *arg)
{
	struct call *c = arg;

	return c->m->ops->step(c->m->vcpu[c->vcpu].bv, c->arg, c->err);
}

int machine_vcpu_task(struct machine *m, unsigned vcpu,
		      int (*fn)(struct machine *m, unsigned vcpu, void *arg), void *arg)
{
	struct call c = {.m = m, .vcpu = vcpu, .fn = fn, .arg = arg};

	return pause_task(&m->pause, vcpu, call_user, &c);
}

int machine_get_regs(struct machine *m, unsigned vcpu, struct machine_regs *regs)
{
	struct call c = {.m = m, .vcpu = vcpu, .arg = regs};

	return pause_task(&m->pause, vcpu, call_get_regs, &c);
}

int machine_set_entry(struct machine *m, unsigned vcpu, const struct machine_regs *regs,
		      struct error *err)
{
	struct machine_regs copy = *regs;
	struct call c = {.m = m, .vcpu = vcpu, .arg = &copy};
	int ret;

	if (atomic_load(&m->pause.started))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EALREADY,
				 "the machine runs: its start state cannot change");
	ret = pause_task(&m->pause, vcpu, call_set_regs, &c);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "cannot set the start registers of vCPU %u: %s", vcpu,
				 strerror(-ret));
	return 0;
}

int machine_step(struct machine *m, unsigned vcpu, struct machine_regs *regs, struct error *err)
{
	struct call c = {.m = m, .vcpu = vcpu, .arg = regs, .err = err};
	int ret;

	if (!m->ops->step)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "the %s backend cannot single-step", m->ops->name);
	ret = pause_task(&m->pause, vcpu, call_step, &c);
	if (ret == -EINVAL)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "vCPU %u is not parked: pause the machine before a step", vcpu);
	return ret;
}

/* --- sampling --- */

void machine_set_sample_hook(struct machine *m, machine_sample_fn fn, void *ctx)
{
	pthread_rwlock_wrlock(&m->hook_lock);
	m->hook = fn;
	m->hook_ctx = ctx;
	pthread_rwlock_unlock(&m->hook_lock);
}

void machine_kick(struct machine *m, unsigned vcpu)
{
	pause_sample(&m->pause, vcpu);
}

pid_t machine_vcpu_tid(const struct machine *m, unsigned vcpu)
{
	return vcpu < m->config.vcpus ? m->ops->event_tid(m->vcpu[vcpu].bv) : -1;
}

int machine_kick_signal(const struct machine *m)
{
	return m->ops->kick_signal ? m->ops->kick_signal() : 0;
}
