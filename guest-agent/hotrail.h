/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the module offer each other.
 *
 * One lock, hotrail_lock, over all state. Order: hotrail_lock, then the kernel's kprobe_mutex, then
 * its text_mutex. Requests, the lease and the conflict timer run one after the other in
 * one ordered workqueue; module notifier, parameters and exit come from elsewhere.
 * "Locked" below: the caller holds hotrail_lock. All may sleep unless said otherwise.
 */
#ifndef HOTRAIL_GUEST_AGENT_HOTRAIL_H
#define HOTRAIL_GUEST_AGENT_HOTRAIL_H

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "block.h"
#include "protocol/agent.h"
#include "protocol/wire.h"

extern struct mutex hotrail_lock;

/* --- main.c: parameters and what forbids patching --- */
extern unsigned int conflict_ms;
extern unsigned int lease_override_ms;
extern unsigned int force_fallback; /* for tests */
#define FALLBACK_ONE_BY_ONE 1
#define FALLBACK_NO_SYMBOLS 2
u32 refusals(void); /* enum agent_refusal bits, as of now */

/* --- symbols.c: what the kernel does not export; NULL or 0 where it cannot be found --- */
struct kernel_symbols {
	void (*text_poke_queue)(void *addr, const void *opcode, size_t len, const void *emulate);
	void (*text_poke_finish)(void);
	struct kprobe *(*get_kprobe)(void *addr);
	const struct exception_table_entry *(*search_exception_tables)(unsigned long addr);
	struct mutex *text_mutex, *kprobe_mutex;
	struct list_head *kprobe_blacklist; /* guarded by kprobe_mutex */
	unsigned long text_start, text_end; /* core text, without init */
	u8 build_id[20];
	u32 build_id_len;
	u32 features; /* enum agent_feature bits */
	bool fineibt;
};
extern struct kernel_symbols kernel; /* constant after symbols_find() */
void symbols_find(void);
bool symbols_can_poke(void);
/* The register's number if `addr` is a retpoline thunk, else -1. Any context. */
int symbols_thunk_register(unsigned long addr);
/* Init text counts too. Any context. */
bool symbols_in_range(unsigned long addr, u32 len);
/* Ranges from `first` on that no site may lie in; returns how many there are in all. Locked. */
u32 symbols_ranges(u32 first, struct agent_range *out, u32 room, u32 *filled);

/* --- arena.c: blocks inside the module's text, and the data half --- */
int arena_init(void);
void arena_exit(void);
void arena_describe(struct agent_hello_reply *r);
/* Locked; enum agent_status. */
u8 arena_write(const struct agent_block *b);
bool arena_contains(unsigned long addr); /* the code half */
bool arena_readable(unsigned long addr, u32 len);
/* Is a block at `addr` to be used? Fills what is known about it. Locked. */
bool arena_block(unsigned long addr, struct block_view *view);
/* Reclaim in two steps, with a grace period between; locked. What is retired is no block any more.
 */
u8 arena_retire(const struct agent_block *b);
void arena_free(const struct agent_block *b);
u32 arena_used(void); /* bytes */
/* The table at `offset` of the CPU's copy, or NULL: no table fits there. */
u32 *arena_table(u32 cpu, u32 offset);
u32 arena_tables(void); /* copies */

/* --- sites.c: every site ever poked; locked --- */
struct site {
	struct rb_node node;
	unsigned long addr;
	u8 orig[AGENT_SITE_BYTES], now[AGENT_SITE_BYTES];
	u8 len;
	bool seen; /* somebody's int3 there was reported */
};
struct site *site_find(unsigned long addr);
/* -EEXIST when it overlaps another, -ENOSPC, -ENOMEM. */
int site_add(unsigned long addr, u8 len, const u8 *bytes, struct site **out);
void site_forget(struct site *s);
struct site *site_first(void);
struct site *site_next(struct site *s);
bool site_promoted(const struct site *s);
void site_set(struct site *s, const u8 *bytes); /* what it holds now */
u32 sites_promoted(void);
/* Where the bytes of a call or jump at `addr` lead. */
unsigned long site_target(unsigned long addr, const u8 *bytes, u8 len);
/* Lead back those that `which` chooses (NULL: all). Returns how many are led back; *left: how many
 * are not. */
u32 sites_restore(bool (*which)(const struct site *s, const void *ctx), const void *ctx, u32 *left);
/* Does any promoted site lead to `addr`? */
bool sites_lead_to(unsigned long addr);

/* --- poke.c: bytes into text; locked --- */
struct poke_job {
	struct site *site; /* NULL: a pair's slot */
	unsigned long addr;
	u8 len;
	u8 old[AGENT_SITE_BYTES], want[AGENT_SITE_BYTES];
	u8 status; /* in: others than AGENT_OK are passed over */
};
/* Ascending by address. Adds to *rounds and *ns; each job that changed memory changed its site. */
void poke_run(struct poke_job *jobs, u32 n, u32 *rounds, u64 *ns);
bool poke_read(unsigned long addr, void *to, u32 len); /* false: not mapped. Any context. */
/* Is there a probe on a slot, or so shortly before it that the jump which the kernel makes of it
 * may lie over the slot? Any context; true for a moment only, but where probes are kept away. */
bool poke_slot_probed(unsigned long addr, u32 len);

/* --- check.c: may this be poked? locked --- */
/* Fills the jobs; those that pass have status AGENT_OK and a site. `learn`: each has a table. */
void check_pokes(const struct agent_poke *pokes, u32 n, bool learn, struct poke_job *jobs);
bool check_readable(unsigned long addr, u32 len); /* text or the arena */
/* Asks the kernel about those with status AGENT_OK and no site. */
void check_instructions(struct poke_job *jobs, u32 n);
/* May a pair that `owner` has declared lead there? Core text, its own, or a live module's. */
bool check_program(const struct module *owner, unsigned long addr);

/* --- modules.c: live modules and their text; locked but for init and exit --- */
int modules_init(void);
void modules_exit(void);
bool modules_own(unsigned long addr, u32 len); /* text of a live module other than this one */
/* Those with a greater id than `after`, ascending; returns how many there are in all. */
u32 modules_list(u32 after, struct agent_module *out, u32 room, u32 *filled);
bool modules_text_of(const struct module *mod, unsigned long addr, u32 len); /* any context */

/* --- learn.c --- */
bool learn_table_valid(u32 offset);
void learn_clear(u32 offset);			      /* all CPUs' copies */
int learn_sum(u32 offset, struct agent_counted *out); /* -ENOMEM */

/* --- dispatch.c --- */
/* `frame` is sound by wire_check(). From the workqueue. */
void dispatch_frame(const void *frame);
/* It is not; where the stream is lost (WIRE_BAD_MAGIC, WIRE_BAD_LENGTH) `frame` is not looked at.
 */
void dispatch_bad(const void *frame, enum wire_verdict v);
void grace(void); /* waits until no task is in a block that no site leads to; not locked */
void dispatch_host_lost(void); /* locked: nothing but a hello is answered from now on */
void event_module(const struct agent_module *m);
void event_conflict(const struct site *s, const u8 *have, u8 action);
void event_bye(u32 undone, u32 left);

/* --- device.c: /dev/hotrail --- */
int device_init(void);
void device_exit(void);
/* The relay reads what is left, then the end of the file; waits until it has closed the device. */
void device_finish(void);
bool device_pending(void); /* a whole frame waits for the workqueue */
void device_reset(void);   /* half a frame whose rest did not come is dropped */
/* Room for a frame: its payload, aligned to 8, is at ->frame + sizeof(struct agent_header). NULL:
 * no memory. */
struct outgoing {
	struct list_head list;
	u32 len;
	u8 frame[];
};
static_assert((offsetof(struct outgoing, frame) + sizeof(struct agent_header)) % 8 == 0);
struct outgoing *outgoing_new(u32 payload);
/* Takes it. Events are dropped, and counted by their numbers, when nobody reads. */
void outgoing_send(struct outgoing *o, u16 type, u32 payload, u32 seq);

/* --- watch.c: lease, conflicts, panic --- */
struct counts {
	u32 conflicts, busy, rounds, undone;
};
extern struct counts counts; /* locked */
extern struct workqueue_struct *hotrail_queue;
int watch_init(void);
void watch_exit(void);
void watch_lease(u32 lease_ms, u32 policy); /* locked: a hello said so */
void watch_heard(void);			    /* a message came */
/* Locked, but for a grace period. The agent leads back all sites and pairs it can; returns how
 * many. Why: for the kernel's log. */
u32 restore_all(const char *why, u32 *left);
u32 restore_everything(u32 *left); /* the same, unsaid */

/* --- state.c: sysfs and debugfs --- */
extern const struct attribute_group *state_groups[];
void state_init(void);
void state_exit(void);

/* --- dispatch.c, for state.c: locked --- */
struct host_state {
	bool present;
	u64 host, instance;
	u32 lease_ms, policy;
	u64 messages, bad;
};
extern struct host_state host;

#endif
