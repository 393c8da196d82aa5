/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One CUnit suite a program. A test is { "what it shows", fn }; names use letters,
 * digits, spaces, '-' and '_' only. SUITE_MAIN gives the program a time limit and an
 * exit status: 0 all passed, 1 failed, 77 skipped (SUITE_SKIP prints why).
 */
#ifndef HOTRAIL_TESTS_SUITE_H
#define HOTRAIL_TESTS_SUITE_H

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SUITE_SKIPPED 77

struct suite_test {
	const char *name;
	void (*fn)(void);
};

#define SUITE_SKIP(...)                                                                            \
	(printf("SKIP: " __VA_ARGS__), printf("\n"), fflush(stdout), exit(SUITE_SKIPPED))

static inline int suite_run(const char *name, const struct suite_test *tests, size_t n,
			    unsigned limit_s)
{
	CU_pSuite suite;
	size_t i;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(limit_s); /* SIGALRM kills a hung suite; the runner reports it */
	if (CU_initialize_registry() != CUE_SUCCESS || !(suite = CU_add_suite(name, NULL, NULL)))
		return 1;
	for (i = 0; i < n; i++)
		if (!CU_add_test(suite, tests[i].name, tests[i].fn))
			return 1;
	CU_basic_set_mode(CU_BRM_NORMAL);
	if (CU_basic_run_tests() != CUE_SUCCESS)
		return 1;
	failed = CU_get_number_of_failures() != 0 || CU_get_number_of_tests_run() != n || n == 0;
	printf("%s: %zu tests, %u asserts, %u failed\n", name, n, CU_get_number_of_asserts(),
	       CU_get_number_of_failures());
	CU_cleanup_registry();
	return failed;
}

#define SUITE_MAIN(name, tests, limit_s)                                                           \
	int main(void)                                                                             \
	{                                                                                          \
		return suite_run(name, tests, sizeof(tests) / sizeof((tests)[0]), limit_s);        \
	}

#endif
