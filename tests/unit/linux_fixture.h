/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small "Linux" in a byte array of guest physical memory: image, page tables as the
 * kernel lays them out, a process's tables with and without a user half, two vCPUs, and
 * memory slots. Tests spoil one thing and look what is said about it.
 */
#ifndef HOTRAIL_TESTS_LINUX_FIXTURE_H
#define HOTRAIL_TESTS_LINUX_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux.h"
#include "util/clock.h"
#include "x86/encode.h"
#include "x86/pagewalk.h"

#define FX_LINK	  0xffffffff81000000ull /* _text as linked */
#define FX_OFFSET 0x1e00000ull		/* KASLR */
#define FX_TEXT	  FX_LINK + FX_OFFSET	/* as it runs */
#define FX_PHYS	  0x400000ull		/* where _text is in guest physical memory */
#define FX_IMAGE  0x400000ull		/* bytes, _text to _end: two large pages */
#define FX_RAM	  0x1000000ull

/* Offsets in the image. */
#define FX_SITES    0x0 /* 16 bytes each, one site in each */
#define FX_NSITES   64
#define FX_NOINSTR  0x380 /* the last 8 sites */
#define FX_FUNCTION 0x2000
#define FX_THUNK    0x4000 /* 32 bytes each, by register */
#define FX_RETURN   0x4200
#define FX_DEPTH    0x4300
#define FX_ENTRY    0x5080
#define FX_ETEXT    0x6000
#define FX_BANNER   0x200000
#define FX_NOTES    0x200100
#define FX_STATE    0x200204
#define FX_SPECTRE  0x200208
#define FX_CFI	    0x20020c
#define FX_MODULES  0x200210
#define FX_TOP	    0x210000
#define FX_LEVEL4   0x211000
#define FX_LEVEL3   0x212000
#define FX_LEVEL2   0x213000
#define FX_FIXMAP   0x214000 /* the directory after it: modules */
#define FX_INIT	    0x300000
#define FX_INIT_END 0x380000

/* Elsewhere in guest physical memory. */
#define FX_PGD	    0x100000 /* a process's, kernel half; the user half follows */
#define FX_MODTABLE 0x102000
#define FX_MODPAGE  0x103000

#define FX_RELEASE  "6.1.0-test-amd64"
#define FX_SLOTS    4
#define FX_SLOT_GPA 0x100000000ull

struct fx {
	struct target target; /* first: ops get this pointer */
	struct target_ops ops;
	struct kernel k;
	struct kernel_symbol symbols[64];
	char names[2048];
	size_t names_len;
	struct kernel_range ranges[2];
	struct site sites[FX_NSITES + 1];
	uint8_t *ram;
	gpa_t root;
	unsigned levels, vcpus, pauses;
	bool paused;
	struct machine_paging paging[2];
	uint64_t lstar;
	struct {
		gpa_t gpa;
		uint64_t size;
		uint8_t *host;
		bool readonly;
	} slot[FX_SLOTS];
	unsigned slots_removed, unpaused_phys_writes;
	int fail_pause, fail_slot;
	unsigned fail_slot_after; /* this many are handed out before fail_slot */
};

static inline struct fx *fx_of(struct target *t)
{
	return (struct fx *)t;
}

static inline uint8_t *fx_image(struct fx *f, uint64_t at)
{
	return f->ram + FX_PHYS + at;
}

/* --- target_ops --- */

static inline uint8_t *fx_range(struct fx *f, gpa_t gpa, size_t len)
{
	unsigned i;

	if (len && gpa < FX_RAM && len <= FX_RAM - gpa)
		return f->ram + gpa;
	for (i = 0; len && i < FX_SLOTS; i++)
		if (f->slot[i].size && gpa - f->slot[i].gpa < f->slot[i].size &&
		    len <= f->slot[i].size - (gpa - f->slot[i].gpa))
			return f->slot[i].host + (gpa - f->slot[i].gpa);
	return NULL;
}

static inline int fx_read_phys(struct target *t, gpa_t gpa, void *buf, size_t len)
{
	uint8_t *p = fx_range(fx_of(t), gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static inline int fx_write_phys(struct target *t, gpa_t gpa, const void *buf, size_t len)
{
	uint8_t *p = fx_range(fx_of(t), gpa, len);

	if (!p)
		return -EFAULT;
	fx_of(t)->unpaused_phys_writes += gpa < FX_RAM && !fx_of(t)->paused;
	memcpy(p, buf, len);
	return 0;
}

static inline int fx_entry(void *ctx, gpa_t gpa, uint64_t *entry)
{
	return fx_read_phys(ctx, gpa, entry, sizeof(*entry));
}

static inline int fx_translate(struct target *t, gva_t gva, gpa_t *gpa)
{
	struct pagewalk_result r;

	if (!fx_of(t)->root || pagewalk(fx_of(t)->root, fx_of(t)->levels, gva, fx_entry, t, &r))
		return -EFAULT;
	*gpa = r.gpa;
	return 0;
}

static inline int fx_copy(struct target *t, gva_t gva, void *buf, const void *from, size_t len)
{
	uint8_t *p;
	gpa_t gpa;
	size_t i;

	for (i = 0; i < len; i++) {
		if (fx_translate(t, gva + i, &gpa) || !(p = fx_range(fx_of(t), gpa, 1)))
			return -EFAULT;
		if (from)
			*p = ((const uint8_t *)from)[i];
		else
			((uint8_t *)buf)[i] = *p;
	}
	return 0;
}

static inline int fx_read(struct target *t, gva_t gva, void *buf, size_t len)
{
	return fx_copy(t, gva, buf, NULL, len);
}

static inline int fx_write(struct target *t, gva_t gva, const void *buf, size_t len)
{
	return fx_copy(t, gva, NULL, buf, len);
}

static inline unsigned fx_vcpus(struct target *t)
{
	return fx_of(t)->vcpus;
}

static inline int fx_pause(struct target *t, uint32_t budget_us, struct machine_pause *p,
			   struct error *err)
{
	struct fx *f = fx_of(t);

	if (f->fail_pause)
		return error_set(err, HOTRAIL_EXIT_FAILED, f->fail_pause, "no pause");
	p->token = ++f->pauses;
	f->paused = true;
	return 0;
}

static inline int64_t fx_resume(struct target *t, struct machine_pause *p)
{
	fx_of(t)->paused = false;
	return p->token == fx_of(t)->pauses ? 1 : -EINVAL;
}

static inline int fx_get_regs(struct target *t, unsigned vcpu, struct machine_regs *regs)
{
	memset(regs, 0, sizeof(*regs));
	return fx_of(t)->paused ? 0 : -EINVAL;
}

static inline int fx_get_paging(struct target *t, unsigned vcpu, struct machine_paging *p)
{
	*p = fx_of(t)->paging[vcpu];
	return fx_of(t)->paused ? 0 : -EINVAL;
}

static inline int fx_get_msr(struct target *t, unsigned vcpu, uint32_t index, uint64_t *value)
{
	*value = fx_of(t)->lstar;
	return fx_of(t)->paused && index == 0xc0000082 ? 0 : -EINVAL;
}

static inline void fx_set_root(struct target *t, gpa_t root, unsigned levels)
{
	fx_of(t)->root = root;
	fx_of(t)->levels = levels;
}

static inline int fx_slot_add(struct target *t, uint64_t size, bool readonly, gpa_t *gpa,
			      struct error *err)
{
	struct fx *f = fx_of(t);
	unsigned i, used = 0;

	for (i = 0; i < FX_SLOTS; i++)
		used += f->slot[i].size != 0;
	if (f->fail_slot && used >= f->fail_slot_after)
		return error_set(err, HOTRAIL_EXIT_FAILED, f->fail_slot, "no slot");
	for (i = 0; i < FX_SLOTS && f->slot[i].size; i++)
		;
	if (i == FX_SLOTS)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOSPC, "no slot left");
	f->slot[i].host = calloc(1, size);
	f->slot[i].gpa = *gpa = FX_SLOT_GPA + i * 0x1000000ull;
	f->slot[i].size = size;
	f->slot[i].readonly = readonly;
	return 0;
}

static inline int fx_slot_remove(struct target *t, gpa_t gpa)
{
	struct fx *f = fx_of(t);
	unsigned i;

	for (i = 0; i < FX_SLOTS; i++) {
		if (!f->slot[i].size || f->slot[i].gpa != gpa)
			continue;
		free(f->slot[i].host);
		f->slot[i].size = 0;
		f->slots_removed++;
		return 0;
	}
	return -ENOENT;
}

/* --- building --- */

static inline void fx_put64(struct fx *f, gpa_t at, uint64_t v)
{
	memcpy(f->ram + at, &v, sizeof(v));
}

static inline uint64_t fx_get64(struct fx *f, gpa_t at)
{
	uint64_t v;

	memcpy(&v, f->ram + at, sizeof(v));
	return v;
}

static inline void fx_put32(struct fx *f, uint64_t image_at, uint32_t v)
{
	memcpy(fx_image(f, image_at), &v, sizeof(v));
}

/* Symbols must be added in ascending order. */
static inline void fx_symbol(struct fx *f, const char *name, uint64_t at, char type)
{
	struct kernel_symbol *s = &f->symbols[f->k.symbols_count++];

	s->addr = (int32_t)(FX_LINK + at);
	s->type = type;
	s->name = (uint32_t)f->names_len;
	strcpy(f->names + f->names_len, name);
	f->names_len += strlen(name) + 1;
}

/* The form of 6.1 (`int3` false) or of 6.2 and later, ending in `ret` or in a jump to FX_RETURN. */
static inline void fx_thunk(struct fx *f, unsigned reg, bool int3, bool return_thunk)
{
	uint8_t *p = fx_image(f, FX_THUNK + 32 * reg), b[32];
	size_t n = 0;
	int32_t rel;

	memset(b, 0xcc, sizeof(b));
	b[n++] = 0xe8;
	rel = int3 ? 1 : 7;
	memcpy(b + n, &rel, 4);
	n += 4;
	if (int3)
		b[n++] = 0xcc;
	else
		memcpy(b + n, "\xf3\x90\x0f\xae\xe8\xeb\xf9", 7);
	n += int3 ? 0 : 7;
	b[n++] = 0x48 | (reg >= 8 ? 4 : 0);
	b[n++] = 0x89;
	b[n++] = (uint8_t)(0x04 | (reg & 7) << 3);
	b[n++] = 0x24;
	if (return_thunk) {
		b[n] = 0xe9;
		rel = (int32_t)(FX_RETURN - (FX_THUNK + 32 * reg + n + 5));
		memcpy(b + n + 1, &rel, 4);
	} else {
		b[n] = 0xc3;
	}
	memcpy(p, b, sizeof(b));
}

static inline void fx_one_site(struct fx *f, unsigned n, uint64_t at)
{
	static const uint8_t regs[] = {HOTRAIL_RAX, HOTRAIL_R11, HOTRAIL_RBX, HOTRAIL_R8};
	struct site *s = &f->sites[n];
	uint8_t insn[6] = {0x2e, n % 7 == 3 ? 0xe9 : 0xe8};

	*s = (struct site){.addr = FX_LINK + at, .reg = regs[n % 4], .is_jump = n % 7 == 3};
	s->len = s->reg >= HOTRAIL_R8 ? 6 : 5;
	s->thunk = FX_LINK + FX_THUNK + 32 * s->reg;
	x86_retarget(insn + 6 - s->len, s->len, s->addr, s->thunk, s->bytes);
	memcpy(fx_image(f, at), s->bytes, s->len);
}

static inline void fx_sites(struct fx *f)
{
	unsigned i;

	memset(fx_image(f, 0), 0x90, FX_ETEXT);
	for (i = 0; i < FX_NSITES; i++)
		fx_one_site(f, i, FX_SITES + 16 * i + 2);
	fx_one_site(f, FX_NSITES, FX_INIT + 0x40);
	for (i = 0; i < HOTRAIL_REGS; i++)
		if (i != HOTRAIL_RSP)
			fx_thunk(f, i, false, false);
	f->k.sites = (struct site_table){.sites = f->sites,
					 .count = FX_NSITES + 1,
					 .text_start = FX_LINK,
					 .text_end = FX_LINK + FX_ETEXT};
}

static inline void fx_symbols(struct fx *f)
{
	static const char *const regs[HOTRAIL_REGS] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
	};
	char name[40];
	unsigned i;

	f->symbols[f->k.symbols_count++] =
		(struct kernel_symbol){.addr = 0x1fb40, .name = 0, .type = 'A'};
	strcpy(f->names, "percpu_thing");
	f->names_len = sizeof("percpu_thing");
	fx_symbol(f, "vfs_read", FX_SITES, 'T');
	fx_symbol(f, "noinstr_thing", FX_NOINSTR, 't');
	fx_symbol(f, "ext4_file_read_iter", FX_FUNCTION, 't');
	fx_symbol(f, "tcp_sendmsg", FX_FUNCTION + 0x40, 'T');
	for (i = 0; i < HOTRAIL_REGS; i++) {
		snprintf(name, sizeof(name), "__x86_indirect_thunk_%s", regs[i]);
		if (i == HOTRAIL_RSP)
			continue;
		fx_symbol(f, name, FX_THUNK + 32 * i, 'T');
		f->k.thunks[i] = FX_LINK + FX_THUNK + 32 * i;
	}
	fx_symbol(f, "__x86_return_thunk", FX_RETURN, 'T');
	fx_symbol(f, "__x86_indirect_call_thunk_rax", FX_DEPTH, 'T');
	fx_symbol(f, "entry_SYSCALL_64", FX_ENTRY, 'T');
	fx_symbol(f, "linux_banner", FX_BANNER, 'R');
	fx_symbol(f, "__start_notes", FX_NOTES, 'R');
	fx_symbol(f, "__stop_notes", FX_NOTES + 48, 'R');
	fx_symbol(f, "system_state", FX_STATE, 'D');
	fx_symbol(f, "spectre_v2_enabled", FX_SPECTRE, 'd');
	fx_symbol(f, "cfi_mode", FX_CFI, 'D');
	fx_symbol(f, "modules", FX_MODULES, 'D');
	fx_symbol(f, "init_top_pgt", FX_TOP, 'D');
	fx_symbol(f, "level2_kernel_pgt", FX_LEVEL2, 'D');
	f->k.symbols = f->symbols;
	f->k.names = f->names;
}

/* Two notes, the build id second: name size, descriptor size, type, name, descriptor. */
static inline void fx_data(struct fx *f)
{
	static const uint32_t other[] = {0, 0, 6}, id[] = {4, 20, 3, 0x00554e47};
	uint8_t *notes = fx_image(f, FX_NOTES);

	strcpy((char *)fx_image(f, FX_BANNER), "Linux version " FX_RELEASE " (someone@somewhere)");
	memset(f->k.build_id, 0x5a, sizeof(f->k.build_id));
	f->k.build_id_len = 20;
	memcpy(notes, other, sizeof(other));
	memcpy(notes + 12, id, sizeof(id));
	memcpy(notes + 28, f->k.build_id, 20);
	fx_put32(f, FX_STATE, 3);
	fx_put32(f, FX_SPECTRE, 1);
	fx_put32(f, FX_MODULES, (uint32_t)(FX_TEXT + FX_MODULES)); /* an empty list */
	fx_put32(f, FX_MODULES + 4, 0xffffffff);
}

/* Tables as head_64.S lays them out. `levels` 5 puts level4 between top and level3. */
static inline void fx_tables(struct fx *f, unsigned levels)
{
	gpa_t upper = FX_PHYS + (levels == 5 ? FX_LEVEL4 : FX_LEVEL3);
	unsigned i;

	fx_put64(f, FX_PHYS + FX_TOP + 8 * 511, upper | 0x67);
	fx_put64(f, FX_PGD + 8 * 511, upper | 0x67);
	fx_put64(f, FX_PHYS + FX_LEVEL4 + 8 * 511, (FX_PHYS + FX_LEVEL3) | 0x67);
	fx_put64(f, FX_PHYS + FX_LEVEL3 + 8 * 510, (FX_PHYS + FX_LEVEL2) | 0x63);
	fx_put64(f, FX_PHYS + FX_LEVEL3 + 8 * 511, (FX_PHYS + FX_FIXMAP) | 0x67);
	for (i = 0; i < FX_IMAGE / 0x200000; i++)
		fx_put64(f,
			 FX_PHYS + FX_LEVEL2 +
				 8 * ((FX_TEXT - 0xffffffff80000000ull) / 0x200000 + i),
			 (FX_PHYS + i * 0x200000ull) | (i ? 0x80000000000000e3ull : 0xe1));
	/* One page of a module's text at the start of the module area, one of its data after it. */
	fx_put64(f, FX_PHYS + FX_FIXMAP, FX_MODTABLE | 0x63);
	fx_put64(f, FX_MODTABLE, FX_MODPAGE | 0x61);
	fx_put64(f, FX_MODTABLE + 8, (FX_MODPAGE + 0x1000) | 0x8000000000000063ull);
	for (i = 0; i < 2; i++)
		f->paging[i] = (struct machine_paging){.cr0 = 0x80050033,
						       .cr3 = FX_PGD | 0x5, /* PCID */
						       .cr4 = levels == 5 ? 0x1020 : 0x20,
						       .efer = 0xd01};
}

static inline int fx_init(struct fx *f, unsigned levels)
{
	memset(f, 0, sizeof(*f));
	f->ram = calloc(1, FX_RAM);
	if (!f->ram)
		return -ENOMEM;
	f->ops = (struct target_ops){
		.name = "fake",
		.vcpus = fx_vcpus,
		.pause = fx_pause,
		.resume = fx_resume,
		.get_regs = fx_get_regs,
		.read = fx_read,
		.write = fx_write,
		.translate = fx_translate,
		.get_paging = fx_get_paging,
		.get_msr = fx_get_msr,
		.set_root = fx_set_root,
		.read_phys = fx_read_phys,
		.write_phys = fx_write_phys,
		.slot_add = fx_slot_add,
		.slot_remove = fx_slot_remove,
	};
	f->target.ops = &f->ops;
	f->vcpus = 2;
	f->lstar = FX_TEXT + FX_ENTRY;
	strcpy(f->k.release, FX_RELEASE);
	f->k.text_start = FX_LINK;
	f->k.text_end = FX_LINK + FX_ETEXT;
	f->k.image_end = FX_LINK + FX_IMAGE;
	f->k.init_start = FX_LINK + FX_INIT;
	f->k.init_end = FX_LINK + FX_INIT_END;
	f->ranges[0] = (struct kernel_range){FX_LINK + FX_NOINSTR, FX_LINK + FX_NOINSTR + 0x80,
					     KERNEL_RANGE_NOINSTR};
	f->ranges[1] =
		(struct kernel_range){FX_LINK + FX_INIT, FX_LINK + FX_INIT_END, KERNEL_RANGE_INIT};
	f->k.ranges = f->ranges;
	f->k.ranges_count = 2;
	fx_sites(f);
	fx_symbols(f);
	fx_data(f);
	fx_tables(f, levels);
	return 0;
}

static inline void fx_free(struct fx *f)
{
	unsigned i;

	for (i = 0; i < FX_SLOTS; i++)
		if (f->slot[i].size)
			free(f->slot[i].host);
	free(f->ram);
}

/* Page directory entry for a kernel-image address. */
static inline gpa_t fx_pde(gva_t gva)
{
	return FX_PHYS + FX_LEVEL2 + 8 * ((gva - 0xffffffff80000000ull) / 0x200000);
}

#endif
