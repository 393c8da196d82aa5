// SPDX-License-Identifier: GPL-2.0-only
/* Answers of the benchmark's Linux guest: what is one, and what a guest may not make us believe. */
#include "suite.h"

#include <string.h>

#include "cmd/linux_console.h"

static void test_answers(void)
{
	struct linux_answer a;

	CU_ASSERT_EQUAL(linux_answer_parse("HOTRAIL nginx 596.77 requests/s errors 3", &a), 1);
	CU_ASSERT_STRING_EQUAL(a.name, "nginx");
	CU_ASSERT_STRING_EQUAL(a.text, "596.77");
	CU_ASSERT_STRING_EQUAL(a.unit, "requests/s");
	CU_ASSERT_DOUBLE_EQUAL(a.value, 596.77, 1e-9);
	CU_ASSERT_EQUAL(a.errors, 3);
	CU_ASSERT_EQUAL(linux_answer_parse("HOTRAIL uname 6.1.0-56-cloud release errors 0", &a), 1);
	CU_ASSERT_STRING_EQUAL(a.text, "6.1.0-56-cloud");
	CU_ASSERT_EQUAL(a.value, 0);
	CU_ASSERT_EQUAL(linux_answer_parse("HOTRAIL done", &a), 2);
	CU_ASSERT_EQUAL(linux_answer_parse("\033[2JHOTRAIL ready 5.26 s errors 0", &a), 1);
	CU_ASSERT_STRING_EQUAL(a.name, "ready");
}

static void test_others(void)
{
	static const char *const lines[] = {
		"",
		"[    1.0] Run /init as init process",
		"HOTRAIL",
		"HOTRAIL ",
		"HOTRAIL nginx",
		"HOTRAIL nginx 1 requests/s errors",
		"HOTRAIL nginx 1 requests/s errors x",
		"HOTRAIL nginx 1 requests/s errors -1",
		"HOTRAIL nginx 1 requests/s errors 1 more",
		"HOTRAIL nginx 1 requests/s failures 0",
		"HOTRAIL done and more",
		"HOTRAIL nginx\t1 \001 errors 0",
		"HOTRAIL a-name-that-is-longer-than-any-name-of-a-load 1 s errors 0",
	};
	struct linux_answer a = {.name = "as it was"};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CU_ASSERT_EQUAL(linux_answer_parse(lines[i], &a), 0);
	CU_ASSERT_STRING_EQUAL(a.name, "as it was");
}

/* A value is shown and compared: only finite, positive ones are believed. */
static void test_values(void)
{
	static const char *const values[] = {"nan", "inf", "-1", "1e300", "1x"};
	struct linux_answer a;
	char line[80];
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(line, sizeof(line), "HOTRAIL redis %s requests/s errors 0", values[i]);
		CU_ASSERT_EQUAL(linux_answer_parse(line, &a), 1);
		CU_ASSERT_EQUAL(a.value, 0);
	}
}

static const struct suite_test tests[] = {
	{"answers and the end of answers", test_answers},
	{"lines that are no answers", test_others},
	{"values that are no figures", test_values},
};

SUITE_MAIN("linux-console", tests, 10)
