// SPDX-License-Identifier: GPL-2.0-only
/* `hotrail bench tailcall`: what the document promises, whatever the machine can count. */
#include "cli_guest.h"

#include <math.h>

static const char *const variants[] = {"indirect", "poke", "poke2"};
static const char *const events[] = {"cycles",	      "instructions", "branches",
				     "branch_misses", "itlb_misses",  "l1i_misses"};

/* Every figure is there: a number where it was counted, null where it cannot be. */
static void check_variant(json_t *doc, const char *name)
{
	char path[64];
	unsigned i, absent = 0;

	snprintf(path, sizeof(path), "variants.%s.ns", name);
	CU_ASSERT_TRUE(json_real_value(at(doc, path)) > 0);
	snprintf(path, sizeof(path), "variants.%s.ns_spread", name);
	CU_ASSERT_TRUE(json_is_real(at(doc, path)));
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		json_t *v;

		snprintf(path, sizeof(path), "variants.%s.%s", name, events[i]);
		v = at(doc, path);
		CU_ASSERT_TRUE(json_is_null(v) || (json_is_real(v) && json_real_value(v) >= 0));
		absent += json_is_null(v);
	}
	/* What is absent has its reason. */
	CU_ASSERT_TRUE(!absent || json_is_string(at(doc, "counters_why")));
}

static void tailcall_document(void)
{
	struct run *r = cli("bench", "tailcall", "--rounds", "2", "-j", NULL);
	json_t *doc;
	unsigned i;

	succeeds(r);
	doc = json_of(r);
	CU_ASSERT_TRUE(json_integer_value(at(doc, "schema")) > 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(at(doc, "bench")), "tailcall");
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "repetitions")), 1024);
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "rounds")), 2);
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "guests")), 2);
	CU_ASSERT_TRUE(json_integer_value(at(doc, "slots")) > 0);
	/* A single slot takes one poke, a pair two. */
	CU_ASSERT_TRUE(json_integer_value(at(doc, "pokes")) > json_integer_value(at(doc, "slots")));
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "wrong_calls")), 0);
	for (i = 0; i < 3; i++)
		check_variant(doc, variants[i]);
	CU_ASSERT_TRUE(json_real_value(at(doc, "ratios.poke2_over_poke")) > 0);
	CU_ASSERT_TRUE(json_is_real(at(doc, "ratios.poke2_over_poke_spread")));
	CU_ASSERT_TRUE(json_real_value(at(doc, "ratios.indirect_over_poke2")) > 0);
	json_decref(doc);
}

static void tailcall_table(void)
{
	struct run *r = cli("bench", "tailcall", "--rounds", "1", NULL);

	succeeds(r);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "indirect"));
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "two slots / one slot"));
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "wrong calls 0"));
}

static const struct suite_test tests[] = {
	{"tailcall as a document", tailcall_document},
	{"tailcall as a table", tailcall_table},
};

int main(void)
{
	return cli_suite("cli-bench", tests, sizeof(tests) / sizeof(tests[0]), cli_patience(120));
}
