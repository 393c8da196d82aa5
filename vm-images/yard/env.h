/* SPDX-License-Identifier: GPL-2.0-only */
/* All state of one vCPU's kernel. */
#ifndef YARD_ENV_H
#define YARD_ENV_H

#include "kernel.h"
#include "filter.h"

struct env {
	struct core core; /* first: CORE() */
	struct filter filter;
};

#endif
