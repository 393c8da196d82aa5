/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the KVM backend share. A struct kvm_vm is one virtual machine
 * over RAM that somebody else owns; the level probe makes short-lived ones.
 */
#ifndef HOTRAIL_MACHINE_KVM_H
#define HOTRAIL_MACHINE_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "machine/backend.h"

#define KVM_DEVICE "/dev/kvm"

struct kvm_vm {
	int kvm_fd, fd;
	size_t run_size; /* bytes of one kvm_run mapping */
	int cpl;
	gpa_t root; /* CR3 */
	uint8_t *ram;
	uint64_t ram_bytes;
	bool catch_decided, catch_faults; /* was it tried; is it in place */
	bool debug;			  /* KVM_CAP_SET_GUEST_DEBUG */
	struct kvm_cpuid2 *cpuid;
	bool is_pc; /* then the next two say more */
	struct machine_pc pc;
	unsigned vcpus;
};

struct kvm_debug {
	gva_t wanted; /* atomic; 0 = none */
	gva_t set;    /* in the vCPU's debug registers; its thread's */
	int failed;   /* atomic; errno of a refused KVM_SET_GUEST_DEBUG */
};

struct backend_vcpu {
	struct kvm_vm *vm;
	int fd;
	unsigned index;
	struct kvm_run *run;
	pid_t tid;
	bool kicked;	    /* atomic; a kick nobody has cleared yet */
	bool io_pending;    /* the last exit was a port access that KVM has not completed */
	bool have_deferred; /* an exit met while stepping; the next run() returns it */
	enum vcpu_exit deferred_exit;
	struct vcpu_exit_info deferred;
	struct kvm_debug debug;
	int error; /* errno of a failed call in a function that returns nothing */
	const char *error_what;
};

/* kvm.c. The signal that makes KVM_RUN return; its handler does nothing. */
int kvm_kick_signal(void);
int kvm_install_kick_handler(struct error *err);
int kvm_vcpu_open(struct kvm_vm *vm, unsigned index, struct backend_vcpu **out, struct error *err);
void kvm_vcpu_close(struct backend_vcpu *v);
int kvm_vcpu_get_regs(struct backend_vcpu *v, struct machine_regs *regs);
int kvm_vcpu_set_regs(struct backend_vcpu *v, const struct machine_regs *regs);

/* kvm_vm.c. Open a KVM device, check its version and capabilities. File descriptor or negative
 * errno. */
int kvm_open(const char *path, struct error *err);
/* A VM over `bytes` of RAM at `ram`, level and root left to the caller. */
int kvm_vm_create(struct kvm_vm *vm, void *ram, uint64_t bytes, struct error *err);
void kvm_vm_destroy(struct kvm_vm *vm);
int kvm_probe(struct error *err);

/* kvm_step.c */
int kvm_vcpu_step(struct backend_vcpu *v, struct machine_regs *regs, struct error *err);

/* kvm_debug.c: one breakpoint a vCPU. */
int kvm_debug_want(struct backend_vcpu *v, gva_t addr, struct error *err); /* any thread */
void kvm_debug_apply(struct backend_vcpu *v);				   /* before KVM_RUN */
/* After a debug exit: was it ours? Then it is removed. */
bool kvm_debug_hit(struct backend_vcpu *v);

/* kvm.c. What KVM_RUN left, in the words of this kind of machine. */
enum vcpu_exit kvm_vcpu_exit(struct backend_vcpu *v, struct vcpu_exit_info *exit);

/* kvm_pc.c. After the VM, before its vCPUs: interrupt controllers, timer, RAM behind the hole. */
int kvm_pc_create(struct kvm_vm *vm, const struct machine_config *config, struct error *err);
int kvm_pc_vcpu_setup(struct backend_vcpu *v, struct error *err);
int kvm_pc_get_paging(struct backend_vcpu *v, struct machine_paging *paging);
int kvm_pc_get_msr(struct backend_vcpu *v, uint32_t index, uint64_t *value);
int kvm_pc_get_cpl(struct backend_vcpu *v);
int kvm_pc_irq(void *state, unsigned gsi, bool level);
int kvm_pc_irqfd(void *state, unsigned gsi, int fd, bool on);
int kvm_pc_ioeventfd(void *state, gpa_t gpa, uint32_t value, int fd, bool on);
int kvm_pc_slot(void *state, unsigned slot, gpa_t gpa, void *host, uint64_t size, bool readonly);

/* kvm_pc_exit.c. Port and memory accesses go to the PC's handler, all else to
 * kvm_exit_decode(). Offsets in the page are checked. */
enum vcpu_exit kvm_pc_exit(struct backend_vcpu *v, struct vcpu_exit_info *exit);

/* kvm_pc_cpuid.c. Pure: what KVM supports becomes what vCPU `index` of `vcpus` shows; one
 * package, one thread a core. `t` has room for KVM_PC_CPUID_MORE entries more. */
#define KVM_PC_CPUID_MORE 8
void kvm_pc_cpuid(struct kvm_cpuid2 *t, unsigned index, unsigned vcpus, bool tsc_deadline);

/* kvm_cpu.c. Flat 64-bit segments for `cpl`, no interrupt table. */
void kvm_cpu_segments(struct kvm_sregs *s, int cpl);

/* kvm_cpu.c. Long mode at vm->cpl with paging on, and the CPUID table. */
int kvm_cpuid_load(struct kvm_vm *vm, struct error *err);
int kvm_cpu_setup(struct backend_vcpu *v, struct error *err);

/* kvm_exit.c. Pure: what a successful KVM_RUN left in the shared page, in our words. The
 * page is read once and every offset in it is checked against run_size. */
enum vcpu_exit kvm_exit_decode(const struct kvm_run *run, size_t run_size,
			       struct vcpu_exit_info *exit);

/*
 * kvm_fault.c. Without handlers an exception of the guest is a triple fault, after which AMD CPUs
 * have forgotten all registers. The catcher is an interrupt table whose handlers halt, in
 * the RAM below PAGING_FIRST, mapped for level 0 at a place no guest uses.
 */
struct kvm_fault_frame {
	unsigned vector;
	uint64_t error_code, rip, rflags, rsp;
};
#define KVM_FAULT_BYTES 0x10000 /* what it takes of the start of RAM */
/* Writes tables and handlers; false when the guest uses that place itself. */
bool kvm_fault_install(uint8_t *ram, uint64_t ram_bytes, gpa_t root);
void kvm_fault_sregs(struct kvm_sregs *s, unsigned index);
/* Pure: is this halted vCPU in one of our handlers, and then what happened? */
bool kvm_fault_frame(const uint8_t *ram, unsigned index, uint64_t rip, uint64_t rsp,
		     struct kvm_fault_frame *f);
/* After a hlt exit: true when it was a caught fault; then *exit tells it and the registers are
 * those of the faulting instruction. */
bool kvm_fault_explain(struct backend_vcpu *v, struct vcpu_exit_info *exit);

/* kvm_scratch.c. Runs `code` at KVM_SCRATCH_CODE with RCX = -1 on the calling thread's vCPU. */
#define KVM_SCRATCH_CODE 0x18000
struct kvm_scratch {
	/* Set before open. The ticks repeat, since one can come before KVM_RUN; too fast ones
	 * would leave a slow machine no time to enter the guest at all. */
	long tick_ns;
	bool catch_faults;
	void *ram;
	struct kvm_vm vm;
	struct backend_vcpu *v;
	timer_t timer;
	sigset_t old_mask;
	bool have_timer;
};
int kvm_scratch_open(struct kvm_scratch *s, int cpl, const uint8_t *code, size_t len,
		     struct error *err);
void kvm_scratch_close(struct kvm_scratch *s);

/* kvm_cpl.c. Measured or tried once a process on a scratch machine. */
int kvm_cpl_choose(enum machine_cpl wanted, int *cpl, struct error *err);
/* Does level 0 run natively? Else -ENOTSUP with the reason. */
int kvm_cpl0_check(struct error *err);
/*
 * The same from any source of rates, in loop rounds a millisecond, 0 = the guest ended instead; its
 * errors are passed on. kvm_pvm's emulator was measured at 350, QEMU's software CPU with KVM in it
 * at 200 000. A slow one is asked for again before a guest is refused: a host under load steals
 * whole windows, and no luck makes an emulator ten times faster.
 */
#define KVM_NATIVE_RATE_MIN 4000
#define KVM_NATIVE_TRIES    10
typedef int (*kvm_rate_fn)(void *ctx, uint64_t *rate, struct error *err);
int kvm_cpl0_judge(kvm_rate_fn rate_of, void *ctx, struct error *err);
bool kvm_step_works(int cpl);
bool kvm_fault_works(int cpl);

#endif
