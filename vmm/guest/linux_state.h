/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of a Linux guest share; private to linux_*.c. All addresses are the guest's. */
#ifndef HOTRAIL_GUEST_LINUX_STATE_H
#define HOTRAIL_GUEST_LINUX_STATE_H

#include <pthread.h>

#include "guest/linux.h"

#define LINUX_IMAGE_BASE  0xffffffff80000000ull /* __START_KERNEL_map */
#define LINUX_IMAGE_SIZE  0x40000000ull /* KERNEL_IMAGE_SIZE with KASLR: 1 GiB, one directory */
#define LINUX_MODULES	  (LINUX_IMAGE_BASE + LINUX_IMAGE_SIZE)
#define LINUX_MODULES_END 0xffffffffff000000ull
#define LINUX_LARGE	  0x200000ull /* what one directory entry maps; KASLR moves in such steps */

#define LINUX_WINDOW_CODE 1 /* entries, 2 MiB each */
#define LINUX_WINDOW_DATA 4 /* room for a learning table of every site, twice */
#define LINUX_WINDOW_MAX  (LINUX_WINDOW_CODE + LINUX_WINDOW_DATA)

struct linux_entry { /* one directory entry of ours */
	gpa_t at;
	uint64_t value;
};

#define LINUX_MODULES_MAX 1024

#define LINUX_FUNCTIONS_MAX 4096 /* with names, in one module */

struct linux_function {
	gva_t start;
	uint32_t size;
	char *name;
};

struct linux_module {
	gva_t text;
	uint64_t size;
	uint32_t id;
	const char *name;		  /* never freed before the guest is */
	struct linux_function *functions; /* ascending by start, no overlap */
	size_t functions_count;
};

/* The lock covers the list and the names; who changes them holds the owner's of the slots, too. */
struct linux_modules {
	pthread_mutex_t lock;
	struct linux_module *list; /* ascending by text, no overlap; LINUX_MODULES_MAX of them */
	size_t count;
	char **names;
	size_t names_count;
};

struct linux_window {
	struct linux_entry entry[LINUX_WINDOW_MAX];
	gpa_t code, data; /* slots; 0 = none */
	bool mapped;
};

struct linux_guest {
	struct guest guest;
	const struct kernel *k;
	struct linux_info info;
	uint64_t lstar;
	gva_t top, directory; /* init_top_pgt, level2_kernel_pgt: looked up once, used in pauses */
	struct linux_window window;
	struct linux_modules modules;
	int refused; /* may_patch's answer where it does not change any more */
	struct error refusal;
};

static inline struct linux_guest *linux_guest(struct guest *g)
{
	return (struct linux_guest *)((char *)g - offsetof(struct linux_guest, guest));
}

/* Run-time address of a kernel symbol; 0 if there is none, or it is no address of the image. */
gva_t linux_address(const struct linux_guest *l, const char *symbol);
/* Read a variable of the guest's kernel. -ENOENT: no such symbol; -EFAULT. */
int linux_read(struct linux_guest *l, const char *symbol, void *buf, size_t len);

/* linux_offset.c. Offset and page tables into l->info, the target's root set; nothing else is
 * touched. Pauses. */
int linux_find_kernel(struct linux_guest *l, struct error *err);
/* Is it finished booting, and the build that k is? Guest may run. */
int linux_check_kernel(struct linux_guest *l, struct error *err);
/* The same system as at linux_find_kernel()? In a pause. */
int linux_still_there(struct guest *g, struct error *err);
/* Entry of the page table `level` levels above the last (4 KiB pages: 1) for gva, from root.
 * -EFAULT: not there, or mapped by a larger page. */
int linux_walk_to(struct target *t, gpa_t root, unsigned levels, unsigned level, gva_t gva,
		  gpa_t *entry);

/* linux_sites.c: guest.sites and the census. */
int linux_read_sites(struct linux_guest *l, struct error *err);

/* linux_modules.c */
void linux_modules_init(struct linux_guest *l);
void linux_modules_free(struct linux_guest *l);
int linux_module_add(struct guest *g, const struct guest_module *m, struct guest_found *found,
		     guest_sites_fn fn, void *ctx, struct error *err);
void linux_module_remove(struct guest *g, uint32_t id, guest_sites_fn fn, void *ctx);
void linux_module_functions(struct guest *g, const struct guest_function *f, size_t n);
/* "[vfat] vfat_lookup+0x12", or "[vfat]+0x12" where no function is known; false: no known module is
 * there. Any thread. */
bool linux_module_symbol(struct linux_guest *l, gva_t addr, char *buf, size_t len);
/* "vfat", or NULL; lives as long as the guest. Any thread. */
const char *linux_module_name(struct linux_guest *l, gva_t addr);

/* linux_mitigation.c: what of guest_ops.may_patch needs to be asked once, and each time. */
int linux_judge(struct linux_guest *l, struct error *err);
int linux_check_thunks(struct linux_guest *l, struct error *err);

/* linux_window.c: guest.arena. Pauses. */
int linux_window_open(struct linux_guest *l, struct error *err);
void linux_window_close(struct linux_guest *l);
/* Do all entries still hold what was written there? */
bool linux_window_intact(const struct linux_guest *l);

#endif
