/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the yard's host side share. */
#ifndef HOTRAIL_GUEST_YARD_STATE_H
#define HOTRAIL_GUEST_YARD_STATE_H

#include <pthread.h>

#include "guest/yard.h"

struct yard {
	const struct image *img;
	struct machine *m;
	uint64_t seed;
	unsigned vcpus;
	/* Both in guest RAM. The guest cannot write `control`; it may write `stats` at any moment,
	 * so they are only ever read a word at a time into a copy. */
	struct yard_control *control;
	const struct yard_stats *stats;
	unsigned phase;
	pthread_mutex_t micro_lock;	 /* one micro run at a time */
	pthread_mutex_t lock;		 /* what follows */
	uint64_t ops[HOTRAIL_MAX_VCPUS]; /* the most each vCPU ever claimed */
	uint64_t reference[YARD_PHASES][YARD_SEEDS];
	bool known[YARD_PHASES][YARD_SEEDS];
};

#endif
