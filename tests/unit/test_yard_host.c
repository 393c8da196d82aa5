// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of the yard over a machine that is only memory: boot, statistics
 * under the sequence, digests, micro runs, lying guests, and guest_ops.
 */
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "elf_builder.h"
#include "guest/thunk.h"
#include "guest/yard.h"
#include "util/clock.h"

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

static uint8_t *memory(gva_t gva)
{
	return f.m.ram + IMAGE_LOAD_GPA + (gva - BASE);
}

static int target_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	if (f.unreadable || !image_segment(f.img, gva, len))
		return -EFAULT;
	memcpy(buf, memory(gva), len);
	return 0;
}

static const struct target_ops ops = {.name = "memory", .read = target_read};

static struct yard_stats *stats(unsigned vcpu)
{
	return (struct yard_stats *)memory(f.img->header.stats) + vcpu;
}

static struct yard_control *control(void)
{
	return (struct yard_control *)memory(f.img->header.control);
}

static void begin(bool retpoline)
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

static void end(void)
{
	yard_destroy(f.y);
	munmap(f.m.ram, f.m.ram_bytes);
	image_free(f.img);
}

static void test_configure(void)
{
	struct machine_config config = {.vcpus = 1};
	struct error err;
	uint64_t need;

	begin(true);
	CU_ASSERT_EQUAL_FATAL(yard_configure(f.img, &config, &err), 0);
	need = config.ram_bytes;
	CU_ASSERT_TRUE(need >= IMAGE_LOAD_GPA + f.img->span);
	CU_ASSERT_EQUAL(need % 4096, 0);
	CU_ASSERT_PTR_EQUAL(config.maps, f.img->maps);
	CU_ASSERT_EQUAL(config.maps_count, EB_SEGMENTS);
	config.ram_bytes = need - 4096;
	CU_ASSERT_EQUAL(yard_configure(f.img, &config, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "memory"));
	config.ram_bytes = need * 4;
	CU_ASSERT_EQUAL(yard_configure(f.img, &config, &err), 0);
	CU_ASSERT_EQUAL(config.ram_bytes, need * 4); /* the caller's wish stays */
	config.vcpus = EB_VCPUS + 1;
	CU_ASSERT_EQUAL(yard_configure(f.img, &config, &err), -EINVAL);
	end();
}

static void test_boot(void)
{
	unsigned v;

	begin(true);
	CU_ASSERT_EQUAL(memcmp(memory(BASE), f.b.text, EB_TEXT_BYTES), 0);
	CU_ASSERT_EQUAL(memcmp(memory(BASE + 0x200000), f.b.sites, sizeof(f.b.sites)), 0);
	CU_ASSERT_EQUAL(control()->seed, SEED);
	CU_ASSERT_EQUAL(control()->cmd, YARD_CMD_WORK);
	for (v = 0; v < EB_VCPUS; v++) {
		CU_ASSERT_EQUAL(f.m.entry[v].rip, BASE);
		CU_ASSERT_EQUAL(f.m.entry[v].gpr[HOTRAIL_RDI], v);
		CU_ASSERT_EQUAL(f.m.entry[v].gpr[HOTRAIL_RSP],
				f.img->header.stacks + (v + 1) * EB_STACK - 8);
		CU_ASSERT_EQUAL(f.m.entry[v].rflags, 0x3002);
	}
	f.m.cpl = 0;
	CU_ASSERT_EQUAL(yard_boot(f.img, &f.m, SEED, NULL), 0);
	CU_ASSERT_EQUAL(f.m.entry[0].rflags, 2);
	end();
}

static void test_boot_refusals(void)
{
	struct error err;
	struct yard *y;
	uint64_t all;

	begin(true);
	all = f.m.ram_bytes;
	f.m.ram_bytes = IMAGE_LOAD_GPA + 0x800000;
	CU_ASSERT_EQUAL(yard_boot(f.img, &f.m, SEED, &err), -EINVAL);
	f.m.ram_bytes = IMAGE_LOAD_GPA + 0x400000; /* neither statistics nor control */
	CU_ASSERT_EQUAL(yard_create(f.img, &f.m, SEED, &y, &err), -EFAULT);
	CU_ASSERT_PTR_NULL(y);
	f.m.ram_bytes = all;
	f.m.vcpus = EB_VCPUS + 1;
	CU_ASSERT_EQUAL(yard_boot(f.img, &f.m, SEED, &err), -EINVAL);
	CU_ASSERT_EQUAL(yard_create(f.img, &f.m, SEED, &y, &err), -EFAULT);
	f.m.vcpus = EB_VCPUS;
	end();
}

static void test_commands(void)
{
	begin(true);
	yard_command(f.y, YARD_CMD_IDLE);
	CU_ASSERT_EQUAL(control()->cmd, YARD_CMD_IDLE);
	yard_phase(f.y, 1);
	CU_ASSERT_EQUAL(control()->phase, 1);
	CU_ASSERT_EQUAL(yard_phase_now(f.y), 1);
	yard_phase(f.y, 7); /* out of range never reaches the guest */
	CU_ASSERT_TRUE(control()->phase < YARD_PHASES);
	end();
}

static void test_read_stats(void)
{
	struct yard_stats copy;

	begin(true);
	stats(1)->ops = 77;
	stats(1)->slots[1][YARD_SEEDS - 1].digest_sum = 5;
	CU_ASSERT_EQUAL(yard_read_stats(f.y, 1, &copy), 0);
	CU_ASSERT_EQUAL(copy.ops, 77);
	CU_ASSERT_EQUAL(copy.slots[1][YARD_SEEDS - 1].digest_sum, 5);
	CU_ASSERT_EQUAL(yard_read_stats(f.y, EB_VCPUS, &copy), -EINVAL);
	stats(1)->sequence = 3; /* for ever in the middle of a write */
	CU_ASSERT_EQUAL(yard_read_stats(f.y, 1, &copy), -EAGAIN);
	CU_ASSERT_EQUAL(copy.ops, 0);
	end();
}

static bool writer_stop;

static void *writer(void *arg)
{
	struct yard_stats *s = arg;
	uint64_t i;

	for (i = 1; !__atomic_load_n(&writer_stop, __ATOMIC_RELAXED); i++) {
		__atomic_store_n(&s->sequence, s->sequence + 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&s->slots[0][3].batches, i, __ATOMIC_RELEASE);
		__atomic_store_n(&s->slots[0][3].digest_sum, i * yard_reference(SEED, 3, 0),
				 __ATOMIC_RELEASE);
		__atomic_store_n(&s->sequence, s->sequence + 1, __ATOMIC_RELEASE);
		for (volatile unsigned n = 0; n < 2000; n++)
			;
	}
	return NULL;
}

static void test_check_while_running(void)
{
	struct yard_check check;
	uint64_t last = 0;
	pthread_t thread;
	unsigned read = 0;
	uint64_t limit = clock_ns() + 20000000000ull;

	begin(true);
	writer_stop = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, writer, stats(0)), 0);
	/* Until both sides have made way, however they are scheduled. */
	while ((read < 3000 || last < 1000) && clock_ns() < limit) {
		if (yard_check(f.y, &check))
			continue;
		read++;
		CU_ASSERT_EQUAL(check.wrong, 0);
		CU_ASSERT_TRUE(check.batches >= last);
		last = check.batches;
	}
	__atomic_store_n(&writer_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(read >= 3000 && last >= 1000);
	end();
}

static void fill_honest(void)
{
	unsigned v, p, s;

	for (v = 0; v < EB_VCPUS; v++)
		for (p = 0; p < YARD_PHASES; p++)
			for (s = 0; s < YARD_SEEDS; s++) {
				stats(v)->slots[p][s].batches = 1 + v + s;
				stats(v)->slots[p][s].digest_sum =
					(1 + v + s) * yard_reference(SEED, s, p);
			}
}

static void test_check(void)
{
	struct yard_check check;

	begin(true);
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.batches, 0);
	CU_ASSERT_EQUAL(references, 0); /* nothing done, nothing computed */
	fill_honest();
	references = 0;
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 0);
	CU_ASSERT_EQUAL(check.batches, 2 * (32 + 496) + 2 * (64 + 496));
	CU_ASSERT_EQUAL(references, YARD_PHASES * YARD_SEEDS);
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(references, YARD_PHASES * YARD_SEEDS); /* cached */
	end();
}

static void test_check_finds_lies(void)
{
	struct yard_check check;

	begin(true);
	fill_honest();
	stats(1)->slots[1][5].digest_sum ^= 1;
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(check.text, "vCPU 1, phase B, slot 5"));
	stats(0)->slots[0][0].batches++; /* a batch without its digest */
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 2);
	stats(0)->slots[0][1].batches = 0; /* a digest without a batch */
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 3);
	stats(0)->wrong_calls = 4;
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 7);
	stats(1)->wrong_calls = ~0ull; /* may not wrap to "none" */
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, ~0ull);
	stats(1)->sequence = 1;
	CU_ASSERT_EQUAL(yard_check(f.y, &check), -EAGAIN);
	end();
}

static void test_ops_never_fall(void)
{
	begin(true);
	stats(0)->ops = 100;
	stats(1)->ops = 10;
	CU_ASSERT_EQUAL(yard_ops(f.y), 110);
	stats(0)->ops = 5; /* a lie; the other one still counts */
	stats(1)->ops = 20;
	CU_ASSERT_EQUAL(yard_ops(f.y), 120);
	stats(0)->ops = ~0ull;
	CU_ASSERT_EQUAL(yard_ops(f.y), ~0ull); /* saturates, does not wrap */
	end();
}

/* vCPU 0 of a guest that answers micro runs; `lie` is added to what it computed. */
static uint64_t lie;

static void *micro_guest(void *arg)
{
	struct yard_control *c = control();
	struct yard_stats *s = stats(0);
	uint64_t serial;

	while (!__atomic_load_n(&writer_stop, __ATOMIC_RELAXED)) {
		serial = __atomic_load_n(&c->micro_serial, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&c->cmd, __ATOMIC_ACQUIRE) != YARD_CMD_MICRO ||
		    serial == s->micro_serial)
			continue;
		s->micro_tsc = c->micro_iterations * 3;
		s->micro_check = lie + (c->micro_kind == YARD_MICRO_EMPTY
						? 0
						: c->micro_iterations * (1000 + c->micro_target));
		__atomic_store_n(&s->micro_serial, serial, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void test_micro(void)
{
	struct yard_micro_result r;
	struct error err;
	pthread_t thread;
	unsigned i;

	begin(true);
	writer_stop = false;
	lie = 0;
	yard_command(f.y, YARD_CMD_IDLE);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, micro_guest, NULL), 0);
	for (i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(
			yard_micro(f.y, i % 4, i % YARD_MICRO_TARGETS, 1000 + i, 5000, &r, &err),
			0);
		CU_ASSERT_TRUE(r.correct);
		CU_ASSERT_EQUAL(r.iterations, 1000 + i);
		CU_ASSERT_EQUAL(r.tsc, 3 * (1000 + i));
		CU_ASSERT_TRUE(r.ns > 0);
		CU_ASSERT_EQUAL(control()->cmd, YARD_CMD_IDLE); /* as it was */
	}
	lie = 1;
	CU_ASSERT_EQUAL(yard_micro(f.y, YARD_MICRO_SITE, 2, 1000, 5000, &r, &err), 0);
	CU_ASSERT_FALSE(r.correct);
	__atomic_store_n(&writer_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	end();
}

static void test_micro_refusals(void)
{
	struct yard_micro_result r;
	struct error err;
	uint64_t start;

	begin(true);
	CU_ASSERT_EQUAL(yard_micro(f.y, 4, 0, 1, 10, &r, &err), -EINVAL);
	CU_ASSERT_EQUAL(yard_micro(f.y, 0, YARD_MICRO_TARGETS, 1, 10, &r, &err), -EINVAL);
	CU_ASSERT_EQUAL(yard_micro(f.y, 0, 0, 0, 10, &r, &err), -EINVAL);
	start = clock_ns();
	CU_ASSERT_EQUAL(yard_micro(f.y, 0, 0, 1, 60, &r, &err), -ETIMEDOUT);
	CU_ASSERT_TRUE(clock_ns() - start >= 60000000ull);
	CU_ASSERT_FALSE(r.correct);
	CU_ASSERT_EQUAL(control()->cmd, YARD_CMD_WORK);
	f.m.ended = true;
	CU_ASSERT_EQUAL(yard_micro(f.y, 0, 0, 1, 5000, &r, &err), -ESHUTDOWN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "fell over"));
	end();
}

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
	{"machine configuration", test_configure},
	{"boot", test_boot},
	{"boot refusals", test_boot_refusals},
	{"commands and phases", test_commands},
	{"statistics under the sequence", test_read_stats},
	{"digests agree", test_check},
	{"digests while the guest writes", test_check_while_running},
	{"lies are found", test_check_finds_lies},
	{"operations never fall", test_ops_never_fall},
	{"micro runs", test_micro},
	{"micro refusals", test_micro_refusals},
	{"guest table", test_guest},
	{"guest memory against the file", test_guest_compare},
	{"may patch refusals", test_may_patch_refusals},
	{"recognising a retpoline", test_thunks},
};

SUITE_MAIN("yard host", tests, 60)
