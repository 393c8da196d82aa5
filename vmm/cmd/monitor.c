// SPDX-License-Identifier: GPL-2.0-only
/* State of a monitor that several threads look at: throughput, results, status. */
#include "cmd/monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmd/doc.h"
#include "util/clock.h"

#define RATE_MIN_NS                                                                                \
	200000000ull /* a shorter window says more about the scheduler than the guest              \
		      */

int monitor_init(struct monitor *m, struct error *err)
{
	memset(m, 0, sizeof(*m));
	m->lock_fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	m->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->started_ns = clock_ns();
	if (m->stop >= 0 && m->ended >= 0)
		return 0;
	return error_errno(err, "monitor: eventfd");
}

void monitor_free(struct monitor *m)
{
	if (m->stop >= 0)
		close(m->stop);
	if (m->ended >= 0)
		close(m->ended);
	pthread_mutex_destroy(&m->lock);
}

void monitor_ask_stop(struct monitor *m)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, which wakes the main loop as well. */
	if (write(m->stop, &one, sizeof(one)) < 0)
		return;
}

void monitor_publish(struct monitor *m, struct guest *g, struct engine *e)
{
	pthread_mutex_lock(&m->lock);
	m->guest = g;
	m->engine = e;
	pthread_mutex_unlock(&m->lock);
}

void monitor_wait_for(struct monitor *m, const struct error *why)
{
	pthread_mutex_lock(&m->lock);
	m->waiting = *why;
	pthread_mutex_unlock(&m->lock);
}

int monitor_engine(struct monitor *m, struct guest **g, struct engine **e, struct error *err)
{
	int ret = 0;

	pthread_mutex_lock(&m->lock);
	*g = m->guest;
	*e = m->engine;
	if (!m->engine) {
		ret = m->waiting.exit_code == HOTRAIL_EXIT_BUSY ? -EAGAIN : -ENOTSUP;
		if (err)
			*err = m->waiting;
	}
	pthread_mutex_unlock(&m->lock);
	return ret;
}

uint64_t monitor_work(void *monitor)
{
	struct monitor *m = monitor;

	return yard_ops(m->instance->yard);
}

void monitor_tick(struct monitor *m)
{
	uint64_t ops = yard_ops(m->instance->yard), now = clock_ns();
	struct yard_check check;

	pthread_mutex_lock(&m->lock);
	if (m->rates == MONITOR_RATES)
		memmove(m->rate, m->rate + 1, sizeof(m->rate) - sizeof(m->rate[0]));
	else
		m->rates++;
	m->rate[m->rates - 1].ns = now;
	m->rate[m->rates - 1].ops = ops;
	pthread_mutex_unlock(&m->lock);
	monitor_check(m, &check, NULL);
}

double monitor_rate(struct monitor *m)
{
	uint64_t ops, now = clock_ns();
	double rate = -1;

	if (!m->instance)
		return rate;
	ops = yard_ops(m->instance->yard);
	pthread_mutex_lock(&m->lock);
	/* ops can go backwards only when the guest lies: then there is no rate to tell. */
	if (m->rates && now - m->rate[0].ns >= RATE_MIN_NS && ops >= m->rate[0].ops)
		rate = (double)(ops - m->rate[0].ops) / ((double)(now - m->rate[0].ns) / 1e9);
	pthread_mutex_unlock(&m->lock);
	return rate;
}

bool monitor_check(struct monitor *m, struct yard_check *out, bool *checked)
{
	struct yard_check now = {.text = "this guest does not check its own results"};
	/* Not under the lock: a guest that holds its statistics makes this sleep for a while. */
	bool ok = m->instance && !yard_check(m->instance->yard, &now);

	pthread_mutex_lock(&m->lock);
	if (ok) {
		/* What was once seen wrong stays wrong, whatever the guest writes over it; and
		 * another thread may have looked later but come here earlier. */
		if (m->checked && m->check.wrong > now.wrong) {
			now.wrong = m->check.wrong;
			memcpy(now.text, m->check.text, sizeof(now.text));
		}
		if (m->checked && m->check.batches > now.batches)
			now.batches = m->check.batches;
		m->check = now;
		m->checked = true;
	}
	*out = m->check;
	if (!m->checked)
		*out = now; /* says why */
	if (checked)
		*checked = m->checked;
	pthread_mutex_unlock(&m->lock);
	return ok;
}

bool monitor_saw_wrong(struct monitor *m)
{
	bool wrong;

	pthread_mutex_lock(&m->lock);
	wrong = m->checked && m->check.wrong;
	pthread_mutex_unlock(&m->lock);
	return wrong;
}

json_t *monitor_status(struct monitor *m)
{
	struct yard *y = m->instance ? m->instance->yard : NULL;
	struct doc_guest g = {
		.name = m->entry.name,
		.image = m->image,
		.machine = machine_backend_name(machine_backend(m->machine)),
		.pid = (int)m->entry.pid,
		.cpl = machine_cpl(m->machine),
		.vcpus = machine_vcpus(m->machine),
		.phase = y ? yard_phase_now(y) ? "b" : "a" : NULL,
		.mem_bytes = m->mem_bytes,
		.uptime_ns = clock_ns() - m->started_ns,
		.counts = y != NULL,
		.ops = y ? yard_ops(y) : 0,
		.ops_per_s = monitor_rate(m),
	};
	struct engine_status status = {.fast_share = -1, .first_gain_s = -1};
	struct engine *engine;
	struct yard_check check;
	struct guest *guest;
	struct error why;

	monitor_check(m, &check, &g.checked);
	g.batches = check.batches;
	g.wrong = check.wrong;
	if (monitor_engine(m, &guest, &engine, &why))
		g.waiting = why.text;
	else
		engine_get_status(engine, &status);
	if (status.gone.exit_code)
		g.waiting = status.gone.text;
	g.guest = guest;
	return doc_status(&g, &status);
}
