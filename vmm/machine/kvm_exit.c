// SPDX-License-Identifier: GPL-2.0-only
/* From a KVM exit to our words: pure reading of the kvm_run page, nothing in it is trusted. */
#include "machine/kvm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum vcpu_exit end(struct vcpu_exit_info *exit, enum machine_end why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static enum vcpu_exit end(struct vcpu_exit_info *exit, enum machine_end why, const char *fmt, ...)
{
	va_list ap;

	exit->end = why;
	va_start(ap, fmt);
	vsnprintf(exit->text, sizeof(exit->text), fmt, ap);
	va_end(ap);
	return VCPU_EXIT_END;
}

static enum vcpu_exit decode_io(const struct kvm_run *run, size_t run_size,
				struct vcpu_exit_info *exit)
{
	/* By value: the guest cannot write this page, but a kernel is not asked to be right either.
	 */
	uint8_t direction = run->io.direction, size = run->io.size;
	uint32_t count = run->io.count;
	uint64_t offset = run->io.data_offset;

	exit->port = run->io.port;
	if (direction != KVM_EXIT_IO_OUT)
		return end(exit, MACHINE_END_FAULT,
			   "the guest read port 0x%x; there are only ports to write", exit->port);
	if (count != 1)
		return end(exit, MACHINE_END_FAULT,
			   "the guest made a string access of %u units to port 0x%x", count,
			   exit->port);
	if (size != 1 && size != 2 && size != 4)
		return end(exit, MACHINE_END_INTERNAL, "KVM reported a port access of %u bytes",
			   size);
	if (offset > run_size || run_size - offset < size)
		return end(exit, MACHINE_END_INTERNAL,
			   "KVM put port data at offset %llu, outside its page",
			   (unsigned long long)offset);
	exit->value = 0;
	memcpy(&exit->value, (const uint8_t *)run + offset, size);
	return VCPU_EXIT_PORT;
}

static enum vcpu_exit decode_internal(const struct kvm_run *run, struct vcpu_exit_info *exit)
{
	/* Documentation/virt/kvm/api.rst, KVM_EXIT_INTERNAL_ERROR; linux/kvm.h
	 * KVM_INTERNAL_ERROR_*. */
	static const char *const words[] = {
		[KVM_INTERNAL_ERROR_EMULATION] =
			"KVM cannot emulate an instruction of the guest (suberror 1)",
		[KVM_INTERNAL_ERROR_SIMUL_EX] =
			"an exception came while KVM delivered an exception (suberror 2)",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] =
			"KVM could not deliver an event to the guest (suberror 3)",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"the CPU left the guest for a reason KVM does not know (suberror 4)",
	};
	uint32_t suberror = run->internal.suberror;

	if (suberror < sizeof(words) / sizeof(words[0]) && words[suberror])
		return end(exit, MACHINE_END_INTERNAL, "%s", words[suberror]);
	return end(exit, MACHINE_END_INTERNAL, "KVM internal error, suberror %u", suberror);
}

enum vcpu_exit kvm_exit_decode(const struct kvm_run *run, size_t run_size,
			       struct vcpu_exit_info *exit)
{
	uint32_t reason = run->exit_reason;

	switch (reason) {
	case KVM_EXIT_IO:
		return decode_io(run, run_size, exit);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return VCPU_EXIT_INTERRUPTED;
	case KVM_EXIT_HLT:
		return end(exit, MACHINE_END_FAULT,
			   "the guest executed hlt; nothing could wake it");
	case KVM_EXIT_MMIO:
		return end(exit, MACHINE_END_FAULT,
			   "the guest %s guest-physical 0x%llx, no memory there",
			   run->mmio.is_write ? "wrote to" : "read from",
			   (unsigned long long)run->mmio.phys_addr);
	case KVM_EXIT_SHUTDOWN:
		return end(exit, MACHINE_END_SHUTDOWN,
			   "triple fault: an exception the guest has no handler for");
	case KVM_EXIT_FAIL_ENTRY:
		return end(exit, MACHINE_END_INTERNAL,
			   "the CPU refused the guest's state, hardware reason 0x%llx",
			   (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return decode_internal(run, exit);
	case KVM_EXIT_DEBUG:
		return end(exit, MACHINE_END_INTERNAL,
			   "a debug exit at 0x%llx that nobody asked for",
			   (unsigned long long)run->debug.arch.pc);
	case KVM_EXIT_EXCEPTION:
		return end(exit, MACHINE_END_FAULT, "exception %u, error code 0x%x",
			   run->ex.exception, run->ex.error_code);
	case KVM_EXIT_SYSTEM_EVENT:
		return end(exit, MACHINE_END_FAULT, "the guest asked for system event %u",
			   run->system_event.type);
	default:
		return end(exit, MACHINE_END_INTERNAL,
			   "KVM exit reason %u, which Hotrail does not know", reason);
	}
}
