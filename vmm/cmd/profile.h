/* SPDX-License-Identifier: GPL-2.0-only */
/* Documents about profile files. Pure; new references, NULL on no memory. */
#ifndef HOTRAIL_CMD_PROFILE_H
#define HOTRAIL_CMD_PROFILE_H

#include "cmd/change.h"
#include "profile/store.h"

/* The "profile" document: totals and the PROFILE_TOP hottest sites. */
#define PROFILE_TOP 10
json_t *profile_document(const struct profile *p, const char *path);
/* Every edge. */
json_t *profile_edges_document(const struct profile *p);

#endif
