// SPDX-License-Identifier: GPL-2.0-only
/* Entry and main loop of the yard guest: one of these runs on every vCPU. */
#include <hotrail/yard.h>
#include "env.h"
#include "flow.h"
#include "layout.h"
#include "micro.h"

_Static_assert(sizeof(struct hotrail_image_header) == YARD_HEADER_SIZE, "header.S");
_Static_assert(offsetof(struct hotrail_image_header, sites_count) == YARD_HEADER_SIZE - 16,
	       "header.S");
_Static_assert(sizeof(struct hotrail_pair) == 40, "parsers.S, yard.lds.in");
_Static_assert(HOTRAIL_IMAGE_ABI == 2 && HOTRAIL_KIND_RETPOLINE == 1, "header.S");
_Static_assert(HOTRAIL_MAX_VCPUS == YARD_VCPUS, "layout.h");

#define PAGE __attribute__((aligned(4096)))

extern const volatile struct yard_control yard_control;
struct yard_stats yard_stats[YARD_VCPUS] __attribute__((section(".bss.pages")));
u8 yard_stacks[YARD_VCPUS][YARD_STACK_SIZE] __attribute__((section(".bss.pages"))) PAGE;

static struct vcpu {
	struct env env; /* first: core_wrong() gets here from it */
	struct yard_stats *stats;
	struct flow flow;
	u64 batches[YARD_PHASES];
	u64 micro_serial;
	u32 number;
	u32 wrong_rung;
} PAGE vcpus[YARD_VCPUS];

void yard_main(u64 number);

static void bell(u32 what)
{
	__asm__ volatile("out %%eax, %0" ::"i"(YARD_PORT), "a"(what) : "memory");
}

static void console(const char *text)
{
	for (; *text; text++)
		__asm__ volatile("out %%al, %0" ::"i"(YARD_CONSOLE_PORT), "a"(*text) : "memory");
}

static void rest(u32 n)
{
	while (n--)
		__asm__ volatile("pause" ::: "memory");
}

/* The host retries while `sequence` is odd; x86 keeps stores in order, so the compiler must too. */
static void stats_begin(struct yard_stats *s)
{
	*(volatile u64 *)&s->sequence = s->sequence + 1;
	__asm__ volatile("" ::: "memory");
}

static void stats_end(struct yard_stats *s)
{
	__asm__ volatile("" ::: "memory");
	*(volatile u64 *)&s->sequence = s->sequence + 1;
}

/* Told at once, not at the end of the batch: a batch gone wrong may never end. */
void core_wrong(struct core *c)
{
	struct vcpu *v = (struct vcpu *)c;

	c->wrong++;
	stats_begin(v->stats);
	v->stats->wrong_calls = c->wrong;
	stats_end(v->stats);
	if (!v->wrong_rung) {
		v->wrong_rung = 1;
		console("yard: wrong call\n");
		bell(YARD_BELL_WRONG);
	}
}

static void work(struct vcpu *v, u32 phase)
{
	struct yard_stats *s = v->stats;
	u32 slot = v->batches[phase] % YARD_SEEDS;
	u64 digest = kernel_batch(&v->env, yard_control.seed, slot, phase);

	v->batches[phase]++;
	stats_begin(s);
	s->ops += YARD_BATCH_OPS;
	s->slots[phase][slot].batches++;
	s->slots[phase][slot].digest_sum += digest;
	stats_end(s);
}

static int is_flow(u32 kind)
{
	return kind >= YARD_MICRO_FLOW_INDIRECT && kind <= YARD_MICRO_FLOW_POKE2;
}

/* A nop was executed that never should be: told like any other call that went astray. */
static void flow_faults(struct vcpu *v)
{
	for (; v->flow.wrong; v->flow.wrong--)
		core_wrong(&v->env.core);
}

static void flow(struct vcpu *v)
{
	u32 kind = yard_control.micro_kind;
	u64 sum, ticks;

	sum = flow_run(&v->flow, is_flow(kind) ? kind : YARD_MICRO_FLOW_POKE2, FLOW_BLOCK, &ticks);
	stats_begin(v->stats);
	v->stats->flow_runs += FLOW_BLOCK;
	v->stats->flow_sum += sum;
	stats_end(v->stats);
	flow_faults(v);
}

static void micro(struct vcpu *v)
{
	u64 serial = yard_control.micro_serial, n, sum, ticks;
	u32 kind, target;

	if (v->number || serial == v->micro_serial) {
		rest(16);
		return;
	}
	/* The host writes the serial last, so these belong to it. */
	kind = yard_control.micro_kind;
	target = yard_control.micro_target;
	n = yard_control.micro_iterations;
	if (n > YARD_MICRO_MAX)
		n = YARD_MICRO_MAX;
	if (is_flow(kind))
		sum = flow_run(&v->flow, kind, n, &ticks);
	else
		sum = micro_loop(kind, target % YARD_MICRO_TARGETS, n, &ticks);
	flow_faults(v);
	v->micro_serial = serial;
	stats_begin(v->stats);
	v->stats->micro_serial = serial;
	v->stats->micro_tsc = ticks;
	v->stats->micro_check = sum;
	stats_end(v->stats);
	bell(YARD_BELL_IDLE);
}

static void stop(void)
{
	bell(YARD_BELL_STOPPED);
	for (;;)
		rest(1000);
}

static void show_state(struct yard_stats *s, u32 cmd, u32 phase)
{
	if (s->cmd == cmd && s->phase == phase)
		return;
	stats_begin(s);
	s->cmd = cmd;
	s->phase = phase;
	stats_end(s);
}

void yard_main(u64 number)
{
	struct vcpu *v = &vcpus[number % YARD_VCPUS];

	v->number = (u32)number % YARD_VCPUS;
	v->stats = &yard_stats[v->number];
	kernel_init(&v->env);
	flow_init(&v->flow, yard_control.seed);
	if (!v->number)
		console("yard: ready\n");
	bell(YARD_BELL_READY);
	for (;;) {
		u32 cmd = yard_control.cmd, phase = yard_control.phase % YARD_PHASES;

		show_state(v->stats, cmd, phase);
		if (cmd == YARD_CMD_WORK)
			work(v, phase);
		else if (cmd == YARD_CMD_MICRO)
			micro(v);
		else if (cmd == YARD_CMD_FLOW)
			flow(v);
		else if (cmd == YARD_CMD_STOP)
			stop();
		else if (cmd == YARD_CMD_PATCH_SELF && !v->number)
			hostile_patch_self();
		else
			rest(16);
	}
}
