// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as a journal: parse, summarise, replay against a memory that answers from the same
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "patch/journal.h"
#include "patch/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static int read_input(void *ctx, gva_t gva, void *buf, size_t len)
{
	const struct input *in = ctx;
	size_t at = in->size ? gva % in->size : 0;

	if (gva % 7 == 0 || len > in->size - at)
		return -1;
	memcpy(buf, in->data + at, len);
	return 0;
}

static void digest(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, size};
	struct journal_summary s = {0};
	struct journal_site *sites;
	struct journal_log log;
	struct error err;
	char text[200];
	size_t n, i;

	if (journal_parse(bytes, size, &log, &err))
		return;
	if (log.good_bytes + log.torn_bytes != size || log.count >= log.records)
		abort();
	if (!journal_summarise(&log, &s))
		journal_summary_text(&s, text, sizeof(text));
	if (s.promoted + s.learning > s.sites)
		abort();
	if (!journal_replay(&log, read_input, &in, &sites, &n)) {
		for (i = 1; i < n; i++)
			if (sites[i - 1].addr >= sites[i].addr)
				abort();
		for (i = 0; i < n; i++)
			if ((sites[i].verdict == JOURNAL_QUARANTINED) !=
			    (sites[i].state == PATCH_QUARANTINED))
				abort();
		free(sites);
	}
	journal_log_free(&log);
}

/* As it is, and again with the frame of every record made right, to get behind the checksum. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t i;

	digest(data, size);
	copy = malloc(size + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	for (i = 0; i + sizeof(struct record) <= size; i += sizeof(struct record)) {
		struct record r;

		memcpy(&r, copy + i, sizeof(r));
		r.magic = RECORD_MAGIC;
		r.version = JOURNAL_VERSION;
		r.seq = i / sizeof(r);
		r.crc = record_crc(&r);
		memcpy(copy + i, &r, sizeof(r));
	}
	digest(copy, size);
	free(copy);
	return 0;
}
