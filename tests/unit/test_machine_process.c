// SPDX-License-Identifier: GPL-2.0-only
/* The process backend: how a machine begins, ends and is refused; what it leaves behind. */
#include "process_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void test_runs_and_stops(void)
{
	unsigned fds = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
	struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
	struct machine_report report;
	struct error err;

	CU_ASSERT_EQUAL(machine_cpl(m), 3);
	CU_ASSERT_EQUAL(machine_backend(m), MACHINE_PROCESS);
	CU_ASSERT_EQUAL(*counter(m, 0), 0);
	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	CU_ASSERT_EQUAL(machine_start(m, &err), -EALREADY);
	CU_ASSERT_TRUE(counts_on(m, 0) && counts_on(m, 1));
	CU_ASSERT_EQUAL(machine_wait_end(m, 0, &report), 0);
	machine_stop(m);
	CU_ASSERT_EQUAL(machine_wait_end(m, -1, &report), 1);
	CU_ASSERT_EQUAL(report.end, MACHINE_END_STOPPED);
	CU_ASSERT_TRUE(report.regs.rip >= TEXT && report.regs.rip < TEXT + 5);
	CU_ASSERT_FALSE(counts_on(m, 0));
	machine_stop(m);
	machine_destroy(m);
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* no child is left */
	CU_ASSERT_EQUAL(count_entries("/proc/self/fd"), fds);
	CU_ASSERT_EQUAL(count_entries("/proc/self/task"), threads);
}

static void test_never_started(void)
{
	machine_destroy(guest(2, count_loop, sizeof(count_loop), NULL));
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

static void test_port(void)
{
	static const uint8_t code[] = {
		0xb8, 0x44, 0x33, 0x22, 0x11, /* mov $0x11223344, %eax */
		0xe7, 0x70,		      /* out %eax, $0x70 */
		0xe6, 0x71,		      /* out %al, $0x71 */
		0x48, 0xff, 0x06,	      /* incq (%rsi) */
		0xeb, 0xfb,		      /* jmp back to the incq */
	};
	struct ports ports = {0};
	struct machine *m = guest(1, code, sizeof(code), &ports);
	struct error err;

	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	CU_ASSERT_TRUE(counts_on(m, 0));
	CU_ASSERT_EQUAL(ports.count, 2);
	CU_ASSERT_EQUAL(ports.last_port, 0x71);
	CU_ASSERT_EQUAL(ports.last_value, 0x44);
	machine_destroy(m);
}

struct ending {
	const char *what;
	uint8_t code[16];
	size_t len;
	enum machine_end end;
	const char *says;
	gva_t rip;
};

static void ended(void *ctx)
{
	(*(_Atomic int *)ctx)++;
}

static void test_endings(void)
{
	static const struct ending all[] = {
		{"syscall",
		 {0x31, 0xc0, 0x0f, 0x05},
		 4,
		 MACHINE_END_FAULT,
		 "system call",
		 TEXT + 2},
		/* A system call, or a #GP where the kernel has no 32-bit ones. */
		{"int 0x80", {0xcd, 0x80}, 2, MACHINE_END_FAULT, "", TEXT},
		{"ud2", {0x0f, 0x0b}, 2, MACHINE_END_FAULT, "invalid", TEXT},
		{"hlt", {0xf4}, 1, MACHINE_END_FAULT, "privileged", TEXT},
		{"in", {0xe5, 0x70}, 2, MACHINE_END_FAULT, "privileged", TEXT},
		{"int3", {0xcc}, 1, MACHINE_END_SHUTDOWN, "breakpoint", TEXT + 1},
		{"div 0",
		 {0x31, 0xc9, 0xf7, 0xf1},
		 4,
		 MACHINE_END_SHUTDOWN,
		 "arithmetic",
		 TEXT + 2},
		/* movabs 0x123000, %al */
		{"read",
		 {0xa0, 0, 0x30, 0x12, 0, 0, 0, 0, 0},
		 9,
		 MACHINE_END_FAULT,
		 "0x123000",
		 TEXT},
		/* movabs %al, TEXT */
		{"write text",
		 {0xa2, 0, 0, 0, 0x40, 0, 0, 0, 0},
		 9,
		 MACHINE_END_FAULT,
		 "0x40000000",
		 TEXT},
		/* movabs %al, STACK + 4096: mapped read-only */
		{"write ro",
		 {0xa2, 0, 0x40, 0, 0x40, 0, 0, 0, 0},
		 9,
		 MACHINE_END_FAULT,
		 "0x40004000",
		 TEXT},
		/* jmp DATA: not executable */
		{"run data", {0xe9, 0xfb, 0x0f, 0, 0}, 5, MACHINE_END_FAULT, "0x40001000", DATA},
		/* out %eax, $0x99: no device there */
		{"port", {0xe7, 0x99}, 2, MACHINE_END_FAULT, "0x99", TEXT},
		/* mov $-10485760, %rax ; call *%rax: the vsyscall page */
		{"vsyscall",
		 {0x48, 0xc7, 0xc0, 0, 0, 0x60, 0xff, 0xff, 0xd0},
		 9,
		 MACHINE_END_FAULT,
		 "",
		 0},
	};
	struct ports ports = {0};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct machine *m = guest(2, all[i].code, all[i].len, &ports);
		struct machine_report r = {0};
		_Atomic int ends = 0;
		struct machine_pause pause;
		struct error err;

		machine_on_end(m, ended, &ends);
		CU_ASSERT_EQUAL(machine_start(m, &err), 0);
		CU_ASSERT_EQUAL(machine_wait_end(m, LIMIT, &r), 1);
		if (r.end != all[i].end || !strstr(r.text, all[i].says) ||
		    (all[i].rip && r.regs.rip != all[i].rip)) {
			printf("%s: end %d rip %#lx: %s\n", all[i].what, r.end,
			       (unsigned long)r.regs.rip, r.text);
			CU_FAIL("wrong report");
		}
		if (all[i].rip == TEXT) {
			CU_ASSERT_EQUAL(r.bytes_len, 16);
			CU_ASSERT_EQUAL(memcmp(r.bytes, all[i].code, all[i].len), 0);
		}
		CU_ASSERT_EQUAL(machine_pause_begin(m, BUDGET, &pause, &err), -ESHUTDOWN);
		machine_stop(m);
		CU_ASSERT_EQUAL(machine_wait_end(m, 0, &r), 1);
		CU_ASSERT_EQUAL(r.end, all[i].end); /* a stop does not rewrite the report */
		machine_destroy(m);
		CU_ASSERT_EQUAL(ends, 1);
	}
}

static void test_refusals(void)
{
	struct ports ports = {0};
	struct machine_config good = basic_config(1, &ports), c;
	struct machine_map map = maps[0];
	struct machine *m = NULL;
	struct error err;

#define REFUSED(want, word)                                                                        \
	do {                                                                                       \
		CU_ASSERT_EQUAL(machine_create(&c, &m, &err), want);                               \
		CU_ASSERT_PTR_NULL(m);                                                             \
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, word));                                    \
	} while (0)
	c = good, c.cpl = MACHINE_CPL_0;
	REFUSED(-ENOTSUP, "level 0");
	c = good, c.vcpus = 0;
	REFUSED(-EINVAL, "vCPU");
	c = good, c.vcpus = HOTRAIL_MAX_VCPUS + 1;
	REFUSED(-EINVAL, "vCPU");
	c = good, c.ram_bytes = RAM + 1;
	REFUSED(-EINVAL, "RAM");
	c = good, c.maps = &map, c.maps_count = 1;
	map.gva = 0xffffffff80000000ull;
	REFUSED(-ENOTSUP, "HOTRAIL_BASE_LOW");
	map.gva = 0x10000; /* the stub is there */
	REFUSED(-ENOTSUP, "HOTRAIL_BASE_LOW");
	map.gva = TEXT, map.gpa = 0x1000;
	REFUSED(-EINVAL, "low 2 MiB");
	map.gpa = RAM;
	REFUSED(-EINVAL, "beyond");
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG | __WALL), -1);
}

/* Too few file descriptors for the RAM, the stub, the first vCPU, the second: whatever step
 * fails, nothing is left. */
static void test_creation_fails_anywhere(void)
{
	unsigned fds = count_entries("/proc/self/fd") - 3, i, failed = 0; /* ".", "..", itself */
	unsigned threads = count_entries("/proc/self/task");
	struct machine_config c = basic_config(2, NULL);
	struct rlimit old, low;
	struct machine *m;
	struct error err;

	getrlimit(RLIMIT_NOFILE, &old);
	for (i = 0; i < 32; i++) {
		low = old;
		low.rlim_cur = i < 31 ? i : old.rlim_cur;
		setrlimit(RLIMIT_NOFILE, &low);
		err.text[0] = '\0';
		if (machine_create(&c, &m, &err)) {
			failed++;
			CU_ASSERT_PTR_NULL(m);
			CU_ASSERT_TRUE(err.text[0] != '\0');
		} else {
			machine_destroy(m);
		}
		setrlimit(RLIMIT_NOFILE, &old);
		CU_ASSERT_EQUAL(count_entries("/proc/self/fd") - 3, fds);
		CU_ASSERT_EQUAL(count_entries("/proc/self/task"), threads);
		CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	}
	CU_ASSERT_TRUE(failed >= 4 && failed < 32);
}

static void test_child_killed(void)
{
	struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
	struct machine_report r;
	struct error err;

	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	CU_ASSERT_TRUE(counts_on(m, 1));
	CU_ASSERT_EQUAL(kill(machine_vcpu_tid(m, 1), SIGKILL), 0);
	CU_ASSERT_EQUAL(machine_wait_end(m, LIMIT, &r), 1);
	CU_ASSERT_EQUAL(r.end, MACHINE_END_INTERNAL);
	CU_ASSERT_EQUAL(r.vcpu, 1);
	machine_kick(m, 1);
	machine_destroy(m);
}

/* The whole process dies without a word: its vCPU processes must go with it. */
static void test_monitor_killed(void)
{
	int fds[2], status;
	pid_t monitor, tids[2] = {0};
	uint64_t until;
	unsigned i;

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	monitor = fork();
	if (!monitor) {
		struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
		struct error err;

		machine_start(m, &err);
		for (i = 0; i < 2; i++)
			tids[i] = machine_vcpu_tid(m, i);
		if (write(fds[1], tids, sizeof(tids)) != sizeof(tids))
			_exit(1);
		for (;;)
			sleep(1);
	}
	CU_ASSERT_EQUAL(read(fds[0], tids, sizeof(tids)), (ssize_t)sizeof(tids));
	close(fds[0]);
	close(fds[1]);
	CU_ASSERT_TRUE_FATAL(tids[0] > 0 && tids[1] > 0);
	CU_ASSERT_EQUAL(kill(tids[0], 0), 0);
	kill(monitor, SIGKILL);
	waitpid(monitor, &status, 0);
	until = clock_ns() + LIMIT * 1000000ull;
	for (i = 0; i < 2; i++) {
		char path[64], state = 'Z';
		FILE *f;

		do { /* gone, or a zombie that init has not fetched yet */
			clock_sleep_ms(2);
			snprintf(path, sizeof(path), "/proc/%d/stat", tids[i]);
			f = fopen(path, "r");
			state = 'Z';
			if (f) {
				if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
					state = 'Z';
				fclose(f);
			}
		} while (state != 'Z' && state != 'X' && clock_ns() < until);
		CU_ASSERT_TRUE(state == 'Z' || state == 'X');
	}
}

static void test_child_is_bare(void)
{
	struct machine *m = guest(1, count_loop, sizeof(count_loop), NULL);
	char path[64], line[256];
	unsigned maps_seen = 0, foreign = 0;
	unsigned long start;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", machine_vcpu_tid(m, 0));
	f = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(line, sizeof(line), f)) {
		start = strtoul(line, NULL, 16);
		if (start == 0x10000 || strstr(line, "[vsyscall]"))
			continue;
		if (start >= TEXT && start <= STACK + 4096 && strstr(line, "hotrail-ram"))
			maps_seen++;
		else
			foreign++;
	}
	fclose(f);
	CU_ASSERT_TRUE(maps_seen >= 3);
	CU_ASSERT_EQUAL(foreign, 0);
	snprintf(path, sizeof(path), "/proc/%d/fd", machine_vcpu_tid(m, 0));
	CU_ASSERT_EQUAL(count_entries(path), 2); /* "." and ".." */
	machine_destroy(m);
}

static const struct suite_test tests[] = {
	{"two vCPUs run and stop and leave nothing behind", test_runs_and_stops},
	{"a machine never started is destroyed", test_never_started},
	{"port writes reach the handler once", test_port},
	{"what ends a run and how it is told", test_endings},
	{"refused configurations", test_refusals},
	{"creation that fails leaves nothing behind", test_creation_fails_anywhere},
	{"a vCPU process killed from outside", test_child_killed},
	{"vCPU processes die with the monitor", test_monitor_killed},
	{"a vCPU process has guest memory and nothing else", test_child_is_bare},
};

SUITE_MAIN("machine-process", tests, 120)
