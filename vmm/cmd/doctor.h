/* SPDX-License-Identifier: GPL-2.0-only */
/* Checks of hotrail doctor: what works here, why something does not, and the remedy. */
#ifndef HOTRAIL_CMD_DOCTOR_H
#define HOTRAIL_CMD_DOCTOR_H

#include <stdbool.h>

#include "util/error.h"
#include "util/json.h"

enum doctor_state { DOCTOR_OK, DOCTOR_LIMITED, DOCTOR_NO };

struct doctor {
	json_t *checks;
	bool machine; /* some backend can run a guest */
	bool image;   /* ... and there is an image for it */
};

/* `remedy` may be NULL. Texts may hold anything; what is not UTF-8 becomes '?'. */
void doctor_add(struct doctor *d, const char *name, enum doctor_state state, const char *detail,
		const char *remedy);
/* ok with `detail` when ret is 0, else `otherwise` with the error's text. */
void doctor_add_result(struct doctor *d, const char *name, int ret, const char *detail,
		       const struct error *err, enum doctor_state otherwise, const char *remedy);

/* doctor_host.c: facts read from /proc and /sys, no privilege needed. */
void doctor_cpu(struct doctor *d);
void doctor_mitigations(struct doctor *d);
void doctor_perf(struct doctor *d);
void doctor_huge_pages(struct doctor *d);
void doctor_cores(struct doctor *d);

/* doctor_guest.c: backends, images, folders, and a scratch guest for samplers and counters. */
void doctor_machines(struct doctor *d);
void doctor_images(struct doctor *d);
void doctor_folders(struct doctor *d);
void doctor_scratch(struct doctor *d);

/* Pure, for tests: value of "key : value" in /proc/cpuinfo's text (first processor); false when
 * absent. */
bool doctor_cpuinfo(const char *text, const char *key, char *buf, size_t len);
/* Is `word` one of the blank-separated words of `words`? */
bool doctor_has_word(const char *words, const char *word);

#endif
