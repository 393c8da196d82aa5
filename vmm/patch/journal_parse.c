// SPDX-License-Identifier: GPL-2.0-only
/* Reading a journal: bytes to a log, with every field checked. */
#include "patch/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "patch/pair.h"
#include "patch/record.h"

static int corrupt(struct error *err, uint64_t number, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -EBADMSG,
			 "the journal is corrupt: record %llu at byte %llu %s; move the file away "
			 "once its guest is gone",
			 (unsigned long long)number,
			 (unsigned long long)number * JOURNAL_RECORD_SIZE, what);
}

/* NULL when the frame is sound, else what is wrong with it. */
static const char *frame_fault(const struct record *r, uint64_t number)
{
	if (r->magic != RECORD_MAGIC)
		return "does not start like one";
	if (r->crc != record_crc(r))
		return "fails its checksum";
	if (!r->version || r->version > JOURNAL_VERSION)
		return "has an unknown version";
	if (r->seq != number)
		return "is out of sequence";
	return NULL;
}

static int take_header(struct journal_log *log, const struct record *r, struct error *err)
{
	if (r->type != RECORD_HEADER)
		return corrupt(err, 0, "is not a header");
	if (r->header.build_id_len > sizeof(log->identity.build_id))
		return corrupt(err, 0, "has an overlong build id");
	memcpy(log->identity.build_id, r->header.build_id, r->header.build_id_len);
	log->identity.build_id_len = r->header.build_id_len;
	log->identity.text_start = r->header.text_start;
	log->identity.text_end = r->header.text_end;
	log->created_ns = r->header.created_ns;
	return 0;
}

/* What a slot of a pair may hold (pair.h): the one place where an opcode changes. */
static bool is_slot(const uint8_t *bytes)
{
	return bytes[0] == 0xe9 || !memcmp(bytes, pair_nop, sizeof(pair_nop));
}

/* In the text the journal is of; or, where an agent may write, above it: in a module's. */
static bool in_text(const struct journal_log *log, const struct record *r)
{
	gva_t at = r->intent.site, end = log->identity.text_end;

	if (r->intent.way == PATCH_WAY_AGENT && at >= end)
		return at <= UINT64_MAX - r->intent.len;
	return at >= log->identity.text_start && at < end && end - at >= r->intent.len;
}

/* Law 2 holds for what is on disk, too: only the rel32 may differ, or a jmp takes the place of a
 * nop. */
static const char *intent_fault(const struct journal_log *log, const struct record *r)
{
	uint8_t len = r->intent.len;

	if (len != 5 && len != 6)
		return "is an intent of a wrong length";
	if (memcmp(r->intent.old, r->intent.new, len - 4u) &&
	    !(len == PAIR_SLOT && is_slot(r->intent.old) && is_slot(r->intent.new)))
		return "would change an opcode";
	if (r->intent.state > PATCH_PROMOTED || r->intent.ntargets > HOTRAIL_MAX_TARGETS)
		return "is an intent of no known kind";
	if (r->intent.way >= (r->version < 2 ? 1 : PATCH_WAYS))
		return "is an intent of no known way";
	if (!in_text(log, r))
		return "names a site outside text";
	return NULL;
}

static int take_intent(struct journal_log *log, const struct record *r, struct error *err)
{
	const char *fault = intent_fault(log, r);
	struct journal_intent *in;

	if (fault)
		return corrupt(err, r->seq, fault);
	in = &log->intents[log->count++]; /* room for one a record was made */
	*in = (struct journal_intent){.site = r->intent.site,
				      .track = r->intent.track,
				      .counter = r->intent.counter,
				      .seq = r->seq,
				      .batch = r->batch,
				      .len = r->intent.len,
				      .state = r->intent.state,
				      .ntargets = r->intent.ntargets,
				      .way = r->intent.way};
	memcpy(in->targets, r->intent.targets, sizeof(in->targets));
	memcpy(in->old, r->intent.old, sizeof(in->old));
	memcpy(in->new, r->intent.new, sizeof(in->new));
	if (r->batch != log->batches) {
		if (r->batch != log->batches + 1)
			return corrupt(err, r->seq, "skips a batch");
		log->batches = r->batch;
	}
	return 0;
}

static int take_failed(struct journal_log *log, const struct record *r, struct error *err)
{
	size_t low = 0, high = log->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (log->intents[mid].seq < r->failed.seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == log->count || log->intents[low].seq != r->failed.seq ||
	    log->intents[low].batch != r->batch)
		return corrupt(err, r->seq, "speaks of an intent that is not there");
	log->intents[low].failed = true;
	return 0;
}

/* A commit or abort belongs to the batch in progress. */
static int take_end(struct journal_log *log, const struct record *r, struct error *err)
{
	size_t i;

	if (!r->batch || r->batch != log->batches)
		return corrupt(err, r->seq, "ends a batch that was not begun");
	if (log->committed + log->aborted >= log->batches)
		return corrupt(err, r->seq, "ends a batch twice");
	if (r->type == RECORD_COMMIT) {
		log->committed++;
		return 0;
	}
	log->aborted++;
	for (i = log->count; i && log->intents[i - 1].batch == r->batch; i--)
		log->intents[i - 1].failed = true;
	return 0;
}

static int take(struct journal_log *log, const struct record *r, struct error *err)
{
	log->closed = r->type == RECORD_CLOSE;
	switch (r->type) {
	case RECORD_INTENT:
		return take_intent(log, r, err);
	case RECORD_FAILED:
		return take_failed(log, r, err);
	case RECORD_COMMIT:
	case RECORD_ABORT:
		return take_end(log, r, err);
	case RECORD_CLOSE:
		return 0;
	default:
		return corrupt(err, r->seq, "is of an unknown type");
	}
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	while (len && !bytes[len - 1])
		len--;
	return !len;
}

/*
 * May what starts at byte `at` be the rest of a write that was cut off? Yes when it
 * is the last record or part of one, or when the file grew but its blocks never came.
 */
static bool torn(const uint8_t *bytes, size_t len, size_t at)
{
	return len - at <= JOURNAL_RECORD_SIZE || all_zero(bytes + at, len - at);
}

int journal_parse(const uint8_t *bytes, size_t len, struct journal_log *out, struct error *err)
{
	struct journal_log log = {0};
	struct record r;
	int rc = 0;

	if (len < JOURNAL_RECORD_SIZE)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENODATA,
				 "the journal is shorter than its header");
	log.intents = calloc(len / JOURNAL_RECORD_SIZE, sizeof(*log.intents));
	if (!log.intents)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory to read a journal of %zu bytes", len);
	while (log.good_bytes < len) {
		const char *fault = "is cut off";

		if (len - log.good_bytes >= sizeof(r)) {
			memcpy(&r, bytes + log.good_bytes, sizeof(r));
			fault = frame_fault(&r, log.records);
		}
		if (fault && log.records && torn(bytes, len, log.good_bytes)) {
			log.torn_bytes = len - log.good_bytes;
			log.closed = false;
			break;
		}
		rc = fault	   ? corrupt(err, log.records, fault)
		     : log.records ? take(&log, &r, err)
				   : take_header(&log, &r, err);
		if (rc)
			goto out_free;
		log.records++;
		log.good_bytes += sizeof(r);
	}
	*out = log;
	return 0;

out_free:
	journal_log_free(&log);
	return rc;
}

void journal_log_free(struct journal_log *log)
{
	free(log->intents);
	log->intents = NULL;
	log->count = 0;
}
