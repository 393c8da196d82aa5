// SPDX-License-Identifier: GPL-2.0-only
/* Attribution: each instruction of the retpoline, sites, functions, tracks, stack scans, rubbish.
 */
#include <string.h>

#include "sample/attribute.h"
#include "suite.h"

#define TEXT	  0xffffffff81000000ull
#define AT(n)	  (TEXT + (n))
#define THUNK_RAX AT(0x8000)
#define THUNK_RCX AT(0x8020)
#define THUNK_R11 AT(0x8040)
#define THUNK_RDX AT(0x8060)
#define ARENA	  AT(0x10000)
#define F1	  AT(0x4000) /* functions */
#define F2	  AT(0x4100)

/* Offsets in a thunk: call 1f (5), 2: pause lfence jmp (7), 1: mov (4), ret. */
#define T_CALL 0
#define T_MOV  12
#define T_RET  16

enum { CALL_RAX, CALL_R11, JMP_RAX, JMP_RCX_A, JMP_RCX_B, CALL_RCX, JMP_RDX, SITES };

static struct site sites[SITES] = {
	[CALL_RAX] = {AT(0x100), THUNK_RAX, 5, 0, HOTRAIL_RAX, {0}},
	[CALL_R11] = {AT(0x200), THUNK_R11, 6, 0, HOTRAIL_R11, {0}},
	[JMP_RAX] = {AT(0x300), THUNK_RAX, 5, 1, HOTRAIL_RAX, {0}},
	[JMP_RCX_A] = {AT(0x400), THUNK_RCX, 5, 1, HOTRAIL_RCX, {0}},
	[JMP_RCX_B] = {AT(0x500), THUNK_RCX, 5, 1, HOTRAIL_RCX, {0}},
	[CALL_RCX] = {AT(0x600), THUNK_RCX, 5, 0, HOTRAIL_RCX, {0}},
	[JMP_RDX] = {AT(0x700), THUNK_RDX, 5, 1, HOTRAIL_RDX, {0}},
};
static const struct site_table table = {
	.sites = sites, .count = SITES, .text_start = AT(0), .text_end = AT(0x9000)};

#define RET_RAX	  AT(0x105)
#define RET_R11	  AT(0x206)
#define RET_RCX	  AT(0x605)
#define ELSEWHERE (-1)
#define DIRECT	  AT(0x4444) /* a return address of no site */

static bool is_target(void *ctx, gva_t addr)
{
	CU_ASSERT_PTR_EQUAL(ctx, &table);
	return addr == F1 || addr == F2;
}

static const struct {
	const char *what;
	gva_t rip;
	enum hotrail_reg reg;
	uint64_t value;
	uint64_t stack[8];
	uint32_t words;
	long site;
	gva_t target;
} cases[] = {
	/* 1: every instruction of the retpoline that is ever the next one */
	{"thunk call", THUNK_RAX + T_CALL, HOTRAIL_RAX, F1, {RET_RAX}, 8, CALL_RAX, F1},
	{"thunk mov",
	 THUNK_RAX + T_MOV,
	 HOTRAIL_RAX,
	 F1,
	 {THUNK_RAX + 5, RET_RAX},
	 8,
	 CALL_RAX,
	 F1},
	{"thunk ret", THUNK_RAX + T_RET, HOTRAIL_RAX, F1, {F1, RET_RAX}, 8, CALL_RAX, F1},
	{"target", F1, HOTRAIL_RAX, F1, {RET_RAX}, 8, CALL_RAX, F1},
	{"cs prefix, thunk call", THUNK_R11, HOTRAIL_R11, F2, {RET_R11}, 8, CALL_R11, F2},
	{"cs prefix, thunk ret",
	 THUNK_R11 + T_RET,
	 HOTRAIL_R11,
	 F2,
	 {F2, RET_R11},
	 8,
	 CALL_R11,
	 F2},
	{"register is no function", THUNK_RAX, HOTRAIL_RAX, 0x1234, {RET_RAX}, 8, CALL_RAX, 0},
	{"register is 0", THUNK_RAX, HOTRAIL_RAX, 0, {RET_RAX}, 8, CALL_RAX, 0},
	{"jmp through a bare thunk, not at its start",
	 THUNK_RAX + 3,
	 HOTRAIL_RAX,
	 F1,
	 {RET_RAX, RET_RCX},
	 8,
	 CALL_RAX,
	 F1},
	{"stack of one word at mov",
	 THUNK_RAX + T_MOV,
	 HOTRAIL_RAX,
	 F1,
	 {THUNK_RAX + 5},
	 1,
	 JMP_RAX,
	 F1},
	{"thunk without a stack, two jump sites", THUNK_RCX, HOTRAIL_RCX, F1, {0}, 0, ELSEWHERE, 0},
	{"past the thunk's bytes", THUNK_RDX + 32, HOTRAIL_RDX, F1, {DIRECT}, 1, ELSEWHERE, 0},
	/* tail jumps in a thunk */
	{"only jump site of its thunk", THUNK_RDX, HOTRAIL_RDX, F2, {DIRECT}, 8, JMP_RDX, F2},
	{"only jump site, at ret",
	 THUNK_RDX + T_RET,
	 HOTRAIL_RDX,
	 F2,
	 {F2, DIRECT},
	 8,
	 JMP_RDX,
	 F2},
	{"one of two jump sites", THUNK_RCX, HOTRAIL_RCX, F2, {DIRECT}, 8, ELSEWHERE, 0},
	{"return address of another register's site",
	 THUNK_RCX,
	 HOTRAIL_RCX,
	 F2,
	 {RET_RAX},
	 8,
	 ELSEWHERE,
	 0},
	{"the same with one jump site", THUNK_RAX, HOTRAIL_RAX, F2, {RET_RCX}, 8, JMP_RAX, F2},
	/* in a track */
	{"track", ARENA + 9, HOTRAIL_RAX, F1, {RET_RAX}, 8, CALL_RAX, F1},
	{"track, other register", ARENA, HOTRAIL_R11, F2, {RET_R11, RET_RAX}, 8, CALL_R11, F2},
	{"track of a tail jump", ARENA, HOTRAIL_RAX, F1, {DIRECT, RET_RAX}, 8, ELSEWHERE, 0},
	{"last byte of the arena", ARENA + 0xfff, HOTRAIL_RAX, F1, {RET_RAX}, 8, CALL_RAX, F1},
	{"track without a stack", ARENA, HOTRAIL_RAX, F1, {0}, 0, ELSEWHERE, 0},
	/* 2: at a site */
	{"at a call site", AT(0x100), HOTRAIL_RAX, F1, {RET_RCX}, 8, CALL_RAX, F1},
	{"at a jump site", AT(0x500), HOTRAIL_RCX, F1, {RET_RAX}, 8, JMP_RCX_B, F1},
	{"at a prefixed site", AT(0x200), HOTRAIL_R11, F2, {0}, 0, CALL_R11, F2},
	{"at a site, register is data", AT(0x100), HOTRAIL_RAX, 77, {0}, 8, CALL_RAX, 0},
	/* 3: functions */
	{"function called directly", F1, HOTRAIL_RAX, 0, {DIRECT}, 1, ELSEWHERE, 0},
	{"second instruction of the target", F1 + 4, HOTRAIL_RAX, 0, {RET_RAX}, 8, CALL_RAX, 0},
	/* 4: just returned */
	{"at a return address", RET_RCX, HOTRAIL_RAX, 0, {DIRECT, RET_RAX}, 8, CALL_RCX, 0},
	/* 5: stack */
	{"nearest of two", F1 + 9, HOTRAIL_RAX, 0, {1, 2, RET_R11, RET_RAX}, 8, CALL_R11, 0},
	{"last word", F1 + 9, HOTRAIL_RAX, 0, {1, 2, 3, 4, 5, 6, 7, RET_RCX}, 8, CALL_RCX, 0},
	{"beyond the words read",
	 F1 + 9,
	 HOTRAIL_RAX,
	 0,
	 {1, 2, 3, 4, 5, 6, 7, RET_RCX},
	 7,
	 ELSEWHERE,
	 0},
	{"jump sites have no return address",
	 F1 + 9,
	 HOTRAIL_RAX,
	 0,
	 {AT(0x305), AT(0x405)},
	 8,
	 ELSEWHERE,
	 0},
	{"inside a site is no return address",
	 F1 + 9,
	 HOTRAIL_RAX,
	 0,
	 {AT(0x101), AT(0x205)},
	 8,
	 ELSEWHERE,
	 0},
	/* rubbish */
	{"nothing", 0, HOTRAIL_RAX, 0, {0}, 0, ELSEWHERE, 0},
	{"everything ones",
	 UINT64_MAX,
	 HOTRAIL_RAX,
	 UINT64_MAX,
	 {UINT64_MAX, UINT64_MAX},
	 8,
	 ELSEWHERE,
	 0},
	{"text limits",
	 AT(0x9000),
	 HOTRAIL_RAX,
	 0,
	 {TEXT, AT(0x9000), AT(0x9001)},
	 8,
	 ELSEWHERE,
	 0},
};

static void raw_samples(void)
{
	struct attribute a;
	size_t i;

	CU_ASSERT_EQUAL_FATAL(
		attribute_init(&a, &table, ARENA, ARENA + 0x1000, is_target, (void *)&table), 0);
	CU_ASSERT_EQUAL(a.thunks_count, 4);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw_sample s = {.rip = cases[i].rip, .words = cases[i].words};
		gva_t target = 1;
		long site;

		s.gpr[cases[i].reg] = cases[i].value;
		memcpy(s.stack, cases[i].stack, sizeof(cases[i].stack));
		site = attribute_sample(&a, &s, &target);
		if (site != cases[i].site || target != cases[i].target) {
			printf("case \"%s\": site %ld target %#lx\n", cases[i].what, site,
			       (unsigned long)target);
			CU_FAIL("attribution");
		}
	}
	attribute_free(&a);
}

/* Thunks 16 bytes apart: the range of one ends where the next begins. */
static void close_thunks(void)
{
	struct site near[3] = {
		{AT(0x100), AT(0x8000), 5, 0, HOTRAIL_RAX, {0}},
		{AT(0x200), AT(0x8010), 5, 0, HOTRAIL_RCX, {0}},
		{AT(0x300), UINT64_MAX - 4, 5, 0, HOTRAIL_RDX, {0}}, /* hostile: at the very top */
	};
	struct site_table t = {
		.sites = near, .count = 3, .text_start = AT(0), .text_end = AT(0x9000)};
	struct raw_sample s = {.rip = AT(0x8010), .words = 1, .stack = {AT(0x205)}};
	struct attribute a;
	gva_t target;

	CU_ASSERT_EQUAL_FATAL(attribute_init(&a, &t, 0, 0, is_target, (void *)&table), 0);
	CU_ASSERT_EQUAL(a.thunks[0].end, AT(0x8010));
	s.gpr[HOTRAIL_RCX] = F1;
	CU_ASSERT_EQUAL(attribute_sample(&a, &s, &target), 1);
	CU_ASSERT_EQUAL(target, F1);
	s.rip = AT(0x800f);
	s.stack[0] = AT(0x105);
	s.gpr[HOTRAIL_RAX] = F2;
	CU_ASSERT_EQUAL(attribute_sample(&a, &s, &target), 0);
	CU_ASSERT_EQUAL(target, F2);
	s.rip = UINT64_MAX - 4;
	s.stack[0] = AT(0x305);
	CU_ASSERT_EQUAL(attribute_sample(&a, &s, &target), 2);
	attribute_free(&a);
}

static void no_sites(void)
{
	struct site_table none = {.text_start = AT(0), .text_end = AT(0x9000)};
	struct raw_sample s = {.rip = F1, .words = 1, .stack = {RET_RAX}};
	struct attribute a;
	gva_t target;

	CU_ASSERT_EQUAL_FATAL(attribute_init(&a, &none, 0, 0, is_target, (void *)&table), 0);
	CU_ASSERT_EQUAL(attribute_sample(&a, &s, &target), -1);
	attribute_free(&a);
	attribute_free(&a);
}

static const struct suite_test tests[] = {
	{"raw samples", raw_samples},
	{"close thunks", close_thunks},
	{"no sites", no_sites},
};
SUITE_MAIN("attribute", tests, 30)
