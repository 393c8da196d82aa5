// SPDX-License-Identifier: GPL-2.0-only
/* --detach: the monitor is a child in a session of its own; the parent waits for its first word. */
#include "cmd/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "control/message.h"
#include "show/show.h"

#define FIRST_WORD_MAX 8192

/* One line. The guest's processes may hold the pipe open too, so its end is no sign of anything. */
static size_t read_line(int fd, char *buf, size_t cap)
{
	size_t used = 0;
	ssize_t n;

	while (used < cap) {
		n = read(fd, buf + used, cap - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (buf[used - 1] == '\n')
			return used;
	}
	return 0;
}

static int died(pid_t pid)
{
	struct error err;
	int status = 0;

	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "the monitor was killed by signal %d before the guest ran",
			  WTERMSIG(status));
	else
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "the monitor ended (exit code %d) before the guest ran",
			  WEXITSTATUS(status));
	return cmd_fail(&err);
}

static int parent(const struct run_options *o, pid_t pid, int fd)
{
	json_t *message, *doc = NULL;
	char line[FIRST_WORD_MAX];
	struct error err;
	struct show show;
	size_t len = read_line(fd, line, sizeof(line));
	int ret;

	if (!len)
		return died(pid);
	message = json_loadb(line, len, 0, NULL);
	ret = control_answer_parse(message, 0, &doc, &err);
	json_decref(message);
	if (ret)
		return cmd_fail(&err);
	show_init(&show, stdout, o->json);
	ret = show_document(&show, "run", doc);
	json_decref(doc);
	return ret ? HOTRAIL_EXIT_FAILED : HOTRAIL_EXIT_OK;
}

/* Standard output and error become the log once there is one; until then they are the caller's. */
static int child(const struct run_options *o, int fd)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	return o->kernel ? run_linux(o, fd) : run_monitor(o, fd);
}

int run_detached(const struct run_options *o)
{
	struct error err;
	int fds[2], ret;
	pid_t pid;

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC)) {
		error_errno(&err, "--detach: pipe");
		return cmd_fail(&err);
	}
	/* Before any thread exists: only the forking thread lives on in a child. */
	pid = fork();
	if (pid < 0) {
		error_errno(&err, "--detach: fork");
		close(fds[0]);
		close(fds[1]);
		return cmd_fail(&err);
	}
	if (!pid) {
		close(fds[0]);
		return child(o, fds[1]);
	}
	close(fds[1]);
	ret = parent(o, pid, fds[0]);
	close(fds[0]);
	return ret;
}
