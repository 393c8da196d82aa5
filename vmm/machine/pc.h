/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PC: what an unmodified kernel needs beyond RAM and vCPUs. KVM backend at
 * privilege level 0 only; machine_create() refuses it elsewhere and says so.
 *
 * In-kernel interrupt controllers and PIT; vCPU 0 starts in 64-bit mode at the
 * boot entry, the others wait for INIT/SIPI; port and memory accesses that no
 * ioeventfd takes come to one handler, which may answer reads. Unanswered reads
 * give all ones, unanswered writes are dropped, as on a PC's bus.
 */
#ifndef HOTRAIL_MACHINE_PC_H
#define HOTRAIL_MACHINE_PC_H

#include "machine/machine.h"

/* Guest physical layout. RAM below the hole, the rest of it from 4 GiB on. */
#define PC_HOLE_START 0xc0000000ull
#define PC_HOLE_END   0x100000000ull
#define PC_MMIO_BASE  0xd0000000ull /* virtio-mmio devices, one 4 KiB page each */
#define PC_IOAPIC     0xfec00000ull
#define PC_LAPIC      0xfee00000ull
#define PC_GSI_FIRST                                                                               \
	16 /* first interrupt handed to virtio devices, behind the ISA ones; edge, active high */

struct machine_access {
	bool port, write;
	uint64_t address; /* port number or gpa */
	unsigned size;	  /* 1, 2, 4 or 8 bytes */
	uint64_t value;	  /* in for writes, out for reads */
};
/* On the vCPU's thread, no lock held. 0 handled, -ENODEV nobody there. */
typedef int (*machine_access_fn)(void *ctx, unsigned vcpu, struct machine_access *a);

struct machine_pc {
	machine_access_fn access;
	void *access_ctx;
	uint64_t entry_rip, entry_rsi, entry_rsp; /* 64-bit boot protocol: RSI = boot_params */
	gpa_t entry_cr3; /* identity map built by the loader in guest RAM */
	gpa_t gdt;	 /* where the loader put a flat GDT: null, null, code 0x10, data 0x18 */
};

/* Edge or level change of a GSI (IOAPIC pin). Any thread. */
int machine_irq(struct machine *m, unsigned gsi, bool level);
/* A write of 1 to `fd` (eventfd) pulses the GSI; assign or, with `on` false, deassign. */
int machine_irqfd(struct machine *m, unsigned gsi, int fd, bool on, struct error *err);
/* A 4-byte guest write of `value` to `gpa` signals `fd` without an exit to us. */
int machine_ioeventfd(struct machine *m, gpa_t gpa, uint32_t value, int fd, bool on,
		      struct error *err);

/* --- what the host needs to know of a running kernel; vCPU parked --- */

struct machine_paging {
	uint64_t cr0, cr3, cr4, efer;
};
int machine_get_paging(struct machine *m, unsigned vcpu, struct machine_paging *p);
int machine_get_msr(struct machine *m, unsigned vcpu, uint32_t index, uint64_t *value);
/* Is that vCPU at level 0 just now? */
int machine_get_cpl(struct machine *m, unsigned vcpu);

/*
 * A memory slot outside the guest's RAM map, for the arena: `size` bytes of a
 * memfd of our own at `gpa`, page aligned, must not overlap RAM. With
 * `readonly` guest writes to it exit (and are dropped). The host view stays
 * valid until removal or machine_destroy(). machine_ram_range() covers it.
 */
int machine_slot_add(struct machine *m, gpa_t gpa, uint64_t size, bool readonly, void **host,
		     struct error *err);
int machine_slot_remove(struct machine *m, gpa_t gpa);

/* The guest asked for power-off or reset through a device; ends the run with MACHINE_END_POWEROFF
 * or MACHINE_END_RESET. On a vCPU thread (from the access handler) or any other. */
void machine_guest_end(struct machine *m, enum machine_end end, const char *text);

#endif
