// SPDX-License-Identifier: GPL-2.0-only
/* Screens: exact output for fixed documents, and no way for a document to hurt a terminal or the
 * program. */
#include "suite.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "show/number.h"
#include "show/screens.h"

#define DATA "tests/data/show/"

/* Documents below DATA; but for those kind_of() knows, each is called like its kind. */
static const char *const fixtures[] = {
	"ps",		"status",	  "sites",	     "top",
	"change",	"verify",	  "doctor",	     "profile",
	"bench-micro",	"bench-tailcall", "bench-yard",	     "bench-linux",
	"bench-agent",	"sites-linux",	  "status-linux",    "status-lost",
	"change-agent", "change-back",	  "change-back-many"};
#define FIXTURES (sizeof(fixtures) / sizeof(fixtures[0]))

/* The document as that kind's screen; caller frees. */
static char *render(const char *kind, const json_t *doc, struct show look)
{
	char *text = NULL;
	size_t len;

	look.out = open_memstream(&text, &len);
	CU_ASSERT_EQUAL(show_document(&look, kind, doc), 0);
	fclose(look.out);
	return text;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 65536);

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static json_t *load_document(const char *kind)
{
	char path[128];
	json_error_t why;
	json_t *doc;

	snprintf(path, sizeof(path), DATA "%s.json", kind);
	doc = json_load_file(path, 0, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
	return doc;
}

/* "sites-linux.json" is another document of the kind "sites", and so on. */
static const char *kind_of(const char *fixture)
{
	static const char *const kinds[] = {"sites", "status", "change"};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(fixture, kinds[i], strlen(kinds[i])))
			return kinds[i];
	return fixture;
}

static void test_numbers(void)
{
#define IS(call, want) CU_ASSERT_STRING_EQUAL((call).s, want)
	IS(number_count(NAN), "-");
	IS(number_count(INFINITY), "-");
	IS(number_count(0), "0");
	IS(number_count(7), "7");
	IS(number_count(1.5), "1.50");
	IS(number_count(9999), "9999");
	IS(number_count(10000), "10.0 k");
	IS(number_count(999499), "999 k");
	IS(number_count(999500), "1.00 M");
	IS(number_count(2162345.2), "2.16 M");
	IS(number_count(-12345), "-12.3 k");
	IS(number_count(1e19), "10.0 E");
	IS(number_count(1e300), "1.00e+282 E");
	IS(number_percent(0), "0 %");
	IS(number_percent(1), "100 %");
	IS(number_percent(0.99996), ">99.99 %");
	IS(number_percent(0.9996), "99.96 %");
	IS(number_percent(0.9912), "99.1 %");
	IS(number_percent(0.0042), "0.42 %");
	IS(number_percent(0.00001), "<0.01 %");
	IS(number_percent(-0.00001), ">-0.01 %");
	IS(number_percent(-0.021), "-2.1 %");
	IS(number_percent(1.02), "102.0 %");
	IS(number_percent(NAN), "-");
	IS(number_seconds(0), "0 s");
	IS(number_seconds(0.423), "423 ms");
	IS(number_seconds(1.3), "1.30 s");
	IS(number_seconds(59.99), "0 m 59 s");
	IS(number_seconds(252.4), "4 m 12 s");
	IS(number_seconds(11100), "3 h 5 m");
	IS(number_seconds(187200), "2 d 4 h");
	IS(number_seconds(-1), "-");
	IS(number_micros(0.08), "80.0 ns");
	IS(number_micros(42.13), "42.1 us");
	IS(number_micros(1200), "1.20 ms");
	IS(number_micros(2500000), "2.50 s");
	IS(number_bytes(0), "0 B");
	IS(number_bytes(4096), "4 KiB");
	IS(number_bytes(12000), "11.7 KiB");
	IS(number_bytes(-5), "-");
	IS(number_ratio(7.094), "7.09 x");
	IS(number_fixed(1.0049, 2), "1.00");
#undef IS
}

static void test_clean(void)
{
	static const struct {
		const char *raw, *utf8, *ascii;
	} cases[] = {
		{"vfs_read+0x1f", "vfs_read+0x1f", "vfs_read+0x1f"},
		{"a\033[31mb\007\n\t\177", "a?[31mb????", "a?[31mb????"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr??"},
		{"\xc2\x9b"
		 "31m",
		 "?31m", "?31m"}, /* C1: CSI */
		{"\xe2\x80\xae"
		 "x",
		 "?x", "?x"},			      /* right-to-left override */
		{"\xe2\x80\x8bx", "?x", "?x"},	      /* zero width space */
		{"a\xcc\x81", "a?", "a?"},	      /* combining accent */
		{"\xc0\xaf", "??", "??"},	      /* overlong */
		{"\xed\xa0\x80", "?", "?"},	      /* surrogate */
		{"\xf4\x90\x80\x80", "????", "????"}, /* beyond U+10FFFF */
		{"\xf8\x88", "??", "??"},
		{"x\xe2\x80", "x??", "x??"}, /* cut off */
		{"\xff", "?", "?"},
		{NULL, "-", "-"},
		{"", "", ""},
	};
	char longer[600];
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_STRING_EQUAL(text_clean(cases[i].raw, true).s, cases[i].utf8);
		CU_ASSERT_STRING_EQUAL(text_clean(cases[i].raw, false).s, cases[i].ascii);
	}
	/* Never a part of a character at the end of the buffer. */
	memset(longer, 'a', sizeof(longer));
	memcpy(longer + TEXT_MAX - 2, "\xc3\xbc", 2);
	longer[sizeof(longer) - 1] = 0;
	CU_ASSERT_EQUAL(strlen(text_clean(longer, true).s), TEXT_MAX - 2);
}

static void test_shorten(void)
{
	static const char *const names[] = {"", "a", "a_rather_long_function_name+0x123",
					    "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97name",
					    "gr\xc3\xbc\xc3\x9f_\xc3\xbc"};
	unsigned i, columns;

	CU_ASSERT_STRING_EQUAL(text_shorten("abcdefghij", 5, false).s, "ab~ij");
	CU_ASSERT_STRING_EQUAL(text_shorten("abcdefghij", 6, true).s, "abc\xe2\x80\xa6ij");
	CU_ASSERT_STRING_EQUAL(text_shorten("abcdefghij", 10, false).s, "abcdefghij");
	CU_ASSERT_STRING_EQUAL(text_shorten("abcdefghij", 1, false).s, "~");
	CU_ASSERT_EQUAL(text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (columns = 1; columns < 40; columns++) {
			struct text t = text_shorten(names[i], columns, true);

			CU_ASSERT(text_width(t.s) <= columns);
			CU_ASSERT_STRING_EQUAL(text_clean(t.s, true).s, t.s);
		}
}

static void test_lines(void)
{
	const char *next;

	CU_ASSERT_EQUAL(text_line("one two three", 8, &next), 7);
	CU_ASSERT_STRING_EQUAL(next, "three");
	CU_ASSERT_EQUAL(text_line("one two", 3, &next), 3);
	CU_ASSERT_STRING_EQUAL(next, "two");
	CU_ASSERT_EQUAL(text_line("abcdef", 4, &next), 4); /* no space to break at */
	CU_ASSERT_STRING_EQUAL(next, "ef");
	CU_ASSERT_EQUAL(text_line("up 12 %", 6, &next), 2); /* "12 %" stays together */
	CU_ASSERT_STRING_EQUAL(next, "12 %");
	CU_ASSERT_EQUAL(text_line("short", 80, &next), 5);
	CU_ASSERT_PTR_NULL(next);
	CU_ASSERT_EQUAL(text_line("", 80, &next), 0);
	CU_ASSERT_PTR_NULL(next);
	CU_ASSERT_EQUAL(text_line("\xe6\xbc\xa2x", 1, &next),
			3); /* wider than the line: sticks out */
	CU_ASSERT_STRING_EQUAL(next, "x");
}

static char *print_table(unsigned width)
{
	static const struct table_column columns[] = {{"NAME", false, 6, 0},
						      {"N", true, 0, 0},
						      {"EXTRA", false, 0, 2},
						      {"MORE", true, 0, 1}};
	struct show s = {.width = width};
	struct table *t;
	char *text = NULL;
	size_t len;

	s.out = open_memstream(&text, &len);
	t = table_create(&s, columns, 4);
	table_cell(t, STYLE_PLAIN, "cell before any row");
	table_row(t);
	table_cell(t, STYLE_PLAIN, "a_long_name");
	table_cell(t, STYLE_PLAIN, "12");
	table_cell(t, STYLE_PLAIN, "extra");
	table_cell(t, STYLE_PLAIN, "1");
	table_cell(t, STYLE_PLAIN, "one too many");
	table_row(t);
	table_cell(t, STYLE_PLAIN, "b\nc");
	CU_ASSERT_EQUAL(table_rows(t), 2);
	table_print(t, 0);
	fclose(s.out);
	return text;
}

static void test_table(void)
{
	static const struct {
		unsigned width;
		const char *want;
	} cases[] = {
		{80, "NAME          N  EXTRA  MORE\na_long_name  12  extra     1\nb?c\n"},
		{25, "NAME       N  EXTRA  MORE\na_lo~ame  12  extra     1\nb?c\n"},
		{22, "NAME          N  MORE\na_long_name  12     1\nb?c\n"},
		{10, "NAME     N\na_l~me  12\nb?c\n"},
		{1, "NAME     N\na_l~me  12\nb?c\n"},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = print_table(cases[i].width);

		CU_ASSERT_STRING_EQUAL(text, cases[i].want);
		free(text);
	}
	table_print(NULL, 0);
	table_row(NULL);
	table_cell(NULL, STYLE_PLAIN, "x");
	CU_ASSERT_EQUAL(table_rows(NULL), 0);
}

static void test_exact_screens(void)
{
	static const unsigned widths[] = {80, 132};
	char path[128];
	unsigned i, w;

	for (i = 0; i < FIXTURES; i++) {
		json_t *doc = load_document(fixtures[i]);

		for (w = 0; w < 2; w++) {
			struct show look = {.utf8 = true, .width = widths[w]};
			char *got = render(kind_of(fixtures[i]), doc, look), *want;

			snprintf(path, sizeof(path), DATA "%s-%u.txt", fixtures[i], widths[w]);
			want = read_file(path);
			if (strcmp(got, want))
				printf("%s differs, got:\n%s\n", path, got);
			CU_ASSERT_STRING_EQUAL(got, want);
			free(want);
			free(got);
		}
		json_decref(doc);
	}
}

/* Without its escape sequences a coloured screen is the plain one. */
static void test_color(void)
{
	struct show plain = {.utf8 = true, .width = 80}, color = plain;
	unsigned i;

	color.color = true;
	for (i = 0; i < FIXTURES; i++) {
		json_t *doc = load_document(fixtures[i]);
		char *a = render(kind_of(fixtures[i]), doc, plain),
		     *b = render(kind_of(fixtures[i]), doc, color);
		char *to = b, *from;

		CU_ASSERT_PTR_NULL(strchr(a, '\033'));
		CU_ASSERT_PTR_NOT_NULL(strchr(b, '\033'));
		for (from = b; *from; from++) {
			if (*from == '\033')
				from += strcspn(from, "m");
			else
				*to++ = *from;
		}
		*to = 0;
		CU_ASSERT_STRING_EQUAL(a, b);
		free(a);
		free(b);
		json_decref(doc);
	}
}

static void check_harmless(const char *kind, const json_t *doc)
{
	struct show look = {.utf8 = true, .width = 80};
	char *text = render(kind, doc, look);
	const unsigned char *p;
	unsigned bad = 0;

	for (p = (const unsigned char *)text; *p; p++)
		bad += (*p < 0x20 && *p != '\n') || *p == 0x7f;
	CU_ASSERT_EQUAL(bad, 0);
	free(text);
}

/* One value of the tree replaced: null, wrong types, absurd numbers, hostile strings, gone. */
static json_t *replacement(unsigned how)
{
	switch (how) {
	case 0:
		return json_null();
	case 1:
		return json_string("\033]0;x\007\xc2\x9b");
	case 2:
		return json_integer(INT64_MIN);
	case 3:
		return json_real(1e308);
	case 4:
		return json_pack("[{}, [], n, i, s]", -1, "x");
	case 5:
		return json_pack("{s:s}", "a.b", "c");
	case 6:
		return json_true();
	case 7:
		return json_real(-1e-300);
	default:
		return NULL; /* delete */
	}
}
#define REPLACEMENTS 9

static void mutate(const char *kind, const json_t *root, json_t *at)
{
	/* A key that was deleted comes back at the end: walk a copy's keys. */
	json_t *keys = json_is_object(at) ? json_copy(at) : NULL, *v;
	const char *key;
	unsigned how;
	size_t i;

	json_object_foreach(keys, key, v)
	{
		for (how = 0; how < REPLACEMENTS; how++) {
			json_t *r = replacement(how);

			if (r)
				json_object_set_new(at, key, r);
			else
				json_object_del(at, key);
			check_harmless(kind, root);
		}
		json_object_set(at, key, v);
		mutate(kind, root, v);
	}
	json_decref(keys);
	json_array_foreach(at, i, v) mutate(kind, root, v);
}

static void test_wrong_documents(void)
{
	static const char *const whole[] = {"{}", "[]", "null", "\"x\"", "-1", "true", "[[]]"};
	unsigned i, j;

	for (i = 0; i < FIXTURES; i++) {
		json_t *doc = load_document(fixtures[i]);

		mutate(kind_of(fixtures[i]), doc, doc);
		json_decref(doc);
		for (j = 0; j < sizeof(whole) / sizeof(whole[0]); j++) {
			doc = json_loads(whole[j], JSON_DECODE_ANY, NULL);
			check_harmless(kind_of(fixtures[i]), doc);
			json_decref(doc);
		}
		check_harmless(kind_of(fixtures[i]), NULL);
	}
}

static void test_json(void)
{
	struct show s = {.json = true, .width = 80};
	json_t *doc = json_pack("{s:i, s:s, s:[i,f]}", "schema", 1, "name", "a\xc2\x9b\033", "list",
				1, 0.1);
	json_t *back;
	char *text = render("status", doc, s);

	CU_ASSERT_STRING_EQUAL(text, "{\n  \"schema\": 1,\n  \"name\": \"a\\u009B\\u001B\",\n"
				     "  \"list\": [\n    1,\n    0.1\n  ]\n}\n");
	back = json_loads(text, 0, NULL);
	CU_ASSERT(json_equal(back, doc));
	json_decref(back);
	free(text);
	text = NULL;
	s.out = open_memstream(&text, &(size_t){0});
	CU_ASSERT_EQUAL(show_stream(&s, "top", doc), 0);
	CU_ASSERT_EQUAL(show_stream(&s, "top", doc), 0);
	fclose(s.out);
	CU_ASSERT_STRING_EQUAL(text,
			       "{\"schema\":1,\"name\":\"a\\u009B\\u001B\",\"list\":[1,0.1]}\n"
			       "{\"schema\":1,\"name\":\"a\\u009B\\u001B\",\"list\":[1,0.1]}\n");
	free(text);
	json_decref(doc);
}

static void test_refusals(void)
{
	struct show s = {.width = 80};
	json_t *doc = json_object();

	s.out = fopen("/dev/full", "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s.out);
	CU_ASSERT_EQUAL(show_document(&s, "no such kind", doc), -ENOENT);
	CU_ASSERT_EQUAL(show_document(&s, "", doc), -ENOENT);
	CU_ASSERT_EQUAL(show_document(&s, "verify", doc), -EIO);
	s.json = true;
	clearerr(s.out);
	CU_ASSERT_EQUAL(show_document(&s, "verify", doc), -EIO);
	fclose(s.out);
	json_decref(doc);
}

static void test_init(void)
{
	struct show s;
	FILE *f = tmpfile();

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	setenv("TERM", "xterm-256color", 1);
	unsetenv("NO_COLOR");
	unsetenv("COLUMNS");
	setenv("LC_ALL", "C.UTF-8", 1);
	show_init(&s, f, false);
	CU_ASSERT_FALSE(s.color); /* a file is no terminal */
	CU_ASSERT_EQUAL(s.width, 80);
	CU_ASSERT_TRUE(s.utf8);
	setenv("COLUMNS", "132", 1);
	setenv("LC_ALL", "C", 1);
	show_init(&s, f, true);
	CU_ASSERT_EQUAL(s.width, 132);
	CU_ASSERT_FALSE(s.utf8);
	setenv("COLUMNS", "-7", 1);
	show_init(&s, f, true);
	CU_ASSERT_EQUAL(s.width, 80);
	setenv("COLUMNS", "99999999", 1);
	show_init(&s, f, true);
	CU_ASSERT(s.width <= 500);
	unsetenv("COLUMNS");
	fclose(f);
}

static const struct suite_test tests[] = {
	{"numbers read as people read them", test_numbers},
	{"hostile names are cleaned", test_clean},
	{"long names are shortened in the middle", test_shorten},
	{"lines break at spaces", test_lines},
	{"tables fit the width", test_table},
	{"exact screens at 80 and 132 columns", test_exact_screens},
	{"colour adds escapes and nothing else", test_color},
	{"missing - null - wrong and hostile values are harmless", test_wrong_documents},
	{"JSON is printed as it is - one line in streams", test_json},
	{"unknown kinds and full disks are refused", test_refusals},
	{"width - colour and character set are found", test_init},
};

SUITE_MAIN("show", tests, 60)
