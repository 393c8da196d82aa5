/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's side of the yard guest: control page, statistics, digests, micro runs; and its
 * guest_ops. */
#ifndef HOTRAIL_GUEST_YARD_H
#define HOTRAIL_GUEST_YARD_H

#include "guest/guest.h"
#include "guest/image.h"

/* Machine config pieces and vCPU start registers for an image. `config` gets maps and ram_bytes (at
 * least what the image needs; -EINVAL when the caller's ram_bytes is too small). */
int yard_configure(const struct image *img, struct machine_config *config, struct error *err);
/* Copy segments into RAM and set the entry state of every vCPU; between machine_create and
 * machine_start. */
int yard_boot(const struct image *img, struct machine *m, uint64_t seed, struct error *err);

struct yard;
/* Keeps pointers to img and m. */
int yard_create(const struct image *img, struct machine *m, uint64_t seed, struct yard **out,
		struct error *err);
void yard_destroy(struct yard *y);
void yard_command(struct yard *y, enum yard_cmd cmd);
void yard_phase(struct yard *y, unsigned phase);
/* Which way YARD_CMD_FLOW dissects by, until the next micro run. */
void yard_flow_kind(struct yard *y, enum yard_micro kind);
unsigned yard_phase_now(struct yard *y);
/* Consistent copy of one vCPU's page (bounded retries on its sequence; -EAGAIN then). Any thread.
 */
int yard_read_stats(struct yard *y, unsigned vcpu, struct yard_stats *out);
uint64_t yard_ops(struct yard *y); /* sum over vCPUs, monotonic for an honest guest */

struct yard_check {
	uint64_t batches, packets, wrong;
	char text[160];
};
/* Compare every slot of every vCPU, and its packets, with the host's own reference (computed once,
 * cached). `wrong` counts what differs plus wrong calls the guest saw itself. 0 or -EAGAIN. */
int yard_check(struct yard *y, struct yard_check *out);

/* One micro run on vCPU 0 (of a flow kind: `target` is 0): ns by CLOCK_MONOTONIC around it (with
 * the polling, so good for long runs) and guest TSC ticks. `correct`: the targets' results add up.
 * The command in effect before comes back afterwards. Blocks; -ETIMEDOUT, -ESHUTDOWN when the guest
 * ended, -EINVAL. */
struct yard_micro_result {
	uint64_t tsc, iterations, ns;
	bool correct;
};
int yard_micro(struct yard *y, enum yard_micro kind, unsigned target, uint64_t iterations,
	       unsigned timeout_ms, struct yard_micro_result *out, struct error *err);

/* guest_ops over an image: sites, names, arena. */
int yard_guest_create(const struct image *img, struct target *t, struct guest **out,
		      struct error *err);
void yard_guest_destroy(struct guest *g);
/* How many sites hold other bytes in the guest's memory than in its file? Before anything is
 * patched: 0. -EFAULT. */
int yard_guest_compare(struct guest *g, size_t *differ, struct error *err);

/* Digest of one batch, computed on the host without the guest (vm-images/yard/reference.c). Pure,
 * thread-safe. */
uint64_t yard_reference(uint64_t seed, unsigned slot, unsigned phase);
/* Sum of the digests of the first `runs` packets of a flow dissector run. */
uint64_t yard_flow_expected(uint64_t seed, uint64_t runs);
/* Return value of micro target n, for micro_check. */
uint64_t yard_micro_expected(unsigned target);

#endif
