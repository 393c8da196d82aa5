// SPDX-License-Identifier: GPL-2.0-only
/* guest_ops over one of our own images. */
#include "guest/yard.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guest/thunk.h"

struct yard_guest {
	struct guest guest;
	const struct image *img;
};

static struct yard_guest *yard_guest(struct guest *g)
{
	return (struct yard_guest *)((char *)g - offsetof(struct yard_guest, guest));
}

/* The guest's memory counts, not the file: a guest may have rewritten its thunks since. */
static int check_thunk(struct guest *g, enum hotrail_reg reg, gva_t at, struct error *err)
{
	uint8_t bytes[THUNK_MAX_BYTES];
	size_t len = g->text_end - at < sizeof(bytes) ? g->text_end - at : sizeof(bytes);
	char name[96];
	int ret;

	ret = g->target->ops->read(g->target, at, bytes, len);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "cannot read the thunk at 0x%llx from the guest",
				 (unsigned long long)at);
	if (thunk_is_retpoline(bytes, len, at, reg))
		return 0;
	image_name(yard_guest(g)->img, at, name, sizeof(name));
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
			 "the thunk %s is not a retpoline: nothing to gain, nothing is touched",
			 name);
}

static int may_patch(struct guest *g, struct error *err)
{
	const struct hotrail_image_header *h = &yard_guest(g)->img->header;
	unsigned reg;
	int ret;

	if (h->kind != HOTRAIL_KIND_RETPOLINE)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "sites are already `call *%%reg`: this guest does not execute "
				 "retpolines, nothing to gain");
	for (reg = 0; reg < HOTRAIL_REGS; reg++) {
		if (!h->thunks[reg])
			continue;
		ret = check_thunk(g, reg, h->thunks[reg], err);
		if (ret)
			return ret;
	}
	return 0;
}

static void symbol(struct guest *g, gva_t addr, char *buf, size_t len)
{
	image_name(yard_guest(g)->img, addr, buf, len);
}

static gva_t lookup(struct guest *g, const char *name)
{
	return image_lookup(yard_guest(g)->img, name);
}

static bool is_target(struct guest *g, gva_t addr)
{
	return image_is_function(yard_guest(g)->img, addr);
}

static const struct guest_ops yard_ops_table = {
	.name = "yard",
	.may_patch = may_patch,
	.symbol = symbol,
	.lookup = lookup,
	.is_target = is_target,
};

int yard_guest_create(const struct image *img, struct target *t, struct guest **out,
		      struct error *err)
{
	const struct hotrail_image_header *h = &img->header;
	struct yard_guest *y = calloc(1, sizeof(*y));
	int ret;

	*out = NULL;
	if (!y)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for the guest");
	ret = image_sites(img, &y->guest.sites, err);
	if (ret) {
		free(y);
		return ret;
	}
	y->img = img;
	y->guest.ops = &yard_ops_table;
	y->guest.target = t;
	y->guest.arena = (struct guest_arena){
		.code = h->arena_code,
		.code_size = h->arena_code_size,
		.data = h->arena_data,
		.data_size = h->arena_data_size,
	};
	y->guest.text_start = h->text_start;
	y->guest.text_end = h->text_end;
	y->guest.build_id_len = img->build_id_len;
	memcpy(y->guest.build_id, img->build_id, img->build_id_len);
	*out = &y->guest;
	return 0;
}

void yard_guest_destroy(struct guest *g)
{
	if (!g)
		return;
	site_table_free(&g->sites);
	free(yard_guest(g));
}

int yard_guest_compare(struct guest *g, size_t *differ, struct error *err)
{
	uint8_t bytes[SITE_MAX_LEN];
	size_t i;
	int ret;

	*differ = 0;
	for (i = 0; i < g->sites.count; i++) {
		const struct site *s = &g->sites.sites[i];

		ret = g->target->ops->read(g->target, s->addr, bytes, s->len);
		if (ret)
			return error_set(err, HOTRAIL_EXIT_FAILED, ret,
					 "cannot read the site at 0x%llx from the guest",
					 (unsigned long long)s->addr);
		*differ += !!memcmp(bytes, s->bytes, s->len);
	}
	return 0;
}
