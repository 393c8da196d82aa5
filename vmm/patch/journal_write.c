// SPDX-License-Identifier: GPL-2.0-only
/* Writing a journal: records in batches, and a rewrite when it has grown. */
#include "patch/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "patch/record.h"

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

int journal_not_writable(const struct journal *j, struct error *err)
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
		journal_not_writable(j, err);
		j->seq -= j->count;
		/* Best effort: if this fails, too, the torn end is found on replay. */
		if (ftruncate(j->fd, j->size))
			rc = -EIO;
	}
	j->count = 0;
	return rc;
}

static int write_header(struct journal *j, const struct journal_identity *id, struct error *err)
{
	struct record *r;
	int rc = reserve(j, 1, err);

	if (rc)
		return rc;
	if (ftruncate(j->fd, 0))
		return journal_not_writable(j, err);
	j->seq = j->batch = 0;
	j->size = 0;
	r = put(j, RECORD_HEADER);
	r->header.created_ns = j->created_ns;
	r->header.text_start = id->text_start;
	r->header.text_end = id->text_end;
	r->header.build_id_len = (uint8_t)id->build_id_len;
	memcpy(r->header.build_id, id->build_id, id->build_id_len);
	return flush(j, true, err);
}

int journal_start(struct journal *j, const struct journal_identity *id, struct error *err)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	j->created_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	return write_header(j, id, err);
}

int journal_intend(struct journal *j, struct journal_intent *intents, size_t n, struct error *err)
{
	size_t i;
	int rc = reserve(j, n, err);

	if (rc)
		return rc;
	if (j->size + (off_t)(n * sizeof(struct record)) > JOURNAL_MAX_BYTES / 2) {
		errno = EFBIG; /* the other half is for what ends batches */
		return journal_not_writable(j, err);
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
		r->intent.way = intents[i].way;
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
	free(j->path);
	free(j);
}

bool journal_grown(const struct journal *j)
{
	return j->size > JOURNAL_REWRITE_BYTES && j->size / 4 > j->rewritten;
}

/* The new file in full, under its temporary name. */
static int write_anew(struct journal *fresh, const struct journal_identity *id,
		      struct journal_intent *intents, size_t n, struct error *err)
{
	struct journal_result *unapplied = calloc(n + 1, sizeof(*unapplied));
	size_t i, failed = 0;
	int rc = unapplied ? write_header(fresh, id, err)
			   : error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				       "no memory to rewrite "
				       "the journal");

	if (!rc && n)
		rc = journal_intend(fresh, intents, n, err);
	for (i = 0; !rc && i < n; i++)
		if (intents[i].failed)
			unapplied[failed++] = (struct journal_result){.seq = intents[i].seq,
								      .result = PATCH_SKIPPED};
	if (!rc && n)
		rc = journal_commit(fresh, unapplied, failed, (unsigned)(n - failed),
				    (unsigned)failed, 0, err);
	if (!rc && fdatasync(fresh->fd))
		rc = journal_not_writable(fresh, err);
	free(unapplied);
	return rc;
}

/* The rename itself must survive, too; if it does not, the old file is still right. */
static void sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		(void)!fsync(fd);
		close(fd);
	}
	free(copy);
}

int journal_rewrite(struct journal *j, const struct journal_identity *id,
		    struct journal_intent *intents, size_t n, struct error *err)
{
	struct journal fresh = {.fd = -1, .created_ns = j->created_ns};
	int rc;

	j->rewritten = j->size; /* after a failure, not again at once */
	if (asprintf(&fresh.path, "%s.new", j->path) < 0)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory to rewrite the journal");
	fresh.fd = open(fresh.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Locked before it has the name that others look for. */
	if (fresh.fd < 0 || flock(fresh.fd, LOCK_EX | LOCK_NB))
		rc = journal_not_writable(&fresh, err);
	else
		rc = write_anew(&fresh, id, intents, n, err);
	if (!rc && rename(fresh.path, j->path))
		rc = journal_not_writable(&fresh, err);
	if (rc) {
		if (fresh.fd >= 0) {
			unlink(fresh.path);
			close(fresh.fd);
		}
	} else {
		sync_directory(j->path);
		close(j->fd);
		j->fd = fresh.fd;
		j->seq = fresh.seq;
		j->batch = fresh.batch;
		j->size = j->rewritten = fresh.size;
	}
	free(fresh.pending);
	free(fresh.path);
	return rc;
}
