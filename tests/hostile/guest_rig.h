/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest to treat badly, and the proof that it was only its own loss. For one suite a program. */
#ifndef HOTRAIL_TESTS_GUEST_RIG_H
#define HOTRAIL_TESTS_GUEST_RIG_H

#include "../unit/suite.h"

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/instance.h"
#include "util/clock.h"

static struct rig {
	struct instance *i;
	struct target *t;
	struct guest *g;
} r;

static inline unsigned patience(unsigned n)
{
	return getenv("HOTRAIL_RIG") ? n * 8 : n;
}

static inline void open_guest(const char *variant, unsigned start_ms)
{
	struct instance_config c = INSTANCE_DEFAULT;
	struct error err = {0};
	char path[256];
	int ret = instance_backend(MACHINE_AUTO, &c.backend, &err);

	if (ret)
		SUITE_SKIP("%s", err.text);
	c.start_ms = start_ms;
	c.image = path;
	c.writable_text = !strcmp(variant, "hostile");
	ret = instance_find_image(variant, c.backend, path, sizeof(path), &err);
	if (!ret)
		ret = instance_open(&c, &r.i, &err);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	r.t = r.i->target;
	r.g = r.i->guest;
}

static inline void start(const char *variant)
{
	struct error err = {0};

	open_guest(variant, 0);
	CU_ASSERT_EQUAL_FATAL(instance_start(r.i, &err), 0);
}

static inline void ends_well(void)
{
	uint64_t before = yard_ops(r.i->yard), limit = clock_ns() + patience(20) * 1000000000ull;
	struct yard_check check = {0};

	while (yard_ops(r.i->yard) <= before && clock_ns() < limit)
		clock_sleep_ms(10);
	CU_ASSERT(yard_ops(r.i->yard) > before);
	while (yard_check(r.i->yard, &check) && clock_ns() < limit)
		clock_sleep_ms(10);
	CU_ASSERT(check.batches > 0);
	CU_ASSERT_EQUAL(check.wrong, 0);
	if (check.wrong)
		printf("    %s\n", check.text);
	instance_close(r.i);
}

/* Guest memory as the guest sees it, through its monitor's own mapping. */
static inline void *memory(gva_t gva, uint64_t len)
{
	void *at = machine_ram_range(r.i->machine, IMAGE_LOAD_GPA + (gva - r.i->image->base), len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	return at;
}

static inline struct yard_stats *stats(unsigned vcpu)
{
	return (struct yard_stats *)memory(r.i->image->header.stats,
					   sizeof(struct yard_stats) * 2) +
	       vcpu;
}

static inline bool is_share(double x)
{
	return x >= 0 && x <= 1.0000001; /* no NaN either */
}

/* Whatever was believed, every figure is one and every target is a function. */
static inline void state_is_sane(struct engine *e)
{
	struct engine_status s;
	struct engine_row *rows;
	struct patch_verify v;
	unsigned t;
	size_t n, i;

	engine_get_status(e, &s);
	CU_ASSERT(is_share(s.coverage));
	CU_ASSERT(s.fast_share < 0 || is_share(s.fast_share));
	CU_ASSERT_EQUAL(s.failed, 0);
	CU_ASSERT_EQUAL(s.quarantined, 0);
	CU_ASSERT_EQUAL(engine_verify(e, &v, NULL), 0);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0); /* code and sites are out of its reach */
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(e, &rows, &n, NULL), 0);
	for (i = 0; i < n; i++) {
		CU_ASSERT(is_share(rows[i].share));
		for (t = 0; t < rows[i].nedges; t++)
			CU_ASSERT(is_share(rows[i].edges[t].share));
		for (t = 0; t < rows[i].patch.ntargets; t++)
			CU_ASSERT(r.g->ops->is_target(r.g, rows[i].patch.targets[t]));
	}
	free(rows);
}

#endif
