// SPDX-License-Identifier: GPL-2.0-only
/* Loading a yard guest into a machine, and telling it what to do. */
#include "guest/yard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/yard_state.h"

#define LARGE_PAGE   0x200000ull
#define RFLAGS_FIXED 0x2ull    /* Intel SDM vol. 1, 3.4.3: bit 1 is always set */
#define RFLAGS_IOPL3 0x3000ull /* lets level 3 use `out` */

int yard_configure(const struct image *img, struct machine_config *config, struct error *err)
{
	uint64_t need = (IMAGE_LOAD_GPA + img->span + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);

	if (config->vcpus > img->header.max_vcpus)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "the image has room for %u vCPUs, not %u", img->header.max_vcpus,
				 config->vcpus);
	if (!config->ram_bytes)
		config->ram_bytes = need;
	if (config->ram_bytes < need)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%llu KiB of memory are too few: the image needs %llu MiB",
				 (unsigned long long)config->ram_bytes >> 10,
				 (unsigned long long)need >> 20);
	config->maps = img->maps;
	config->maps_count = img->maps_count;
	return 0;
}

/* Host view of guest memory that the image check proved to lie in one segment. */
static void *guest_memory(const struct image *img, const struct machine *m, gva_t gva, uint64_t len)
{
	const struct machine_map *map = image_segment(img, gva, len);

	return map ? machine_ram_range(m, map->gpa + (gva - map->gva), len) : NULL;
}

static int copy_segments(const struct image *img, struct machine *m, struct error *err)
{
	unsigned i;
	void *to;

	for (i = 0; i < img->maps_count; i++) {
		to = machine_ram_range(m, img->maps[i].gpa, img->maps[i].size);
		if (!to)
			return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
					 "segment %u of the image does not fit the guest's memory",
					 i);
		/* The rest of the segment is the zero page of fresh RAM: not touched, not resident.
		 */
		memcpy(to, img->file + img->load[i].file_offset, img->load[i].file_size);
	}
	return 0;
}

static int set_entry(const struct image *img, struct machine *m, unsigned vcpu, struct error *err)
{
	const struct hotrail_image_header *h = &img->header;
	struct machine_regs regs = {
		.rip = img->entry,
		.rflags = RFLAGS_FIXED | (machine_cpl(m) == 3 ? RFLAGS_IOPL3 : 0),
	};

	regs.gpr[HOTRAIL_RDI] = vcpu;
	/* As after a call: the stack is 16-byte aligned before the return address. */
	regs.gpr[HOTRAIL_RSP] = h->stacks + (vcpu + 1) * h->stack_size - 8;
	return machine_set_entry(m, vcpu, &regs, err);
}

int yard_boot(const struct image *img, struct machine *m, uint64_t seed, struct error *err)
{
	struct yard_control *control;
	void *arena;
	unsigned vcpu;
	int ret;

	if (machine_vcpus(m) > img->header.max_vcpus)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "the image has room for %u vCPUs, the machine has %u",
				 img->header.max_vcpus, machine_vcpus(m));
	ret = copy_segments(img, m, err);
	if (ret)
		return ret;
	control = guest_memory(img, m, img->header.control, sizeof(*control));
	if (!control)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
				 "the control page is outside the guest's memory");
	memset(control, 0, sizeof(*control));
	control->seed = seed;
	arena = guest_memory(img, m, img->header.arena_code, img->header.arena_code_size);
	if (!arena)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
				 "the arena is outside the guest's memory");
	memset(arena, 0xcc,
	       img->header.arena_code_size); /* int3: nothing may run there unwritten */
	for (vcpu = 0; !ret && vcpu < machine_vcpus(m); vcpu++)
		ret = set_entry(img, m, vcpu, err);
	return ret;
}

int yard_create(const struct image *img, struct machine *m, uint64_t seed, struct yard **out,
		struct error *err)
{
	struct yard *y = calloc(1, sizeof(*y));

	*out = NULL;
	if (!y)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the guest");
	y->img = img;
	y->m = m;
	y->seed = seed;
	y->vcpus = machine_vcpus(m);
	y->control = guest_memory(img, m, img->header.control, sizeof(*y->control));
	y->stats = y->vcpus && y->vcpus <= img->header.max_vcpus
			   ? guest_memory(img, m, img->header.stats, y->vcpus * sizeof(*y->stats))
			   : NULL;
	if (!y->control || !y->stats) {
		free(y);
		return error_set(err, HOTRAIL_EXIT_FAILED, -EFAULT,
				 "the control or statistics pages are outside the guest's memory");
	}
	pthread_mutex_init(&y->micro_lock, NULL);
	pthread_mutex_init(&y->lock, NULL);
	*out = y;
	return 0;
}

void yard_destroy(struct yard *y)
{
	if (!y)
		return;
	pthread_mutex_destroy(&y->lock);
	pthread_mutex_destroy(&y->micro_lock);
	free(y);
}

void yard_command(struct yard *y, enum yard_cmd cmd)
{
	__atomic_store_n(&y->control->cmd, (uint32_t)cmd, __ATOMIC_RELEASE);
}

void yard_flow_kind(struct yard *y, enum yard_micro kind)
{
	__atomic_store_n(&y->control->micro_kind, (uint32_t)kind, __ATOMIC_RELEASE);
}

void yard_phase(struct yard *y, unsigned phase)
{
	phase %= YARD_PHASES;
	__atomic_store_n(&y->phase, phase, __ATOMIC_RELAXED);
	__atomic_store_n(&y->control->phase, phase, __ATOMIC_RELEASE);
}

unsigned yard_phase_now(struct yard *y)
{
	return __atomic_load_n(&y->phase, __ATOMIC_RELAXED);
}
