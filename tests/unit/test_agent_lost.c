// SPDX-License-Identifier: GPL-2.0-only
/* The client of the in-guest agent, the test being the agent: silence, comings and goings, spoilt
 * streams. */
#include "agent_fixture.h"

/* --- gone and back --- */

static void test_silence(void)
{
	struct error err;

	up(300);
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	pthread_join(job.thread, NULL);
	CU_ASSERT_EQUAL(job.ret, -ETIMEDOUT);
	CU_ASSERT_EQUAL(known(), 0);
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.health, AGENT_LOST);
	CU_ASSERT_EQUAL(agent_ready(f.agent, &err), -ENOTCONN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "lost"));
	reply_pokes(3, 3, AGENT_OK); /* too late */
	CU_ASSERT_TRUE(counted_bad(1));
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	CU_ASSERT(s.greetings == 2 && back == 1 && reborn == 0);
	fake_close(&f);
}

static void test_pings_unanswered(void)
{
	CU_ASSERT_EQUAL_FATAL(
		fake_open(&f, (struct agent_config){.lease_ms = 300, .patience_ms = 200}), 0);
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	f.no_hello = f.no_ping = true;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_LOST, &s));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "ping"));
	f.no_hello = f.no_ping = false;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	fake_close(&f);
}

/* The module was loaded anew: it knows of no greeting, and of no promotions. */
static void test_reborn(void)
{
	up(0);
	f.hello.instance++;
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	fake_error(&f, AGENT_NO_HELLO, 0, "a hello has to come first");
	end_is(-ENOTCONN, 0);
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s));
	CU_ASSERT(reborn == 1 && back == 0);
	CU_ASSERT_EQUAL(s.generation, f.hello.instance);
	fake_close(&f);
}

static void test_bye(void)
{
	up(0);
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	f.no_hello = true;
	fake_event(&f, AGENT_MSG_BYE);
	end_is(-ENOTCONN, 0);
	CU_ASSERT_TRUE(fake_until(&f, AGENT_LOST, &s));
	while (!__atomic_load_n(&reborn, __ATOMIC_SEQ_CST))
		fake_live(&f, 5);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "unloaded"));
	fake_close(&f);
}

static void test_closed(void)
{
	struct agent_unpatch_reply undone;
	struct error err;

	up(0);
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	close(f.fd);
	f.fd = -1;
	end_is(-ENOTCONN, 0); /* at once */
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.health, AGENT_LOST);
	CU_ASSERT_EQUAL(agent_unpatch_all(f.agent, &undone, &err), -ENOTCONN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "closed"));
	fake_close(&f);
}

/* Nobody reads: requests end in time, and what arrives later is whole frames. */
static void test_nobody_reads(void)
{
	unsigned i, pokes = 0;
	int wanted = 4096;

	up(200);
	CU_ASSERT_EQUAL(setsockopt(f.client_fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted)), 0);
	for (i = 0; i < 4; i++) {
		start(SITES);
		pthread_join(job.thread, NULL);
		CU_ASSERT(job.ret == -ETIMEDOUT || job.ret == -ENOTCONN);
	}
	f.no_hello = true;
	while (fake_frame(&f, 2500) && f.h.type != AGENT_MSG_HELLO)
		pokes += f.h.type == AGENT_MSG_POKE;
	CU_ASSERT_EQUAL(f.h.type, AGENT_MSG_HELLO);
	CU_ASSERT_EQUAL(pokes, 1); /* the others never went out */
	fake_close(&f);
}

/* --- spoilt streams --- */

static void test_spoilt(void)
{
	static uint8_t frame[WIRE_MAX];
	uint32_t len = fixture_frame(AGENT_MSG_MODULE_STATE, 1, frame), i;

	up(600);
	frame[30] ^= 1;
	fake_raw(&f, frame, len);
	CU_ASSERT_TRUE(counted_bad(1));
	fake_event(&f, AGENT_MSG_BYE + 40); /* a type there is not */
	CU_ASSERT_TRUE(counted_bad(2));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "unknown type"));
	fake_raw(&f, "HHTRHTHTRL and other noise, long enough to be a header", 54);
	CU_ASSERT_TRUE(counted_bad(3)); /* said once */
	frame[30] ^= 1;
	for (i = 0; i < len; i++)
		fake_raw(&f, frame + i, 1); /* a good one, byte by byte */
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	reply_pokes(3, 3, AGENT_OK);
	end_is(0, 3);
	agent_get_state(f.agent, &s);
	CU_ASSERT(s.bad == 3 && s.events == 1 && s.health == AGENT_ALIVE);
	fake_close(&f);
}

/* A relay was killed in the middle of a frame, another begins with a whole one. */
static void test_half_a_frame(void)
{
	static uint8_t frame[WIRE_MAX];
	uint32_t len = fixture_frame(AGENT_MSG_COUNTERS | AGENT_REPLY, 1, frame);
	uint64_t end;

	up(600);
	fake_raw(&f, frame, len / 2);
	fake_event(&f, AGENT_MSG_CONFLICT);
	fake_event(&f, AGENT_MSG_CONFLICT);
	fake_event(&f, AGENT_MSG_CONFLICT);
	fake_event(&f, AGENT_MSG_CONFLICT);
	fake_event(&f, AGENT_MSG_CONFLICT);
	CU_ASSERT_TRUE(counted_bad(1));
	CU_ASSERT_EQUAL(s.events, 5); /* none of those it spanned is lost */
	/* Nothing follows that would fill it up. */
	len = wire_seal(frame, AGENT_MSG_READ_TEXT | AGENT_REPLY, 8000, 1);
	fake_raw(&f, frame, len / 2);
	fake_event(&f, AGENT_MSG_CONFLICT);
	end = clock_ns() + 10000000000ull;
	while (s.events < 6 && clock_ns() < end) {
		fake_live(&f, 20);
		agent_get_state(f.agent, &s);
	}
	CU_ASSERT_EQUAL(s.events, 6);
	CU_ASSERT_EQUAL(s.health, AGENT_ALIVE);
	fake_close(&f);
}

static const struct suite_test tests[] = {
	{"silence", test_silence},
	{"pings that are not answered", test_pings_unanswered},
	{"a module loaded anew", test_reborn},
	{"a module that takes its leave", test_bye},
	{"a port that is closed", test_closed},
	{"an agent that does not read", test_nobody_reads},
	{"a spoilt stream", test_spoilt},
	{"half a frame", test_half_a_frame},
};
SUITE_MAIN("agent_lost", tests, 120)
