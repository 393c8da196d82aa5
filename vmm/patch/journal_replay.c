// SPDX-License-Identifier: GPL-2.0-only
/* Replay: the journal says what could have happened, memory says what did. */
#include "patch/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_site(const void *a, const void *b)
{
	const struct journal_intent *x = *(const struct journal_intent *const *)a;
	const struct journal_intent *y = *(const struct journal_intent *const *)b;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The newest intent before the last one that left `bytes` there. */
static const struct journal_intent *maker(const struct journal_intent *const *own, size_t n,
					  const uint8_t *bytes)
{
	while (n--)
		if (!own[n]->failed && !memcmp(own[n]->new, bytes, own[n]->len))
			return own[n];
	return NULL;
}

static void settle(struct journal_site *s, const struct journal_intent *by,
		   enum journal_verdict verdict)
{
	s->verdict = verdict;
	s->intent = by;
	s->state = by ? (enum patch_state)by->state : PATCH_ORIGINAL;
}

/* own[0..n) are all intents of one site in order. */
static void judge(const struct journal_intent *const *own, size_t n, journal_read_fn read,
		  void *ctx, struct journal_site *s)
{
	const struct journal_intent *last = own[n - 1];
	uint8_t now[SITE_MAX_LEN] = {0};
	size_t i = n;

	/* Intents known to have failed left what was there before them. */
	while (i && own[i - 1]->failed)
		i--;
	*s = (struct journal_site){.addr = last->site, .len = own[0]->len};
	memcpy(s->original, own[0]->old, sizeof(s->original));
	if (read(ctx, last->site, now, last->len)) {
		settle(s, NULL, JOURNAL_QUARANTINED);
		s->state = PATCH_QUARANTINED;
	} else if (i && !memcmp(now, own[i - 1]->new, own[i - 1]->len)) {
		settle(s, own[i - 1], JOURNAL_APPLIED);
	} else if (i ? !memcmp(now, own[i - 1]->old, own[i - 1]->len)
		     : !memcmp(now, own[0]->old, own[0]->len)) {
		settle(s, i ? maker(own, i - 1, now) : NULL, JOURNAL_NOT_APPLIED);
	} else if (i && own[i - 1]->way == PATCH_WAY_AGENT &&
		   !memcmp(now, own[0]->old, own[0]->len)) {
		settle(s, NULL, JOURNAL_NOT_APPLIED); /* the agent led it back by itself */
	} else {
		settle(s, NULL, JOURNAL_QUARANTINED);
		s->state = PATCH_QUARANTINED;
	}
}

int journal_replay(const struct journal_log *log, journal_read_fn read, void *ctx,
		   struct journal_site **out, size_t *n)
{
	const struct journal_intent **order;
	struct journal_site *sites;
	size_t i, j, count = 0;

	*out = NULL;
	*n = 0;
	if (!log->count)
		return 0;
	order = calloc(log->count, sizeof(*order));
	sites = calloc(log->count, sizeof(*sites));
	if (!order || !sites) {
		free(order);
		free(sites);
		return -ENOMEM;
	}
	for (i = 0; i < log->count; i++)
		order[i] = &log->intents[i];
	qsort(order, log->count, sizeof(*order), by_site);
	for (i = 0; i < log->count; i = j) {
		for (j = i + 1; j < log->count && order[j]->site == order[i]->site; j++)
			;
		judge(order + i, j - i, read, ctx, &sites[count++]);
	}
	free(order);
	*out = sites;
	*n = count;
	return 0;
}
