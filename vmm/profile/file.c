// SPDX-License-Identifier: GPL-2.0-only
/* Profile files on disk: bounded reading, atomic writing. */
#include "profile/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hotrail/profile_file.h>

#define MAX_BYTES                                                                                  \
	(sizeof(struct hotrail_profile_header) +                                                   \
	 (size_t)HOTRAIL_PROFILE_MAX_EDGES * sizeof(struct hotrail_profile_edge))

/* The size of a regular file of acceptable size, or negative errno. */
static long file_size(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_errno(err, "cannot read profile %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "cannot read profile %s: not a regular file", path);
	if (st.st_size < 0 || (uint64_t)st.st_size > MAX_BYTES)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "cannot read profile %s: %lld bytes, the largest profile has %zu",
				 path, (long long)st.st_size, MAX_BYTES);
	return (long)st.st_size;
}

/* Read up to len bytes; fewer when the file shrank meanwhile. */
static ssize_t read_all(int fd, uint8_t *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int profile_load(const char *path, struct profile **out, struct error *err)
{
	uint8_t *bytes = NULL;
	struct error why;
	ssize_t got;
	long size;
	int fd, ret;

	*out = NULL;
	/* O_NONBLOCK: a fifo must not hang us before fstat() can refuse it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, "cannot open profile %s", path);
	size = file_size(fd, path, err);
	ret = (int)size;
	if (size < 0)
		goto out_fd;
	bytes = malloc((size_t)size + 1);
	if (!bytes) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for profile %s",
				path);
		goto out_fd;
	}
	got = read_all(fd, bytes, (size_t)size);
	if (got < 0) {
		ret = error_errno(err, "cannot read profile %s", path);
		goto out_bytes;
	}
	ret = profile_parse(bytes, (size_t)got, out, &why);
	if (ret)
		error_set(err, why.exit_code, ret, "%.100s: %.200s", path, why.text);
out_bytes:
	free(bytes);
out_fd:
	close(fd);
	return ret;
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

/* So that the rename itself survives a power cut; a file system that cannot is forgiven. */
static void sync_folder(const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int fd;

	if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
		return;
	slash = strrchr(folder, '/');
	if (!slash)
		strcpy(folder, ".");
	else
		slash[slash == folder] = 0;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int write_failed(const char *path, struct error *err)
{
	int saved = errno;

	if (saved == ENOSPC || saved == EDQUOT)
		return error_set(
			err, HOTRAIL_EXIT_FAILED, -saved,
			"cannot save profile %s: the disk is full (%s); the old file, if any, is "
			"untouched",
			path, strerror(saved));
	return error_errno(err, "cannot save profile %s", path);
}

/* Readable by all, as far as the umask allows; mkstemp() alone gives 0600. */
static int open_up(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	return fchmod(fd, 0644 & ~mask);
}

int profile_save(const char *path, const struct profile *p, struct error *err)
{
	char temp[PATH_MAX];
	uint8_t *bytes;
	size_t len;
	int fd, ret;

	ret = profile_serialise(p, &bytes, &len);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "cannot save profile %s: %s", path,
				 ret == -ENOMEM ? "no memory"
						: "no build id, or edges out of order or too many");
	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp)) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENAMETOOLONG,
				"cannot save profile: its path is longer than %d bytes", PATH_MAX);
		goto out_bytes;
	}
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		ret = write_failed(path, err);
		goto out_bytes;
	}
	if (open_up(fd) || write_all(fd, bytes, len)) {
		ret = write_failed(path, err);
		close(fd);
		goto out_temp;
	}
	if (close(fd) || rename(temp, path)) {
		ret = write_failed(path, err);
		goto out_temp;
	}
	sync_folder(path);
	goto out_bytes;
out_temp:
	unlink(temp);
out_bytes:
	free(bytes);
	return ret;
}
