/* SPDX-License-Identifier: GPL-2.0-only */
/* One journal record as it lies in the file, and an open journal. Private to the journal's own
 * files. */
#ifndef HOTRAIL_PATCH_RECORD_H
#define HOTRAIL_PATCH_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "patch/journal.h"
#include "protocol/crc32c.h"

#define RECORD_MAGIC 0x314a5448u /* "HTJ1" */

enum record_type {
	RECORD_HEADER = 1,
	RECORD_INTENT,
	RECORD_FAILED, /* one intent was skipped or failed */
	RECORD_COMMIT,
	RECORD_ABORT,
	RECORD_CLOSE,
};

/* Little-endian, as the only machines this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "journal records are little-endian");

struct record {
	uint32_t magic;
	uint16_t version;
	uint8_t type, zero;
	uint64_t seq; /* 0, 1, 2, ... */
	uint32_t batch, reserved;
	union {
		struct {
			uint64_t created_ns, text_start, text_end;
			uint8_t build_id[20], build_id_len;
		} header;
		struct {
			uint64_t site, track, counter, targets[HOTRAIL_MAX_TARGETS];
			uint8_t old[SITE_MAX_LEN], new[SITE_MAX_LEN], len, state, ntargets;
			uint8_t way; /* since version 2; 0 before */
		} intent;
		struct {
			uint64_t seq;
			uint8_t result, reason;
		} failed;
		struct {
			uint32_t applied, skipped, failed;
		} commit;
		uint8_t raw[96];
	};
	uint32_t reserved2, crc; /* crc over all bytes before it */
} __attribute__((packed));
_Static_assert(sizeof(struct record) == JOURNAL_RECORD_SIZE, "record layout");

struct journal {
	int fd;
	uint64_t seq;		/* of the next record */
	uint32_t batch;		/* last one begun */
	off_t size;		/* valid bytes in the file */
	struct record *pending; /* put but not flushed */
	size_t count, cap;
	uint64_t created_ns; /* in the header */
	off_t rewritten;     /* size after the last rewrite */
	char *path;
};

/* "cannot write the journal": sets *err from errno, returns -errno. */
int journal_not_writable(const struct journal *j, struct error *err);

static inline uint32_t record_crc(const struct record *r)
{
	return hotrail_crc32c(0, r, offsetof(struct record, crc));
}

#endif
