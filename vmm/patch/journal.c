// SPDX-License-Identifier: GPL-2.0-only
/* Writing a journal: open, lock, append, close. */
#include "patch/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "patch/record.h"

struct journal {
	int fd;
	uint64_t seq;		/* of the next record */
	uint32_t batch;		/* last one begun */
	off_t size;		/* valid bytes in the file */
	struct record *pending; /* put but not flushed */
	size_t count, cap;
	char path[200]; /* for messages, cut when longer */
};

static int write_at(int fd, const void *buf, size_t len, off_t at)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : ENOSPC;
			return -errno;
		}
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int not_writable(const struct journal *j, struct error *err)
{
	return error_errno(err,
			   "cannot write the journal %s, so nothing was changed; "
			   "make room or repair the disk and try again",
			   j->path);
}

/* Room for n more records, so that putting them cannot fail. */
static int reserve(struct journal *j, size_t n, struct error *err)
{
	struct record *more;

	if (n <= j->cap - j->count)
		return 0;
	more = reallocarray(j->pending, j->count + n, sizeof(*more));
	if (!more)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for %zu journal records", n);
	j->pending = more;
	j->cap = j->count + n;
	return 0;
}

static struct record *put(struct journal *j, enum record_type type)
{
	struct record *r = &j->pending[j->count++];

	*r = (struct record){.magic = RECORD_MAGIC,
			     .version = JOURNAL_VERSION,
			     .type = (uint8_t)type,
			     .seq = j->seq++,
			     .batch = j->batch};
	return r;
}

/* All pending records in one write. A failed write is taken back, so that the file never
 * ends in half a record that a later one would follow. */
static int flush(struct journal *j, bool wait, struct error *err)
{
	size_t len = j->count * sizeof(*j->pending), i;
	int rc;

	for (i = 0; i < j->count; i++)
		j->pending[i].crc = record_crc(&j->pending[i]);
	rc = write_at(j->fd, j->pending, len, j->size);
	if (!rc && wait && fdatasync(j->fd))
		rc = -errno;
	if (!rc) {
		j->size += (off_t)len;
	} else {
		errno = -rc;
		not_writable(j, err);
		j->seq -= j->count;
		/* Best effort: if this fails, too, the torn end is found on replay. */
		if (ftruncate(j->fd, j->size))
			rc = -EIO;
	}
	j->count = 0;
	return rc;
}

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
	strncpy(j->path, path, sizeof(j->path) - 1);
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
	j->seq = log->records;
	j->batch = log->batches;
	j->size = (off_t)log->good_bytes;
	if (log->torn_bytes && ftruncate(j->fd, j->size)) {
		rc = not_writable(j, err);
		journal_log_free(log);
		goto out_close;
	}
	*out = j;
	return 0;

out_close:
	close(j->fd);
out_free:
	free(j);
	return rc;
}

int journal_start(struct journal *j, const struct journal_identity *id, struct error *err)
{
	struct timespec now;
	struct record *r;
	int rc = reserve(j, 1, err);

	if (rc)
		return rc;
	if (ftruncate(j->fd, 0))
		return not_writable(j, err);
	j->seq = j->batch = 0;
	j->size = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	r = put(j, RECORD_HEADER);
	r->header.created_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	r->header.text_start = id->text_start;
	r->header.text_end = id->text_end;
	r->header.build_id_len = (uint8_t)id->build_id_len;
	memcpy(r->header.build_id, id->build_id, id->build_id_len);
	return flush(j, true, err);
}

int journal_intend(struct journal *j, struct journal_intent *intents, size_t n, struct error *err)
{
	size_t i;
	int rc = reserve(j, n, err);

	if (rc)
		return rc;
	if (j->size + (off_t)(n * sizeof(struct record)) > JOURNAL_MAX_BYTES / 2) {
		errno = EFBIG; /* the other half is for what ends batches, and so that it can be
				  read back */
		return not_writable(j, err);
	}
	j->batch++;
	for (i = 0; i < n; i++) {
		struct record *r = put(j, RECORD_INTENT);

		intents[i].seq = r->seq;
		intents[i].batch = j->batch;
		r->intent.site = intents[i].site;
		r->intent.track = intents[i].track;
		r->intent.counter = intents[i].counter;
		r->intent.len = intents[i].len;
		r->intent.state = intents[i].state;
		r->intent.ntargets = intents[i].ntargets;
		memcpy(r->intent.targets, intents[i].targets, sizeof(r->intent.targets));
		memcpy(r->intent.old, intents[i].old, sizeof(r->intent.old));
		memcpy(r->intent.new, intents[i].new, sizeof(r->intent.new));
	}
	rc = flush(j, true, err);
	if (rc)
		j->batch--;
	return rc;
}

int journal_commit(struct journal *j, const struct journal_result *unapplied, size_t n,
		   unsigned applied, unsigned skipped, unsigned failed, struct error *err)
{
	struct record *r;
	size_t i;
	int rc = reserve(j, n + 1, err);

	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		r = put(j, RECORD_FAILED);
		r->failed.seq = unapplied[i].seq;
		r->failed.result = unapplied[i].result;
		r->failed.reason = unapplied[i].reason;
	}
	r = put(j, RECORD_COMMIT);
	r->commit.applied = applied;
	r->commit.skipped = skipped;
	r->commit.failed = failed;
	return flush(j, false, err);
}

int journal_abort(struct journal *j, struct error *err)
{
	int rc = reserve(j, 1, err);

	if (rc)
		return rc;
	put(j, RECORD_ABORT);
	return flush(j, false, err);
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->size && !reserve(j, 1, NULL)) {
		put(j, RECORD_CLOSE);
		flush(j, true, NULL); /* a missing close record only says "not in order" */
	}
	journal_drop(j);
}

void journal_drop(struct journal *j)
{
	if (!j)
		return;
	close(j->fd);
	free(j->pending);
	free(j);
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
