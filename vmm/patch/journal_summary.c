// SPDX-License-Identifier: GPL-2.0-only
/* What a journal says about a guest that nobody can ask any more. */
#include "patch/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int by_site_then_age(const void *a, const void *b)
{
	const struct journal_intent *x = *(const struct journal_intent *const *)a;
	const struct journal_intent *y = *(const struct journal_intent *const *)b;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int count_last_words(const struct journal_log *log, struct journal_summary *s)
{
	const struct journal_intent **order;
	size_t i, n = 0;

	if (!log->count)
		return 0;
	order = calloc(log->count, sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (i = 0; i < log->count; i++)
		if (!log->intents[i].failed)
			order[n++] = &log->intents[i];
	qsort(order, n, sizeof(*order), by_site_then_age);
	for (i = 0; i < n; i++) {
		if (i + 1 < n && order[i + 1]->site == order[i]->site)
			continue;
		s->sites++;
		s->promoted += order[i]->state == PATCH_PROMOTED;
		s->learning += order[i]->state == PATCH_LEARNING;
	}
	free(order);
	return 0;
}

int journal_summarise(const struct journal_log *log, struct journal_summary *s)
{
	s->identity = log->identity;
	s->created_ns = log->created_ns;
	s->records = log->records;
	s->batches = log->batches;
	s->committed = log->committed;
	s->aborted = log->aborted;
	/* A hostile file may end a batch more than once. */
	if (log->committed + log->aborted < log->batches)
		s->open = log->batches - log->committed - log->aborted;
	s->torn_bytes = log->torn_bytes;
	s->closed = log->closed;
	return count_last_words(log, s);
}

void journal_summary_text(const struct journal_summary *s, char *buf, size_t len)
{
	const char *plural = s->promoted == 1 ? "site is" : "sites are";
	const char *past = s->promoted == 1 ? "site was" : "sites were";
	char extra[80] = "";

	if (s->open || s->torn_bytes)
		snprintf(extra, sizeof(extra), "; it stopped in the middle of %s",
			 s->open ? "a batch" : "a record");
	if (!s->records)
		snprintf(buf, len, "the journal is empty: nothing was ever changed");
	else if (s->in_use)
		snprintf(buf, len, "a monitor is at work; %u %s promoted", s->promoted, plural);
	else if (s->closed)
		snprintf(buf, len, "the monitor ended in order; %u %s promoted at the end",
			 s->promoted, past);
	else
		snprintf(buf, len, "the monitor died; its guest is gone with it; %u %s promoted%s",
			 s->promoted, past, extra);
}
