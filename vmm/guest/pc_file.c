// SPDX-License-Identifier: GPL-2.0-only
/* Reading the files a PC starts from. */
#include "guest/pc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(int fd, const char *path, const char *what, uint64_t max, uint64_t *size,
		 struct error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_errno(err, "%s %.160s: cannot examine", what, path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "%s %.160s: no regular file",
				 what, path);
	if (!st.st_size)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "%s %.160s: an empty file",
				 what, path);
	if ((uint64_t)st.st_size > max)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFBIG,
				 "%s %.160s: %llu MiB are too large; at most %llu", what, path,
				 (unsigned long long)st.st_size >> 20,
				 (unsigned long long)max >> 20);
	*size = (uint64_t)st.st_size;
	return 0;
}

int pc_file_open(const char *path, const char *what, uint64_t max, uint64_t *size,
		 struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hang us before fstat() tells what it is. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;

	if (fd < 0)
		return error_errno(err, "%s %.160s: cannot open", what, path);
	ret = check(fd, path, what, max, size, err);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int pc_file_read(int fd, const char *path, void *buf, uint64_t size, struct error *err)
{
	uint8_t *to = buf;
	uint64_t done = 0;
	ssize_t n;

	while (done < size) {
		n = pread(fd, to + done, size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "%.160s: cannot read", path);
		if (!n)
			return error_set(err, HOTRAIL_EXIT_FAILED, -EIO,
					 "%.160s: became shorter while it was read", path);
		done += (uint64_t)n;
	}
	return 0;
}
