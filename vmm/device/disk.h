/* SPDX-License-Identifier: GPL-2.0-only */
/* A raw disk: a file or block device, opened and locked. Blocking I/O, one thread at a time. */
#ifndef HOTRAIL_DEVICE_DISK_H
#define HOTRAIL_DEVICE_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

#define DISK_SECTOR 512u

struct disk {
	int fd;
	bool readonly;
	uint64_t sectors;
};

/*
 * The lock is an open file description's, over the whole file: shared when read-only, else
 * exclusive; other monitors that lock bytes of images (QEMU) see it and are seen.
 */
int disk_open(struct disk *d, const char *path, bool readonly, struct error *err);
void disk_close(struct disk *d);

/* Is [sector, sector + n) on the disk? Safe for any numbers. */
bool disk_holds(const struct disk *d, uint64_t sector, uint64_t n);
/* The whole of it or negative errno. `iov` is changed. The range must be on the disk. */
int disk_transfer(const struct disk *d, bool write, uint64_t sector, struct iovec *iov, unsigned n);
int disk_flush(const struct disk *d);
/* Discard is a hint, zeroes are a promise: where holes are not supported they are written. */
int disk_discard(const struct disk *d, uint64_t sector, uint64_t n);
int disk_write_zeroes(const struct disk *d, uint64_t sector, uint64_t n, bool unmap);

#endif
