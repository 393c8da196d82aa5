// SPDX-License-Identifier: GPL-2.0-only
/* The client of the in-guest agent, the test being the agent: one that lies. */
#include "agent_fixture.h"
#include "protocol/crc32c.h"

/* --- hello --- */

static struct agent_hello_reply lie;

static void no_instance(void)
{
	lie.instance = 0;
}
static void text_upside_down(void)
{
	lie.text_end = lie.text_start;
}
static void text_of_users(void)
{
	lie.text_start = 0x400000;
	lie.text_end = 0x500000;
}
static void text_too_large(void)
{
	lie.text_start = 0xffffffff80000000ull;
	lie.text_end = 0xffffffffc0000001ull;
}
static void code_of_users(void)
{
	lie.arena_code = 0x7f0000000000ull;
}
static void code_in_text(void)
{
	lie.arena_code = lie.text_start + 0x1000;
}
static void data_in_text(void)
{
	lie.arena_data = lie.text_end - 16;
}
static void halves_overlap(void)
{
	lie.arena_data = lie.arena_code + lie.arena_code_size - 16;
}
static void code_wraps(void)
{
	lie.arena_code = -(uint64_t)0x1000;
}
static void data_wraps(void)
{
	lie.arena_data = -(uint64_t)16;
}
static void code_huge(void)
{
	lie.arena_code_size = (16u << 20) + 16;
}
static void data_huge(void)
{
	lie.arena_data_size = 0xffffffff;
}
static void no_code(void)
{
	lie.arena_code_size = 0;
}
static void code_askew(void)
{
	lie.arena_code += 8;
}
static void tables_too_many(void)
{
	lie.cpus = 5; /* times 0x8000 > 0x20000 */
}
static void tables_overflow(void)
{
	lie.cpus = 8192;
	lie.table_stride = 0x80000;
}
static void no_cpus(void)
{
	lie.cpus = 0;
}
static void build_id_long(void)
{
	lie.build_id_len = 21;
}
static void release_endless(void)
{
	memset(lie.release, 'x', sizeof(lie.release));
}

static void test_hello_lies(void)
{
	static void (*const lies[])(void) = {
		no_instance,	 text_upside_down, text_of_users,  text_too_large,  code_of_users,
		code_in_text,	 data_in_text,	   halves_overlap, code_wraps,	    data_wraps,
		code_huge,	 data_huge,	   no_code,	   code_askew,	    tables_too_many,
		tables_overflow, no_cpus,	   build_id_long,  release_endless,
	};
	size_t i;

	CU_ASSERT_EQUAL_FATAL(fake_open(&f, (struct agent_config){0}), 0);
	f.no_hello = true;
	while (!f.hellos)
		fake_live(&f, 10);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		fixture_hello_reply(&lie);
		lies[i]();
		fake_say(&f, AGENT_MSG_HELLO | AGENT_REPLY, f.hello_seq, &lie, sizeof(lie));
		CU_ASSERT_TRUE(counted_bad(i + 1));
		CU_ASSERT_EQUAL(s.health, AGENT_ABSENT);
		CU_ASSERT_EQUAL(s.generation, 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "nonsense"));
	}
	fake_say(&f, AGENT_MSG_HELLO | AGENT_REPLY, f.hello_seq + 1, &f.hello, sizeof(f.hello));
	CU_ASSERT_TRUE(counted_bad(i + 1)); /* the truth, but nobody asked */
	f.no_hello = false;
	CU_ASSERT_TRUE(fake_until(&f, AGENT_ALIVE, &s)); /* he who lied may be believed yet */
	fake_close(&f);
}

/* --- replies --- */

static void test_poke_lies(void)
{
	static const struct {
		uint32_t count, statuses;
		uint8_t status;
	} lies[] = {{9, 9, 0},
		    {11, 11, 0},
		    {10, 9, 0},
		    {10, 11, 0},
		    {10, 0, 0},
		    {0, 0, 0},
		    {10, 10, AGENT_STATUSES},
		    {10, 10, 255},
		    {0xffffffff, 10, 0}};
	size_t i;

	up(0);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		start(10);
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
		reply_pokes(lies[i].count, lies[i].statuses, lies[i].status);
		end_is(-EPROTO, 0);
		CU_ASSERT_TRUE(counted_bad(i + 1));
	}
	start(SITES); /* the first message is answered well, the second is not */
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	reply_pokes(AGENT_MAX_POKES, AGENT_MAX_POKES, AGENT_OK);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	reply_pokes(1, 1, AGENT_OK);
	end_is(-EPROTO, AGENT_MAX_POKES);
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.health, AGENT_ALIVE);
	fake_close(&f);
}

static void test_replies_nobody_asked_for(void)
{
	union wire_payload p = {.bytes = {0}};
	uint32_t len = fixture_answered(AGENT_MSG_POKE, &p);

	up(0);
	fake_say(&f, AGENT_MSG_POKE | AGENT_REPLY, 1, &p, len);
	start(2);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	fake_say(&f, AGENT_MSG_POKE | AGENT_REPLY, f.h.seq + 1, &p, len);   /* not yet asked */
	fake_say(&f, AGENT_MSG_LEARN_STOP | AGENT_REPLY, f.h.seq, &p, len); /* another question */
	CU_ASSERT_TRUE(counted_bad(3));
	fake_say(&f, AGENT_MSG_POKE | AGENT_REPLY, f.h.seq, &p, len);
	end_is(0, 2);
	fake_say(&f, AGENT_MSG_POKE | AGENT_REPLY, f.h.seq, &p, len); /* twice */
	CU_ASSERT_TRUE(counted_bad(4));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "POKE"));
	fake_close(&f);
}

static void test_errors(void)
{
	up(0);
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	fake_error(&f, AGENT_REFUSED, AGENT_NO_LOCKDOWN, "");
	end_is(-EPROTO, 0);
	CU_ASSERT_EQUAL(job.err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(job.err.text, "locked down"));
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	fake_error(&f, 4711, 0, "\033[2Jno\n");
	end_is(-EPROTO, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(job.err.text, "?[2Jno?"));
	start(3);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_POKE));
	fake_error(&f, AGENT_UNSUPPORTED, 0, "what is a poke");
	end_is(-EPROTO, 0);
	CU_ASSERT_EQUAL(job.err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	agent_get_state(f.agent, &s);
	CU_ASSERT(s.health == AGENT_ALIVE && s.bad == 0);
	fake_close(&f);
}

/* Lists that never end, or end before they begin. */
static void *protected_job(void *ret)
{
	struct agent_range out[8];
	size_t n = 8;

	*(int *)ret = agent_list_protected(f.agent, out, &n, NULL);
	return NULL;
}

static void test_list_lies(void)
{
	static const uint32_t lies[][2] = {{5, 0}, {0, 1}, {0xffffffff, 0}};
	union wire_payload p = {.bytes = {0}};
	pthread_t thread;
	size_t i;
	int ret;

	up(0);
	fixture_answered(AGENT_MSG_PROTECTED, &p);
	for (i = 0; i < 3; i++) {
		p.protect_reply.total = lies[i][0];
		p.protect_reply.count = lies[i][1];
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, protected_job, &ret), 0);
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PROTECTED));
		fake_reply(&f, &p, 8 + lies[i][1] * 24);
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(ret, -EPROTO);
	}
	/* It gets on for ever; the host's room does not. */
	p.protect_reply.total = 0xffffffff;
	p.protect_reply.count = 1;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, protected_job, &ret), 0);
	for (i = 0; i < 8; i++) {
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PROTECTED));
		fake_reply(&f, &p, 8 + 24);
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(ret, -ENOSPC);
	fake_close(&f);
}

static void *modules_job(void *ret)
{
	struct agent_module out[3];
	size_t n = 3;

	*(int *)ret = agent_list_modules(f.agent, out, &n, NULL);
	return NULL;
}

static void test_module_lies(void)
{
	static const struct {
		uint32_t total, count, first, second; /* ids */
	} lies[] = {{1, 2, 1, 2}, {5, 0, 0, 0}, {2, 2, 4, 4}, {2, 2, 4, 3}, {1, 1, 0, 0}};
	union wire_payload p = {.bytes = {0}};
	pthread_t thread;
	size_t i;
	int ret;

	up(0);
	fixture_module(&p.modules_reply.module[0]);
	fixture_module(&p.modules_reply.module[1]);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		p.modules_reply.total = lies[i].total;
		p.modules_reply.count = lies[i].count;
		p.modules_reply.module[0].id = lies[i].first;
		p.modules_reply.module[1].id = lies[i].second;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, modules_job, &ret), 0);
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_MODULES));
		fake_reply(&f, &p, 8 + lies[i].count * (uint32_t)sizeof(struct agent_module));
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(ret, -EPROTO);
	}
	/* It gets on for ever; the host's room does not. */
	p.modules_reply.total = 0xffffffff;
	p.modules_reply.count = 1;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, modules_job, &ret), 0);
	for (i = 0; i < 3; i++) {
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_MODULES));
		CU_ASSERT_EQUAL(f.payload.modules.after, i);
		p.modules_reply.module[0].id = (uint32_t)i + 1;
		fake_reply(&f, &p, 8 + sizeof(struct agent_module));
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(ret, -ENOSPC);
	fake_close(&f);
}

static void *names_job(void *ret)
{
	static const uint64_t addr[] = {0xffffffffc0200040ull, 0xffffffffc0200050ull};
	struct agent_function out[2];

	*(int *)ret = agent_name_functions(f.agent, addr, 2, out, NULL);
	return NULL;
}

static void test_name_lies(void)
{
	static const struct {
		uint32_t count;
		uint64_t start;
		uint32_t size;
		int ret;
	} lies[] = {
		{1, 0xffffffffc0200020ull, 0x80, -EPROTO},
		{3, 0xffffffffc0200020ull, 0x80, -EPROTO},
		{2, 0xffffffffc0200020ull, 0x20, -EPROTO},
		{2, 0xffffffffc0200041ull, 0x80, -EPROTO},
		{2, 0x1000, 0x80, -EPROTO},
		{2, 1, 0xffffffff, -EPROTO},
		{2, 0xffffffffc0200020ull, 0, -EPROTO},
		{2, 0, 0, 0},
		{2, 0xffffffffc0200020ull, 0x80, 0},
	};
	union wire_payload p = {.bytes = {0}};
	struct agent_function *fn = p.names_reply.function;
	pthread_t thread;
	size_t i;
	int ret;

	up(0);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		p.names_reply.count = lies[i].count;
		fn[0] = (struct agent_function){.start = lies[i].start, .size = lies[i].size};
		memset(fn[0].name, 'x', sizeof(fn[0].name)); /* without an end */
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, names_job, &ret), 0);
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_NAMES));
		fake_reply(&f, &p, 8 + lies[i].count * (uint32_t)sizeof(*fn));
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(ret, lies[i].ret);
	}
	fake_close(&f);
}

static void test_version(void)
{
	struct agent_header h;
	static uint8_t frame[WIRE_MAX];

	CU_ASSERT_EQUAL_FATAL(fake_open(&f, (struct agent_config){0}), 0);
	f.no_hello = true;
	fixture_frame(AGENT_MSG_GRACE | AGENT_REPLY, 1, frame);
	memcpy(&h, frame, sizeof(h));
	h.version = 9;
	h.crc = 0;
	memcpy(frame, &h, sizeof(h));
	h.crc = hotrail_crc32c(0, frame, sizeof(h));
	fake_raw(&f, &h, sizeof(h));
	CU_ASSERT_TRUE(counted_bad(1));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.trouble, "version 9"));
	CU_ASSERT_EQUAL(s.health, AGENT_ABSENT);
	fake_close(&f);
}

static const struct suite_test tests[] = {
	{"hello that lies", test_hello_lies},
	{"answers to pokes that lie", test_poke_lies},
	{"answers nobody waited for", test_replies_nobody_asked_for},
	{"answers that are errors", test_errors},
	{"lists that lie", test_list_lies},
	{"modules that cannot be", test_module_lies},
	{"names that cannot be", test_name_lies},
	{"another version of the protocol", test_version},
};
SUITE_MAIN("agent_lies", tests, 120)
