// SPDX-License-Identifier: GPL-2.0-only
/* A PC's exits: each access goes to the handler, reads nobody answers give all ones. */
#include "machine/kvm.h"

#include <stdio.h>
#include <string.h>

static uint64_t all_ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ull << size * 8) - 1;
}

/* One access whose data lies at `data`, in the vCPU's page. */
static void access_at(struct backend_vcpu *v, struct machine_access *a, uint8_t *data)
{
	a->value = 0;
	if (a->write)
		memcpy(&a->value, data, a->size);
	if (v->vm->pc.access(v->vm->pc.access_ctx, v->index, a) && !a->write)
		a->value = all_ones(a->size);
	if (!a->write)
		memcpy(data, &a->value, a->size);
}

static enum vcpu_exit broken(struct vcpu_exit_info *exit, const char *what)
{
	exit->end = MACHINE_END_INTERNAL;
	snprintf(exit->text, sizeof(exit->text), "KVM reported %s", what);
	return VCPU_EXIT_END;
}

static enum vcpu_exit port(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	/* By value: see decode_io() in kvm_exit.c. */
	uint8_t direction = v->run->io.direction, size = v->run->io.size;
	uint64_t offset = v->run->io.data_offset, room = v->vm->run_size;
	uint32_t count = v->run->io.count, i;
	uint16_t number = v->run->io.port;

	if (size != 1 && size != 2 && size != 4)
		return broken(exit, "a port access of an odd size");
	if (offset > room || (room - offset) / size < count)
		return broken(exit, "port data outside its page");
	for (i = 0; i < count; i++) {
		struct machine_access a = {
			.port = true,
			.write = direction == KVM_EXIT_IO_OUT,
			.address = number,
			.size = size,
		};

		access_at(v, &a, (uint8_t *)v->run + offset + (uint64_t)i * size);
	}
	return VCPU_EXIT_HANDLED;
}

static enum vcpu_exit memory(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	struct machine_access a = {
		.write = v->run->mmio.is_write,
		.address = v->run->mmio.phys_addr,
		.size = v->run->mmio.len,
	};

	if (a.size < 1 || a.size > sizeof(v->run->mmio.data))
		return broken(exit, "a memory access of an odd size");
	access_at(v, &a, v->run->mmio.data);
	return VCPU_EXIT_HANDLED;
}

enum vcpu_exit kvm_pc_exit(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		return port(v, exit);
	case KVM_EXIT_MMIO:
		return memory(v, exit);
	default:
		return kvm_exit_decode(v->run, v->vm->run_size, exit);
	}
}
