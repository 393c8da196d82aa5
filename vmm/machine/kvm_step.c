// SPDX-License-Identifier: GPL-2.0-only
/* One instruction at a time through KVM_SET_GUEST_DEBUG. */
#include "machine/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define STEP_TRIES 64 /* signals may interrupt a step before the guest moved */

static int set_debug(struct backend_vcpu *v, uint32_t control, struct error *err)
{
	struct kvm_guest_debug debug = {.control = control};

	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug))
		return error_errno(err, "vCPU %u: KVM_SET_GUEST_DEBUG failed", v->index);
	return 0;
}

/* Run until the debug exit. A port access or an end met on the way is kept for the next run(). */
static int step_run(struct backend_vcpu *v, struct error *err)
{
	unsigned i;

	for (i = 0; i < STEP_TRIES; i++) {
		if (ioctl(v->fd, KVM_RUN, 0)) {
			if (errno == EINTR)
				continue;
			return error_errno(err, "vCPU %u: KVM_RUN failed in a step", v->index);
		}
		if (v->run->exit_reason == KVM_EXIT_DEBUG)
			return 0;
		v->deferred_exit = kvm_vcpu_exit(v, &v->deferred);
		if (v->deferred_exit == VCPU_EXIT_INTERRUPTED)
			continue;
		v->have_deferred = v->deferred_exit != VCPU_EXIT_HANDLED;
		if (v->deferred_exit == VCPU_EXIT_END)
			return error_set(err, HOTRAIL_EXIT_FAILED, -ESHUTDOWN,
					 "vCPU %u ended in a step: %s", v->index, v->deferred.text);
		/* The stepped instruction is the port access; completing it ends the step. */
		v->io_pending = true;
		backend_kvm.finish_io(v);
		return 0;
	}
	return error_set(err, HOTRAIL_EXIT_BUSY, -EAGAIN,
			 "vCPU %u: signals interrupted a step %d times", v->index, STEP_TRIES);
}

int kvm_vcpu_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err)
{
	int ret, off;

	if (!v->vm->debug)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "this KVM lacks KVM_CAP_SET_GUEST_DEBUG: no single steps");
	if (v->have_deferred)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "vCPU %u has an exit that is not handled yet: resume it first",
				 v->index);
	ret = set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, err);
	if (ret)
		return ret;
	/* A kick asks run() to return early; a step is one instruction and must not starve. */
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	ret = step_run(v, err);
	if (__atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST))
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	off = set_debug(v, 0, ret ? NULL : err);
	v->debug.set = 0; /* a breakpoint comes back with the next run */
	if (ret)
		return ret;
	if (off)
		return off;
	ret = kvm_vcpu_get_regs(v, regs);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "vCPU %u: no registers", v->index);
	return 0;
}
