// SPDX-License-Identifier: GPL-2.0-only
/* How long QEMU takes to bring the same kernel to the same point. */
#include "cmd/bench_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"

#define LIMIT_NS 300000000000ull
#define READY	 "HOTRAIL ready "

extern char **environ;

static pid_t start(const struct bench_options *o, int out)
{
	char vcpus[16];
	char *argv[] = {"qemu-system-x86_64",
			"-accel",
			"kvm",
			"-cpu",
			"host",
			"-machine",
			"q35",
			"-smp",
			vcpus,
			"-m",
			"512",
			"-nodefaults",
			"-no-user-config",
			"-no-reboot",
			"-display",
			"none",
			"-serial",
			"stdio",
			"-kernel",
			(char *)o->kernel,
			"-initrd",
			(char *)o->initrd,
			"-append",
			(char *)linux_bench_cmdline(),
			NULL};
	posix_spawn_file_actions_t files;
	pid_t pid;
	int ret;

	snprintf(vcpus, sizeof(vcpus), "%u", o->vcpus);
	if (posix_spawn_file_actions_init(&files))
		return -1;
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	return ret ? -1 : pid;
}

/* True once the first process has spoken; false when QEMU ended or the time is over. */
static bool wait_ready(int in, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = in, .events = POLLIN};
	char seen[sizeof(READY)] = "", byte;
	size_t n = strlen(READY);

	while (clock_ns() < deadline_ns) {
		if (poll(&p, 1, 200) <= 0)
			continue;
		if (read(in, &byte, 1) != 1)
			return false;
		memmove(seen, seen + 1, n - 1);
		seen[n - 1] = byte;
		if (!memcmp(seen, READY, n))
			return true;
	}
	return false;
}

double linux_bench_boot_qemu(const struct bench_options *o)
{
	uint64_t begin = clock_ns();
	double seconds = -1;
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return -1;
	pid = start(o, pipes[1]);
	close(pipes[1]);
	if (pid > 0) {
		if (wait_ready(pipes[0], begin + LIMIT_NS))
			seconds = (clock_ns() - begin) / 1e9;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(pipes[0]);
	return seconds;
}
