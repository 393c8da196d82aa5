// SPDX-License-Identifier: GPL-2.0-only
/* guest_ops over one of our own images: sites, names, targets, and when patching is refused. */
#include "yard_fixture.h"

#include "guest/thunk.h"

static void test_guest(void)
{
	struct guest *g;
	struct error err;
	char name[64];

	begin(true);
	CU_ASSERT_EQUAL_FATAL(yard_guest_create(f.img, &f.target, &g, &err), 0);
	CU_ASSERT_EQUAL(g->sites.count, EB_SITES);
	CU_ASSERT_EQUAL(g->arena.code, f.img->header.arena_code);
	CU_ASSERT_EQUAL(g->arena.data_size, EB_ARENA);
	CU_ASSERT_EQUAL(g->build_id_len, 20);
	CU_ASSERT_EQUAL(g->text_end - g->text_start, EB_TEXT_BYTES);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), 0);
	g->ops->symbol(g, BASE + 0x81, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "worker+0x1");
	CU_ASSERT_EQUAL(g->ops->lookup(g, "tail"), BASE + 0xa0);
	CU_ASSERT_EQUAL(g->ops->lookup(g, "nobody"), 0);
	CU_ASSERT_TRUE(g->ops->is_target(g, BASE + 0x80));
	CU_ASSERT_FALSE(g->ops->is_target(g, BASE + 0x82));
	CU_ASSERT_FALSE(g->ops->is_target(g, f.img->header.arena_code));
	yard_guest_destroy(g);
	end();
}

static void test_guest_compare(void)
{
	struct guest *g;
	size_t differ = 9;

	begin(true);
	CU_ASSERT_EQUAL_FATAL(yard_guest_create(f.img, &f.target, &g, NULL), 0);
	CU_ASSERT_EQUAL(yard_guest_compare(g, &differ, NULL), 0);
	CU_ASSERT_EQUAL(differ, 0);
	memory(BASE + 0x80)[0] = 0xcc;
	memory(BASE + 0x1f0)[5] ^= 1; /* the last byte counts too */
	CU_ASSERT_EQUAL(yard_guest_compare(g, &differ, NULL), 0);
	CU_ASSERT_EQUAL(differ, 2);
	f.unreadable = true;
	CU_ASSERT_EQUAL(yard_guest_compare(g, &differ, NULL), -EFAULT);
	yard_guest_destroy(g);
	end();
}

static void test_may_patch_refusals(void)
{
	struct guest *g;
	struct error err;

	begin(true);
	CU_ASSERT_EQUAL_FATAL(yard_guest_create(f.img, &f.target, &g, &err), 0);
	/* jmp *%rax; as a kernel that found better hardware writes it */
	memcpy(memory(BASE + EB_THUNK_RAX), "\xff\xe0\xcc", 3);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "thunk"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not a retpoline"));
	f.unreadable = true;
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), -EFAULT);
	yard_guest_destroy(g);
	end();
	begin(false);
	CU_ASSERT_EQUAL_FATAL(yard_guest_create(f.img, &f.target, &g, &err), 0);
	CU_ASSERT_EQUAL(g->sites.count, 0);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "`call *%reg`"));
	yard_guest_destroy(g);
	end();
}

static void test_thunks(void)
{
	uint8_t t[] = {0xe8, 7,	   0,	 0,    0,    0xf3, 0x90, 0x0f, 0xae,
		       0xe8, 0xeb, 0xf9, 0x48, 0x89, 0x3c, 0x24, 0xc3};
	const uint8_t lfence[] = {0x0f, 0xae, 0xe8, 0xff, 0xe7};
	size_t i;

	CU_ASSERT_TRUE(thunk_is_retpoline(t, sizeof(t), BASE, HOTRAIL_RDI));
	CU_ASSERT_FALSE(thunk_is_retpoline(t, sizeof(t), BASE, HOTRAIL_RSI));
	CU_ASSERT_FALSE(thunk_is_retpoline(t, sizeof(t), BASE, HOTRAIL_R15)); /* rdi + 8 */
	CU_ASSERT_FALSE(thunk_is_retpoline(lfence, sizeof(lfence), BASE, HOTRAIL_RDI));
	for (i = 0; i < sizeof(t); i++)
		CU_ASSERT_FALSE(thunk_is_retpoline(t, i, BASE, HOTRAIL_RDI));
	for (i = 0; i < sizeof(t); i++) { /* no byte may be another */
		t[i] ^= 0x10;
		CU_ASSERT_FALSE(thunk_is_retpoline(t, sizeof(t), BASE, HOTRAIL_RDI));
		t[i] ^= 0x10;
	}
}

static const struct suite_test tests[] = {
	{"guest table", test_guest},
	{"guest memory against the file", test_guest_compare},
	{"may patch refusals", test_may_patch_refusals},
	{"recognising a retpoline", test_thunks},
};

SUITE_MAIN("yard guest", tests, 30)
