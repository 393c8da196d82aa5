// SPDX-License-Identifier: GPL-2.0-only
/* The arena window in a guest's own page tables: where, with which rights, and taken out again. */
#include "linux_fixture.h"
#include "patch/patch.h"
#include "suite.h"

static struct fx f;
static struct guest *g;
static struct error err;

static int create(void)
{
	memset(&err, 0, sizeof(err));
	return linux_guest_create(&f.k, &f.target, &g, &err);
}

static void setup(unsigned levels)
{
	g = NULL;
	CU_ASSERT_FATAL(!fx_init(&f, levels));
}

static void teardown(void)
{
	linux_guest_destroy(g);
	fx_free(&f);
}

static bool walk(gpa_t root, gva_t gva, struct pagewalk_result *r)
{
	return !pagewalk(root, f.levels, gva, fx_entry, &f.target, r);
}

/* What a CPU would see through any table of the guest. */
static void check_rights(gpa_t root)
{
	struct pagewalk_result r;
	uint64_t at;

	for (at = 0; at < g->arena.code_size; at += 0x1ff000) {
		CU_ASSERT_TRUE_FATAL(walk(root, g->arena.code + at, &r));
		CU_ASSERT_TRUE(r.executable && !r.writable && !r.user);
		CU_ASSERT_EQUAL(r.gpa, f.slot[0].gpa + at);
	}
	for (at = 0; at < g->arena.data_size; at += 0x1ff000) {
		CU_ASSERT_TRUE_FATAL(walk(root, g->arena.data + at, &r));
		CU_ASSERT_TRUE(!r.executable && r.writable && !r.user);
		CU_ASSERT_EQUAL(r.gpa, f.slot[1].gpa + at);
	}
}

static void opened_with(unsigned levels)
{
	uint8_t byte;

	setup(levels);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_TRUE(f.slot[0].readonly);
	CU_ASSERT_FALSE(f.slot[1].readonly);
	CU_ASSERT_EQUAL(f.slot[0].size, g->arena.code_size);
	CU_ASSERT_EQUAL(f.slot[1].size, g->arena.data_size);
	CU_ASSERT_EQUAL(g->arena.data + g->arena.data_size, 0xffffffffc0000000ull);
	check_rights(FX_PHYS + FX_TOP);
	check_rights(FX_PGD); /* a process's tables share the directory */
	CU_ASSERT_EQUAL(f.unpaused_phys_writes, 0);
	CU_ASSERT_FALSE(f.target.ops->read(&f.target, g->arena.code + 12345, &byte, 1));
	CU_ASSERT_EQUAL(byte, 0xcc);
	CU_ASSERT_FALSE(f.target.ops->read(&f.target, g->arena.data + 12345, &byte, 1));
	CU_ASSERT_EQUAL(byte, 0);
	teardown();
}

static void opened(void)
{
	opened_with(4);
	opened_with(5);
}

/* Accessed and dirty are set: the CPU need not write to entries the host wrote. */
static void entry_bits(void)
{
	uint64_t code, data;

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	code = fx_get64(&f, fx_pde(g->arena.code));
	data = fx_get64(&f, fx_pde(g->arena.data));
	CU_ASSERT_EQUAL(code, f.slot[0].gpa | 0xe1);
	CU_ASSERT_EQUAL(data, f.slot[1].gpa | 0x80000000000000e3ull);
	teardown();
}

/* Occupied entries, present or not, are the guest's: the next free run below is taken. */
static void occupied(void)
{
	static const uint64_t taken[] = {0x80000000000000e3ull, 0x2, 0xffffffffffffffffull};
	size_t i;

	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		setup(4);
		fx_put64(&f, fx_pde(0xffffffffbfc00000ull), taken[i]);
		CU_ASSERT_EQUAL_FATAL(create(), 0);
		CU_ASSERT_EQUAL(g->arena.data + g->arena.data_size, 0xffffffffbfc00000ull);
		CU_ASSERT_EQUAL(fx_get64(&f, fx_pde(0xffffffffbfc00000ull)), taken[i]);
		CU_ASSERT_EQUAL(fx_get64(&f, fx_pde(0xffffffffbfe00000ull)), 0);
		teardown();
	}
}

/* Every `step`-th entry below `end` is taken. */
static void take_entries(unsigned step, unsigned end)
{
	unsigned i;

	for (i = 0; i < end; i += step)
		if (!fx_get64(&f, FX_PHYS + FX_LEVEL2 + 8 * i))
			fx_put64(&f, FX_PHYS + FX_LEVEL2 + 8 * i, 0x2);
}

static void no_room(void)
{
	setup(4);
	take_entries(5, 512); /* runs of four: one too few */
	CU_ASSERT_EQUAL(create(), -ENOSPC);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_PTR_NULL(g);
	CU_ASSERT_EQUAL(f.slots_removed, 2);
	teardown();
	setup(4);
	take_entries(6, 512);
	CU_ASSERT_EQUAL(create(), 0);
	teardown();
	setup(4); /* empty entries in the image, up to the module area, are not free */
	f.k.image_end = 0xffffffffc0000000ull - FX_OFFSET;
	take_entries(5, (FX_TEXT - 0xffffffff80000000ull) / 0x200000);
	CU_ASSERT_EQUAL(create(), -ENOSPC);
	teardown();
}

static void no_slots(void)
{
	setup(4);
	f.fail_slot = -ENOSPC;
	CU_ASSERT_EQUAL(create(), -ENOSPC);
	CU_ASSERT_EQUAL(f.slots_removed, 0);
	teardown();
	setup(4);
	f.fail_slot = -EINVAL;
	f.fail_slot_after = 1; /* the code half is there, the counters are not */
	CU_ASSERT_EQUAL(create(), -EINVAL);
	CU_ASSERT_EQUAL(f.slots_removed, 1);
	CU_ASSERT_EQUAL(fx_get64(&f, fx_pde(0xffffffffbfe00000ull)), 0);
	teardown();
}

/* Upper levels that take rights away: what was written does not do what it should. */
static void upper_levels(void)
{
	unsigned i;

	setup(4);
	fx_put64(&f, FX_PHYS + FX_LEVEL3 + 8 * 510, (FX_PHYS + FX_LEVEL2) | 0x61); /* no write */
	CU_ASSERT_EQUAL(create(), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "do not lead to the arena"));
	for (i = 500; i < 512; i++)
		CU_ASSERT_EQUAL(fx_get64(&f, FX_PHYS + FX_LEVEL2 + 8 * i), 0);
	CU_ASSERT_EQUAL(f.slots_removed, 2);
	teardown();
}

static void unused_is_undone(void)
{
	unsigned i;

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	linux_guest_destroy(g);
	g = NULL;
	for (i = 500; i < 512; i++)
		CU_ASSERT_EQUAL(fx_get64(&f, FX_PHYS + FX_LEVEL2 + 8 * i), 0);
	CU_ASSERT_EQUAL(f.slots_removed, 2);
	CU_ASSERT_EQUAL(f.root, 0);
	CU_ASSERT_EQUAL(f.unpaused_phys_writes, 0);
	/* And may be opened again. */
	CU_ASSERT_EQUAL(create(), 0);
	teardown();
}

/* Law 4: a task may be inside a track that nothing leads to any more. */
static void used_stays(void)
{
	gva_t code;

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	code = g->arena.code;
	CU_ASSERT_EQUAL(f.target.ops->write(&f.target, code + 0x100000, "\x90", 1), 0);
	linux_guest_destroy(g);
	g = NULL;
	CU_ASSERT_NOT_EQUAL(fx_get64(&f, fx_pde(code)), 0);
	CU_ASSERT_EQUAL(f.slots_removed, 0);
	/* A second owner finds another place. */
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL(g->arena.data + g->arena.data_size, code);
	teardown();
	setup(4); /* unless the guest is gone */
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	f.target.ops->write(&f.target, g->arena.code, "\x90", 1);
	f.fail_pause = -ESHUTDOWN;
	linux_guest_destroy(g);
	g = NULL;
	CU_ASSERT_EQUAL(f.slots_removed, 2);
	teardown();
}

/* Entries the guest took for itself are left to it. */
static void changed_entries(void)
{
	gva_t code;

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	code = g->arena.code;
	fx_put64(&f, fx_pde(code), 0x123000e1);
	linux_guest_destroy(g);
	g = NULL;
	CU_ASSERT_EQUAL(fx_get64(&f, fx_pde(code)), 0x123000e1);
	teardown();
}

/* The patch layer over it: tracks in the window, protected sites skipped by reason, a guest that
 * was replaced left alone. */
static void patched(void)
{
	struct patch_request r[] = {
		{.site = 0,
		 .to = PATCH_PROMOTED,
		 .ntargets = 1,
		 .targets = {FX_TEXT + FX_FUNCTION}},
		{.site = FX_NSITES - 1,
		 .to = PATCH_PROMOTED,
		 .ntargets = 1,
		 .targets = {FX_TEXT + FX_FUNCTION}},
		{.site = FX_NSITES - 2, .to = PATCH_LEARNING},
	};
	struct patch_request back = {.site = 0, .to = PATCH_ORIGINAL};
	struct patch_outcome o[3];
	struct patch_summary sum;
	struct patch_verify v;
	struct patcher *p;
	uint8_t bytes[5];

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL_FATAL(patcher_create(g, NULL, &p, &err), 0);
	CU_ASSERT_EQUAL(patch_apply(p, r, 3, o, &sum, &err), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_EQUAL(sum.skipped, 2);
	CU_ASSERT_EQUAL(o[0].result, PATCH_APPLIED);
	CU_ASSERT_TRUE(o[0].track - g->arena.code < g->arena.code_size);
	CU_ASSERT_EQUAL(o[1].reason, PATCH_REASON_PROTECTED);
	CU_ASSERT_EQUAL(o[2].reason, PATCH_REASON_PROTECTED);
	CU_ASSERT_TRUE(memcmp(fx_image(&f, 2), f.sites[0].bytes, 5));
	CU_ASSERT_EQUAL(patch_verify(p, &v, &err), 0);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0);

	memcpy(bytes, fx_image(&f, 2), 5);
	f.lstar += 0x200000; /* another kernel: not even an undo is written into it */
	CU_ASSERT_EQUAL(patch_apply(p, &back, 1, o, &sum, &err), -ESTALE);
	CU_ASSERT_FALSE(memcmp(fx_image(&f, 2), bytes, 5));
	CU_ASSERT_FALSE(f.paused);
	f.lstar -= 0x200000;
	CU_ASSERT_EQUAL(patch_apply(p, &back, 1, o, &sum, &err), 0);
	CU_ASSERT_FALSE(memcmp(fx_image(&f, 2), f.sites[0].bytes, 5));
	patcher_destroy(p);
	teardown();
}

static const struct suite_test tests[] = {
	{"opened with 4 and 5 levels", opened},
	{"bits of the entries", entry_bits},
	{"occupied entries", occupied},
	{"no room", no_room},
	{"no memory slots", no_slots},
	{"upper levels that take rights away", upper_levels},
	{"unused it is undone", unused_is_undone},
	{"used it stays while the guest lives", used_stays},
	{"entries the guest changed", changed_entries},
	{"patched through it", patched},
};
SUITE_MAIN("window", tests, 60)
