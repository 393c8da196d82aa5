// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU thread's life: exits, samples, the end and its report. */
#include "machine/machine_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "x86/pagewalk.h"

/* Intel SDM vol. 3A 2.5, 2.2.1 */
#define CR0_PG	 (1u << 31)
#define CR4_LA57 (1u << 12)
#define EFER_LMA (1u << 10)

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

static unsigned read_code(struct machine_vcpu *v, gva_t gva, uint8_t *buf, unsigned len)
{
	struct machine *m = v->m;
	struct machine_paging paging = {.cr0 = CR0_PG, .cr3 = m->root};
	struct pagewalk_result walk;
	unsigned n, levels;
	const uint8_t *p;

	/* A PC's kernel made its own tables, or none yet. */
	if (m->config.pc && m->ops->get_paging(v->bv, &paging))
		return 0;
	if (!(paging.cr0 & CR0_PG) || (m->config.pc && !(paging.efer & EFER_LMA)))
		return 0;
	levels = paging.cr4 & CR4_LA57 ? 5 : 4;
	for (n = 0; n < len; n++) {
		if (pagewalk(paging.cr3, levels, gva + n, read_entry, m, &walk))
			break;
		p = machine_ram_range(m, walk.gpa, 1);
		if (!p)
			break;
		buf[n] = *p;
	}
	return n;
}

bool machine_record_end(struct machine *m, struct machine_vcpu *v, enum machine_end end,
			const char *text)
{
	struct machine_report r = {.end = end, .vcpu = v ? v->index : 0};
	bool first;

	if (v && !m->ops->get_regs(v->bv, &r.regs))
		r.bytes_len = read_code(v, r.regs.rip, r.bytes, sizeof(r.bytes));
	snprintf(r.text, sizeof(r.text), "%s", text);
	pthread_mutex_lock(&m->lock);
	first = m->report.end == MACHINE_END_NONE;
	if (first) {
		m->report = r;
		if (v)
			v->told = true;
		else
			m->untold = true;
		pthread_cond_broadcast(&m->cond);
	}
	pthread_mutex_unlock(&m->lock);
	return first;
}

static void record_end(struct machine_vcpu *v, enum machine_end end, const char *text)
{
	machine_record_end(v->m, v, end, text);
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
	case VCPU_EXIT_HANDLED:
		return PAUSE_RAN_AGAIN;
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

const struct pause_ops machine_pause_ops = {
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
	m->live += !ret;
	pthread_cond_broadcast(&m->cond);
	pthread_mutex_unlock(&m->lock);
	return ret;
}

void *machine_vcpu_main(void *arg)
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
	pthread_mutex_lock(&m->lock);
	v->told |= m->untold;
	m->untold = false;
	pthread_mutex_unlock(&m->lock);
	if (v->told && m->on_end) /* after "dead": it may wait for who waits for us */
		m->on_end(m->on_end_ctx);
	/* bv and event_tid stay valid until every thread is here: others still kick or count. */
	pthread_mutex_lock(&m->lock);
	m->finished++;
	pthread_cond_broadcast(&m->cond);
	while (!m->teardown)
		pthread_cond_wait(&m->cond, &m->lock);
	pthread_mutex_unlock(&m->lock);
	m->ops->vcpu_destroy(v->bv);
	return NULL;
}
