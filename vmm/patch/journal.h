/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The journal: what was about to be changed reaches the disk before it reaches the
 * guest (law 5). A file of fixed records that only
 * grows, until it is replaced as a whole by a short one; each record carries its
 * sequence number and a CRC-32C. What really happened is decided on replay by looking
 * at memory, so a lost commit record costs nothing.
 *
 * Reading (journal_parse, journal_replay) is pure. Writing has one owner thread and
 * may sleep in the file system.
 */
#ifndef HOTRAIL_PATCH_JOURNAL_H
#define HOTRAIL_PATCH_JOURNAL_H

#include "patch/patch.h"

#define JOURNAL_RECORD_SIZE   128
#define JOURNAL_MAX_BYTES     (256u << 20) /* a larger file is refused unread */
#define JOURNAL_REWRITE_BYTES (1 << 20)	   /* below, a journal is left to grow */
#define JOURNAL_VERSION	      2		   /* 1 knew no ways: all of it was the host's */

struct journal_identity { /* which text the addresses belong to */
	uint8_t build_id[20];
	unsigned build_id_len;
	gva_t text_start, text_end;
};

struct journal_intent { /* "site will hold `new` instead of `old`" */
	gva_t site, track, counter, targets[HOTRAIL_MAX_TARGETS];
	uint64_t seq;		      /* filled by the journal */
	uint32_t batch;		      /* filled by the journal */
	uint8_t len, state, ntargets; /* state: enum patch_state, what the new bytes mean */
	uint8_t way;		      /* enum patch_way */
	uint8_t old[SITE_MAX_LEN], new[SITE_MAX_LEN];
	bool failed; /* read back: a later record says that it did not happen */
};

/* --- reading --- */

struct journal_log {
	struct journal_identity identity;
	uint64_t created_ns;		/* CLOCK_REALTIME */
	struct journal_intent *intents; /* ascending seq */
	size_t count;
	uint64_t records; /* valid ones, header included */
	uint32_t batches, committed,
		aborted;   /* a batch in neither was open when the writer stopped */
	size_t good_bytes; /* length of the valid part */
	size_t torn_bytes; /* an unfinished record after it */
	bool closed;	   /* the last record says that the writer ended in order */
};

/* -EBADMSG: no journal, or a record in the middle is corrupt; *err names it. -ENODATA: shorter than
 * its header. -ENOMEM. On success the log must be freed. */
int journal_parse(const uint8_t *bytes, size_t len, struct journal_log *out, struct error *err);
void journal_log_free(struct journal_log *log);

enum journal_verdict { JOURNAL_APPLIED, JOURNAL_NOT_APPLIED, JOURNAL_QUARANTINED };

struct journal_site { /* what replay found at a site */
	gva_t addr;
	enum journal_verdict verdict; /* of the last intent: new bytes, old bytes, anything else */
	enum patch_state state;	      /* what is there now */
	const struct journal_intent
		*intent; /* that made it so; NULL for original text nothing replaced */
	uint8_t len, original[SITE_MAX_LEN];
};

/* Guest memory as replay sees it: 0, or negative errno (then the site is quarantined). */
typedef int (*journal_read_fn)(void *ctx, gva_t gva, void *buf, size_t len);

/* One entry a site, ascending by address; caller frees. *n = 0 and NULL when nothing was ever
 * intended. */
int journal_replay(const struct journal_log *log, journal_read_fn read, void *ctx,
		   struct journal_site **out, size_t *n);

/* --- a journal whose guest may be dead --- */

struct journal_summary {
	struct journal_identity identity;
	uint64_t created_ns, records;
	uint32_t batches, committed, aborted, open;
	unsigned sites, promoted, learning; /* by the journal's last word, memory not asked */
	size_t torn_bytes;
	bool closed, in_use; /* in_use: a monitor holds it right now */
};

/* Does not change or lock the file. -ENOENT and the errors of journal_parse(). */
int journal_describe(const char *path, struct journal_summary *s, struct error *err);
/* The same from a log that was read already; in_use is left alone. 0 or -ENOMEM. */
int journal_summarise(const struct journal_log *log, struct journal_summary *s);
/* "the monitor died; its guest is gone with it; 12 sites were promoted" and the like. */
void journal_summary_text(const struct journal_summary *s, char *buf, size_t len);

/* --- writing --- */

struct journal;

/*
 * Open or create, lock, read. What an earlier monitor wrote is in *log (log->records is 0
 * for a new file, which journal_start() then has to begin); a torn end has been cut off.
 * -EBUSY: another monitor holds it.
 */
int journal_open(const char *path, struct journal **out, struct journal_log *log,
		 struct error *err);
/* Empty the file and write a header: nothing of the old content is needed any more. */
int journal_start(struct journal *j, const struct journal_identity *id, struct error *err);
/* Write all intents of a batch and wait until they are on the disk. On error the file is as before.
 */
int journal_intend(struct journal *j, struct journal_intent *intents, size_t n, struct error *err);

struct journal_result { /* of one intent that was not applied */
	uint64_t seq;	/* of the intent */
	uint8_t result, reason;
};
/* The end of the batch: what was not applied, and how many of each. Not waited for. */
int journal_commit(struct journal *j, const struct journal_result *unapplied, size_t n,
		   unsigned applied, unsigned skipped, unsigned failed, struct error *err);
/* The whole batch came to nothing. */
int journal_abort(struct journal *j, struct error *err);
/* Has it grown enough to be worth a rewrite? */
bool journal_grown(const struct journal *j);
/*
 * Replace the file by one that holds just these intents as one batch; those marked
 * `failed` name tracks that exist but lead nowhere now. On error the old file stays and
 * remains in use.
 */
int journal_rewrite(struct journal *j, const struct journal_identity *id,
		    struct journal_intent *intents, size_t n, struct error *err);
void journal_close(struct journal *j); /* writes the closing record; NULL is fine */

/* Close without a closing record: the file stays as it is. */
void journal_drop(struct journal *j);

#endif
