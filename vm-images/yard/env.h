/* SPDX-License-Identifier: GPL-2.0-only */
/* All state of one vCPU's kernel. */
#ifndef YARD_ENV_H
#define YARD_ENV_H

#include "digest.h"
#include "filter.h"
#include "fs.h"
#include "hooks.h"
#include "kernel.h"
#include "net.h"
#include "sched.h"
#include "syscall.h"

struct env {
	struct core core; /* first: CORE() */
	struct syscalls sys;
	const struct digest_ops *digests[DIGEST_COUNT];
	struct hooks hooks;
	struct filter filter;
	struct sched sched;
	struct fs fs;
	struct net net;
};

#endif
