// SPDX-License-Identifier: GPL-2.0-only
/* The journal's file: open, lock, read, describe. */
#include "patch/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "patch/record.h"

static int lock_file(const struct journal *j, struct error *err)
{
	struct stat st;

	if (flock(j->fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
					 "the journal %s is in use by another monitor; stop that "
					 "one first",
					 j->path);
		return error_errno(err, "cannot lock the journal %s", j->path);
	}
	if (fstat(j->fd, &st))
		return error_errno(err, "cannot look at the journal %s", j->path);
	if (!st.st_nlink) /* its owner rewrote it between our open and our lock */
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "the journal %s was being rewritten; try again", j->path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "the journal %s is not a regular file; choose another path",
				 j->path);
	return 0;
}

/* *bytes is NULL for an empty file. */
static int read_all(int fd, const char *path, uint8_t **bytes, size_t *len, struct error *err)
{
	struct stat st;
	uint8_t *buf;
	ssize_t n;

	*bytes = NULL;
	*len = 0;
	if (fstat(fd, &st))
		return error_errno(err, "cannot look at the journal %s", path);
	if (!st.st_size)
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_size > JOURNAL_MAX_BYTES)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFBIG,
				 "the journal %s is larger than %u MiB or no file; move it away "
				 "once its guest is gone",
				 path, JOURNAL_MAX_BYTES >> 20);
	buf = malloc((size_t)st.st_size);
	if (!buf)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory to read the journal %s", path);
	while (*len < (size_t)st.st_size) {
		n = pread(fd, buf + *len, (size_t)st.st_size - *len, (off_t)*len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = error_errno(err, "cannot read the journal %s", path);

			free(buf);
			return rc;
		}
		if (!n)
			break; /* shrank meanwhile */
		*len += (size_t)n;
	}
	*bytes = buf;
	return 0;
}

static int parse_file(int fd, const char *path, struct journal_log *log, struct error *err)
{
	uint8_t *bytes;
	size_t len;
	int rc = read_all(fd, path, &bytes, &len, err);

	memset(log, 0, sizeof(*log));
	/* A header that never got out whole was followed by nothing. */
	if (!rc && len >= JOURNAL_RECORD_SIZE)
		rc = journal_parse(bytes, len, log, err);
	else if (!rc)
		log->torn_bytes = len;
	free(bytes);
	return rc;
}

int journal_open(const char *path, struct journal **out, struct journal_log *log, struct error *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	int rc;

	if (!j)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a journal");
	j->path = strdup(path);
	if (!j->path) {
		rc = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for a journal");
		goto out_free;
	}
	j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (j->fd < 0) {
		rc = error_errno(err, "cannot open the journal %s", j->path);
		goto out_free;
	}
	rc = lock_file(j, err);
	if (!rc)
		rc = parse_file(j->fd, j->path, log, err);
	if (rc)
		goto out_close;
	j->created_ns = log->created_ns;
	j->seq = log->records;
	j->batch = log->batches;
	j->size = (off_t)log->good_bytes;
	if (log->torn_bytes && ftruncate(j->fd, j->size)) {
		rc = journal_not_writable(j, err);
		journal_log_free(log);
		goto out_close;
	}
	*out = j;
	return 0;

out_close:
	close(j->fd);
out_free:
	free(j->path);
	free(j);
	return rc;
}

/* Any lock is a monitor's: ours is exclusive and held for the monitor's life. */
static bool held(int fd)
{
	if (!flock(fd, LOCK_SH | LOCK_NB)) {
		flock(fd, LOCK_UN);
		return false;
	}
	return errno == EWOULDBLOCK;
}

int journal_describe(const char *path, struct journal_summary *s, struct error *err)
{
	struct journal_log log;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc;

	memset(s, 0, sizeof(*s));
	if (fd < 0)
		return error_errno(err, "cannot open the journal %s", path);
	rc = parse_file(fd, path, &log, err);
	if (!rc) {
		s->in_use = held(fd);
		rc = journal_summarise(&log, s);
		journal_log_free(&log);
	}
	close(fd);
	return rc;
}
