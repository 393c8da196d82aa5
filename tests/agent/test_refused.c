// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernels in which nothing is to be promoted: the agent loads, says why, and takes neither tracks
 * nor pokes. $HOTRAIL_REFUSAL holds the words that are expected; tests/agent.sh boots the kernel.
 */
#include "vm.h"

static void says_why(void)
{
	const char *words = getenv("HOTRAIL_REFUSAL");
	struct error err = {0};

	CU_ASSERT_PTR_NOT_NULL_FATAL(words);
	vm.console = vm_dial("HOTRAIL_CONSOLE");
	CU_ASSERT_FATAL(vm.console >= 0 && !vm_wait());
	CU_ASSERT_PTR_NULL_FATAL(strstr(vm.out, "no agent"));
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_EQUAL(vm.state.health, AGENT_REFUSING);
	CU_ASSERT_EQUAL(agent_ready(vm.agent, &err), -EPERM);
	printf("    %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	CU_ASSERT_EQUAL(vm_do("dmesg | grep 'hotrail_agent: nothing will be changed'"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(vm.out, words));
}

static void takes_no_track(void)
{
	struct agent_block b = {.len = 1, .bytes = {0xcc}};
	struct error err = {0};
	uint8_t status = AGENT_OK;

	CU_ASSERT_EQUAL(agent_write_blocks(vm.agent, &b, 1, &status, &err), 0);
	CU_ASSERT_EQUAL(status, AGENT_REFUSED);
}

static void pokes_nothing(void)
{
	struct agent_poke p = {.len = 5, .old = {0xe8}, .new = {0xe8, 1}};
	struct error err = {0};
	uint8_t status = AGENT_OK;

	p.site = vm.state.hello.text_start;
	CU_ASSERT_EQUAL(agent_poke(vm.agent, AGENT_POKE_ONLY, &p, 1, &status, NULL, &err), 0);
	CU_ASSERT_NOT_EQUAL(status, AGENT_OK);
	vm_disconnect();
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_EQUAL(vm.state.hello.pokes, 0);
}

static void leaves_without_a_trace(void)
{
	vm_disconnect();
	CU_ASSERT_EQUAL(vm_do("rmmod hotrail_agent"), 0);
	vm_do("dmesg | grep -E 'WARNING:|BUG:|Oops|lockup|general protection|stall'");
	CU_ASSERT_PTR_NULL(strstr(vm.out, "["));
}

static const struct suite_test tests[] = {
	{"says why", says_why},
	{"takes no track", takes_no_track},
	{"pokes nothing", pokes_nothing},
	{"leaves without a trace", leaves_without_a_trace},
};

SUITE_MAIN("agent_refused", tests, 300)
