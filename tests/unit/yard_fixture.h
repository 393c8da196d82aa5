/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A yard guest in a machine that is only memory, with a reference of our own. One
 * test program includes it, and links these functions in place of the real ones.
 */
#ifndef HOTRAIL_TESTS_YARD_FIXTURE_H
#define HOTRAIL_TESTS_YARD_FIXTURE_H

#include "suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "elf_builder.h"
#include "guest/yard.h"

#define BASE HOTRAIL_BASE_LOW
#define SEED 0x1234567890abcdefull

/* --- a machine that is only memory; these replace the real ones in this program --- */

struct machine {
	uint8_t *ram;
	uint64_t ram_bytes;
	unsigned vcpus;
	int cpl;
	bool ended;
	struct machine_regs entry[HOTRAIL_MAX_VCPUS];
};

void *machine_ram_range(const struct machine *m, gpa_t gpa, uint64_t len)
{
	return gpa <= m->ram_bytes && len <= m->ram_bytes - gpa ? m->ram + gpa : NULL;
}

unsigned machine_vcpus(const struct machine *m)
{
	return m->vcpus;
}

int machine_cpl(const struct machine *m)
{
	return m->cpl;
}

int machine_set_entry(struct machine *m, unsigned vcpu, const struct machine_regs *regs,
		      struct error *err)
{
	if (vcpu >= m->vcpus)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "no such vCPU");
	m->entry[vcpu] = *regs;
	return 0;
}

int machine_wait_end(struct machine *m, int timeout_ms, struct machine_report *report)
{
	memset(report, 0, sizeof(*report));
	snprintf(report->text, sizeof(report->text), "it fell over");
	return m->ended;
}

/* --- a reference of our own --- */

static unsigned references;

uint64_t yard_reference(uint64_t seed, unsigned slot, unsigned phase)
{
	__atomic_fetch_add(&references, 1, __ATOMIC_RELAXED);
	return seed * 31 + slot * 0x9e3779b97f4a7c15ull + phase * 0x123456789ull;
}

uint64_t yard_flow_expected(uint64_t seed, uint64_t runs)
{
	return seed + runs * 77;
}

uint64_t yard_micro_expected(unsigned target)
{
	return 1000 + target;
}

/* --- a target that reads that memory --- */

static struct fixture {
	struct elf_builder b;
	struct image *img;
	struct machine m;
	struct yard *y;
	struct target target;
	bool unreadable;
} f;

static inline uint8_t *memory(gva_t gva)
{
	return f.m.ram + IMAGE_LOAD_GPA + (gva - BASE);
}

static inline int target_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	if (f.unreadable || !image_segment(f.img, gva, len))
		return -EFAULT;
	memcpy(buf, memory(gva), len);
	return 0;
}

static const struct target_ops ops = {.name = "memory", .read = target_read};

static inline struct yard_stats *stats(unsigned vcpu)
{
	return (struct yard_stats *)memory(f.img->header.stats) + vcpu;
}

static inline struct yard_control *control(void)
{
	return (struct yard_control *)memory(f.img->header.control);
}

static inline void begin(bool retpoline)
{
	struct machine_config config = {.vcpus = EB_VCPUS};

	memset(&f, 0, sizeof(f));
	references = 0;
	f.target.ops = &ops;
	elf_init(&f.b, BASE, retpoline);
	elf_place(&f.b);
	elf_finish(&f.b);
	CU_ASSERT_EQUAL_FATAL(image_parse(f.b.file, f.b.size, "t", &f.img, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(yard_configure(f.img, &config, NULL), 0);
	f.m.vcpus = config.vcpus;
	f.m.cpl = 3;
	f.m.ram_bytes = config.ram_bytes;
	f.m.ram = mmap(NULL, config.ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	CU_ASSERT_FATAL(f.m.ram != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(yard_boot(f.img, &f.m, SEED, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(yard_create(f.img, &f.m, SEED, &f.y, NULL), 0);
}

static inline void end(void)
{
	yard_destroy(f.y);
	munmap(f.m.ram, f.m.ram_bytes);
	image_free(f.img);
}

#endif
