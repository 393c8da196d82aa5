// SPDX-License-Identifier: GPL-2.0-only
/* JSON conventions and the numbers that users type. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "suite.h"
#include "util/json.h"
#include "util/parse.h"

static int addr_of(const char *text, gva_t *addr)
{
	json_t *v = json_string(text);
	int ret = json_get_addr(v, addr);

	json_decref(v);
	return ret;
}

static void addresses_round_trip(void)
{
	static const gva_t samples[] = {0, 1, 0x40000000, 0xffffffff81000000, UINT64_MAX};
	gva_t back;
	size_t i;

	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		json_t *v = json_addr(samples[i]);

		CU_ASSERT_EQUAL(strlen(json_string_value(v)), 18);
		CU_ASSERT_EQUAL(json_get_addr(v, &back), 0);
		CU_ASSERT_EQUAL(back, samples[i]);
		json_decref(v);
	}
}

static void addresses_refused(void)
{
	static const char *const bad[] = {"",
					  "0x",
					  "0x1",
					  "ffffffff81000000ab",
					  "0xffffffff8100000",
					  "0xffffffff810000000",
					  "0xffffffff8100000g",
					  "0XFFFFFFFF81000000",
					  "0xFFFFFFFF81000000",
					  " 0xfffffff81000000",
					  "-0xfffffff81000000"};
	gva_t addr = 42;
	json_t *v;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(addr_of(bad[i], &addr), -EINVAL);
	v = json_integer(1);
	CU_ASSERT_EQUAL(json_get_addr(v, &addr), -EINVAL);
	json_decref(v);
	v = json_stringn("0xffffffff81000000\0x", 20);
	CU_ASSERT_EQUAL(json_get_addr(v, &addr), -EINVAL);
	json_decref(v);
	CU_ASSERT_EQUAL(json_get_addr(NULL, &addr), -EINVAL);
	CU_ASSERT_EQUAL(addr, 42);
}

static void text_is_always_utf8(void)
{
	char longish[2000];
	json_t *v = json_text("caf\xc3\xa9");

	CU_ASSERT_STRING_EQUAL(json_string_value(v), "caf\xc3\xa9");
	json_decref(v);
	v = json_text("a\xff\xfe"
		      "b");
	CU_ASSERT_STRING_EQUAL(json_string_value(v), "a??b");
	json_decref(v);
	memset(longish, 0x80, sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	v = json_text(longish);
	CU_ASSERT_EQUAL(json_string_length(v), 511);
	json_decref(v);
	v = json_text(NULL);
	CU_ASSERT_STRING_EQUAL(json_string_value(v), "");
	json_decref(v);
}

static void unknown_numbers_are_null(void)
{
	json_t *v = json_number(NAN);

	CU_ASSERT(json_is_null(v));
	v = json_number(INFINITY);
	CU_ASSERT(json_is_null(v));
	v = json_unless_negative(-1);
	CU_ASSERT(json_is_null(v));
	v = json_unless_negative(0);
	CU_ASSERT(json_is_real(v));
	json_decref(v);
}

static void whole_numbers(void)
{
	static const char *const bad[] = {"",	"-1",  "+1",  " 1", "1 ",
					  "0x", "0xg", "1.5", "x",  "12a"};
	uint64_t v = 7;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(parse_u64(bad[i], &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_u64("18446744073709551616", &v), -ERANGE);
	CU_ASSERT_EQUAL(v, 7);
	CU_ASSERT_EQUAL(parse_u64("18446744073709551615", &v), 0);
	CU_ASSERT_EQUAL(v, UINT64_MAX);
	CU_ASSERT_EQUAL(parse_u64("0x10", &v), 0);
	CU_ASSERT_EQUAL(v, 16);
	CU_ASSERT_EQUAL(parse_u64("010", &v), 0);
	CU_ASSERT_EQUAL(v, 10);
}

static void sizes(void)
{
	uint64_t v = 7;

	CU_ASSERT_EQUAL(parse_size("512M", &v), 0);
	CU_ASSERT_EQUAL(v, 512ull << 20);
	CU_ASSERT_EQUAL(parse_size("64", &v), 0);
	CU_ASSERT_EQUAL(v, 64ull << 20);
	CU_ASSERT_EQUAL(parse_size("4096k", &v), 0);
	CU_ASSERT_EQUAL(v, 4ull << 20);
	CU_ASSERT_EQUAL(parse_size("1T", &v), 0);
	CU_ASSERT_EQUAL(v, 1ull << 40);
	v = 7;
	CU_ASSERT_EQUAL(parse_size("99999999999T", &v), -ERANGE);
	CU_ASSERT_EQUAL(parse_size("1MB", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_size("1X", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_size("M", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_size("-1M", &v), -EINVAL);
	CU_ASSERT_EQUAL(v, 7);
}

static void shares_and_seconds(void)
{
	double v = 7;

	CU_ASSERT_EQUAL(parse_share("99%", &v), 0);
	CU_ASSERT_DOUBLE_EQUAL(v, 0.99, 1e-12);
	CU_ASSERT_EQUAL(parse_share(".5", &v), 0);
	CU_ASSERT_DOUBLE_EQUAL(v, 0.5, 1e-12);
	v = 7;
	CU_ASSERT_EQUAL(parse_share("1.01", &v), -ERANGE);
	CU_ASSERT_EQUAL(parse_share("101%", &v), -ERANGE);
	CU_ASSERT_EQUAL(parse_share("nan", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_share("0x1p-1", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_share(".", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_share("-0.1", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_seconds("inf", &v), -EINVAL);
	CU_ASSERT_EQUAL(parse_seconds("1e99", &v), -ERANGE);
	CU_ASSERT_EQUAL(parse_seconds("2s", &v), -EINVAL);
	CU_ASSERT_EQUAL(v, 7);
	CU_ASSERT_EQUAL(parse_seconds("1.5", &v), 0);
	CU_ASSERT_DOUBLE_EQUAL(v, 1.5, 1e-12);
}

static const struct suite_test tests[] = {
	{"addresses round trip as strings", addresses_round_trip},
	{"anything else is no address", addresses_refused},
	{"text is always UTF-8", text_is_always_utf8},
	{"unknown numbers are null", unknown_numbers_are_null},
	{"whole numbers", whole_numbers},
	{"sizes", sizes},
	{"shares and seconds", shares_and_seconds},
};
SUITE_MAIN("json", tests, 20)
