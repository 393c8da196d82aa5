/* SPDX-License-Identifier: GPL-2.0-only */
/* The half of image parsing that needs no ELF: is the image header true of the segments? */
#ifndef HOTRAIL_GUEST_IMAGE_CHECK_H
#define HOTRAIL_GUEST_IMAGE_CHECK_H

#include "guest/image.h"

/* A refusal: "FILE: field: what is wrong". */
#define IMAGE_REFUSE(err, ret, name, fmt, ...)                                                     \
	error_set(err, HOTRAIL_EXIT_FAILED, ret, "%s: " fmt, name, ##__VA_ARGS__)

/* img->maps, load, entry and header are filled, nothing of the header is believed yet. 0 or
 * -EINVAL. */
int image_check_header(const struct image *img, const char *name, struct error *err);

#endif
