// SPDX-License-Identifier: GPL-2.0-only
/* Opening KVM, and the virtual machine itself: memory, CPUID table, no vCPU yet. */
#include "machine/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CREATE_VM_TRIES 16 /* KVM_CREATE_VM is interruptible and then says EINTR */
#define API_VERSION	12 /* Documentation/virt/kvm/api.rst 4.1: any other value is refused */
/*
 * Three pages for the TSS of virtual-8086 mode and one for an identity map, which
 * Intel CPUs without unrestricted guest need while a vCPU is in its reset state
 * (api.rst 4.57, 4.58). Where other monitors have them: under the top of 4 GiB.
 */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA		 0xfffbd000ull

static int open_failed(const char *path, struct error *err)
{
	switch (errno) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -errno,
				 "%s is missing: enable virtualisation in the firmware and load "
				 "the driver (modprobe kvm_intel or kvm_amd)",
				 path);
	case EACCES:
	case EPERM:
		return error_set(err, HOTRAIL_EXIT_PERMISSION, -errno,
				 "no permission to open %s: join the group kvm (usermod -aG kvm "
				 "USER, then log in again) or run as root",
				 path);
	default:
		return error_errno(err, "cannot open %s", path);
	}
}

static int check_capabilities(int fd, const char *path, struct error *err)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
		{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
		{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
		{KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS"},
	};
	size_t i;
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENODEV, "%s is not a KVM device",
				 path);
	if (version != API_VERSION)
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, -EPROTO,
			"%s speaks KVM API version %d, Hotrail needs %d: use a newer kernel", path,
			version, API_VERSION);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
					 "%s lacks %s: Linux 4.11 or newer has it", path,
					 needed[i].name);
	return 0;
}

int kvm_open(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return open_failed(path, err);
	ret = check_capabilities(fd, path, err);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int create_vm_fd(int kvm_fd, struct error *err)
{
	unsigned i;
	int fd;

	for (i = 0; i < CREATE_VM_TRIES; i++) {
		fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
		if (fd >= 0)
			return fd;
		if (errno != EINTR)
			break;
	}
	if (errno == EBUSY)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "KVM cannot start a machine: another hypervisor (VirtualBox, "
				 "VMware) holds the CPU; stop it and try again");
	return error_errno(err, "KVM_CREATE_VM failed");
}

/* Only Intel needs these two; a KVM without them says so through the capability. */
static int reserve_tss(struct kvm_vm *vm, struct error *err)
{
	uint64_t identity = IDENTITY_MAP_GPA;

	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity))
		return error_errno(err, "KVM_SET_IDENTITY_MAP_ADDR failed");
	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 &&
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_GPA))
		return error_errno(err, "KVM_SET_TSS_ADDR failed");
	return 0;
}

static int set_memory(struct kvm_vm *vm, void *ram, uint64_t bytes, struct error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = 0,
		.guest_phys_addr = 0,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)ram,
	};

	if (bytes > IDENTITY_MAP_GPA)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -EINVAL,
				 "a guest can have at most %llu MiB of memory",
				 IDENTITY_MAP_GPA >> 20);
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return error_errno(err, "KVM does not take %llu bytes of guest memory",
				   (unsigned long long)bytes);
	return 0;
}

int kvm_vm_create(struct kvm_vm *vm, void *ram, uint64_t bytes, struct error *err)
{
	int ret, size;

	*vm = (struct kvm_vm){.kvm_fd = -1, .fd = -1, .ram = ram, .ram_bytes = bytes};
	ret = kvm_install_kick_handler(err);
	if (ret)
		return ret;
	ret = vm->kvm_fd = kvm_open(KVM_DEVICE, err);
	if (ret < 0)
		return ret;
	ret = vm->fd = create_vm_fd(vm->kvm_fd, err);
	if (ret < 0)
		goto out_vm;
	ret = set_memory(vm, ram, bytes, err);
	if (!ret)
		ret = reserve_tss(vm, err);
	if (ret)
		goto out_vm;
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run)) {
		ret = error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -EPROTO,
				"KVM's vCPU page has %d bytes, too few", size);
		goto out_vm;
	}
	vm->run_size = (size_t)size;
	vm->debug = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) > 0;
	ret = kvm_cpuid_load(vm, err);
	if (ret)
		goto out_vm;
	return 0;

out_vm:
	kvm_vm_destroy(vm);
	return ret;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	free(vm->cpuid);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	*vm = (struct kvm_vm){.kvm_fd = -1, .fd = -1};
}

int kvm_probe(struct error *err)
{
	int fd = kvm_open(KVM_DEVICE, err), vm;

	if (fd < 0)
		return fd;
	vm = create_vm_fd(fd, err);
	close(fd);
	if (vm < 0)
		return vm;
	close(vm);
	return 0;
}
