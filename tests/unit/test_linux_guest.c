// SPDX-License-Identifier: GPL-2.0-only
/* A running Linux: found, recognised, its sites read; and every reason to leave it alone. */
#include "linux_fixture.h"
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

/* The guest is left as it was: nothing mapped, no slot kept, the target's own root again. */
static void refused(int ret, enum hotrail_exit code, const char *words)
{
	static const char *const entries = "\0\0\0\0\0\0\0\0";
	unsigned i;

	CU_ASSERT_EQUAL(create(), ret);
	CU_ASSERT_PTR_NULL(g);
	CU_ASSERT_EQUAL(err.exit_code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("  wanted \"%s\", got \"%s\"\n", words, err.text);
	for (i = 500; i < 512; i++)
		CU_ASSERT_FALSE(memcmp(f.ram + FX_PHYS + FX_LEVEL2 + 8 * i, entries, 8));
	for (i = 0; i < FX_SLOTS; i++)
		CU_ASSERT_EQUAL(f.slot[i].size, 0);
	CU_ASSERT_FALSE(f.paused);
	CU_ASSERT_EQUAL(f.root, 0);
	teardown();
}

/* Created, but may_patch() says no; no arena. */
static void declined(int ret, enum hotrail_exit code, const char *words)
{
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	memset(&err, 0, sizeof(err));
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), ret);
	CU_ASSERT_EQUAL(err.exit_code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("  wanted \"%s\", got \"%s\"\n", words, err.text);
	teardown();
}

static void found_with(unsigned levels)
{
	const struct linux_info *i;

	setup(levels);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	i = linux_guest_info(g);
	CU_ASSERT_EQUAL(i->offset, FX_OFFSET);
	CU_ASSERT_EQUAL(i->root, FX_PHYS + FX_TOP);
	CU_ASSERT_EQUAL(i->levels, levels);
	CU_ASSERT_STRING_EQUAL(i->mitigation, "Retpolines");
	CU_ASSERT_EQUAL(g->text_start, FX_TEXT);
	CU_ASSERT_EQUAL(g->text_end, FX_TEXT + FX_ETEXT);
	CU_ASSERT_EQUAL(g->build_id_len, 20);
	CU_ASSERT_EQUAL(g->build_id[3], 0x5a);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), 0);
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), 0);
	CU_ASSERT_EQUAL(i->census.total, FX_NSITES + 1);
	CU_ASSERT_EQUAL(i->census.kept, FX_NSITES);
	CU_ASSERT_EQUAL(i->census.init, 1);
	CU_ASSERT_EQUAL(i->census.protected[KERNEL_RANGE_NOINSTR], 8);
	CU_ASSERT_EQUAL(f.unpaused_phys_writes, 0);
	teardown();
}

static void found(void)
{
	found_with(4);
	found_with(5);
}

static void sites_at_run_time(void)
{
	const struct site *s;
	unsigned i;

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL_FATAL(g->sites.count, FX_NSITES);
	for (i = 0; i < FX_NSITES; i++) {
		s = &g->sites.sites[i];
		CU_ASSERT_EQUAL(s->addr, f.sites[i].addr + FX_OFFSET);
		CU_ASSERT_EQUAL(s->thunk, f.sites[i].thunk + FX_OFFSET);
		CU_ASSERT_EQUAL(s->reg, f.sites[i].reg);
		CU_ASSERT_FALSE(memcmp(s->bytes, f.sites[i].bytes, s->len));
		CU_ASSERT_EQUAL(site_find(&g->sites, s->addr), i);
		if (i * 16 >= FX_NOINSTR)
			CU_ASSERT_STRING_EQUAL(g->ops->site_protected(g, i), "noinstr text");
		if (i * 16 < FX_NOINSTR)
			CU_ASSERT_PTR_NULL(g->ops->site_protected(g, i));
	}
	CU_ASSERT_PTR_NULL(g->ops->site_protected(g, FX_NSITES));
	teardown();
}

/* Sites that boot or the guest itself changed are left out, each counted once. */
static void sites_that_differ(void)
{
	const struct linux_census *c;

	setup(4);
	memcpy(fx_image(&f, 16 * 0 + 2), "\xff\xd0\x90\x90\x90", 5);	 /* call *%rax */
	memcpy(fx_image(&f, 16 * 4 + 2), "\x0f\xae\xe8\xff\xd0", 5);	 /* lfence; call *%rax */
	memcpy(fx_image(&f, 16 * 1 + 2), "\x41\xff\xd3\x90\x90\x90", 6); /* call *%r11 */
	memcpy(fx_image(&f, 16 * 8 + 2), "\xcc", 1);			 /* being poked */
	memcpy(fx_image(&f, 16 * 5 + 3), "\xcc", 1);			 /* behind the cs prefix */
	memcpy(fx_image(&f, 16 * 12 + 2), "\x0f\x1f\x44\x00\x00", 5);	 /* a nop */
	memcpy(fx_image(&f, 16 * 16 + 2), "\xff\xd3\x90\x90\x90", 5);	 /* another register */
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	c = &linux_guest_info(g)->census;
	CU_ASSERT_EQUAL(c->indirect, 2);
	CU_ASSERT_EQUAL(c->fence, 1);
	CU_ASSERT_EQUAL(c->busy, 2);
	CU_ASSERT_EQUAL(c->differ, 2);
	CU_ASSERT_EQUAL(c->kept, FX_NSITES - 7);
	CU_ASSERT_EQUAL(g->sites.count, c->kept);
	CU_ASSERT_EQUAL(c->total, c->kept + c->indirect + c->fence + c->busy + c->differ + c->init);
	CU_ASSERT_EQUAL(site_find(&g->sites, FX_TEXT + 2), -1);
	CU_ASSERT_EQUAL(site_find(&g->sites, FX_TEXT + 16 * 2 + 2), 0);
	teardown();
}

static void names(void)
{
	char name[64];

	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	g->ops->symbol(g, FX_TEXT + 0x9c, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "vfs_read+0x9c");
	g->ops->symbol(g, FX_TEXT + FX_FUNCTION, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "ext4_file_read_iter");
	g->ops->symbol(g, g->arena.code + 0x40, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "track+0x40");
	g->ops->symbol(g, 0xffffffffc0000010ull, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "module:0xffffffffc0000010");
	g->ops->symbol(g, 0x1234, name, sizeof(name));
	CU_ASSERT_STRING_EQUAL(name, "0x1234");
	g->ops->symbol(g, FX_TEXT + 0x9c, name, 5);
	CU_ASSERT_STRING_EQUAL(name, "vfs_");
	CU_ASSERT_EQUAL(g->ops->lookup(g, "tcp_sendmsg"), FX_TEXT + FX_FUNCTION + 0x40);
	CU_ASSERT_EQUAL(g->ops->lookup(g, "percpu_thing"), 0);
	CU_ASSERT_EQUAL(g->ops->lookup(g, "nothing"), 0);
	CU_ASSERT_STRING_EQUAL(g->ops->subsystem(g, FX_TEXT + 0x9c), kernel_subsystem("vfs_read"));
	CU_ASSERT_STRING_EQUAL(g->ops->subsystem(g, 0xffffffffc0000010ull), "module");
	CU_ASSERT_STRING_EQUAL(g->ops->subsystem(g, 0x10), "unknown");
	teardown();
}

static void targets(void)
{
	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_TRUE(g->ops->is_target(g, FX_TEXT + FX_FUNCTION));
	CU_ASSERT_FALSE(g->ops->is_target(g, FX_TEXT + FX_FUNCTION + 1));
	CU_ASSERT_FALSE(g->ops->is_target(g, FX_TEXT + FX_STATE)); /* data */
	CU_ASSERT_FALSE(g->ops->is_target(g, FX_LINK + FX_FUNCTION));
	CU_ASSERT_TRUE(g->ops->is_target(g, 0xffffffffc0000040ull));  /* a module's text */
	CU_ASSERT_FALSE(g->ops->is_target(g, 0xffffffffc0001040ull)); /* its data */
	CU_ASSERT_FALSE(g->ops->is_target(g, 0xffffffffc0002040ull)); /* not mapped */
	CU_ASSERT_FALSE(g->ops->is_target(g, 0x401000));
	CU_ASSERT_FALSE(g->ops->is_target(g, 0));
	teardown();
}

/* --- boot --- */

static void boot_not_finished(void)
{
	unsigned state;

	setup(4);
	f.lstar = 0;
	refused(-EAGAIN, HOTRAIL_EXIT_BUSY, "still starting");
	setup(4);
	f.paging[0].cr0 = f.paging[1].cr0 = 0x11; /* paging off */
	refused(-EAGAIN, HOTRAIL_EXIT_BUSY, "still starting");
	for (state = 0; state < 3; state++) {
		setup(4);
		fx_put32(&f, FX_STATE, state);
		refused(-EAGAIN, HOTRAIL_EXIT_BUSY, "has not finished booting");
	}
	setup(4);
	fx_put32(&f, FX_STATE, 5);
	refused(-EAGAIN, HOTRAIL_EXIT_BUSY, "shutting down");
}

/* --- another kernel --- */

static void wrong_offsets(void)
{
	static const uint64_t wrong[] = {
		FX_TEXT + FX_ENTRY + 8,		 /* not a multiple of 2 MiB */
		FX_LINK + FX_ENTRY - 0x200000,	 /* below the link address */
		FX_LINK + FX_ENTRY + 0x40000000, /* the image would end too late */
		FX_LINK + FX_ENTRY + 0x40000000 - 0x1000000 - 0x200000, /* just too late */
		0x401000,
		0xdead000000000000ull,
	};
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setup(4);
		f.lstar = wrong[i];
		refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "does not run " FX_RELEASE);
	}
	setup(4);
	f.lstar += 0x200000; /* plausible, but the tables are not there */
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
}

static void another_build(void)
{
	unsigned i;

	setup(4);
	fx_image(&f, FX_BANNER)[15] = '7';
	refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "version differs");
	setup(4);
	strcpy((char *)fx_image(&f, FX_BANNER), "Linux version " FX_RELEASE "-rt (x)");
	refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "version differs");
	setup(4);
	fx_image(&f, FX_NOTES)[28 + 19]++;
	refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "build id differs");
	setup(4); /* notes without end */
	fx_put32(&f, FX_NOTES, 0xfffffff0);
	refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "build id differs");
	setup(4); /* text of something else */
	for (i = 0; i < 10; i++)
		memset(fx_image(&f, 16 * i + 2), 0x90, 6);
	refused(-ESTALE, HOTRAIL_EXIT_REFUSED, "text is not that of");
}

/* --- page tables that lie --- */

static void lying_tables(void)
{
	setup(4); /* CR3 outside RAM */
	f.paging[0].cr3 = f.paging[1].cr3 = 0x7000000000ull;
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
	setup(4); /* a table that is its own parent */
	fx_put64(&f, FX_PGD + 8 * 511, FX_PGD | 0x67);
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
	setup(4); /* a vCPU's tables and the kernel's own disagree about the text */
	memcpy(f.ram + 0x110000, f.ram + FX_PHYS + FX_LEVEL3, 4096);
	memcpy(f.ram + 0x111000, f.ram + FX_PHYS + FX_LEVEL2, 4096);
	fx_put64(&f, FX_PGD + 8 * 511, 0x110067);
	fx_put64(&f, 0x110000 + 8 * 510, 0x111063);
	fx_put64(&f, 0x111000 + 8 * ((FX_TEXT - 0xffffffff80000000ull) / 0x200000), 0x8000e1);
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
	setup(4); /* the directory in use is not level2_kernel_pgt */
	memcpy(f.ram + 0x111000, f.ram + FX_PHYS + FX_LEVEL2, 4096);
	fx_put64(&f, FX_PHYS + FX_LEVEL3 + 8 * 510, 0x111063);
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
	setup(4); /* kernel text that user code can reach */
	fx_put64(&f, FX_PHYS + FX_LEVEL3 + 8 * 510, (FX_PHYS + FX_LEVEL2) | 0x67);
	fx_put64(&f, fx_pde(FX_TEXT), FX_PHYS | 0xe5);
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
	setup(4); /* no NX */
	f.paging[0].efer = 0x501;
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "execute disable");
	setup(4); /* the kernel's own top table is not mapped */
	fx_put64(&f, fx_pde(FX_TEXT + FX_TOP), 0);
	refused(-EPERM, HOTRAIL_EXIT_REFUSED, "page tables");
}

/* KPTI: vCPU 0 in user code, so CR3 holds the user half, which does not map the kernel. */
static void user_half(void)
{
	setup(4);
	f.paging[0].cr3 = FX_PGD | 0x1000 | 0x85;
	f.paging[1].cr0 = 0x11; /* the other CPU is not up: it must work with this one */
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL(linux_guest_info(g)->root, FX_PHYS + FX_TOP);
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), 0);
	teardown();
	setup(4); /* a first vCPU with tables of no use, a second with good ones */
	f.paging[0].cr3 = 0x7000000000ull;
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	teardown();
}

/* --- nothing to gain, or forbidden --- */

static void mitigations_off(void)
{
	unsigned i;

	setup(4);
	fx_put32(&f, FX_SPECTRE, 3);
	for (i = 0; i < FX_NSITES; i++) {
		uint8_t *p = fx_image(&f, 16 * i + 2);
		struct site *s = &f.sites[i];
		size_t n = 0;

		if (s->reg >= HOTRAIL_R8)
			p[n++] = 0x41;
		p[n++] = 0xff;
		p[n++] = (uint8_t)((s->is_jump ? 0xe0 : 0xd0) | (s->reg & 7));
		memset(p + n, 0x90, s->len - n);
	}
	declined(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "nothing to gain");
	setup(4);
	f.k.sites.count = 0;
	declined(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "built without retpolines");
}

static void thunks(void)
{
	unsigned i;

	setup(4); /* the form since 6.2, and return thunks */
	for (i = 0; i < HOTRAIL_REGS; i++)
		if (i != HOTRAIL_RSP)
			fx_thunk(&f, i, i & 1, i & 2);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), 0);
	/* Asked anew each time: a thunk that changes later is noticed. */
	memcpy(fx_image(&f, FX_THUNK), "\xff\xe0\xcc", 3);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "__x86_indirect_thunk_rax is not a retpoline"));
	teardown();
	setup(4); /* lfence; jmp *%r11 */
	memcpy(fx_image(&f, FX_THUNK + 32 * HOTRAIL_R11), "\x0f\xae\xe8\x41\xff\xe3", 6);
	declined(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "nothing to gain");
	setup(4); /* jumps by another register */
	memcpy(fx_image(&f, FX_THUNK), "\xff\xe3\xcc", 3);
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "unknown form");
	setup(4); /* returns through something that is no return thunk */
	fx_thunk(&f, HOTRAIL_RAX, true, true);
	fx_image(&f, FX_THUNK)[11] += 4;
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "unknown form");
}

static void forbidden(void)
{
	unsigned i;
	int32_t rel;

	setup(4);
	for (i = 0; i < FX_NSITES; i += 4) { /* call depth accounting */
		rel = (int32_t)(FX_DEPTH - (16 * i + 2 + 5));
		memcpy(fx_image(&f, 16 * i + 3), &rel, 4);
	}
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "call depth");
	setup(4);
	rel = (int32_t)(0xffffffffc0000000ull - (FX_TEXT + 2 + 5)); /* an ITS thunk of its own */
	memcpy(fx_image(&f, 3), &rel, 4);
	declined(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "ITS");
	setup(4);
	fx_put32(&f, FX_CFI, 3);
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "FineIBT");
}

/* A module at `at` in the image's data: list node, then the name. */
static void add_module(uint64_t at, gva_t next, const char *name)
{
	fx_put64(&f, FX_PHYS + at, next);
	strcpy((char *)fx_image(&f, at + 16), name);
}

static void integrity_checker(void)
{
	setup(4);
	fx_put64(&f, FX_PHYS + FX_MODULES, FX_TEXT + 0x200400);
	add_module(0x200400, FX_TEXT + 0x200500, "ext4");
	add_module(0x200500, FX_TEXT + FX_MODULES, "lkrg");
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "LKRG");
	setup(4); /* a list that never ends */
	fx_put64(&f, FX_PHYS + FX_MODULES, FX_TEXT + 0x200400);
	add_module(0x200400, FX_TEXT + 0x200400, "ext4");
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "no end");
	setup(4); /* a list that leads nowhere */
	fx_put64(&f, FX_PHYS + FX_MODULES, 0x1234);
	declined(-EPERM, HOTRAIL_EXIT_REFUSED, "no end");
	setup(4);
	fx_put64(&f, FX_PHYS + FX_MODULES, FX_TEXT + 0x200400);
	add_module(0x200400, FX_TEXT + FX_MODULES, "lkrg_fan_club");
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	CU_ASSERT_EQUAL(linux_guest_info(g)->modules, 1);
	CU_ASSERT_EQUAL(g->ops->may_patch(g, &err), 0);
	teardown();
}

static void targets_that_cannot(void)
{
	setup(4);
	f.ops.get_msr = NULL;
	refused(-ENOTSUP, HOTRAIL_EXIT_UNSUPPORTED, "cannot be reached");
	setup(4);
	f.fail_pause = -ETIMEDOUT;
	refused(-ETIMEDOUT, HOTRAIL_EXIT_FAILED, "no pause");
}

/* Another kernel under the same vCPUs: by its entry, its tables, or its directory. */
static void rebooted(void)
{
	setup(4);
	CU_ASSERT_EQUAL_FATAL(create(), 0);
	f.lstar += 0x200000;
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), -ESTALE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another kernel"));
	f.lstar -= 0x200000;
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), 0);
	f.paging[0].cr3 = f.paging[1].cr3 = 0x200000; /* nothing there */
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), -ESTALE);
	f.paging[1].cr3 = FX_PGD;
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), 0);
	fx_put64(&f, fx_pde(g->arena.code), 0);
	CU_ASSERT_EQUAL(linux_guest_check(g, &err), -ESTALE);
	CU_ASSERT_FALSE(f.paused);
	teardown();
}

static const struct suite_test tests[] = {
	{"found by LSTAR with 4 and 5 levels", found},
	{"sites at run-time addresses", sites_at_run_time},
	{"sites that differ are left out and counted", sites_that_differ},
	{"names", names},
	{"targets", targets},
	{"boot not finished", boot_not_finished},
	{"wrong offsets", wrong_offsets},
	{"another build", another_build},
	{"page tables that lie", lying_tables},
	{"a vCPU in user code under KPTI", user_half},
	{"mitigations off", mitigations_off},
	{"thunks that are and are not retpolines", thunks},
	{"call depth, ITS and FineIBT", forbidden},
	{"integrity checkers", integrity_checker},
	{"targets that cannot", targets_that_cannot},
	{"rebooted into another kernel", rebooted},
};
SUITE_MAIN("linux guest", tests, 60)
