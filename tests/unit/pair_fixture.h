/* SPDX-License-Identifier: GPL-2.0-only */
/* Two pairs over a fake target: one with a bypass, one a single poke. */
#ifndef HOTRAIL_TESTS_PAIR_FIXTURE_H
#define HOTRAIL_TESTS_PAIR_FIXTURE_H

#include "fake_target.h"
#include "suite.h"

#include "patch/applier.h"
#include "patch/pair.h"

#define NOP "\x0f\x1f\x44\x00\x00"

/* Far from the sites of the fake guest. */
#define BYPASS	  (FAKE_BASE + 0x8000)
#define TARGET	  (FAKE_BASE + 0x8010)
#define SLOW	  (FAKE_BASE + 0x8040)
#define PROGRAM	  (FAKE_BASE + 0x9000)
#define PROGRAM_2 (FAKE_BASE + 0x9040)
#define SINGLE	  (FAKE_BASE + 0x8100)
#define SITES	  5 /* the last is a tail jump */

static const struct pair pair = {.bypass = BYPASS, .target = TARGET, .slow = SLOW};
static const struct pair list[] = {
	{.bypass = BYPASS, .target = TARGET, .slow = SLOW},
	{.target = SINGLE, .slow = SINGLE + 0x40},
};

static struct fake_target f;
static struct applier a;
static struct pairs *p;
static struct error err;
static char journal[64];
static uint8_t before[FAKE_TEXT];

static inline void put_jmp(gva_t slot, gva_t to)
{
	int32_t rel = (int32_t)(to - (slot + 5));

	fake_bytes(&f, slot)[0] = 0xe9;
	memcpy(fake_bytes(&f, slot) + 1, &rel, 4);
}

static inline void put_nop(gva_t slot)
{
	memcpy(fake_bytes(&f, slot), NOP, 5);
}

static inline void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	put_jmp(BYPASS, SLOW);
	put_nop(TARGET);
	put_jmp(SINGLE, list[1].slow);
	memcpy(before, f.memory, FAKE_TEXT);
	applier_host_init(&a, &f.guest);
	snprintf(journal, sizeof(journal), "/tmp/hotrail-pair-%d.journal", (int)getpid());
	unlink(journal);
	p = NULL;
}

static inline int create(const char *path)
{
	memset(&err, 0, sizeof(err));
	return pairs_create(&f.guest, &a, list, 2, path, &p, &err);
}

static inline void begin(void)
{
	setup();
	CU_ASSERT_EQUAL_FATAL(create(NULL), 0);
}

static inline void end(void)
{
	CU_ASSERT_FALSE(f.paused);
	CU_ASSERT_EQUAL(f.unpaused_text_writes, 0);
	pairs_destroy(p);
	fake_free(&f);
	unlink(journal);
}

static inline int set(size_t i, gva_t program)
{
	int rc;

	memset(&err, 0, sizeof(err));
	rc = pairs_set(p, i, program, NULL, &err);
	CU_ASSERT_EQUAL(rc != 0, err.text[0] != 0);
	return rc;
}

static inline enum pair_state state(size_t i)
{
	return pairs_state(p, i, NULL);
}

static inline gva_t program(size_t i)
{
	gva_t to = 1;

	pairs_state(p, i, &to);
	return to;
}

#endif
