// SPDX-License-Identifier: GPL-2.0-only
/* The KVM backend: vCPUs, and what makes KVM_RUN return early. */
#include "machine/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not a real-time signal: pending ones coalesce, where a full queue of real-time signals turns
 * those of a perf event into SIGIO. No library in use takes this one. */
#define KICK_SIGNAL  SIGUSR1
#define FINISH_TRIES 4096      /* a PC's string accesses leave KVM_RUN once a few bytes */
#define RFLAGS_FIXED 0x2ull    /* bit 1 reads as 1: Intel SDM vol. 1, 3.4.3 */
#define RFLAGS_IOPL3 0x3000ull /* lets `out` leave the guest at level 3 on real hardware */

int kvm_kick_signal(void)
{
	return KICK_SIGNAL;
}

static void on_kick(int sig)
{
	/* Its arrival alone makes KVM_RUN return EINTR. */
}

int kvm_install_kick_handler(struct error *err)
{
	struct sigaction sa = {.sa_handler = on_kick}; /* no SA_RESTART: system calls return too */

	sigemptyset(&sa.sa_mask);
	if (sigaction(kvm_kick_signal(), &sa, NULL))
		return error_errno(err, "cannot install the handler of signal %d",
				   kvm_kick_signal());
	return 0;
}

static int unblock_kick(struct error *err)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, kvm_kick_signal());
	ret = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ret, "cannot unblock signal %d",
				 kvm_kick_signal());
	return 0;
}

int kvm_vcpu_open(struct kvm_vm *vm, unsigned index, struct backend_vcpu **out, struct error *err)
{
	struct backend_vcpu *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for vCPU %u", index);
	v->vm = vm;
	v->index = index;
	v->tid = (pid_t)syscall(SYS_gettid);
	v->run = MAP_FAILED;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (v->fd < 0) {
		ret = error_errno(err, "KVM_CREATE_VCPU failed for vCPU %u", index);
		goto out_vcpu;
	}
	v->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		ret = error_errno(err, "cannot map the page of vCPU %u", index);
		goto out_vcpu;
	}
	ret = unblock_kick(err);
	if (!ret)
		ret = vm->is_pc ? kvm_pc_vcpu_setup(v, err) : kvm_cpu_setup(v, err);
	if (ret)
		goto out_vcpu;
	*out = v;
	return 0;

out_vcpu:
	kvm_vcpu_close(v);
	return ret;
}

void kvm_vcpu_close(struct backend_vcpu *v)
{
	if (!v)
		return;
	if (v->run != MAP_FAILED)
		munmap(v->run, v->vm->run_size);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

/* struct kvm_regs has its registers in an order of its own. */
/* clang-format off */
#define EACH_GPR(X)                                                                                \
	X(RAX, rax) X(RCX, rcx) X(RDX, rdx) X(RBX, rbx) X(RSP, rsp) X(RBP, rbp) X(RSI, rsi)        \
	X(RDI, rdi) X(R8, r8) X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12) X(R13, r13)            \
	X(R14, r14) X(R15, r15)
/* clang-format on */

int kvm_vcpu_get_regs(struct backend_vcpu *v, struct machine_regs *regs)
{
	struct kvm_regs k;

	if (ioctl(v->fd, KVM_GET_REGS, &k))
		return -errno;
#define X(ours, theirs) regs->gpr[HOTRAIL_##ours] = k.theirs;
	EACH_GPR(X)
#undef X
	regs->rip = k.rip;
	regs->rflags = k.rflags;
	return 0;
}

int kvm_vcpu_set_regs(struct backend_vcpu *v, const struct machine_regs *regs)
{
	struct kvm_regs k = {.rip = regs->rip, .rflags = regs->rflags | RFLAGS_FIXED};

	if (v->vm->cpl == 3)
		k.rflags |= RFLAGS_IOPL3;
#define X(ours, theirs) k.theirs = regs->gpr[HOTRAIL_##ours];
	EACH_GPR(X)
#undef X
	return ioctl(v->fd, KVM_SET_REGS, &k) ? -errno : 0;
}

static enum vcpu_exit run_failed(struct vcpu_exit_info *exit, const char *what, int error)
{
	exit->end = MACHINE_END_INTERNAL;
	snprintf(exit->text, sizeof(exit->text), "%s failed: %s%s", what, strerror(error),
		 error == EFAULT ? " (guest memory the host cannot provide)" : "");
	return VCPU_EXIT_END;
}

enum vcpu_exit kvm_vcpu_exit(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	return v->vm->is_pc ? kvm_pc_exit(v, exit) : kvm_exit_decode(v->run, v->vm->run_size, exit);
}

static enum vcpu_exit backend_run(struct backend_vcpu *v, struct vcpu_exit_info *exit)
{
	enum vcpu_exit ret;

	if (v->error)
		return run_failed(exit, v->error_what, v->error);
	if (v->have_deferred) {
		v->have_deferred = false;
		*exit = v->deferred;
		return v->deferred_exit;
	}
	/* On an error exit_reason holds the exit before, so it is not looked at. KVM completes a
	 * pending port access before it looks at immediate_exit: EINTR means completed. */
	v->io_pending = false;
	kvm_debug_apply(v);
	if (ioctl(v->fd, KVM_RUN, 0)) {
		if (errno == EAGAIN && v->vm->is_pc)
			return VCPU_EXIT_HANDLED; /* it waited for INIT or SIPI and got one */
		return errno == EINTR ? VCPU_EXIT_INTERRUPTED : run_failed(exit, "KVM_RUN", errno);
	}
	if (v->run->exit_reason == KVM_EXIT_DEBUG && kvm_debug_hit(v))
		return VCPU_EXIT_INTERRUPTED;
	ret = kvm_vcpu_exit(v, exit);
	if (ret == VCPU_EXIT_END && v->vm->catch_faults)
		kvm_fault_explain(v, exit);
	v->io_pending = ret == VCPU_EXIT_PORT || ret == VCPU_EXIT_HANDLED;
	return ret;
}

/* An access in several parts (a string, a page crossing): the next one. True when it was an end. */
static bool finish_part(struct backend_vcpu *v)
{
	uint32_t reason = v->run->exit_reason;

	if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO)
		return false; /* a step's debug exit */
	v->deferred_exit = kvm_vcpu_exit(v, &v->deferred);
	v->have_deferred = v->deferred_exit == VCPU_EXIT_END;
	return v->have_deferred;
}

static void backend_finish_io(struct backend_vcpu *v)
{
	unsigned i;

	if (!v->io_pending)
		return;
	v->io_pending = false;
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < FINISH_TRIES; i++) {
		if (ioctl(v->fd, KVM_RUN, 0))
			break;
		if (v->vm->is_pc && finish_part(v))
			goto out_kick;
	}
	if (i == FINISH_TRIES || errno != EINTR) {
		v->error = i == FINISH_TRIES ? ELOOP : errno;
		v->error_what = "completing a port access by KVM_RUN";
	}
out_kick:
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	/* A kick that came meanwhile must not be lost with that store. */
	if (__atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST))
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/*
 * Order against backend_kick(): whoever kicks has stored its request before, and the
 * caller reads the request after this; so a kick erased here was not in vain.
 */
static void backend_clear_kick(struct backend_vcpu *v)
{
	__atomic_store_n(&v->kicked, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void backend_kick(struct backend_vcpu *v)
{
	/* The signal takes the vCPU out of the guest; immediate_exit closes the window in which
	 * the signal arrives before the thread is in KVM_RUN. */
	__atomic_store_n(&v->kicked, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_tgkill, getpid(), v->tid, kvm_kick_signal());
}

static void backend_paused(struct backend_vcpu *v)
{
	/* Tells a guest with kvmclock that it was stopped, else its watchdogs complain (api.rst
	 * 4.68). EINVAL: the guest has no kvmclock. ENOTTY: this KVM has no such call. */
	if (!ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0) || errno == EINVAL || errno == ENOTTY)
		return;
	v->error = errno;
	v->error_what = "KVM_KVMCLOCK_CTRL";
}

static pid_t backend_event_tid(struct backend_vcpu *v)
{
	return v->tid;
}

static int backend_create(const struct machine_config *config, int ram_fd, void *ram, gpa_t root,
			  void **out, int *cpl, struct error *err)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	uint64_t low = config->ram_bytes;
	int ret, most;

	if (!vm)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a machine");
	if (config->pc && low > PC_HOLE_START)
		low = PC_HOLE_START;
	ret = kvm_vm_create(vm, ram, low, err);
	if (ret)
		goto out_free;
	most = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (most > 0 && config->vcpus > (unsigned)most) {
		ret = error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -EINVAL,
				"%u vCPUs asked for, this KVM allows %d", config->vcpus, most);
		goto out_vm;
	}
	ret = config->pc ? kvm_pc_create(vm, config, err)
			 : kvm_cpl_choose(config->cpl, &vm->cpl, err);
	if (ret)
		goto out_vm;
	vm->root = root;
	*cpl = vm->cpl;
	*out = vm;
	return 0;

out_vm:
	kvm_vm_destroy(vm);
out_free:
	free(vm);
	return ret;
}

static void backend_destroy(void *state)
{
	if (!state)
		return;
	kvm_vm_destroy(state);
	free(state);
}

static int backend_vcpu_create(void *state, unsigned index, struct backend_vcpu **out,
			       struct error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct kvm_vm *vm = state;

	/* Not in create(): the page tables may be rebuilt once the level is known. */
	pthread_mutex_lock(&lock);
	if (!vm->catch_decided && !vm->is_pc) {
		vm->catch_decided = true;
		vm->catch_faults = kvm_fault_works(vm->cpl) &&
				   kvm_fault_install(vm->ram, vm->ram_bytes, vm->root);
	}
	pthread_mutex_unlock(&lock);
	return kvm_vcpu_open(vm, index, out, err);
}

static int backend_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err)
{
	if (!kvm_step_works(v->vm->cpl))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "this KVM cannot single-step a guest at level %d: a trial on a "
				 "scratch machine failed",
				 v->vm->cpl);
	return kvm_vcpu_step(v, regs, err);
}

const struct backend_ops backend_kvm = {
	.name = "kvm",
	.probe = kvm_probe,
	.create = backend_create,
	.destroy = backend_destroy,
	.vcpu_create = backend_vcpu_create,
	.vcpu_destroy = kvm_vcpu_close,
	.run = backend_run,
	.finish_io = backend_finish_io,
	.clear_kick = backend_clear_kick,
	.kick = backend_kick,
	.get_regs = kvm_vcpu_get_regs,
	.set_regs = kvm_vcpu_set_regs,
	.step = backend_step,
	.breakpoint = kvm_debug_want,
	.event_tid = backend_event_tid,
	.paused = backend_paused,
	.kick_signal = kvm_kick_signal,
	.get_paging = kvm_pc_get_paging,
	.get_msr = kvm_pc_get_msr,
	.get_cpl = kvm_pc_get_cpl,
	.irq = kvm_pc_irq,
	.irqfd = kvm_pc_irqfd,
	.ioeventfd = kvm_pc_ioeventfd,
	.slot = kvm_pc_slot,
};
