// SPDX-License-Identifier: GPL-2.0-only
/* A machine of a few pages that lives for a trial, and a timer that ends KVM_RUN now and then.
 */
#include "machine/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCRATCH_BYTES 0x20000
#define SCRATCH_ROOT  0x10000 /* PML4, then PDPT and PD; below is the fault catcher's */
#define TABLE_ENTRY   0x7     /* present, writable, user: Intel SDM vol. 3A 4.5.4 */
#define ENTRY_2M      0x87    /* the same, page size bit */

static int start_timer(struct kvm_scratch *s, struct error *err)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal()};
	struct itimerspec tick = {{0, s->tick_ns}, {0, s->tick_ns}};

	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid); /* glibc 2.36 has no name for it */
	if (timer_create(CLOCK_MONOTONIC, &ev, &s->timer))
		return error_errno(err, "cannot create the timer of the level trial");
	s->have_timer = true;
	if (timer_settime(s->timer, 0, &tick, NULL))
		return error_errno(err, "cannot start the timer of the level trial");
	return 0;
}

void kvm_scratch_close(struct kvm_scratch *s)
{
	if (s->have_timer)
		timer_delete(s->timer);
	kvm_vcpu_close(s->v);
	kvm_vm_destroy(&s->vm);
	munmap(s->ram, SCRATCH_BYTES);
	pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

int kvm_scratch_open(struct kvm_scratch *s, int cpl, const uint8_t *code, size_t len,
		     struct error *err)
{
	struct machine_regs regs = {.rip = KVM_SCRATCH_CODE};
	uint64_t *tables;
	int ret;

	*s = (struct kvm_scratch){.catch_faults = s->catch_faults,
				  .tick_ns = s->tick_ns,
				  .vm = {.kvm_fd = -1, .fd = -1}};
	s->ram = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (s->ram == MAP_FAILED)
		return error_errno(err, "no memory for a scratch machine");
	pthread_sigmask(SIG_BLOCK, NULL,
			&s->old_mask); /* only asks; the vCPU unblocks its signal */
	tables = (uint64_t *)((uint8_t *)s->ram + SCRATCH_ROOT);
	tables[0] = (SCRATCH_ROOT + 0x1000) | TABLE_ENTRY;
	tables[512] = (SCRATCH_ROOT + 0x2000) | TABLE_ENTRY;
	tables[1024] = ENTRY_2M;
	memcpy((uint8_t *)s->ram + KVM_SCRATCH_CODE, code, len);

	ret = kvm_vm_create(&s->vm, s->ram, SCRATCH_BYTES, err);
	if (ret)
		goto out_scratch;
	s->vm.cpl = cpl;
	s->vm.root = SCRATCH_ROOT;
	s->vm.catch_faults =
		s->catch_faults && kvm_fault_install(s->ram, SCRATCH_BYTES, SCRATCH_ROOT);
	ret = kvm_vcpu_open(&s->vm, 0, &s->v, err);
	if (ret)
		goto out_scratch;
	regs.gpr[HOTRAIL_RCX] = ~0ull;
	ret = kvm_vcpu_set_regs(s->v, &regs);
	if (ret) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, ret, "KVM_SET_REGS failed: %s",
				strerror(-ret));
		goto out_scratch;
	}
	ret = start_timer(s, err);
	if (ret)
		goto out_scratch;
	return 0;

out_scratch:
	kvm_scratch_close(s);
	return ret;
}
