// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pairs of slots in a Debian kernel that runs in QEMU: a module declares them, the host has the
 * agent change them while both CPUs execute them without pause, and whatever happens each call goes
 * one of its legal ways. The tests build on each other: one guest, one after the other.
 */
#include "vm.h"

#include "patch/pair.h"

enum way { SLOW, ONE, TWO, OTHER, WRONG, WAYS };

static struct error err;
static struct agent_pair pair[8];
static uint64_t program[8], other;
static size_t npairs, nprograms;
static struct pairs *pairs;

/* A host that cannot read this guest's memory: the agent reads for it. */
static int cannot_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	return -EFAULT;
}

static const struct target_ops target_ops = {.name = "none", .read = cannot_read};
static struct target target = {.ops = &target_ops};
static const struct guest_ops guest_ops = {.name = "linux", .preempts = true};
static struct guest guest = {.ops = &guest_ops, .target = &target};

static void look(void)
{
	npairs = sizeof(pair) / sizeof(pair[0]);
	CU_ASSERT_EQUAL(agent_list_pairs(vm.agent, pair, &npairs, &err), 0);
}

static bool load(const char *arguments)
{
	char line[128];

	snprintf(line, sizeof(line), "insmod /lib/modules/hotrail_pairs_test.ko %s", arguments);
	return !vm_do(line);
}

static long went[WAYS];

static bool read_went(void)
{
	char *at;
	unsigned i;

	if (vm_do("echo went $(cat /sys/module/hotrail_pairs_test/parameters/went)"))
		return false;
	at = strstr(vm.out, "went ");
	for (i = 0, at = at ? at + 5 : NULL; at && i < WAYS; i++)
		went[i] = strtol(at, &at, 10);
	return i == WAYS;
}

/* Calls since the last look, in this way. */
static bool goes(enum way way)
{
	long before = went[way];
	unsigned tries;

	for (tries = 0; tries < 100; tries++) {
		if (!read_went() || went[WRONG])
			return false;
		if (went[way] > before)
			return true;
		vm_sleep_ms(50);
	}
	return false;
}

static uint8_t lead(uint64_t slot, uint64_t from, uint64_t to)
{
	const struct agent_lead l = {.target = slot, .from = from, .to = to};
	uint8_t status = AGENT_STATUSES;

	CU_ASSERT_EQUAL(agent_lead_pairs(vm.agent, &l, 1, &status, NULL, &err), 0);
	return status;
}

static void test_greets(void)
{
	vm.console = vm_dial("HOTRAIL_CONSOLE");
	CU_ASSERT_FATAL(vm.console >= 0 && !vm_wait());
	CU_ASSERT_PTR_NULL_FATAL(strstr(vm.out, "no agent"));
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_FATAL(vm.state.hello.features & AGENT_CAN_PAIRS);
	look();
	CU_ASSERT_EQUAL(npairs, 0);
	CU_ASSERT_EQUAL(lead(vm.state.hello.text_start, 0, 0), AGENT_NO_PAIR);
}

static void test_wrong_declarations(void)
{
	char arguments[32];
	unsigned i;

	for (i = 1; i <= 7; i++) {
		snprintf(arguments, sizeof(arguments), "wrong_declaration=%u", i);
		CU_ASSERT(!load(arguments));
		look();
		CU_ASSERT_EQUAL(npairs, 0);
	}
	CU_ASSERT(!vm_do(
		"dmesg | grep 'not 8-aligned' && dmesg | grep \"not in its owner's text\" && "
		"dmesg | grep 'declares a program'"));
}

static void test_declared(void)
{
	CU_ASSERT_FATAL(load(""));
	look();
	CU_ASSERT_EQUAL_FATAL(npairs, 2);
	CU_ASSERT(pair[0].bypass && !pair[1].bypass && pair[0].set == pair[1].set);
	CU_ASSERT(pair[0].state == PAIR_EMPTY && pair[1].state == PAIR_EMPTY);
	nprograms = sizeof(program) / sizeof(program[0]);
	CU_ASSERT_EQUAL(agent_list_programs(vm.agent, pair[0].set, program, &nprograms, &err), 0);
	CU_ASSERT_EQUAL_FATAL(nprograms, 2);
	CU_ASSERT(goes(SLOW));
	CU_ASSERT(went[ONE] == 0 && went[TWO] == 0);
	CU_ASSERT_EQUAL_FATAL(
		pairs_create_declared(&guest, vm.agent, pair, npairs, NULL, &pairs, &err), 0);
}

static void test_leads(void)
{
	CU_ASSERT_EQUAL(pairs_set(pairs, 0, program[0], NULL, &err), 0);
	CU_ASSERT(goes(ONE));
	CU_ASSERT_EQUAL(pairs_set(pairs, 0, program[1], NULL, &err), 0);
	CU_ASSERT(goes(TWO));
	look();
	CU_ASSERT(pair[0].state == PAIR_DIRECT && pair[0].program == program[1]);
	CU_ASSERT_EQUAL(pairs_set(pairs, 0, 0, NULL, &err), 0);
	look();
	CU_ASSERT(pair[0].state == PAIR_EMPTY && pair[0].program == 0);
	CU_ASSERT_EQUAL(pairs_set(pairs, 1, program[0], NULL, &err), 0);
	CU_ASSERT(goes(ONE));
	CU_ASSERT_EQUAL(pairs_set(pairs, 1, 0, NULL, &err), 0);
	CU_ASSERT(goes(SLOW));
}

/* A host that asks for what it should not. Nothing it can say names a single slot. */
static void test_refuses(void)
{
	static const struct agent_lead twice[2] = {{0}, {0}};
	struct agent_lead l[2];
	uint8_t status[2];
	uint64_t at = pair[0].target;

	CU_ASSERT_EQUAL(lead(at, program[0], 0), AGENT_MISMATCH);
	CU_ASSERT_EQUAL(lead(at, program[0], program[1]), AGENT_MISMATCH);
	CU_ASSERT_EQUAL(lead(at, 0, program[1] + 16), AGENT_TARGET);
	CU_ASSERT_EQUAL(lead(at, 0, program[0] + 1), AGENT_TARGET);
	CU_ASSERT_EQUAL(lead(at, 0, vm.state.hello.text_start), AGENT_TARGET);
	CU_ASSERT_EQUAL(lead(at, 0, 0x400000), AGENT_TARGET);
	CU_ASSERT_EQUAL(lead(pair[0].bypass, 0, program[0]), AGENT_NO_PAIR);
	CU_ASSERT_EQUAL(lead(at + 1, 0, program[0]), AGENT_NO_PAIR);
	CU_ASSERT_EQUAL(agent_lead_pairs(vm.agent, twice, 2, status, NULL, &err), 0);
	CU_ASSERT(status[0] == AGENT_BAD_MESSAGE && status[1] == AGENT_BAD_MESSAGE);
	l[0] = l[1] = (struct agent_lead){.target = at, .to = program[0]};
	CU_ASSERT_EQUAL(agent_lead_pairs(vm.agent, l, 2, status, NULL, &err), 0);
	CU_ASSERT(status[0] == AGENT_OK && status[1] == AGENT_BAD_MESSAGE);
	CU_ASSERT_EQUAL(lead(at, program[0], 0), AGENT_OK);
	/* A slot is no site: POKE changes the opcode of nothing. */
	{
		struct agent_poke p = {.site = at, .len = 5};
		struct agent_poked done;

		memcpy(p.old, pair_nop, 5);
		memcpy(p.new, "\xe9\0\0\0\0", 5);
		CU_ASSERT_EQUAL(agent_poke(vm.agent, AGENT_POKE_ONLY, &p, 1, status, &done, &err),
				0);
		CU_ASSERT_EQUAL(status[0], AGENT_OPCODE);
	}
	CU_ASSERT(goes(SLOW));
}

static unsigned cycles(void)
{
	const char *n = getenv("AGENT_CYCLES");

	return n ? (unsigned)atoi(n) : 5;
}

static void test_under_load(void)
{
	unsigned i, n = 10 * cycles(), failed = 0;
	long one = went[ONE], two = went[TWO];

	for (i = 0; i < n; i++) {
		failed += pairs_set(pairs, 0, program[i % 2], NULL, &err) != 0;
		failed += pairs_set(pairs, 1, program[i % 2], NULL, &err) != 0;
		failed += pairs_set(pairs, 0, program[(i + 1) % 2], NULL, &err) != 0;
		failed += pairs_set(pairs, 1, 0, NULL, &err) != 0;
		if (i % 4 == 3)
			failed += pairs_set(pairs, 0, 0, NULL, &err) != 0;
	}
	CU_ASSERT_EQUAL(failed, 0);
	CU_ASSERT(goes(SLOW) && went[ONE] > one && went[TWO] > two);
	printf("%u rounds; calls by the slow way, program 1, program 2: %ld %ld %ld, wrong: %ld\n",
	       n, went[SLOW], went[ONE], went[TWO], went[WRONG]);
}

enum where { NOWHERE, ON_TARGET, ON_BYPASS, BEHIND_BYPASS };

static void probe(enum where where)
{
	char line[128];

	snprintf(line, sizeof(line), "echo %u >/sys/module/hotrail_pairs_test/parameters/probe",
		 where);
	CU_ASSERT_EQUAL(vm_do(line), 0);
}

/* On a slot, and on the instruction before it, of which the kernel makes a jump over the slot. */
static void test_probes(void)
{
	struct agent_unpatch_reply r;

	CU_ASSERT_EQUAL(pairs_set(pairs, 0, 0, NULL, &err), 0);
	probe(ON_TARGET);
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_BUSY);
	probe(BEHIND_BYPASS);
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_BUSY);
	probe(NOWHERE);
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_OK);
	probe(ON_BYPASS);
	CU_ASSERT_EQUAL(lead(pair[0].target, program[0], 0), AGENT_BUSY);
	CU_ASSERT_EQUAL(agent_unpatch_all(vm.agent, &r, &err), 0);
	CU_ASSERT(r.left == 1 && r.undone == 0);
	CU_ASSERT(goes(ONE));
	probe(NOWHERE);
	vm_sleep_ms(3000); /* it is led back by itself */
	look();
	CU_ASSERT_EQUAL(pair[0].state, PAIR_EMPTY);
	CU_ASSERT(goes(SLOW));
}

static void test_a_host_that_is_lost(void)
{
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_OK);
	CU_ASSERT_EQUAL(lead(pair[1].target, 0, program[1]), AGENT_OK);
	vm_disconnect();
	CU_ASSERT_FATAL(vm_connect(1500));
	CU_ASSERT_EQUAL(vm.state.hello.pokes, 2);
	vm_disconnect();
	vm_sleep_ms(4000);
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_EQUAL(vm.state.hello.pokes, 0);
	look();
	CU_ASSERT(pair[0].state == PAIR_EMPTY && pair[1].state == PAIR_EMPTY);
	CU_ASSERT(goes(SLOW));
}

static void test_disabled(void)
{
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_OK);
	vm_do("echo 1 >/sys/module/hotrail_agent/parameters/disable");
	look();
	CU_ASSERT_EQUAL(pair[0].state, PAIR_EMPTY);
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_REFUSED);
	vm_do("echo 0 >/sys/module/hotrail_agent/parameters/disable");
	CU_ASSERT_EQUAL(lead(pair[0].target, 0, program[0]), AGENT_OK);
	CU_ASSERT(goes(ONE));
}

/* Both lead somewhere, and both CPUs are there, when the module takes its slots back and goes. */
static void test_the_owner_leaves(void)
{
	CU_ASSERT_EQUAL(lead(pair[1].target, 0, program[1]), AGENT_OK);
	CU_ASSERT(vm_do("rmmod hotrail_agent")); /* who declares pairs holds the agent */
	CU_ASSERT(read_went());
	CU_ASSERT(!vm_do("rmmod hotrail_pairs_test"));
	look();
	CU_ASSERT_EQUAL(npairs, 0);
	CU_ASSERT_EQUAL(lead(pair[1].target, 0, program[1]), AGENT_NO_PAIR);
	CU_ASSERT(!vm_do("dmesg | grep 'hotrail_pairs_test: 0 wrong'"));
}

static void one_comes_and_goes(void)
{
	size_t n = 1;

	CU_ASSERT_FATAL(!vm_do("insmod /lib/modules/hotrail_pairs_other.ko") && load("other=1"));
	look();
	CU_ASSERT_EQUAL_FATAL(npairs, 3);
	CU_ASSERT_EQUAL_FATAL(agent_list_programs(vm.agent, pair[2].set, &other, &n, &err), 0);
	CU_ASSERT_EQUAL(lead(pair[2].target, 0, program[0]), AGENT_TARGET); /* another set's */
	CU_ASSERT_EQUAL(lead(pair[2].target, 0, other), AGENT_OK);
	went[OTHER] = 0;
	CU_ASSERT(goes(OTHER));
	CU_ASSERT(!vm_do("rmmod hotrail_pairs_other"));
	look();
	CU_ASSERT_EQUAL(pair[2].state, PAIR_EMPTY);
	CU_ASSERT_EQUAL(lead(pair[2].target, 0, other), AGENT_TARGET);
	n = 1;
	CU_ASSERT_EQUAL(agent_list_programs(vm.agent, pair[2].set, &other, &n, &err), 0);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT(read_went() && went[WRONG] == 0);
	/* Its memory is somebody else's by now. */
	CU_ASSERT(!vm_do("insmod /lib/modules/fat.ko && rmmod fat && rmmod hotrail_pairs_test"));
}

static void test_a_program_leaves(void)
{
	unsigned i;

	for (i = 0; i < cycles(); i++)
		one_comes_and_goes();
}

static void test_no_complaints(void)
{
	pairs_destroy(pairs);
	CU_ASSERT(!vm_do("rmmod hotrail_agent"));
	vm_disconnect();
	vm_do("dmesg | grep -E 'WARNING:|BUG:|Oops|lockup|general protection|stall'");
	CU_ASSERT_PTR_NULL(strstr(vm.out, "["));
	vm_do("dmesg | grep hotrail | tail -20");
	printf("%s", vm.out);
}

static const struct suite_test tests[] = {
	{"greets", test_greets},
	{"wrong declarations are refused", test_wrong_declarations},
	{"a module declares its pairs", test_declared},
	{"leads, updates, removes", test_leads},
	{"refuses by name", test_refuses},
	{"under load on both CPUs", test_under_load},
	{"probes on and before a slot", test_probes},
	{"a host that is lost", test_a_host_that_is_lost},
	{"disabled", test_disabled},
	{"the module that declared them leaves", test_the_owner_leaves},
	{"a module with a program leaves", test_a_program_leaves},
	{"the kernel did not complain", test_no_complaints},
};

SUITE_MAIN("agent_pairs", tests, 1500)
