// SPDX-License-Identifier: GPL-2.0-only
/* A good image: what is read from it, and the questions it answers. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "elf_builder.h"
#include "guest/image.h"

#define BASE HOTRAIL_BASE_HIGH

static struct elf_builder b;

static struct image *parsed(gva_t base, bool retpoline)
{
	struct image *img = NULL;
	struct error err = {0};

	elf_init(&b, base, retpoline);
	elf_place(&b);
	elf_finish(&b);
	if (image_parse(b.file, b.size, "t.img", &img, &err))
		printf("refused: %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(img);
	return img;
}

static void check_layout(gva_t base)
{
	struct image *img = parsed(base, true);
	unsigned i;

	CU_ASSERT_EQUAL(img->base, base);
	CU_ASSERT_EQUAL(img->entry, base);
	CU_ASSERT_EQUAL(img->span, 0xa00000 + EB_ARENA);
	CU_ASSERT_EQUAL_FATAL(img->maps_count, EB_SEGMENTS);
	for (i = 0; i < img->maps_count; i++) {
		CU_ASSERT_EQUAL(img->maps[i].gva, base + i * 0x200000ull);
		CU_ASSERT_EQUAL(img->maps[i].gpa, IMAGE_LOAD_GPA + i * 0x200000ull);
		CU_ASSERT_EQUAL(img->maps[i].size % 4096, 0);
	}
	CU_ASSERT_EQUAL(img->maps[EB_SEG_TEXT].size, 4096);
	CU_ASSERT_EQUAL(img->maps[EB_SEG_TEXT].prot, MACHINE_R | MACHINE_X);
	CU_ASSERT_EQUAL(img->maps[EB_SEG_CONTROL].prot, MACHINE_R);
	CU_ASSERT_EQUAL(img->maps[EB_SEG_DATA].prot, MACHINE_R | MACHINE_W);
	CU_ASSERT_EQUAL(img->load[EB_SEG_TEXT].file_size, EB_TEXT_BYTES);
	CU_ASSERT_EQUAL(img->load[EB_SEG_DATA].file_size, 0);
	CU_ASSERT_EQUAL(img->build_id_len, 20);
	CU_ASSERT_EQUAL(img->build_id[19], 0xa0 + 19);
	CU_ASSERT_EQUAL(memcmp(&img->header, &b.header, sizeof(b.header)), 0);
	image_free(img);
}

static void test_layout(void)
{
	check_layout(HOTRAIL_BASE_HIGH);
	check_layout(HOTRAIL_BASE_LOW);
}

static void test_base_is_rounded_down(void)
{
	struct image *img;

	elf_init(&b, BASE + 0x3000, true);
	elf_place(&b);
	elf_finish(&b);
	CU_ASSERT_EQUAL_FATAL(image_parse(b.file, b.size, "t.img", &img, NULL), 0);
	CU_ASSERT_EQUAL(img->base, BASE);
	CU_ASSERT_EQUAL(img->maps[0].gpa, IMAGE_LOAD_GPA + 0x3000);
	image_free(img);
}

static void test_private_copy(void)
{
	struct image *img = parsed(BASE, true);
	const char *name = img->symbols[0].name;

	memset(b.file, 0xff, sizeof(b.file));
	CU_ASSERT_STRING_EQUAL(name, "entry");
	CU_ASSERT_EQUAL(image_bytes(img, BASE, 2)[0], 0xeb);
	image_free(img);
	image_free(NULL);
}

static void test_bytes(void)
{
	struct image *img = parsed(BASE, true);

	CU_ASSERT_PTR_NOT_NULL(image_bytes(img, BASE, EB_TEXT_BYTES));
	CU_ASSERT_PTR_NULL(image_bytes(img, BASE, EB_TEXT_BYTES + 1));
	CU_ASSERT_PTR_NULL(image_bytes(img, BASE, 0));
	CU_ASSERT_PTR_NULL(image_bytes(img, BASE - 1, 2));
	CU_ASSERT_PTR_NULL(image_bytes(img, BASE + 4, ~0ull));
	CU_ASSERT_PTR_NULL(image_bytes(img, BASE + 0x600000, 1)); /* no bytes in the file */
	CU_ASSERT_PTR_EQUAL(image_segment(img, BASE + 0x600000, 4096), &img->maps[EB_SEG_CONTROL]);
	CU_ASSERT_PTR_NULL(image_segment(img, BASE + 0x600000, 4097));
	CU_ASSERT_PTR_NULL(image_segment(img, BASE + 0x600001, ~0ull));
	image_free(img);
}

static void check_name(const struct image *img, gva_t addr, const char *expected)
{
	char buf[64];

	image_name(img, addr, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, expected);
}

static void test_names(void)
{
	struct image *img = parsed(BASE, true);
	char small[4];

	CU_ASSERT_EQUAL(img->symbols_count, 4); /* the object is none */
	check_name(img, BASE, "entry");
	check_name(img, BASE + 1, "entry+0x1");
	check_name(img, BASE + 2, "0xffffffff80000002"); /* after its end */
	check_name(img, BASE + 0x85, "worker+0x5");
	check_name(img, BASE + 0x8c, "0xffffffff8000008c");
	check_name(img, BASE + 0x1f0, "tail+0x150"); /* no size: reaches on */
	check_name(img, BASE + EB_TEXT_BYTES, "0xffffffff80000200");
	check_name(img, BASE - 1, "0xffffffff7fffffff");
	check_name(img, BASE + 0x800010, "arena+0x10");
	check_name(img, BASE + 0x800000 + EB_ARENA, "0xffffffff80804000");
	image_name(img, BASE + 0x85, small, sizeof(small));
	CU_ASSERT_STRING_EQUAL(small, "wor");
	CU_ASSERT_EQUAL(image_lookup(img, "worker"), BASE + 0x80);
	CU_ASSERT_EQUAL(image_lookup(img, "object"), 0);
	CU_ASSERT_EQUAL(image_lookup(img, ""), 0);
	image_free(img);
}

static void test_functions_and_text(void)
{
	struct image *img = parsed(BASE, true);

	CU_ASSERT_TRUE(image_is_function(img, BASE));
	CU_ASSERT_TRUE(image_is_function(img, BASE + 0xa0));
	CU_ASSERT_FALSE(image_is_function(img, BASE + 0x81));
	CU_ASSERT_FALSE(image_is_function(img, BASE - 1));
	CU_ASSERT_FALSE(image_is_function(img, BASE + 0x400000));
	CU_ASSERT_FALSE(image_is_function(img, 0));
	CU_ASSERT_TRUE(image_is_text(img, BASE, EB_TEXT_BYTES));
	CU_ASSERT_FALSE(image_is_text(img, BASE, EB_TEXT_BYTES + 1));
	CU_ASSERT_FALSE(image_is_text(img, BASE + 1, ~0ull));
	CU_ASSERT_TRUE(image_is_text(img, BASE + 0x800000, EB_ARENA));
	CU_ASSERT_FALSE(image_is_text(img, BASE + 0xa00000, 1));
	image_free(img);
}

static void test_sites(void)
{
	struct image *img = parsed(BASE, true);
	struct site_table t;

	CU_ASSERT_EQUAL_FATAL(image_sites(img, &t, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(t.count, EB_SITES);
	CU_ASSERT_EQUAL(t.sites[1].addr, BASE + 0x85);
	CU_ASSERT_EQUAL(t.sites[1].reg, HOTRAIL_R11);
	CU_ASSERT_EQUAL(t.sites[1].len, 6);
	CU_ASSERT_TRUE(t.sites[2].is_jump);
	site_table_free(&t);
	image_free(img);
	img = parsed(BASE, false);
	CU_ASSERT_EQUAL_FATAL(image_sites(img, &t, NULL), 0);
	CU_ASSERT_EQUAL(t.count, 0);
	site_table_free(&t);
	image_free(img);
}

static void test_stripped(void)
{
	struct image *img;
	char buf[32];

	elf_init(&b, BASE, true);
	elf_place(&b);
	b.sh[EB_SEC_SYMTAB].sh_type = SHT_NULL;
	elf_finish(&b);
	CU_ASSERT_EQUAL_FATAL(image_parse(b.file, b.size, "t.img", &img, NULL), 0);
	CU_ASSERT_EQUAL(img->symbols_count, 0);
	CU_ASSERT_FALSE(image_is_function(img, BASE));
	image_name(img, BASE, buf, sizeof(buf));
	CU_ASSERT_STRING_EQUAL(buf, "0xffffffff80000000");
	image_free(img);
}

static void test_load(void)
{
	char dir[] = "/tmp/hotrail-image-XXXXXX", path[64];
	struct image *img;
	struct error err = {0};
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.img", dir);
	CU_ASSERT_EQUAL(image_load(path, &img, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_EQUAL(image_load(dir, &img, &err), -ENOEXEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "regular file"));
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL(image_load(path, &img, &err), -ENOEXEC); /* and does not hang */
	unlink(path);
	elf_init(&b, BASE, true);
	elf_place(&b);
	elf_finish(&b);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT_EQUAL(write(fd, b.file, b.size), (ssize_t)b.size);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(image_load(path, &img, &err), 0);
	CU_ASSERT_EQUAL(img->file_size, b.size);
	image_free(img);
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	CU_ASSERT_EQUAL(image_load(path, &img, &err), -ENOEXEC);
	CU_ASSERT_PTR_NULL(img);
	unlink(path);
	rmdir(dir);
}

static void test_pairs(void)
{
	struct hotrail_pair p;
	struct image *img;

	elf_init(&b, BASE, true);
	elf_place(&b);
	elf_finish(&b);
	CU_ASSERT_EQUAL_FATAL(image_parse(b.file, b.size, "t", &img, NULL), 0);
	CU_ASSERT_EQUAL(img->header.pairs_count, EB_PAIRS);
	image_pair(img, 0, &p);
	CU_ASSERT_EQUAL(memcmp(&p, &b.pairs[0], sizeof(p)), 0);
	image_pair(img, 1, &p);
	CU_ASSERT_EQUAL(p.bypass, 0);
	CU_ASSERT_EQUAL(p.target, BASE + 0xe0);
	image_free(img);
	elf_init(&b, BASE, true);
	b.header.pairs_count = 0; /* most images have none */
	b.header.pairs = 0;
	elf_place(&b);
	elf_finish(&b);
	CU_ASSERT_EQUAL_FATAL(image_parse(b.file, b.size, "t", &img, NULL), 0);
	image_free(img);
}

static const struct suite_test tests[] = {
	{"segments header and build id", test_layout},
	{"base is rounded down to 2 MiB", test_base_is_rounded_down},
	{"works on a private copy", test_private_copy},
	{"bytes at an address", test_bytes},
	{"names and lookup", test_names},
	{"functions and text", test_functions_and_text},
	{"sites of both kinds", test_sites},
	{"pairs", test_pairs},
	{"stripped image", test_stripped},
	{"load from a file", test_load},
};

SUITE_MAIN("image", tests, 30)
