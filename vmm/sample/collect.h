/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all interrupting samplers share: the hook that copies registers and stack
 * top into a ring on the vCPU's thread, and the drain that attributes.
 */
#ifndef HOTRAIL_SAMPLE_COLLECT_H
#define HOTRAIL_SAMPLE_COLLECT_H

#include "sample/attribute.h"
#include "sample/sampler.h"

struct collect_vcpu {
	struct ring ring;
	_Atomic uint64_t seen; /* samples the hook was given */
	_Atomic uint64_t full; /* of these, refused by the ring */
	_Atomic uint64_t lost; /* that never reached the hook: the sampler's count */
};

struct collect {
	struct guest *guest;
	struct attribute attribute;
	unsigned vcpus;
	struct collect_vcpu *vcpu;
	_Atomic uint64_t taken, attributed; /* written by drain alone */
};

/* 0, or -ENOMEM / -EINVAL and *err. */
int collect_init(struct collect *c, struct guest *g, struct error *err);
void collect_free(struct collect *c);

/* On the vCPU's thread. Bounded: at most two guest reads of RAW_STACK_WORDS words, no lock, no
 * wait. */
void collect_sample(struct collect *c, unsigned vcpu, const struct machine_regs *regs);
/* One consumer thread at a time. */
void collect_drain(struct collect *c, sampler_edge_fn fn, void *ctx);
/* Any thread. `lost` counts full rings and what the sampler counted. */
void collect_stats(const struct collect *c, struct sampler_stats *out);

#endif
