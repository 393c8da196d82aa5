// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PC machine under real KVM with a kernel of a hundred bytes: accesses of every kind reach the
 * device or nobody, slots, doorbells, what a parked vCPU tells, every way to end.
 */
#include "../unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <asm/bootparam.h>

#include "guest/boot.h"
#include "guest/pc_guest.h"
#include "guest/pc_virtio.h"

#define SLOT_GPA (PC_HOLE_START + 0x8000000)
#define LIMIT_MS 20000

/* What the guest does; the numbers are offsets in the page of the device at PC_MMIO_BASE. */
asm(".pushsection .rodata\n"
    "guest_work:\n"
    "	mov $0x3f8, %edx\n"
    "	mov $'H', %al\n"
    "	out %al, (%dx)\n"
    "	lea 3f(%rip), %rsi\n"
    "	mov $5, %ecx\n"
    "	rep outsb (%rsi), (%dx)\n"
    "	mov $0xd0000000, %ebx\n"
    "	mov (%rbx), %eax\n" /* 4 bytes */
    "	mov %eax, 0x108(%rbx)\n"
    "	mov 0x10(%rbx), %rax\n" /* 8 bytes */
    "	mov %rax, 0x110(%rbx)\n"
    "	movzbl 0x1(%rbx), %eax\n" /* 1 byte */
    "	mov %eax, 0x118(%rbx)\n"
    "	mov 0x1000(%rbx), %eax\n" /* nobody there */
    "	mov %eax, 0x120(%rbx)\n"
    "	mov $0x9999, %edx\n"
    "	xor %eax, %eax\n"
    "	in (%dx), %ax\n"
    "	mov %eax, 0x124(%rbx)\n"
    "	out %eax, (%dx)\n"
    "	mov $0xc8000000, %edi\n" /* the slot */
    "	mov (%rdi), %eax\n"
    "	mov %eax, 0x128(%rbx)\n"
    "	movl $0xdead, (%rdi)\n" /* it is read-only: dropped */
    "	mov (%rdi), %eax\n"
    "	mov %eax, 0x12c(%rbx)\n"
    "	movl $3, 0x50(%rbx)\n"	/* the doorbell */
    "	movl $4, 0x50(%rbx)\n"	/* not its number */
    "1:	mov 0x30(%rbx), %eax\n" /* wait for the host */
    "	test %eax, %eax\n"
    "	jz 1b\n"
    "	mov $0x604, %edx\n"
    "	mov $0x3400, %eax\n"
    "	out %ax, (%dx)\n"
    "2:	hlt\n"
    "	jmp 2b\n"
    "3:	.ascii \"ello\\n\"\n"
    "guest_work_end:\n"
    "guest_reset:\n"
    "	mov $0xcf9, %edx\n"
    "	mov $6, %al\n"
    "	out %al, (%dx)\n"
    "1:	jmp 1b\n"
    "guest_reset_end:\n"
    "guest_fault:\n" /* no interrupt table: a triple fault */
    "	ud2\n"
    "guest_fault_end:\n"
    "guest_virtio:\n"
    "	mov $0xd0000000, %ebx\n"
    "	mov (%rbx), %eax\n"
    "	mov %eax, 0x2000\n"
    "	movl $0, 0x50(%rbx)\n"
    "	mov $0x604, %edx\n"
    "	mov $0x3400, %eax\n"
    "	out %ax, (%dx)\n"
    "1:	jmp 1b\n"
    "guest_virtio_end:\n"
    "guest_spin:\n"
    "1:	jmp 1b\n"
    "guest_spin_end:\n"
    ".popsection\n");
extern const uint8_t guest_work[], guest_work_end[], guest_reset[], guest_reset_end[];
extern const uint8_t guest_virtio[], guest_virtio_end[];
extern const uint8_t guest_fault[], guest_fault_end[], guest_spin[], guest_spin_end[];

struct device {
	atomic_uint go, polls, bells;
	uint64_t word108, word110, word118, word120, word124, word128, word12c;
	bool seen8;
};

static int on_access(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		     uint64_t *value)
{
	struct device *d = dev;

	if (!write) {
		*value = offset == 0x30 ? atomic_load(&d->go) : 0x8877665544332211;
		atomic_fetch_add(&d->polls, offset == 0x30);
		return 0;
	}
	switch (offset) {
	case 0x50:
		CU_ASSERT_EQUAL(*value, 4);
		atomic_fetch_add(&d->bells, 1);
		return 0;
	case 0x108:
		d->word108 = *value;
		return 0;
	case 0x110:
		d->word110 = *value;
		d->seen8 = size == 8;
		return 0;
	case 0x118:
		d->word118 = *value;
		return 0;
	case 0x120:
		d->word120 = *value;
		return 0;
	case 0x124:
		d->word124 = *value;
		return 0;
	case 0x128:
		d->word128 = *value;
		return 0;
	case 0x12c:
		d->word12c = *value;
		return 0;
	default:
		return -ENODEV;
	}
}

/* A bzImage whose 64-bit entry is this code. */
static void write_kernel(const char *path, const uint8_t *code, const uint8_t *end)
{
	static uint8_t file[1024 + 0x200 + 4096];
	struct setup_header *h = (void *)(file + 0x1f1);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memset(file, 0, sizeof(file));
	h->setup_sects = 1;
	h->syssize = (sizeof(file) - 1024) / 16;
	h->boot_flag = 0xaa55;
	h->jump = 0xeb | (0x26c - 0x202) << 8;
	h->header = 0x53726448;
	h->version = 0x20f;
	h->loadflags = LOADED_HIGH;
	h->xloadflags = XLF_KERNEL_64;
	h->initrd_addr_max = 0x7fffffff;
	h->cmdline_size = 100;
	h->pref_address = 0x1000000;
	h->init_size = 0x100000;
	memcpy(file + 1024 + 0x200, code, (size_t)(end - code));
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, file, sizeof(file)), sizeof(file));
	close(fd);
}

static struct pc *open_pc(const uint8_t *code, const uint8_t *end, unsigned vcpus)
{
	char path[] = "/tmp/hotrail-pc-XXXXXX";
	struct pc_config c = {
		.kernel = path, .cpl = MACHINE_CPL_AUTO, .vcpus = vcpus, .mem = 64u << 20};
	struct error err = {0};
	struct pc *pc = NULL;
	int fd = mkstemp(path), ret;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
	write_kernel(path, code, end);
	ret = pc_open(&c, &pc, &err);
	unlink(path);
	if (ret == -ENOTSUP) /* level 0 is emulated here */
		SUITE_SKIP("%s", err.text);
	if (ret)
		printf("pc_open: %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pc);
	return pc;
}
#define OPEN_PC(code, vcpus) open_pc(code, code##_end, vcpus)

/* In the waiting loop: reached when the guest polls. */
static void look_at_parked(struct pc *pc)
{
	struct machine_paging paging = {0};
	struct machine_pause pause;
	struct machine_regs regs, after;
	struct error err = {0};
	uint64_t msr = 1;
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(machine_pause_begin(pc->machine, 5000000, &pause, &err), 0);
	CU_ASSERT_EQUAL(machine_get_regs(pc->machine, 0, &regs), 0);
	CU_ASSERT_EQUAL(regs.gpr[HOTRAIL_RBX], PC_MMIO_BASE);
	CU_ASSERT_TRUE(regs.rip > 0x1000200 && regs.rip < 0x1000300);
	CU_ASSERT_EQUAL(machine_get_paging(pc->machine, 0, &paging), 0);
	CU_ASSERT_EQUAL(paging.cr3, BOOT_TABLES);
	CU_ASSERT_EQUAL(paging.cr0 & 0x80000001, 0x80000001);
	CU_ASSERT_EQUAL(paging.efer & 0x500, 0x500);
	CU_ASSERT_EQUAL(paging.cr4 & 0x20, 0x20);
	CU_ASSERT_EQUAL(machine_get_cpl(pc->machine, 0), 0);
	CU_ASSERT_EQUAL(machine_get_msr(pc->machine, 0, 0xc0000082, &msr), 0); /* LSTAR */
	CU_ASSERT_EQUAL(msr, 0);
	CU_ASSERT_EQUAL(machine_get_msr(pc->machine, 0, 0x1234567, &msr), -ENOENT);
	/* The other vCPU waits for INIT: its registers are those of a reset. */
	CU_ASSERT_EQUAL(machine_get_regs(pc->machine, 1, &after), 0);
	CU_ASSERT_EQUAL(after.rip, 0xfff0);
	/* Steps go through accesses that leave KVM: three make a round. */
	for (i = 0; i < 6; i++)
		if (machine_step(pc->machine, 0, &after, &err))
			break;
	if (i < 6)
		printf("no steps here: %s\n", err.text);
	else
		CU_ASSERT_EQUAL(after.rip, regs.rip);
	CU_ASSERT_TRUE(machine_pause_end(pc->machine, &pause) >= 0);
}

static unsigned wait_for(atomic_uint *what, unsigned least)
{
	unsigned i;

	for (i = 0; i < LIMIT_MS && atomic_load(what) < least; i++)
		usleep(1000);
	return atomic_load(what);
}

static void test_work(void)
{
	struct pc *pc = OPEN_PC(guest_work, 2);
	struct device d = {0};
	struct machine_report report = {0};
	struct error err = {0};
	struct pc_slot slot;
	uint64_t count = 0;
	uint32_t *host;
	char text[16];
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CU_ASSERT_EQUAL(pc_attach(pc, on_access, &d, &slot, &err), 0);
	CU_ASSERT_EQUAL(slot.gpa, PC_MMIO_BASE);
	CU_ASSERT_EQUAL(slot.gsi, PC_GSI_FIRST);
	CU_ASSERT_EQUAL(machine_ioeventfd(pc->machine, slot.gpa + 0x50, 3, bell, true, &err), 0);
	CU_ASSERT_EQUAL_FATAL(
		machine_slot_add(pc->machine, SLOT_GPA, 0x2000, true, (void **)&host, &err), 0);
	*host = 0xabcd;
	CU_ASSERT_EQUAL_FATAL(pc_start(pc, &err), 0);
	CU_ASSERT_TRUE_FATAL(wait_for(&d.polls, 3) >= 3);
	look_at_parked(pc);
	atomic_store(&d.go, 1);
	CU_ASSERT_EQUAL(machine_wait_end(pc->machine, LIMIT_MS, &report), 1);
	CU_ASSERT_EQUAL(report.end, MACHINE_END_POWEROFF);
	CU_ASSERT_EQUAL(serial_take(pc->serial, text, sizeof(text)), 6);
	CU_ASSERT_EQUAL(memcmp(text, "Hello\n", 6), 0);
	CU_ASSERT_EQUAL(d.word108, 0x44332211);
	CU_ASSERT_EQUAL(d.word110, 0x8877665544332211);
	CU_ASSERT_TRUE(d.seen8);
	CU_ASSERT_EQUAL(d.word118, 0x11);
	CU_ASSERT_EQUAL(d.word120, 0xffffffff);
	CU_ASSERT_EQUAL(d.word124, 0xffff);
	CU_ASSERT_EQUAL(d.word128, 0xabcd);
	CU_ASSERT_EQUAL(d.word12c, 0xabcd);
	CU_ASSERT_EQUAL(*host, 0xabcd);
	CU_ASSERT_EQUAL(read(bell, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(atomic_load(&d.bells), 1);
	pc_close(pc);
	close(bell);
}

static void test_slots(void)
{
	struct pc *pc = OPEN_PC(guest_spin, 1);
	struct machine *m = pc->machine;
	struct error err = {0};
	void *host, *other;
	unsigned i;
	int fd = eventfd(0, EFD_CLOEXEC);

	CU_ASSERT_PTR_NULL(machine_ram_range(m, SLOT_GPA, 1));
	CU_ASSERT_EQUAL(machine_slot_add(m, SLOT_GPA, 0x2000, false, &host, &err), 0);
	CU_ASSERT_PTR_EQUAL(machine_ram_range(m, SLOT_GPA + 0x10, 0x1ff0), (uint8_t *)host + 0x10);
	CU_ASSERT_PTR_NULL(machine_ram_range(m, SLOT_GPA + 0x10, 0x1ff1));
	CU_ASSERT_EQUAL(machine_slot_add(m, SLOT_GPA + 0x1000, 0x1000, false, &other, &err),
			-EEXIST);
	CU_ASSERT_EQUAL(machine_slot_add(m, 0x1000, 0x1000, false, &other, &err), -EEXIST);
	CU_ASSERT_EQUAL(machine_slot_add(m, PC_LAPIC, 0x1000, false, &other, &err), -EEXIST);
	CU_ASSERT_EQUAL(machine_slot_add(m, SLOT_GPA + 1, 0x1000, false, &other, &err), -EINVAL);
	CU_ASSERT_EQUAL(machine_slot_add(m, SLOT_GPA, 0, false, &other, &err), -EINVAL);
	CU_ASSERT_EQUAL(machine_slot_add(m, UINT64_MAX - 0xfff, 0x2000, false, &other, &err),
			-EINVAL);
	for (i = 1; i < 8; i++)
		CU_ASSERT_EQUAL(
			machine_slot_add(m, PC_HOLE_END + i * 0x10000, 0x1000, true, &other, &err),
			0);
	CU_ASSERT_EQUAL(machine_slot_add(m, PC_HOLE_END, 0x1000, true, &other, &err), -ENOSPC);
	CU_ASSERT_EQUAL(machine_slot_remove(m, SLOT_GPA + 0x1000), -ENOENT);
	CU_ASSERT_EQUAL(machine_slot_remove(m, SLOT_GPA), 0);
	CU_ASSERT_PTR_NULL(machine_ram_range(m, SLOT_GPA, 1));
	CU_ASSERT_EQUAL(machine_slot_remove(m, SLOT_GPA), -ENOENT);
	CU_ASSERT_EQUAL(machine_slot_add(m, SLOT_GPA, 0x1000, true, &other, &err), 0);
	/* Interrupts. */
	CU_ASSERT_EQUAL(machine_irqfd(m, PC_GSI_FIRST, fd, true, &err), 0);
	CU_ASSERT_NOT_EQUAL(machine_irqfd(m, PC_GSI_FIRST, fd, true, &err), 0);
	CU_ASSERT_EQUAL(machine_irqfd(m, PC_GSI_FIRST, fd, false, &err), 0);
	CU_ASSERT_EQUAL(machine_irqfd(m, 24, fd, true, &err), -EINVAL);
	CU_ASSERT_EQUAL(machine_irq(m, PC_GSI_FIRST, true), 0);
	CU_ASSERT_EQUAL(machine_irq(m, 24, true), -EINVAL);
	pc_close(pc);
	close(fd);
}

static void test_virtio(void)
{
	struct pc *pc = OPEN_PC(guest_virtio, 1);
	struct virtio_counters counters = {0};
	struct machine_report report = {0};
	struct virtio_host host;
	struct virtio *v = NULL;
	struct error err = {0};
	const uint32_t *magic;
	void *slot;
	unsigned i;

	pc_virtio_host(pc, &host);
	CU_ASSERT_EQUAL_FATAL(virtio_rng_create(&host, &v, &err), 0);
	CU_ASSERT_EQUAL(pc_virtio_attach(pc, v, &err), 0);
	/* Rings may lie in RAM, never in a slot, which can be removed. */
	CU_ASSERT_EQUAL(machine_slot_add(pc->machine, SLOT_GPA, 0x1000, false, &slot, &err), 0);
	CU_ASSERT_PTR_NULL(host.memory.range(host.memory.ctx, SLOT_GPA, 16));
	CU_ASSERT_PTR_NOT_NULL(host.memory.range(host.memory.ctx, 0, 64u << 20));
	CU_ASSERT_PTR_NULL(host.memory.range(host.memory.ctx, 0, (64u << 20) + 1));
	CU_ASSERT_PTR_NULL(host.memory.range(host.memory.ctx, PC_HOLE_END, 1));
	CU_ASSERT_EQUAL_FATAL(pc_start(pc, &err), 0);
	CU_ASSERT_EQUAL(machine_wait_end(pc->machine, LIMIT_MS, &report), 1);
	CU_ASSERT_EQUAL(report.end, MACHINE_END_POWEROFF);
	magic = machine_ram_range(pc->machine, 0x2000, 4);
	CU_ASSERT_EQUAL(*magic, 0x74726976); /* "virt" */
	for (i = 0; i < LIMIT_MS && !counters.kicks; i++) {
		usleep(1000);
		virtio_get_counters(v, &counters);
	}
	CU_ASSERT_EQUAL(counters.kicks, 1);
	machine_stop(pc->machine);
	virtio_destroy(v);
	pc_close(pc);
}

static void ends_with(struct pc *pc, enum machine_end end, const char *word)
{
	struct machine_report report = {0};
	struct error err = {0};

	CU_ASSERT_EQUAL_FATAL(pc_start(pc, &err), 0);
	CU_ASSERT_EQUAL(machine_wait_end(pc->machine, LIMIT_MS, &report), 1);
	CU_ASSERT_EQUAL(report.end, end);
	CU_ASSERT_PTR_NOT_NULL(strstr(report.text, word));
	pc_close(pc);
}

static void count_end(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void test_ends(void)
{
	struct machine_report report = {0};
	struct error err = {0};
	atomic_uint ends = 0;
	struct pc *pc;

	ends_with(OPEN_PC(guest_reset, 2), MACHINE_END_RESET, "0xcf9");
	ends_with(OPEN_PC(guest_fault, 2), MACHINE_END_SHUTDOWN, "triple fault");
	/* From a thread that is no vCPU's. */
	pc = OPEN_PC(guest_spin, 2);
	machine_on_end(pc->machine, count_end, &ends);
	CU_ASSERT_EQUAL_FATAL(pc_start(pc, &err), 0);
	machine_guest_end(pc->machine, MACHINE_END_RESET, "from outside");
	machine_guest_end(pc->machine, MACHINE_END_POWEROFF, "too late");
	CU_ASSERT_EQUAL(machine_wait_end(pc->machine, LIMIT_MS, &report), 1);
	CU_ASSERT_EQUAL(report.end, MACHINE_END_RESET);
	CU_ASSERT_STRING_EQUAL(report.text, "from outside");
	machine_stop(pc->machine);
	pc_close(pc);
	CU_ASSERT_EQUAL(atomic_load(&ends), 1);
}

static const struct suite_test tests[] = {
	{"accesses of every kind and a parked look", test_work},
	{"slots and interrupts", test_slots},
	{"a virtio device in a slot", test_virtio},
	{"every way to end", test_ends},
};

int main(void)
{
	struct error err = {0};

	if (machine_probe(MACHINE_KVM, &err))
		SUITE_SKIP("%s", err.text);
	return suite_run("pc", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
