// SPDX-License-Identifier: GPL-2.0-only
/* The pairs that an image of ours names. */
#include <errno.h>
#include <stdlib.h>

#include "guest/image.h"
#include "patch/pair.h"

int pairs_create_image(struct guest *g, struct applier *a, const struct image *img,
		       const char *journal_path, struct pairs **out, struct error *err)
{
	uint32_t i, n = img->header.pairs_count;
	struct pair *list = calloc(n + 1, sizeof(*list));
	struct hotrail_pair entry;
	int ret;

	*out = NULL;
	if (!list)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %u pairs", n);
	for (i = 0; i < n; i++) {
		image_pair(img, i, &entry);
		list[i] = (struct pair){
			.bypass = entry.bypass, .target = entry.target, .slow = entry.slow};
	}
	ret = pairs_create(g, a, list, n, journal_path, out, err);
	free(list);
	return ret;
}
