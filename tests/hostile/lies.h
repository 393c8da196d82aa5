/* SPDX-License-Identifier: GPL-2.0-only */
/* Images with one lie each, and the check that the refusal names it. For one suite a program. */
#ifndef HOTRAIL_TESTS_LIES_H
#define HOTRAIL_TESTS_LIES_H

#include "../unit/suite.h"

#include <errno.h>
#include <string.h>

#include "../unit/elf_builder.h"
#include "guest/image.h"

#define BASE HOTRAIL_BASE_HIGH

static struct elf_builder b;

struct lie {
	void (*contents)(void); /* before the parts are placed in the file */
	void (*headers)(void);	/* ELF headers, afterwards */
	int ret;
	const char *words; /* the refusal names this */
};

static inline void build(void (*contents)(void), void (*headers)(void))
{
	elf_init(&b, BASE, true);
	if (contents)
		contents();
	elf_place(&b);
	if (headers)
		headers();
	elf_finish(&b);
}

/* Parsed, or refused with the words; sites too, as both must agree before an image is used. */
static inline int load(struct error *err)
{
	struct image *img;
	struct site_table t;
	int ret = image_parse(b.file, b.size, "lie.img", &img, err);

	if (ret) {
		CU_ASSERT_PTR_NULL(img);
		return ret;
	}
	ret = image_sites(img, &t, err);
	if (!ret)
		site_table_free(&t);
	image_free(img);
	return ret;
}

static inline void check_lies(const struct lie *lies, size_t n)
{
	struct error err;
	size_t i;
	int ret;

	build(NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(load(&err), 0); /* or nothing below would show anything */
	for (i = 0; i < n; i++) {
		memset(&err, 0, sizeof(err));
		build(lies[i].contents, lies[i].headers);
		ret = load(&err);
		if (ret != lies[i].ret || !strstr(err.text, lies[i].words))
			printf("lie %zu: %d, \"%s\"; wanted %d, \"%s\"\n", i, ret, err.text,
			       lies[i].ret, lies[i].words);
		CU_ASSERT_EQUAL(ret, lies[i].ret);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, lies[i].words));
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_FAILED);
	}
}

#define LIE(name, ...)                                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}

#endif
