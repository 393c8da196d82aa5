// SPDX-License-Identifier: GPL-2.0-only
/* Image headers and site tables that lie about the segments. */
#include "lies.h"

/* Image header */
LIE(h_magic, b.header.magic++)
LIE(h_abi, b.header.abi = 1)
LIE(h_size, b.header.size--)
LIE(h_kind, b.header.kind = 2)
LIE(h_vcpus0, b.header.max_vcpus = 0)
LIE(h_vcpus9, b.header.max_vcpus = HOTRAIL_MAX_VCPUS + 1)
LIE(h_vcpus8, b.header.max_vcpus = HOTRAIL_MAX_VCPUS)
LIE(text_backwards, b.header.text_end = b.header.text_start - 1)
LIE(text_empty, b.header.text_end = b.header.text_start)
LIE(text_in_data, b.header.text_start = BASE + 0x400000; b.header.text_end = BASE + 0x400100)
LIE(text_past_file, b.header.text_end = BASE + 0x300)
LIE(text_past_segment, b.header.text_end = BASE + 0x1001)
LIE(text_nowhere, b.header.text_start = 0; b.header.text_end = ~0ull)
LIE(arena_zero, b.header.arena_code_size = 0)
LIE(arena_wraps, b.header.arena_code_size = ~0ull & ~4095ull)
LIE(arena_unaligned, b.header.arena_code += 16; b.header.arena_code_size = 4096)
LIE(arena_in_data, b.header.arena_code = BASE + 0xa00000)
LIE(arena_over_text, b.header.arena_code = BASE; b.header.arena_code_size = 4096)
LIE(arena_data_exec, b.header.arena_data = BASE + 0x800000)
LIE(arena_data_readonly, b.header.arena_data = BASE + 0x600000; b.header.arena_data_size = 4096)
LIE(arena_data_over_stats, b.header.arena_data = b.header.stats; b.header.arena_data_size = 4096)
LIE(control_writable, b.header.control = BASE + 0xa00000)
LIE(control_unaligned, b.header.control += 8)
LIE(control_unmapped, b.header.control = BASE + 0x700000)
LIE(stats_outside, b.header.stats = BASE + 0x600000)
LIE(stats_over_stacks, b.header.stats = b.header.stacks)
LIE(stacks_short, b.header.stacks += 4096)
LIE(stacks_null, b.header.stacks = 0)
LIE(stack_size_zero, b.header.stack_size = 0)
LIE(stack_size_wraps, b.header.stack_size = 1ull << 63)
LIE(stack_unaligned, b.header.stack_size = 4104)
LIE(thunk_rsp, b.header.thunks[HOTRAIL_RSP] = BASE + 0x100)
LIE(thunk_arena, b.header.thunks[HOTRAIL_RBX] = BASE + 0x800000)
LIE(thunk_end, b.header.thunks[HOTRAIL_RBX] = BASE + EB_TEXT_BYTES)
LIE(thunk_twice, b.header.thunks[HOTRAIL_RBX] = BASE + EB_THUNK_RAX)
LIE(thunks_none, memset(b.header.thunks, 0, sizeof(b.header.thunks)))

static const struct lie header_lies[] = {
	{h_magic, NULL, -EINVAL, "magic"},
	{h_abi, NULL, -EINVAL, "abi"},
	{h_size, NULL, -EINVAL, "size"},
	{h_kind, NULL, -EINVAL, "kind"},
	{h_vcpus0, NULL, -EINVAL, "max_vcpus"},
	{h_vcpus9, NULL, -EINVAL, "max_vcpus"},
	{h_vcpus8, NULL, -EINVAL, "stats"},
	{text_backwards, NULL, -EINVAL, "text: "},
	{text_empty, NULL, -EINVAL, "text: "},
	{text_in_data, NULL, -EINVAL, "text: "},
	{text_past_file, NULL, -EINVAL, "text: not all"},
	{text_past_segment, NULL, -EINVAL, "text: "},
	{text_nowhere, NULL, -EINVAL, "text: "},
	{arena_zero, NULL, -EINVAL, "arena_code"},
	{arena_wraps, NULL, -EINVAL, "arena_code"},
	{arena_unaligned, NULL, -EINVAL, "arena_code"},
	{arena_in_data, NULL, -EINVAL, "arena_code"},
	{arena_over_text, NULL, -EINVAL, "overlaps text"},
	{arena_data_exec, NULL, -EINVAL, "arena_data"},
	{arena_data_readonly, NULL, -EINVAL, "arena_data"},
	{arena_data_over_stats, NULL, -EINVAL, "arena_data: overlaps"},
	{control_writable, NULL, -EINVAL, "control"},
	{control_unaligned, NULL, -EINVAL, "control"},
	{control_unmapped, NULL, -EINVAL, "control"},
	{stats_outside, NULL, -EINVAL, "stats"},
	{stats_over_stacks, NULL, -EINVAL, "stats: overlaps stacks"},
	{stacks_short, NULL, -EINVAL, "stacks"},
	{stacks_null, NULL, -EINVAL, "stacks"},
	{stack_size_zero, NULL, -EINVAL, "stack_size"},
	{stack_size_wraps, NULL, -EINVAL, "stack_size"},
	{stack_unaligned, NULL, -EINVAL, "stack_size"},
	{thunk_rsp, NULL, -EINVAL, "thunks"},
	{thunk_arena, NULL, -EINVAL, "thunks"},
	{thunk_end, NULL, -EINVAL, "thunks"},
	{thunk_twice, NULL, -EINVAL, "thunks"},
	{thunks_none, NULL, -EINVAL, "thunks: none"},
};

static void test_image_header(void)
{
	check_lies(header_lies, sizeof(header_lies) / sizeof(header_lies[0]));
}

/* Pairs */
LIE(pairs_unmapped, b.header.pairs = BASE + 0x300000)
LIE(pairs_not_in_file, b.header.pairs = BASE + 0x400000)
LIE(pairs_many, b.header.pairs_count = HOTRAIL_MAX_PAIRS + 1)
LIE(pairs_wrap, b.header.pairs_count = ~0u)
LIE(pairs_past_file, b.header.pairs_count = EB_PAIRS + 1)
LIE(pair_bypass, b.pairs[0].bypass = BASE - 1)
LIE(pair_target, b.pairs[0].target = BASE + EB_TEXT_BYTES - 4)
LIE(pair_target_wraps, b.pairs[1].target = ~0ull)
LIE(pair_slow, b.pairs[0].slow = BASE + EB_TEXT_BYTES)
LIE(pair_program, b.pairs[1].program = BASE + 0x800000)
LIE(pair_alternate, b.pairs[1].alternate = 0)
LIE(pair_overlaps, b.pairs[0].target = b.pairs[0].bypass + 4)
LIE(pair_backwards, b.pairs[0].target = b.pairs[0].bypass - 8)

static const struct lie pair_lies[] = {
	{pairs_unmapped, NULL, -EINVAL, "pairs: 2 entries"},
	{pairs_not_in_file, NULL, -EINVAL, "pairs: 2 entries"},
	{pairs_many, NULL, -EINVAL, "pairs: 257"},
	{pairs_wrap, NULL, -EINVAL, "pairs: 4294967295"},
	{pairs_past_file, NULL, -EINVAL, "pairs: 3 entries"},
	{pair_bypass, NULL, -EINVAL, "pairs: entry 0 is outside"},
	{pair_target, NULL, -EINVAL, "pairs: entry 0 is outside"},
	{pair_target_wraps, NULL, -EINVAL, "pairs: entry 1 is outside"},
	{pair_slow, NULL, -EINVAL, "pairs: entry 0 is outside"},
	{pair_program, NULL, -EINVAL, "pairs: entry 1 is outside"},
	{pair_alternate, NULL, -EINVAL, "pairs: entry 1 is outside"},
	{pair_overlaps, NULL, -EINVAL, "pairs: entry 0 has its bypass behind"},
	{pair_backwards, NULL, -EINVAL, "pairs: entry 0 has its bypass behind"},
};

static void test_pair_table(void)
{
	check_lies(pair_lies, sizeof(pair_lies) / sizeof(pair_lies[0]));
}

/* Sites */
LIE(sites_unmapped, b.header.sites = BASE + 0x300000)
LIE(sites_not_in_file, b.header.sites = BASE + 0x400000)
LIE(sites_many, b.header.sites_count = ~0u)
LIE(sites_past_file, b.header.sites_count = EB_SITES + 1)
LIE(sites_order, b.sites[1] = 0x80)
LIE(sites_overlap, b.sites[1] = 0x84)
LIE(sites_outside, b.sites[3] = EB_TEXT_BYTES - 4)
LIE(sites_far, b.sites[3] = ~0u)
LIE(sites_wrong, b.sites[2] = 0xa0)
LIE(sites_inside, b.sites[1] = 0x86)
LIE(sites_fewer, b.header.sites_count = EB_SITES - 1)
LIE(sites_hidden, b.header.sites_count = 0)
LIE(site_retargeted, eb_rel32(&b, 0x80, "\xe8", 0xa0))
LIE(text_garbage, b.text[0x90] = 0x06)
LIE(text_cut, b.text[EB_TEXT_BYTES - 1] = 0xe8)

static const struct lie site_lies[] = {
	{sites_unmapped, NULL, -EINVAL, "sites"},
	{sites_not_in_file, NULL, -EINVAL, "sites"},
	{sites_many, NULL, -EINVAL, "sites"},
	{sites_past_file, NULL, -EINVAL, "sites"},
	{sites_order, NULL, -EINVAL, "sites: entry 1"},
	{sites_overlap, NULL, -EINVAL, "sites: entry 1"},
	{sites_outside, NULL, -EINVAL, "sites: entry 3 is outside"},
	{sites_far, NULL, -EINVAL, "sites: entry 3 is outside"},
	{sites_wrong, NULL, -EINVAL, "0xffffffff800000a0"},
	{sites_inside, NULL, -EINVAL, "0xffffffff80000086"},
	{sites_fewer, NULL, -EINVAL, "names 3, its text has 4"},
	{sites_hidden, NULL, -EINVAL, "names 0, its text has 4"},
	{site_retargeted, NULL, -EINVAL, "sites"},
	{text_garbage, NULL, -EILSEQ, "0xffffffff80000090"},
	{text_cut, NULL, -EILSEQ, "0xffffffff800001ff"},
};

static void test_site_table(void)
{
	check_lies(site_lies, sizeof(site_lies) / sizeof(site_lies[0]));
}

LIE(write_exec, b.ph[0].p_flags |= PF_W)

static void test_writable_text_only_when_asked(void)
{
	struct image_options options = {.writable_text = true};
	struct image *img;
	struct error err;

	build(NULL, write_exec);
	CU_ASSERT_EQUAL(image_parse_with(b.file, b.size, "t", NULL, &img, &err), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(image_parse_with(b.file, b.size, "t", &options, &img, &err), 0);
	CU_ASSERT_EQUAL(img->maps[0].prot, MACHINE_R | MACHINE_W | MACHINE_X);
	image_free(img);
	/* the knob loosens nothing else */
	build(control_writable, write_exec);
	CU_ASSERT_EQUAL(image_parse_with(b.file, b.size, "t", &options, &img, &err), -EINVAL);
}

static void test_plain_table_must_name_branches(void)
{
	struct error err;

	elf_init(&b, BASE, false);
	b.header.sites_count = 2;
	memcpy(b.text + 0x10, "\xff\xd0", 2);	  /* call *%rax */
	memcpy(b.text + 0x18, "\xff\x63\x08", 3); /* jmp *8(%rbx) */
	b.sites[0] = 0x10;
	b.sites[1] = 0x18;
	elf_place(&b);
	elf_finish(&b);
	CU_ASSERT_EQUAL(load(&err), 0);
	elf_init(&b, BASE, false);
	b.header.sites_count = 1;
	b.sites[0] = 0x80; /* call thunk, not an indirect branch */
	elf_place(&b);
	elf_finish(&b);
	CU_ASSERT_EQUAL(load(&err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no indirect branch"));
}

static const struct suite_test tests[] = {
	{"lies in the image header", test_image_header},
	{"lies in the site table", test_site_table},
	{"lies in the pair table", test_pair_table},
	{"writable text only when asked for", test_writable_text_only_when_asked},
	{"plain table must name branches", test_plain_table_must_name_branches},
};

SUITE_MAIN("hostile image header", tests, 30)
