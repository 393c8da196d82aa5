// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps one machine with one vCPU open in the nested rig and never runs it.
 *
 * The first VM and the first vCPU without interrupt controller of a kernel turn on static keys, the
 * last ones turn them off: each time kernel text that other CPUs run is rewritten under an int3. QEMU's
 * software CPU with a thread for each CPU sometimes goes on with the translation of that int3
 * (QEMU 7.2; the kernel then spins in exc_int3 for ever). With this program the
 * rewriting happens once, before anything else runs.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR), vm, vcpu;

	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0) {
		perror("hold: no machine");
		return 1;
	}
	puts("held");
	fflush(stdout);
	close(STDOUT_FILENO); /* the reader of that line goes on */
	for (;;)
		pause();
}
