// SPDX-License-Identifier: GPL-2.0-only
/* The control socket's requests and answers as bytes; no socket. */
#include <errno.h>
#include <string.h>

#include "control/message.h"
#include "control/wire.h"
#include "suite.h"

static int parse(const char *text, struct control_request *r, struct error *err)
{
	return control_request_parse(text, strlen(text), r, err);
}

static void good_requests(void)
{
	struct control_request r;
	struct error err;

	CU_ASSERT_EQUAL(parse("{\"execute\":\"x\"}", &r, &err), 0);
	CU_ASSERT_STRING_EQUAL(r.command, "x");
	CU_ASSERT_EQUAL(json_object_size(r.arguments), 0);
	CU_ASSERT_PTR_NULL(r.id);
	control_request_clear(&r);
	CU_ASSERT_EQUAL(
		parse(" {\"id\":[1,\"a\"],\"execute\":\"x\",\"arguments\":{\"a\":1}}\r", &r, &err),
		0);
	CU_ASSERT_EQUAL(json_object_size(r.arguments), 1);
	CU_ASSERT(json_is_array(r.id));
	control_request_clear(&r);
}

static void bad_requests(void)
{
	static const char *const bad[] = {
		"",
		"{",
		"null",
		"[]",
		"\"execute\"",
		"{}",
		"{\"execute\":1}",
		"{\"execute\":\"a\",\"arguments\":[]}",
		"{\"execute\":\"a\",\"argument\":{}}",
		"{\"execute\":\"a\"} x",
		"{\"execute\":\"a\",\"execute\":\"b\"}",
		"{\"execute\":\"a\\u0000b\"}",
		"{\"execute\":\"\xff\xfe\"}",
		"{\"execute\":\"a\",\"arguments\":{\"n\":1e999}}",
		"{\"execute\":"
		"\"0123456789012345678901234567890123456789012345678901234567890123\"}",
	};
	struct control_request r;
	struct error err;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		CU_ASSERT_EQUAL(parse(bad[i], &r, &err), -EINVAL);
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
		CU_ASSERT(err.text[0] != '\0');
		control_request_clear(&r);
	}
}

static void id_of_a_refused_request(void)
{
	struct control_request r;
	struct error err;

	CU_ASSERT_EQUAL(parse("{\"id\":7,\"execute\":1}", &r, &err), -EINVAL);
	CU_ASSERT_EQUAL(json_integer_value(r.id), 7);
	control_request_clear(&r);
}

static void nesting_is_bounded(void)
{
	char deep[400];
	struct control_request r;
	struct error err;
	int n, depth;

	for (depth = CONTROL_MAX_DEPTH - 2; depth <= CONTROL_MAX_DEPTH; depth++) {
		n = snprintf(deep, sizeof(deep), "{\"execute\":\"x\",\"arguments\":{\"a\":");
		memset(deep + n, '[', (size_t)depth);
		memset(deep + n + depth, ']', (size_t)depth);
		strcpy(deep + n + 2 * depth, "}}");
		CU_ASSERT_EQUAL(parse(deep, &r, &err),
				depth + 2 <= CONTROL_MAX_DEPTH ? 0 : -EINVAL);
		control_request_clear(&r);
	}
	/* Brackets inside strings are no nesting. */
	n = snprintf(deep, sizeof(deep), "{\"execute\":\"x\",\"arguments\":{\"a\":\"\\\"");
	memset(deep + n, '[', 100);
	strcpy(deep + n + 100, "\"}}");
	CU_ASSERT_EQUAL(parse(deep, &r, &err), 0);
	control_request_clear(&r);
}

static void answers_map_both_ways(void)
{
	static const struct {
		enum hotrail_exit exit_code;
		int ret;
		const char *class;
	} map[] = {
		{HOTRAIL_EXIT_FAILED, -EIO, "Failed"},
		{HOTRAIL_EXIT_USAGE, -EINVAL, "Usage"},
		{HOTRAIL_EXIT_BUSY, -EBUSY, "Busy"},
		{HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP, "NotSupported"},
		{HOTRAIL_EXIT_REFUSED, -EPERM, "Refused"},
		{HOTRAIL_EXIT_ROLLED_BACK, -ECANCELED, "RolledBack"},
		{HOTRAIL_EXIT_PERMISSION, -EACCES, "PermissionDenied"},
	};
	struct error err, back;
	json_t *m, *id = json_integer(3), *ret;
	size_t i;

	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		error_set(&err, map[i].exit_code, 0, "words %zu", i);
		m = control_refusal(&err, false, id);
		CU_ASSERT_STRING_EQUAL(
			json_string_value(json_object_get(json_object_get(m, "error"), "class")),
			map[i].class);
		CU_ASSERT_EQUAL(control_answer_parse(m, 3, &ret, &back), map[i].ret);
		CU_ASSERT_EQUAL(back.exit_code, map[i].exit_code);
		CU_ASSERT_STRING_EQUAL(back.text, err.text);
		json_decref(m);
	}
	m = control_return(json_integer(9), id);
	CU_ASSERT_EQUAL(control_answer_parse(m, 4, &ret, &back), -EAGAIN); /* another's */
	CU_ASSERT_EQUAL_FATAL(control_answer_parse(m, 3, &ret, &back), 0);
	CU_ASSERT_EQUAL(json_integer_value(ret), 9);
	json_decref(ret);
	json_decref(m);
	m = json_pack("{s:i}", "id", 3);
	CU_ASSERT_EQUAL(control_answer_parse(m, 3, &ret, &back), -EPROTO);
	json_decref(m);
	json_decref(id);
}

static void lines_across_receives(void)
{
	struct wire_buffer b = {0};
	size_t len;
	char *line;

	CU_ASSERT_EQUAL(wire_append(&b, "ab", 2, 16), 0);
	CU_ASSERT_PTR_NULL(wire_take_line(&b, &len));
	CU_ASSERT_EQUAL(wire_append(&b, "c\n\nde\n", 6, 16), 0);
	line = wire_take_line(&b, &len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	CU_ASSERT(len == 3 && !memcmp(line, "abc", 3));
	CU_ASSERT_PTR_NOT_NULL(wire_take_line(&b, &len));
	CU_ASSERT_EQUAL(len, 0);
	line = wire_take_line(&b, &len);
	CU_ASSERT(len == 2 && !memcmp(line, "de", 2));
	CU_ASSERT_PTR_NULL(wire_take_line(&b, &len));
	CU_ASSERT_EQUAL(wire_append(&b, "12345678901234567", 17, 16), -ENOBUFS);
	CU_ASSERT_EQUAL(wire_append(&b, "1234567890123456", 16, 16), 0);
	CU_ASSERT_EQUAL(wire_append(&b, "1", 1, 16), -ENOBUFS);
	wire_free(&b);
}

static const struct suite_test tests[] = {
	{"good requests", good_requests},
	{"bad requests are refused with words", bad_requests},
	{"a refused request keeps its id", id_of_a_refused_request},
	{"nesting is bounded", nesting_is_bounded},
	{"answers map to exit codes and back", answers_map_both_ways},
	{"lines across receives", lines_across_receives},
};
SUITE_MAIN("message", tests, 20)
