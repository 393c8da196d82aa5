// SPDX-License-Identifier: GPL-2.0-only
/* Branch stacks become calls: retpolines with and without return thunks, tracks, tail jumps, and
 * what breaks a call in the middle. */
#include "lbr_fixture.h"

#include "patch/track.h"

static void plain_retpolines(void)
{
	unsigned n;

	fx_begin(false);
	for (n = 0; n < SITES; n++) { /* calls, cs prefixes, tail jumps, all registers */
		call(n, fake_function(n));
		fx_join();
		CU_ASSERT_EQUAL(seen.calls, 1);
		CU_ASSERT_TRUE(saw(0, n, fake_function(n)));
		CU_ASSERT_EQUAL(counts.pairs, 1);
		CU_ASSERT_EQUAL(counts.partial + counts.unmatched + counts.unknown, 0);
	}
	fx_end();
}

static void return_thunks(void)
{
	unsigned n;

	fx_begin(true);
	for (n = 0; n < SITES; n++) {
		branch(site(n)->addr, site(n)->thunk);
		branch(site(n)->thunk, site(n)->thunk + INNER);
		branch(site(n)->thunk + RET_LOW, RET_AT);
		branch(RET_AT, fake_function(n));
		fx_join();
		CU_ASSERT_EQUAL(seen.calls, 1);
		CU_ASSERT_TRUE(saw(0, n, fake_function(n)));
	}
	/* srso: the return thunk calls its safe return, which drops one return address. */
	*fake_bytes(&f, RET_AT) = 0xe8;
	memcpy(fake_bytes(&f, RET_AT) + 1, "\x1b\0\0\0", 4);
	branch(site(1)->addr, site(1)->thunk);
	branch(site(1)->thunk, site(1)->thunk + INNER);
	branch(site(1)->thunk + RET_LOW, RET_AT);
	branch(RET_AT, SAFE_RET);
	branch(SAFE_RET + 5, fake_function(9));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, fake_function(9)));
	CU_ASSERT_EQUAL(counts.pairs, 1);
	/* A return thunk in whose place there is something else. */
	*fake_bytes(&f, RET_AT) = 0xf4;
	branch(site(1)->addr, site(1)->thunk);
	branch(site(1)->thunk, site(1)->thunk + INNER);
	branch(site(1)->thunk + RET_LOW, RET_AT);
	branch(RET_AT, fake_function(9));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, 0));
	CU_ASSERT_EQUAL(counts.pairs, 0);
	fx_end();
}

static void many_calls_in_order_of_time(void)
{
	struct lbr_branch turned[24];
	unsigned n, i;

	fx_begin(false);
	for (n = 0; n < 8; n++)
		call(n, fake_function(n + 1));
	for (i = 0; i < 24; i++)
		turned[i] = stack[23 - i];
	fx_join();
	CU_ASSERT_EQUAL(seen.calls, 8);
	for (n = 0; n < 8; n++)
		CU_ASSERT_TRUE(saw(n, n, fake_function(n + 1)));
	/* The same entries oldest first are not what perf gives: nothing may be made up of them. */
	memcpy(stack, turned, sizeof(turned));
	depth = 24;
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	/* A call inside a call: the callee's own branches come between. */
	branch(0x1000, 0x2000);
	call(1, fake_function(3));
	branch(fake_function(3) + 9, fake_function(3) + 20);
	call(2, fake_function(4));
	branch(fake_function(4) + 3, site(2)->addr + site(2)->len);
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 2);
	CU_ASSERT_TRUE(saw(0, 1, fake_function(3)) && saw(1, 2, fake_function(4)));
	CU_ASSERT_EQUAL(counts.unmatched, 0);
	fx_end();
}

/* --- tracks --- */

static void put_track(unsigned n, const gva_t *targets, unsigned ntargets)
{
	struct track_spec spec = {.reg = site(n)->reg,
				  .thunk = site(n)->thunk,
				  .ntargets = ntargets,
				  .miss = FAKE_BASE + FAKE_DATA};

	memcpy(spec.targets, targets, ntargets * sizeof(*targets));
	CU_ASSERT_TRUE_FATAL(track_encode(&spec, TRACK, fake_bytes(&f, TRACK), 128) > 0);
	x86_retarget(site(n)->bytes, site(n)->len, site(n)->addr, TRACK,
		     fake_bytes(&f, site(n)->addr));
}

/* `cmp $imm32, %reg` takes 7 bytes (6 for rax), `je rel32` 6. */
static void promoted_tracks(void)
{
	gva_t targets[2] = {fake_function(5), fake_function(6)};

	fx_begin(false);
	put_track(1, targets, 2);
	branch(site(1)->addr, TRACK);
	branch(TRACK + 7, targets[0]);
	branch(site(1)->addr, TRACK);
	branch(TRACK + 13 + 7, targets[1]);
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 2);
	CU_ASSERT_TRUE(saw(0, 1, targets[0]) && saw(1, 1, targets[1]));

	/* AMD logs cmp and je, fused, at the cmp. */
	branch(site(1)->addr, TRACK);
	branch(TRACK + 13, targets[1]);
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, targets[1]));

	/* A miss: 25 bytes count it, then jmp thunk. */
	branch(site(1)->addr, TRACK);
	branch(TRACK + 26 + 25, site(1)->thunk);
	retpoline(1, fake_function(8));
	fx_join();
	CU_ASSERT_EQUAL(seen.calls, 1);
	CU_ASSERT_TRUE(saw(0, 1, fake_function(8)));

	/* A je that does not lead where the entry says was not this je. */
	branch(site(1)->addr, TRACK);
	branch(TRACK + 7, targets[1]);
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, 0));
	CU_ASSERT_EQUAL(counts.pairs, 0);
	fx_end();
}

static void learning_tracks(void)
{
	uint8_t buf[128];
	int len, i, hit, jmp = -1;

	fx_begin(false);
	len = track_encode_learn(site(1)->reg, site(1)->thunk, FAKE_BASE + FAKE_DATA, 0, TRACK, buf,
				 sizeof(buf));
	CU_ASSERT_TRUE_FATAL(len > 0);
	memcpy(fake_bytes(&f, TRACK), buf, (size_t)len);
	for (i = 0, hit = -1; i < len && hit < 0; i++)
		if (buf[i] == 0x74)
			hit = i; /* je: the slot is this target's */
	for (i = 0; i < len - 5 && jmp < 0; i++)
		if (buf[i] == 0xe9)
			jmp = i;
	CU_ASSERT_TRUE_FATAL(hit > 0 && jmp > hit);
	branch(site(1)->addr, TRACK);
	branch(TRACK + (gva_t)hit, TRACK + (gva_t)(hit + 2 + (int8_t)buf[hit + 1]));
	branch(TRACK + (gva_t)jmp, site(1)->thunk);
	retpoline(1, fake_function(3));
	fx_join();
	CU_ASSERT_EQUAL(seen.calls, 1);
	CU_ASSERT_TRUE(saw(0, 1, fake_function(3)));
	/* Backwards in the arena goes no track. */
	branch(site(1)->addr, TRACK + 64);
	branch(TRACK + 64, TRACK);
	branch(TRACK + (gva_t)jmp, site(1)->thunk);
	retpoline(1, fake_function(3));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	fx_end();
}

/* --- what is missing, and what lies --- */

static void cut_at_either_end(void)
{
	fx_begin(true);
	branch(RET_AT, fake_function(1)); /* nothing of it is known: not even that it was a call */
	call(2, fake_function(2));	  /* plain return in a build with return thunks ... */
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0); /* ... is none of its thunks' */
	fx_end();

	fx_begin(false);
	branch(site(1)->thunk + RET_LOW, fake_function(1));
	call(2, fake_function(2));
	branch(site(3)->addr, site(3)->thunk);
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 1);
	CU_ASSERT_EQUAL(counts.unmatched, 1);
	CU_ASSERT_EQUAL(counts.partial, 1);
	CU_ASSERT_TRUE(saw(0, 2, fake_function(2)) && saw(1, 3, 0));
	branch(site(3)->addr, site(3)->thunk);
	branch(site(3)->thunk, site(3)->thunk + INNER);
	fx_join();
	CU_ASSERT_TRUE(saw(0, 3, 0));
	CU_ASSERT_EQUAL(counts.partial, 1);
	fx_join(); /* empty */
	CU_ASSERT_EQUAL(seen.calls, 0);
	fx_end();
}

static void interrupts_break_a_call(void)
{
	fx_begin(false);
	branch(site(1)->addr, site(1)->thunk);
	branch(site(1)->thunk, FAKE_BASE + 0x500); /* to the handler */
	branch(FAKE_BASE + 0x540, site(1)->thunk); /* and back */
	retpoline(1, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	CU_ASSERT_TRUE(saw(0, 1, 0));
	/* A whole call of the handler in the middle is found. */
	branch(site(1)->addr, site(1)->thunk);
	call(2, fake_function(2));
	retpoline(1, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 1);
	CU_ASSERT_EQUAL(counts.partial, 1);
	CU_ASSERT_TRUE(saw(0, 1, 0) && saw(1, 2, fake_function(2)));
	/* Another thunk's end does not belong to this site. */
	branch(site(1)->addr, site(1)->thunk);
	branch(site(2)->thunk, site(2)->thunk + INNER);
	branch(site(2)->thunk + RET_LOW, fake_function(2));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	fx_end();
}

static void unknown_entries(void)
{
	fx_begin(false);
	branch(site(1)->addr, site(1)->thunk);
	branch(0, 0); /* filtered, or a register nobody wrote */
	retpoline(1, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	CU_ASSERT_EQUAL(counts.unknown, 1);
	branch(site(1)->addr, site(1)->thunk);
	branch(site(1)->thunk, site(1)->thunk + INNER);
	branch(site(1)->thunk + RET_LOW, 0);
	branch(0, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	CU_ASSERT_EQUAL(counts.unknown, 2);
	CU_ASSERT_TRUE(saw(0, 1, 0));
	/* A wrong path is no part of what ran. */
	branch(site(1)->addr, site(1)->thunk);
	branch_flags(site(1)->thunk + 10, site(1)->thunk + 5, 1ull << 24);
	retpoline(1, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 1);
	CU_ASSERT_EQUAL(counts.unknown, 1);
	branch(site(1)->addr, site(1)->thunk);
	branch_flags(site(1)->thunk, site(1)->thunk + INNER, LBR_FLAG_ABORT);
	branch(site(1)->thunk + RET_LOW, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	fx_end();
}

/* AMD BRS: `from` as it is in a 48-bit register. */
static void addresses_without_sign(void)
{
	gva_t mask = (1ull << 48) - 1;

	fx_begin(false);
	branch(site(1)->addr & mask, site(1)->thunk);
	branch(site(1)->thunk & mask, site(1)->thunk + INNER);
	branch((site(1)->thunk + RET_LOW) & mask, fake_function(4));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, fake_function(4)));
	fx_end();
}

static void the_guests_bytes_decide(void)
{
	fx_begin(false);
	memset(fake_bytes(&f, site(1)->addr), 0x90, 5); /* no call any more */
	call(1, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(seen.calls, 0);
	CU_ASSERT_EQUAL(counts.unmatched, 2);		  /* the site, and an end without one */
	*fake_bytes(&f, site(3)->thunk + RET_LOW) = 0xf4; /* a thunk that ends otherwise */
	call(3, fake_function(1));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	CU_ASSERT_TRUE(saw(0, 3, 0));
	/* A return to what is no function, and a site that led to none of its places. */
	call(6, fake_function(1) + 1);
	branch(site(7)->addr, fake_function(2));
	fx_join();
	CU_ASSERT_EQUAL(counts.pairs, 0);
	CU_ASSERT_EQUAL(counts.partial, 1);
	CU_ASSERT_EQUAL(counts.unmatched, 1);
	fx_end();
}

static int deny(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	gva_t from = *(gva_t *)t->ctx;

	return gva + len > from && gva < from + 4096;
}

static void unreadable_memory(void)
{
	gva_t from = FAKE_BASE + FAKE_THUNK;

	fx_begin(false);
	f.ctx = &from;
	f.access = deny;
	call(1, fake_function(1));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, 0));
	CU_ASSERT_EQUAL(counts.pairs, 0);
	/* A site on the last bytes of a page whose neighbour is missing is still read. */
	f.guest.sites.sites[0].addr = FAKE_BASE + 4096 - 5;
	x86_retarget((const uint8_t *)"\xe8\0\0\0\0", 5, site(0)->addr, site(0)->thunk,
		     fake_bytes(&f, site(0)->addr));
	f.guest.sites.count = 1;
	from = FAKE_BASE + 4096;
	call(0, fake_function(2));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 0, fake_function(2)));
	fx_end();
}

/* lfence; jmp *%reg: nothing to gain, but a call all the same. */
static void thunks_that_jump(void)
{
	fx_begin(false);
	memcpy(fake_bytes(&f, site(1)->thunk), "\x0f\xae\xe8\xff\xe1", 5);
	branch(site(1)->addr, site(1)->thunk);
	branch(site(1)->thunk + 3, fake_function(7));
	fx_join();
	CU_ASSERT_TRUE(saw(0, 1, fake_function(7)));
	fx_end();
}

static const struct suite_test tests[] = {
	{"plain retpolines at every kind of site", plain_retpolines},
	{"return thunks add branches", return_thunks},
	{"many calls newest first", many_calls_in_order_of_time},
	{"promoted tracks lead to their targets", promoted_tracks},
	{"learning tracks lead to the thunk", learning_tracks},
	{"stacks cut at either end", cut_at_either_end},
	{"interrupts break a call", interrupts_break_a_call},
	{"entries without an address or of a wrong path", unknown_entries},
	{"addresses without their sign", addresses_without_sign},
	{"the bytes of the guest decide", the_guests_bytes_decide},
	{"unreadable memory", unreadable_memory},
	{"thunks that jump", thunks_that_jump},
};

SUITE_MAIN("lbr_join", tests, 30)
