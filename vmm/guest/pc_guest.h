/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PC with a Linux kernel in it: machine, memory map, firmware tables, serial console,
 * and up to PC_SLOTS virtio-mmio devices of others. pc_open() reads the files and makes
 * everything, pc_attach() adds devices, pc_start() lets it run.
 */
#ifndef HOTRAIL_GUEST_PC_GUEST_H
#define HOTRAIL_GUEST_PC_GUEST_H

#include "device/access.h"
#include "device/pcstub.h"
#include "device/serial.h"
#include "machine/machine.h"
#include "machine/pc.h"

#define PC_SLOTS       8
#define PC_MEM_DEFAULT (512ull << 20)

struct pc_config {
	const char *kernel;  /* bzImage or vmlinux */
	const char *initrd;  /* NULL = none */
	const char *cmdline; /* NULL = PC_CMDLINE_DEFAULT */
	enum machine_backend backend;
	enum machine_cpl cpl;
	unsigned vcpus;
	uint64_t mem; /* bytes; 0 = PC_MEM_DEFAULT */
	bool huge_pages;
	void (*wake)(void *ctx); /* serial_host.wake */
	void *wake_ctx;
};
#define PC_CMDLINE_DEFAULT "console=ttyS0 panic=-1"

struct pc {
	struct machine *machine;
	struct access_bus bus;
	struct pcstub stub;
	struct serial *serial;
	unsigned slots; /* taken */
	void (*wake)(void *ctx);
	void *wake_ctx;
};

/* Where an attached device lies, for its ioeventfd and irqfd (machine/pc.h). */
struct pc_slot {
	unsigned index;
	gpa_t gpa; /* of its one page */
	unsigned gsi;
};

/* Refusals name the file, what is wrong with it and the remedy. On failure nothing is left. */
int pc_open(const struct pc_config *config, struct pc **out, struct error *err);
/* Between pc_open() and pc_start(). Accesses of 1, 2, 4 and 8 bytes reach `fn`. */
int pc_attach(struct pc *pc, access_fn fn, void *dev, struct pc_slot *slot, struct error *err);
int pc_start(struct pc *pc, struct error *err);
void pc_close(struct pc *pc); /* stops first; NULL is fine */

#endif
