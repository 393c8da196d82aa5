// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of the yard over a machine that is only memory: boot, statistics
 * under the sequence, digests, micro runs, lying guests.
 */
#include "yard_fixture.h"

#include <pthread.h>

#include "util/clock.h"

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
	stats(0)->flow_runs = 16;
	stats(0)->flow_sum = yard_flow_expected(SEED, 16);
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 7);
	CU_ASSERT_EQUAL(check.packets, 16);
	stats(0)->flow_sum++;
	CU_ASSERT_EQUAL(yard_check(f.y, &check), 0);
	CU_ASSERT_EQUAL(check.wrong, 8);
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
	CU_ASSERT_EQUAL(yard_micro(f.y, 7, 0, 1, 10, &r, &err), -EINVAL);
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
};

SUITE_MAIN("yard host", tests, 60)
