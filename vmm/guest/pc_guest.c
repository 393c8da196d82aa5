// SPDX-License-Identifier: GPL-2.0-only
/* A PC put together: files, machine, firmware tables, devices. */
#include "guest/pc_guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/acpi.h"
#include "guest/boot.h"
#include "guest/pc_file.h"

#define SLOT_BYTES 4096

/* What is needed only until the kernel lies in guest RAM. */
struct files {
	const struct pc_config *config;
	uint8_t *bytes;
	struct boot_kernel kernel;
	int initrd_fd;
	struct boot_plan plan;
};

static void on_serial_irq(void *ctx, bool level)
{
	struct pc *pc = ctx;

	if (pc->machine) /* fails only for an interrupt that does not exist */
		machine_irq(pc->machine, ACPI_SERIAL_IRQ, level);
}

static void on_serial_wake(void *ctx)
{
	struct pc *pc = ctx;

	if (pc->wake)
		pc->wake(pc->wake_ctx);
}

static void on_ask(void *ctx, enum pcstub_ask ask, const char *how)
{
	struct pc *pc = ctx;
	bool off = ask == PCSTUB_ASK_POWEROFF;
	char text[80];

	snprintf(text, sizeof(text), "the guest asked for a %s %s", off ? "power-off" : "reset",
		 how);
	machine_guest_end(pc->machine, off ? MACHINE_END_POWEROFF : MACHINE_END_RESET, text);
}

/* --- files --- */

static int read_kernel(struct files *f, struct error *err)
{
	const char *path = f->config->kernel;
	uint64_t size;
	int fd = pc_file_open(path, "kernel", BOOT_MAX_KERNEL, &size, err);
	int ret;

	if (fd < 0)
		return fd;
	f->bytes = malloc(size);
	ret = f->bytes ? pc_file_read(fd, path, f->bytes, size, err)
		       : error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "%.160s: no memory", path);
	close(fd);
	return ret ? ret : boot_check(f->bytes, size, path, &f->kernel, err);
}

static int open_files(struct files *f, struct error *err)
{
	const struct pc_config *c = f->config;
	uint64_t size = 0;
	int ret = read_kernel(f, err);

	if (ret)
		return ret;
	if (c->initrd) {
		f->initrd_fd = pc_file_open(c->initrd, "initrd", INT64_MAX, &size, err);
		if (f->initrd_fd < 0)
			return f->initrd_fd;
	}
	f->plan = (struct boot_plan){
		.kernel = &f->kernel,
		.cmdline = c->cmdline ? c->cmdline : PC_CMDLINE_DEFAULT,
		.initrd_name = c->initrd,
		.initrd_size = size,
		.mem = c->mem ? c->mem : PC_MEM_DEFAULT,
	};
	return boot_place(&f->plan, err);
}

static void close_files(struct files *f)
{
	free(f->bytes);
	if (f->initrd_fd >= 0)
		close(f->initrd_fd);
}

/* --- machine and devices --- */

static int add_devices(struct pc *pc, struct error *err)
{
	const struct access_range serial = {
		.port = true,
		.sizes = 1,
		.base = ACPI_SERIAL,
		.len = SERIAL_PORTS,
		.fn = serial_access,
		.dev = pc->serial,
	};
	int ret = access_add(&pc->bus, &serial);

	if (!ret)
		ret = pcstub_attach(&pc->stub, &pc->bus);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "the PC's devices collide: %s",
				 strerror(-ret));
	return 0;
}

static int create_machine(struct pc *pc, const struct files *f, struct error *err)
{
	const struct pc_config *c = f->config;
	struct machine_pc entry = {.access = access_handle, .access_ctx = &pc->bus};
	struct machine_config config = {
		.backend = c->backend,
		.cpl = c->cpl,
		.vcpus = c->vcpus,
		.ram_bytes = f->plan.mem,
		.huge_pages = c->huge_pages,
		.pc = &entry,
	};

	boot_entry(&f->kernel, &entry);
	return machine_create(&config, &pc->machine, err);
}

static uint8_t *acpi_area(struct pc *pc)
{
	return machine_ram_range(pc->machine, ACPI_BASE, ACPI_SIZE);
}

static int load(struct pc *pc, struct files *f, struct error *err)
{
	uint8_t *low = machine_ram_range(pc->machine, 0, f->kernel.end);
	uint8_t *acpi = acpi_area(pc);
	void *initrd;
	int ret;

	if (!low || !acpi)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT, "guest RAM has no place for %s",
				 f->kernel.name);
	boot_load(&f->plan, low);
	ret = acpi_build(acpi, f->config->vcpus);
	if (ret < 0)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "the ACPI tables do not fit");
	if (f->initrd_fd < 0)
		return 0;
	initrd = machine_ram_range(pc->machine, f->plan.initrd, f->plan.initrd_size);
	if (!initrd)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT, "guest RAM has no place for %s",
				 f->config->initrd);
	return pc_file_read(f->initrd_fd, f->config->initrd, initrd, f->plan.initrd_size, err);
}

int pc_open(const struct pc_config *config, struct pc **out, struct error *err)
{
	struct files f = {.config = config, .initrd_fd = -1};
	struct pc *pc = calloc(1, sizeof(*pc));
	struct serial_host host = {.irq = on_serial_irq, .wake = on_serial_wake, .ctx = pc};
	int ret;

	*out = NULL;
	if (!pc)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a PC");
	pc->wake = config->wake;
	pc->wake_ctx = config->wake_ctx;
	pcstub_init(&pc->stub);
	pc->stub.ask = on_ask;
	pc->stub.ctx = pc;
	pc->serial = serial_create(&host);
	ret = pc->serial ? open_files(&f, err)
			 : error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a console");
	if (!ret)
		ret = add_devices(pc, err);
	if (!ret)
		ret = create_machine(pc, &f, err);
	if (!ret)
		ret = load(pc, &f, err);
	close_files(&f);
	if (ret) {
		pc_close(pc);
		return ret;
	}
	*out = pc;
	return 0;
}

int pc_attach(struct pc *pc, access_fn fn, void *dev, struct pc_slot *slot, struct error *err)
{
	struct access_range range = {.sizes = 1 | 2 | 4 | 8, .len = SLOT_BYTES, .fn = fn};
	int ret;

	if (pc->slots == PC_SLOTS)
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOSPC,
				 "a guest can have at most %d devices", PC_SLOTS);
	*slot = (struct pc_slot){
		.index = pc->slots,
		.gpa = PC_MMIO_BASE + pc->slots * SLOT_BYTES,
		.gsi = PC_GSI_FIRST + pc->slots,
	};
	range.base = slot->gpa;
	range.dev = dev;
	ret = access_add(&pc->bus, &range);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "device %u: %s", slot->index,
				 strerror(-ret));
	acpi_set_present(acpi_area(pc), slot->index, true);
	pc->slots++;
	return 0;
}

int pc_start(struct pc *pc, struct error *err)
{
	return machine_start(pc->machine, err);
}

void pc_close(struct pc *pc)
{
	if (!pc)
		return;
	machine_destroy(pc->machine);
	serial_destroy(pc->serial);
	pcstub_fini(&pc->stub);
	free(pc);
}
