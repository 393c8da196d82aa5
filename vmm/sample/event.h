/* SPDX-License-Identifier: GPL-2.0-only */
/* Perf events of a vCPU's thread: which code a CPU knows, opening, and why it did not open, in
 * words. */
#ifndef HOTRAIL_SAMPLE_EVENT_H
#define HOTRAIL_SAMPLE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <hotrail/types.h>
#include "util/error.h"

enum event_vendor { EVENT_ANY, EVENT_INTEL, EVENT_AMD };

struct event_cpu {
	enum event_vendor vendor; /* EVENT_ANY: neither of the others */
	unsigned family, model;	  /* display family and model (Intel SDM vol. 2, CPUID leaf 1) */
};

#define EVENT_MODELS 8
struct event_spec {
	enum event_vendor vendor;     /* EVENT_ANY fits every CPU */
	unsigned family_min;	      /* 0 = any */
	uint8_t models[EVENT_MODELS]; /* all 0 = any */
	uint32_t type;		      /* perf_event_attr.type */
	uint64_t config;
	const char *name;
};

struct event_cpu event_cpu_here(void);
/* Vendor string and the EAX of CPUID leaf 1. Pure. */
struct event_cpu event_cpu_decode(const char vendor[12], uint32_t signature);
bool event_fits(const struct event_spec *e, const struct event_cpu *cpu);

/* Disabled event of thread `tid`; the guest's share only: user mode where guest text counts as
 * user, else guest mode (exclude_host). period 0 = count only. Returns the fd or negative errno. */
int event_open(const struct event_spec *e, pid_t tid, bool guest_is_user, uint64_t period,
	       int group);
/* The same with a branch stack at each overflow, and nothing else in the sample: any branch,
 * because the kernel sorts branches by the host's bytes at the guest's addresses. */
int event_open_stack(const struct event_spec *e, pid_t tid, bool guest_is_user, uint64_t period);
/* What a failed event_open() means and what to do; `who` begins the sentence. Returns `ret`. */
int event_explain(const char *who, const char *what, bool guest_is_user, int ret,
		  struct error *err);

#endif
