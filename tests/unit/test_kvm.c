// SPDX-License-Identifier: GPL-2.0-only
/* The KVM backend without KVM: refusals of its device, exits in words, fault frames. */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "machine/kvm.h"

#define RUN_BYTES   4096
#define RAM_BYTES   0x20000
#define ROOT	    0x10000
#define FAULT_CODE  0xffffff0000006000ull /* handlers and first stack, kvm_fault.c */
#define FAULT_STACK 0x8000
#define FAULT_BASE  0xffffff0000000000ull

static void test_missing(void)
{
	struct error err = {0};

	CU_ASSERT_EQUAL(kvm_open("/nonexistent/kvm", &err), -ENOENT);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/kvm"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "modprobe"));
	CU_ASSERT_TRUE(kvm_open("/dev/null", &err) < 0);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/dev/null is not a KVM device"));
}

/* 0 when opening a file of mode 0 says what it should; as an ordinary user if need be. */
static int open_forbidden(const char *path)
{
	struct error err = {0};

	if (!geteuid() && (setgid(65534) || setuid(65534)))
		return 2;
	if (kvm_open(path, &err) != -EACCES || err.exit_code != HOTRAIL_EXIT_PERMISSION)
		return 3;
	return strstr(err.text, "group kvm") && strstr(err.text, path) ? 0 : 4;
}

static void test_permission(void)
{
	char path[] = "/tmp/hotrail-kvm-XXXXXX";
	int fd = mkstemp(path), status = -1;
	pid_t pid;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(fchmod(fd, 0), 0);
	pid = fork();
	if (!pid)
		_exit(open_forbidden(path));
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(fd);
	unlink(path);
}

/* What a machine runs in each try; the last entry goes on. */
struct tries {
	uint64_t rate[KVM_NATIVE_TRIES];
	unsigned known, asked;
	int ret; /* of the try after those */
};

static int next_rate(void *ctx, uint64_t *rate, struct error *err)
{
	struct tries *t = ctx;

	if (t->ret && t->asked == t->known)
		return error_set(err, HOTRAIL_EXIT_FAILED, t->ret, "no scratch machine");
	*rate = t->rate[t->asked < t->known ? t->asked : t->known - 1];
	t->asked++;
	return 0;
}

static int judge(struct tries *t, struct error *err)
{
	memset(err, 0, sizeof(*err));
	return kvm_cpl0_judge(next_rate, t, err);
}

static void test_emulated(void)
{
	struct tries slow = {.rate = {350, 410, 340}, .known = 3},
		     ended = {.rate = {350, 0}, .known = 2};
	struct error err;

	CU_ASSERT_EQUAL(judge(&slow, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "at 410000 steps a second")); /* its best */
	CU_ASSERT_EQUAL(slow.asked, KVM_NATIVE_TRIES);
	CU_ASSERT_EQUAL(judge(&ended, &err), -ENOTSUP); /* one that ended says nothing */
	CU_ASSERT_EQUAL(ended.asked, KVM_NATIVE_TRIES);
}

/* A loaded one loses windows; a single good one is enough. */
static void test_loaded_is_not_emulated(void)
{
	struct tries native = {.rate = {200000}, .known = 1},
		     late = {.rate = {200, 0, 3999, 200000}, .known = 4},
		     last = {.rate = {[KVM_NATIVE_TRIES - 1] = KVM_NATIVE_RATE_MIN},
			     .known = KVM_NATIVE_TRIES};
	struct error err;

	CU_ASSERT_EQUAL(judge(&native, &err), 0);
	CU_ASSERT_EQUAL(native.asked, 1);
	CU_ASSERT_EQUAL(judge(&late, &err), 0);
	CU_ASSERT_EQUAL(late.asked, 4);
	CU_ASSERT_EQUAL(judge(&last, &err), 0);
	CU_ASSERT_EQUAL(last.asked, KVM_NATIVE_TRIES);
}

static void test_not_measured(void)
{
	struct tries ended = {.known = 1}, broken = {.rate = {350}, .known = 1, .ret = -ENOMEM};
	struct error err;

	CU_ASSERT_EQUAL(judge(&ended, &err), 0); /* whoever starts a guest will see why */
	CU_ASSERT_EQUAL(judge(&broken, &err), -ENOMEM);
	CU_ASSERT_STRING_EQUAL(err.text, "no scratch machine");
}

static union {
	struct kvm_run run;
	uint8_t bytes[RUN_BYTES];
} page;

static enum vcpu_exit decode(struct vcpu_exit_info *exit)
{
	memset(exit, 0, sizeof(*exit));
	return kvm_exit_decode(&page.run, RUN_BYTES, exit);
}

static void set_out(uint8_t size, uint32_t count, uint64_t offset)
{
	memset(&page, 0xaa, sizeof(page));
	page.run.exit_reason = KVM_EXIT_IO;
	page.run.io.direction = KVM_EXIT_IO_OUT;
	page.run.io.port = 0x70;
	page.run.io.size = size;
	page.run.io.count = count;
	page.run.io.data_offset = offset;
}

static void test_port(void)
{
	struct vcpu_exit_info exit;

	set_out(4, 1, RUN_BYTES - 4);
	memcpy(page.bytes + RUN_BYTES - 4, "\x78\x56\x34\x12", 4);
	CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_PORT);
	CU_ASSERT_EQUAL(exit.port, 0x70);
	CU_ASSERT_EQUAL(exit.value, 0x12345678);
	page.run.io.size = 1; /* no rest of a wider access is read */
	CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_PORT);
	CU_ASSERT_EQUAL(exit.value, 0x78);
}

static void test_port_refusals(void)
{
	static const struct {
		uint8_t size;
		uint32_t count;
		uint64_t offset;
		enum machine_end end;
	} bad[] = {
		{4, 1, RUN_BYTES - 3, MACHINE_END_INTERNAL},
		{4, 1, ~0ull, MACHINE_END_INTERNAL},
		{4, 1, RUN_BYTES, MACHINE_END_INTERNAL},
		{3, 1, 2048, MACHINE_END_INTERNAL},
		{8, 1, 2048, MACHINE_END_INTERNAL},
		{1, 0, 2048, MACHINE_END_FAULT},
		{1, 2, 2048, MACHINE_END_FAULT},
	};
	struct vcpu_exit_info exit;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_out(bad[i].size, bad[i].count, bad[i].offset);
		CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_END);
		CU_ASSERT_EQUAL(exit.end, bad[i].end);
		CU_ASSERT_TRUE(exit.text[0]);
	}
	set_out(4, 1, 2048);
	page.run.io.direction = KVM_EXIT_IO_IN;
	CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_END);
	CU_ASSERT_EQUAL(exit.end, MACHINE_END_FAULT);
}

static void test_words(void)
{
	static const struct {
		uint32_t reason;
		enum machine_end end;
		const char *text;
	} exits[] = {
		{KVM_EXIT_SHUTDOWN, MACHINE_END_SHUTDOWN, "triple fault"},
		{KVM_EXIT_HLT, MACHINE_END_FAULT, "hlt"},
		{KVM_EXIT_FAIL_ENTRY, MACHINE_END_INTERNAL, "refused"},
		{KVM_EXIT_INTERNAL_ERROR, MACHINE_END_INTERNAL, "suberror"},
		{KVM_EXIT_MMIO, MACHINE_END_FAULT, "guest-physical"},
		{0xfffffff0, MACHINE_END_INTERNAL, "does not know"},
	};
	struct vcpu_exit_info exit;
	size_t i;

	for (i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
		memset(&page, 0xff, sizeof(page));
		page.run.exit_reason = exits[i].reason;
		CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_END);
		CU_ASSERT_EQUAL(exit.end, exits[i].end);
		CU_ASSERT_PTR_NOT_NULL(strstr(exit.text, exits[i].text));
	}
	page.run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
	page.run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	CU_ASSERT_EQUAL(decode(&exit), VCPU_EXIT_END);
	CU_ASSERT_PTR_NOT_NULL(strstr(exit.text, "emulate"));
}

static uint8_t ram[RAM_BYTES] __attribute__((aligned(8)));

static void push(uint64_t at, uint64_t value)
{
	memcpy(ram + at, &value, 8);
}

static void test_frame(void)
{
	uint64_t top = FAULT_STACK + 2 * 0x1000; /* vCPU 1 */
	struct kvm_fault_frame f;

	memset(ram, 0, sizeof(ram));
	CU_ASSERT_TRUE(kvm_fault_install(ram, RAM_BYTES, ROOT));
	push(top - 8, 0x18); /* SS, RSP, RFLAGS, CS, RIP, error code */
	push(top - 16, 0x1111);
	push(top - 24, 0x2222);
	push(top - 32, 0x10);
	push(top - 40, 0x3333);
	push(top - 48, 0x4444);
	CU_ASSERT_TRUE(kvm_fault_frame(ram, 1, FAULT_CODE + 14 + 1, FAULT_BASE + top - 48, &f));
	CU_ASSERT_EQUAL(f.vector, 14);
	CU_ASSERT_EQUAL(f.error_code, 0x4444);
	CU_ASSERT_EQUAL(f.rip, 0x3333);
	CU_ASSERT_EQUAL(f.rflags, 0x2222);
	CU_ASSERT_EQUAL(f.rsp, 0x1111);
	CU_ASSERT_TRUE(kvm_fault_frame(ram, 1, FAULT_CODE + 6 + 1, FAULT_BASE + top - 40, &f));
	CU_ASSERT_EQUAL(f.vector, 6);
	CU_ASSERT_EQUAL(f.error_code, 0);
}

static void test_frame_refusals(void)
{
	uint64_t rsp = FAULT_BASE + FAULT_STACK + 0x1000 - 40;
	struct kvm_fault_frame f;

	memset(ram, 0, sizeof(ram));
	CU_ASSERT_FALSE(kvm_fault_install(ram, 0x8000, ROOT)); /* no room */
	CU_ASSERT_FALSE(kvm_fault_install(ram, RAM_BYTES, RAM_BYTES));
	CU_ASSERT_FALSE(kvm_fault_install(ram, RAM_BYTES, 0x1000)); /* root in the way */
	push(ROOT + 510 * 8, 1);
	CU_ASSERT_FALSE(kvm_fault_install(ram, RAM_BYTES, ROOT)); /* the guest has that slot */
	CU_ASSERT_EQUAL(ram[0x6000], 0);
	push(ROOT + 510 * 8, 0);
	CU_ASSERT_TRUE(kvm_fault_install(ram, RAM_BYTES, ROOT));
	CU_ASSERT_TRUE(kvm_fault_frame(ram, 0, FAULT_CODE + 7, rsp, &f));
	CU_ASSERT_FALSE(kvm_fault_frame(ram, 0, FAULT_CODE, rsp, &f));
	CU_ASSERT_FALSE(kvm_fault_frame(ram, 0, FAULT_CODE + 257, rsp, &f));
	CU_ASSERT_FALSE(kvm_fault_frame(ram, 0, 0x40000000, rsp, &f));
	CU_ASSERT_FALSE(kvm_fault_frame(ram, 0, FAULT_CODE + 7, rsp - 8, &f));
	CU_ASSERT_FALSE(kvm_fault_frame(ram, 1, FAULT_CODE + 7, rsp, &f)); /* another's stack */
	CU_ASSERT_FALSE(kvm_fault_frame(ram, HOTRAIL_MAX_VCPUS, FAULT_CODE + 7, rsp, &f));
}

static const struct suite_test tests[] = {
	{"a missing or wrong device is named with the remedy", test_missing},
	{"a forbidden device says which group", test_permission},
	{"a kernel level that is slow each time is emulated", test_emulated},
	{"a loaded machine is not taken for an emulator", test_loaded_is_not_emulated},
	{"without a measurement nothing is refused", test_not_measured},
	{"a port write is read from the shared page", test_port},
	{"odd port accesses are refused", test_port_refusals},
	{"every exit has its words", test_words},
	{"a caught fault gives the faulting registers", test_frame},
	{"what is no caught fault is not taken for one", test_frame_refusals},
};

SUITE_MAIN("kvm", tests, 30)
