/* SPDX-License-Identifier: GPL-2.0-only */
/* A patcher with a journal over a fake target of SITES sites. */
#ifndef HOTRAIL_TESTS_PATCHER_FIXTURE_H
#define HOTRAIL_TESTS_PATCHER_FIXTURE_H

#include "fake_target.h"
#include "patch/journal.h"
#include "patch/patch.h"
#include "suite.h"

#define SITES 40

static struct fake_target f;
static struct patcher *p;
static struct patch_outcome o[SITES];
static struct patch_summary sum;
static struct error err;
static uint8_t text_before[FAKE_TEXT];
static char journal[64];

static inline void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	snprintf(journal, sizeof(journal), "/tmp/hotrail-refuse-%d.journal", (int)getpid());
	unlink(journal);
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, journal, &p, &err), 0);
	memcpy(text_before, f.memory, FAKE_TEXT);
}

static inline void teardown(void)
{
	patcher_destroy(p);
	fake_free(&f);
	unlink(journal);
}

static inline struct patch_request promote(uint32_t site)
{
	return (struct patch_request){.site = site,
				      .to = PATCH_PROMOTED,
				      .ntargets = 1,
				      .targets = {fake_function(site)}};
}

static inline int apply(const struct patch_request *r, size_t n)
{
	int rc;

	memset(&err, 0, sizeof(err));
	memset(o, 0, sizeof(o));
	rc = patch_apply(p, r, n, o, &sum, &err);
	CU_ASSERT_EQUAL(rc != 0, err.text[0] != 0);
	CU_ASSERT_EQUAL(f.paused, false);
	return rc;
}

static inline bool outcome(size_t i, enum patch_result result, enum patch_reason reason)
{
	return o[i].result == result && o[i].reason == reason;
}

static inline bool text_untouched(void)
{
	return !memcmp(text_before, f.memory, FAKE_TEXT);
}

static inline uint8_t *site_bytes(unsigned n)
{
	return fake_bytes(&f, f.guest.sites.sites[n].addr);
}

static inline const struct patch_site *state(unsigned n)
{
	return patch_site_state(p, n);
}

#endif
