/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the engine's structs to the documents that the control socket returns and
 * -j prints: addresses as hex strings, counts as numbers, shares as fractions, null
 * for what is not known. All return a new reference, NULL on no memory.
 */
#ifndef HOTRAIL_CMD_DOC_H
#define HOTRAIL_CMD_DOC_H

#include "engine/engine.h"
#include "guest/image.h"
#include "util/json.h"

/* What a status says about the guest itself and its workload. */
struct doc_guest {
	const char *name, *image, *machine;
	const struct guest *guest; /* build id; NULL = not known yet */
	const char *phase;	   /* NULL = this guest has none */
	const char *waiting;	   /* why nothing can be promoted, NULL = it can */
	int pid, cpl;
	unsigned vcpus;
	uint64_t mem_bytes, uptime_ns;
	bool counts; /* ops are known */
	uint64_t ops;
	double ops_per_s; /* negative: not known yet */
	uint64_t batches, wrong;
	bool checked; /* batches and wrong are known */
};

json_t *doc_status(const struct doc_guest *g, const struct engine_status *s);
/* The first `limit` rows; the totals are of all of them. */
json_t *doc_sites(const char *guest, const struct engine_row *rows, size_t n, size_t limit);
/* `rows` (may be NULL) give the calls per second of the last learning. `undo` NULL = nothing to
 * undo. */
/* Why a promoted site was not promoted: it keeps the targets that are listed. */
#define DOC_ALREADY_PROMOTED "already promoted"
json_t *doc_change(const char *verb, struct guest *g, const struct engine_result *r,
		   const struct engine_row *rows, size_t n, const char *undo);
/* wrong < 0: not known. */
json_t *doc_verify(const char *name, struct guest *g, const struct patch_verify *v, int64_t wrong);
json_t *doc_profile(const struct profile *p, const char *path);
/* Vcpu, registers, bytes at RIP, last console lines. */
json_t *doc_report(const struct machine_report *r, const char *symbol, const char *console);

/* "auto", "host", "agent"; and back: false when it is none of them. */
const char *doc_via_text(enum engine_via via);
bool doc_via_parse(const char *word, enum engine_via *via);
const char *doc_end_text(enum machine_end end);
/* Hex digits of a build id (2 * 20 + 1 bytes), "" for none. */
void doc_build_id(const uint8_t *id, unsigned len, char out[41]);

#endif
