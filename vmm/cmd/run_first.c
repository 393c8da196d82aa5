// SPDX-License-Identifier: GPL-2.0-only
/* What a monitor says first: to the parent that waits for it when detached, or on the terminal. */
#include "cmd/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "control/message.h"

int run_open_log(struct monitor *m, struct error *err)
{
	char path[320];
	int fd;

	registry_path(&m->entry, "log", path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "%.200s: cannot write the log", path);
	fflush(NULL);
	if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
		close(fd);
		return error_errno(err, "%.200s: cannot redirect to the log", path);
	}
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}

int run_tell_parent(int *ready_fd, json_t *message)
{
	size_t len, done = 0;
	char *line = control_line(message, &len);
	ssize_t n;
	int ret = line ? 0 : -ENOMEM;

	json_decref(message);
	while (!ret && done < len) {
		n = write(*ready_fd, line + done, len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			ret = -errno;
	}
	free(line);
	close(*ready_fd);
	*ready_fd = -1;
	return ret;
}

int run_tell_failure(int *ready_fd, const struct error *err)
{
	int code = err->exit_code ? (int)err->exit_code : HOTRAIL_EXIT_FAILED;

	if (*ready_fd >= 0)
		run_tell_parent(ready_fd, control_refusal(err, false, NULL));
	else
		cmd_fail(err);
	return code;
}
