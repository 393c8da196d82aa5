// SPDX-License-Identifier: GPL-2.0-only
/* What other threads ask of vCPUs: pauses, calls on a parked vCPU's own thread, samples. */
#include "machine/machine_state.h"

#include <errno.h>
#include <string.h>

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

static int step_task(struct call *c, int (*task)(void *arg))
{
	int ret;

	if (!c->m->ops->step)
		return error_set(c->err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "the %s backend cannot single-step", c->m->ops->name);
	ret = pause_task(&c->m->pause, c->vcpu, task, c);
	if (ret == -EINVAL)
		return error_set(c->err, HOTRAIL_EXIT_FAILED, ret,
				 "vCPU %u is not parked: pause the machine before a step", c->vcpu);
	return ret;
}

int machine_step(struct machine *m, unsigned vcpu, struct machine_regs *regs, struct error *err)
{
	struct call c = {.m = m, .vcpu = vcpu, .arg = regs, .err = err};

	return step_task(&c, call_step);
}

struct stepping {
	machine_step_fn more;
	void *ctx;
};

static int call_step_while(void *arg)
{
	struct call *c = arg;
	struct stepping *s = c->arg;
	struct machine_regs regs;
	int ret;

	do {
		ret = c->m->ops->step(c->m->vcpu[c->vcpu].bv, &regs, c->err);
	} while (!ret && s->more(s->ctx, &regs));
	return ret;
}

int machine_step_while(struct machine *m, unsigned vcpu, machine_step_fn more, void *ctx,
		       struct error *err)
{
	struct stepping s = {more, ctx};
	struct call c = {.m = m, .vcpu = vcpu, .arg = &s, .err = err};

	return step_task(&c, call_step_while);
}

/* --- sampling --- */

int machine_set_breakpoint(struct machine *m, unsigned vcpu, gva_t addr, struct error *err)
{
	int ret;

	if (vcpu >= m->config.vcpus)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL, "there is no vCPU %u", vcpu);
	if (!m->ops->breakpoint)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "the %s backend has no breakpoints", m->ops->name);
	ret = m->ops->breakpoint(m->vcpu[vcpu].bv, addr, err);
	/* After the wish is stored: the run that this kick ends has either seen it or is over. */
	if (!ret)
		m->ops->kick(m->vcpu[vcpu].bv);
	return ret;
}

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
