// SPDX-License-Identifier: GPL-2.0-only
/* Starts and ends vCPU processes: fork, stub, maps, no system calls. */
#include "machine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/stub.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2) /* <linux/close_range.h> */
#endif
#ifndef SYS_close_range
#define SYS_close_range 436 /* <asm/unistd_64.h> */
#endif
#define FD_BOUND 65536 /* where close_range() is missing */

int process_stub_open(struct error *err)
{
	size_t size = (size_t)(stub_image_end - stub_image);
	int fd = memfd_create("hotrail-vcpu", MFD_CLOEXEC);

	if (fd < 0)
		return error_errno(err, "cannot create a memory file for the vCPU program");
	if (write(fd, stub_image, size) != (ssize_t)size) {
		int ret = error_errno(err, "cannot write the vCPU program");

		close(fd);
		return ret;
	}
	return fd;
}

int process_wait(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, __WALL);
	while (got < 0 && errno == EINTR);
	return got == pid ? 0 : -errno;
}

/* In the child, between fork and exec: async-signal-safe calls only. Returns an errno. */
static int become_stub(int stub_fd, int ram_fd, pid_t monitor)
{
	static const struct rlimit no_core = {0, 0};
	static char name[] = "hotrail-vcpu";
	char *argv[] = {name, NULL}, *envp[] = {NULL};
	sigset_t none;
	int fd;

	/* A blocked signal would make every kick wait for ever; exec keeps the mask. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid(); /* the terminal's signals are for the monitor */
	setrlimit(RLIMIT_CORE, &no_core);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != monitor)
		return errno ? errno : ESRCH; /* the monitor died before the prctl */
	if (syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_CLOEXEC))
		for (fd = 0; fd < FD_BOUND; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (fcntl(ram_fd, F_SETFD, 0) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return errno;
	syscall(SYS_execveat, stub_fd, "", argv, envp, AT_EMPTY_PATH);
	return errno;
}

/* Resume until the next SIGTRAP; other signals (a stray kill) are dropped, within a bound. */
static int run_to_trap(pid_t pid, int *status)
{
	int tries, ret;

	for (tries = 0; tries < 64; tries++) {
		if (ptrace(PTRACE_CONT, pid, NULL, NULL) && errno != ESRCH)
			return -errno;
		ret = process_wait(pid, status);
		if (ret)
			return ret;
		if (!WIFSTOPPED(*status))
			return -ECHILD;
		if (WSTOPSIG(*status) == SIGTRAP)
			return 0;
	}
	return -EINTR;
}

static int put_config(pid_t pid, int ram_fd, const struct machine_map *maps, unsigned count)
{
	struct stub_config config = {.ram_fd = (uint64_t)ram_fd, .count = count};
	const long *words = (const long *)&config;
	size_t i, used = offsetof(struct stub_config, map[count]);

	for (i = 0; i < count; i++) {
		config.map[i].addr = maps[i].gva;
		config.map[i].size = maps[i].size;
		config.map[i].offset = maps[i].gpa;
		config.map[i].prot = PROT_READ | (maps[i].prot & MACHINE_W ? PROT_WRITE : 0) |
				     (maps[i].prot & MACHINE_X ? PROT_EXEC : 0);
	}
	for (i = 0; i < used / sizeof(long); i++)
		if (ptrace(PTRACE_POKEDATA, pid, (void *)(STUB_CONFIG + i * sizeof(long)),
			   (void *)words[i]))
			return -errno;
	return 0;
}

/* The child stopped at its exec: give it its maps and let it lock itself in. */
static int prepare(pid_t pid, int ram_fd, const struct machine_map *maps, unsigned count,
		   struct error *err)
{
	static const char *const steps[] = {
		[STUB_STEP_MAP] = "map guest RAM",
		[STUB_STEP_PRIVS] = "give up privileges",
		[STUB_STEP_SECCOMP] = "give up system calls",
		[STUB_STEP_DONE] = "end",
	};
	struct user_regs_struct regs;
	int status, ret;

	/* EXITKILL: the child dies with its tracer whatever happens to PDEATHSIG. */
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(long)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)))
		return error_errno(err, "cannot trace the vCPU process");
	ret = put_config(pid, ram_fd, maps, count);
	if (!ret)
		ret = run_to_trap(pid, &status);
	if (!ret && ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		ret = -errno;
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "the vCPU process did not get ready: %s", strerror(-ret));
	if (regs.r12 == STUB_STEP_DONE && !regs.rax)
		return 0;
	ret = (long long)regs.rax < 0 && (long long)regs.rax > -4096 ? (int)regs.rax : -EEXIST;
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret, "the vCPU process could not %s: %s",
			 regs.r12 && regs.r12 < STUB_STEP_DONE ? steps[regs.r12] : "start",
			 strerror(-ret));
}

static int start_child(int stub_fd, int ram_fd, struct process_child *child, struct error *err)
{
	pid_t monitor = getpid();
	int status, ret;

	child->pid = fork();
	if (child->pid < 0) {
		child->pid = 0;
		return error_errno(err, "cannot start a vCPU process");
	}
	if (!child->pid)
		_exit(become_stub(stub_fd, ram_fd, monitor)); /* lint: child */
	ret = process_wait(child->pid, &status);
	if (!ret && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
		child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
		if (child->pidfd >= 0)
			return 0;
		return error_errno(err, "cannot open the vCPU process (Linux 5.3 or later needed)");
	}
	if (ret || !WIFSTOPPED(status))
		child->pid = 0; /* reaped */
	ret = ret ? ret : WIFEXITED(status) && WEXITSTATUS(status) ? -WEXITSTATUS(status) : -EIO;
	return error_set(err,
			 ret == -EPERM || ret == -EACCES ? HOTRAIL_EXIT_PERMISSION
							 : HOTRAIL_EXIT_UNSUPPORTED,
			 ret,
			 "cannot trace a vCPU process (%s): check kernel.yama.ptrace_scope, "
			 "vm.memfd_noexec and the container's seccomp profile",
			 strerror(-ret));
}

int process_spawn(int stub_fd, int ram_fd, const struct machine_map *maps, unsigned count,
		  struct process_child *out, struct error *err)
{
	int ret;

	out->pid = 0;
	out->pidfd = -1;
	if (count > STUB_MAPS_MAX)
		return error_set(err, HOTRAIL_EXIT_FAILED, -E2BIG,
				 "%u guest maps; the process backend takes at most %d", count,
				 STUB_MAPS_MAX);
	ret = start_child(stub_fd, ram_fd, out, err);
	if (!ret)
		ret = prepare(out->pid, ram_fd, maps, count, err);
	if (ret)
		process_kill(out);
	return ret;
}

void process_kill(struct process_child *child)
{
	int status;

	if (child->pid > 0) {
		/* Our own unreaped child: the pid cannot be anybody else's. */
		kill(child->pid, SIGKILL);
		while (!process_wait(child->pid, &status) && WIFSTOPPED(status))
			; /* a stop reported before the kill */
		child->pid = 0;
	}
	if (child->pidfd >= 0)
		close(child->pidfd);
	child->pidfd = -1;
}
