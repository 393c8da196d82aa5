/* SPDX-License-Identifier: GPL-2.0-only */
/* A client that has greeted the test's agent, and a poke that waits for its answer in a thread. */
#ifndef HOTRAIL_TESTS_AGENT_FIXTURE_H
#define HOTRAIL_TESTS_AGENT_FIXTURE_H

#include <errno.h>
#include <pthread.h>

#include "fake_agent.h"
#include "suite.h"

#define SITES 300 /* two messages */

static struct fake f;
static struct agent_state s;
static unsigned reborn, back;

static inline void on_reborn(void *ctx)
{
	__atomic_fetch_add(&reborn, 1, __ATOMIC_SEQ_CST);
}

static inline void on_back(void *ctx)
{
	__atomic_fetch_add(&back, 1, __ATOMIC_SEQ_CST);
}

static inline void up(unsigned patience_ms)
{
	const struct agent_config c = {.patience_ms = patience_ms,
				       .events = {.reborn = on_reborn, .back = on_back}};

	reborn = back = 0;
	CU_ASSERT_EQUAL_FATAL(fake_open(&f, c), 0);
	CU_ASSERT_TRUE_FATAL(fake_until(&f, AGENT_ALIVE, &s));
	while (!f.pings) /* the first one is out of the way */
		fake_live(&f, 5);
}

/* Until the client has counted so many bad things; false after ten seconds. */
static inline bool counted_bad(uint64_t want)
{
	uint64_t end = clock_ns() + 10000000000ull;

	do {
		fake_live(&f, 5);
		agent_get_state(f.agent, &s);
	} while (s.bad < want && clock_ns() < end);
	return s.bad == want;
}

struct job {
	pthread_t thread;
	struct agent_poke poke[SITES];
	uint8_t status[SITES];
	size_t n;
	struct error err;
	int ret;
};
static struct job job;

static inline void *poke_job(void *unused)
{
	job.ret = agent_poke(f.agent, AGENT_POKE_ONLY, job.poke, job.n, job.status, NULL, &job.err);
	return NULL;
}

static inline void start(size_t n)
{
	size_t i;

	memset(&job, 0, sizeof(job));
	job.n = n;
	for (i = 0; i < n; i++)
		job.poke[i] = (struct agent_poke){.site = FIXTURE_SITE + 16 * i, .len = 5};
	CU_ASSERT_EQUAL_FATAL(pthread_create(&job.thread, NULL, poke_job, NULL), 0);
}

static inline size_t known(void)
{
	size_t i, n = 0;

	for (i = 0; i < job.n; i++)
		n += job.status[i] != AGENT_STATUSES;
	return n;
}

/* The job ends while the test goes on being an agent. */
static inline void end_is(int ret, size_t statuses)
{
	pthread_join(job.thread, NULL);
	CU_ASSERT_EQUAL(job.ret, ret);
	CU_ASSERT_EQUAL(known(), statuses);
	CU_ASSERT(!ret || job.err.text[0]);
}

static inline void reply_pokes(uint32_t count, uint32_t statuses, uint8_t status)
{
	static union wire_payload p;

	p.pokes_reply = (struct agent_pokes_reply){.count = count, .rounds = 1};
	memset(p.pokes_reply.status, status, statuses);
	fake_reply(&f, &p, (uint32_t)sizeof(p.pokes_reply) + statuses);
}

#endif
