/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading the files a PC starts from; refusals name the file. */
#ifndef HOTRAIL_GUEST_PC_FILE_H
#define HOTRAIL_GUEST_PC_FILE_H

#include <stdint.h>

#include "util/error.h"

/* Open a regular file of 1..max bytes. File descriptor or negative errno. `what`: "kernel". */
int pc_file_open(const char *path, const char *what, uint64_t max, uint64_t *size,
		 struct error *err);
/* Its first `size` bytes; a file that became shorter is refused. */
int pc_file_read(int fd, const char *path, void *buf, uint64_t size, struct error *err);

#endif
