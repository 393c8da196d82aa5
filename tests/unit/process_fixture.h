/* SPDX-License-Identifier: GPL-2.0-only */
/* Machines of the process backend with a few bytes of hand-assembled guest code. */
#ifndef HOTRAIL_TESTS_PROCESS_FIXTURE_H
#define HOTRAIL_TESTS_PROCESS_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "machine/machine.h"
#include "suite.h"
#include "util/clock.h"

#define TEXT   0x40000000ull
#define DATA   0x40001000ull
#define STACK  0x40003000ull
#define RAM    (4ull << 20)
#define LIMIT  5000    /* ms a guest may take to do something simple */
#define BUDGET 2000000 /* us; a loaded machine is not what is tested */

static const struct machine_map maps[] = {
	{TEXT, 0x200000, 4096, MACHINE_R | MACHINE_X},
	{DATA, 0x201000, 4096, MACHINE_R | MACHINE_W},
	{STACK, 0x202000, 4096, MACHINE_R | MACHINE_W},
	{STACK + 4096, 0x203000, 4096, MACHINE_R},
};

struct ports {
	_Atomic unsigned count;
	_Atomic uint32_t last_value, last_port, tid;
};

static inline int on_port(void *ctx, unsigned vcpu, uint16_t port, uint32_t value)
{
	struct ports *p = ctx;

	if (port == 0x99)
		return -ENODEV;
	p->last_value = value;
	p->last_port = port;
	p->tid = (uint32_t)syscall(SYS_gettid);
	p->count++;
	return 0;
}

static inline struct machine_config basic_config(unsigned vcpus, struct ports *ports)
{
	return (struct machine_config){
		.backend = MACHINE_PROCESS,
		.cpl = MACHINE_CPL_AUTO,
		.vcpus = vcpus,
		.ram_bytes = RAM,
		.maps = maps,
		.maps_count = 4,
		.port = on_port,
		.port_ctx = ports,
	};
}

/* A machine with `code` at TEXT on every vCPU; RSI points to the vCPU's own counter. */
static inline struct machine *guest(unsigned vcpus, const void *code, size_t len,
				    struct ports *ports)
{
	struct machine_config c = basic_config(vcpus, ports);
	struct machine_regs regs = {.rip = TEXT, .rflags = 2};
	struct machine *m = NULL;
	struct error err = {0};
	unsigned i;

	if (machine_create(&c, &m, &err)) {
		printf("machine_create: %s\n", err.text);
		CU_FAIL_FATAL("machine_create");
	}
	memcpy(machine_ram_range(m, 0x200000, 4096), code, len);
	for (i = 0; i < vcpus; i++) {
		regs.gpr[HOTRAIL_RSP] = STACK + 4096 - 8;
		regs.gpr[HOTRAIL_RSI] = DATA + 64 * i;
		regs.gpr[HOTRAIL_RDI] = i;
		CU_ASSERT_EQUAL(machine_set_entry(m, i, &regs, &err), 0);
	}
	return m;
}

static inline volatile uint64_t *counter(struct machine *m, unsigned vcpu)
{
	return machine_ram_range(m, 0x201000 + 64 * vcpu, 8);
}

static inline bool counts_on(struct machine *m, unsigned vcpu)
{
	uint64_t start = *counter(m, vcpu), until = clock_ns() + LIMIT * 1000000ull;

	while (clock_ns() < until) {
		if (*counter(m, vcpu) != start)
			return true;
		clock_sleep_ms(1);
	}
	return false;
}

static const uint8_t count_loop[] = {0x48, 0xff, 0x06, /* incq (%rsi) */
				     0xeb, 0xfb};      /* jmp back */

#endif
