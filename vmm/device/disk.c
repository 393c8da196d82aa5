// SPDX-License-Identifier: GPL-2.0-only
/* Raw disks: open, lock, read, write, flush, discard. */
#include "device/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/fs.h>

static int lock_disk(int fd, const char *path, bool readonly, struct error *err)
{
	struct flock lock = {.l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "disk %s is in use by another guest; stop it, or give %s", path,
				 readonly ? "a copy" : "both guests the disk read-only");
	return error_errno(err, "cannot lock disk %s", path);
}

static int measure(struct disk *d, const char *path, struct error *err)
{
	uint64_t bytes;
	struct stat st;

	if (fstat(d->fd, &st))
		return error_errno(err, "cannot examine disk %s", path);
	if (S_ISREG(st.st_mode))
		bytes = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "disk %s is neither a file nor a block device", path);
	else if (ioctl(d->fd, BLKGETSIZE64, &bytes))
		return error_errno(err, "cannot ask for the size of disk %s", path);
	if (!bytes || bytes % DISK_SECTOR)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "disk %s has %llu bytes: a raw image is a multiple of %u long",
				 path, (unsigned long long)bytes, DISK_SECTOR);
	d->sectors = bytes / DISK_SECTOR;
	return 0;
}

/* A guest shown the inside of a container format as a disk would make nonsense of both. */
static int refuse_formats(const struct disk *d, const char *path, struct error *err)
{
	char magic[4] = {0};

	if (pread(d->fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	    !memcmp(magic, "QFI\xfb", sizeof(magic)))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "disk %s is a qcow2 image; only raw ones work: qemu-img convert "
				 "-O raw %s NEW",
				 path, path);
	return 0;
}

int disk_open(struct disk *d, const char *path, bool readonly, struct error *err)
{
	int ret;

	d->readonly = readonly;
	/* Non-blocking only so that opening something that is no disk (a FIFO) returns. */
	d->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (d->fd < 0 && errno == ENOENT)
		return error_set(err, HOTRAIL_EXIT_USAGE, -ENOENT, "disk %s does not exist", path);
	if (d->fd < 0 && (errno == EACCES || errno == EROFS) && !readonly)
		return error_set(err, HOTRAIL_EXIT_PERMISSION, -errno,
				 "disk %s may not be written: %s; a read-only disk may do", path,
				 strerror(errno));
	if (d->fd < 0)
		return error_errno(err, "cannot open disk %s", path);
	ret = measure(d, path, err);
	if (!ret)
		ret = lock_disk(d->fd, path, readonly, err);
	if (!ret)
		ret = refuse_formats(d, path, err);
	if (ret)
		disk_close(d);
	return ret;
}

void disk_close(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

bool disk_holds(const struct disk *d, uint64_t sector, uint64_t n)
{
	return sector <= d->sectors && n <= d->sectors - sector;
}

static void advance(struct iovec **iov, unsigned *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int disk_transfer(const struct disk *d, bool write, uint64_t sector, struct iovec *iov, unsigned n)
{
	off_t at = (off_t)(sector * DISK_SECTOR);
	ssize_t done;

	while (n) {
		done = write ? pwritev(d->fd, iov, (int)n, at) : preadv(d->fd, iov, (int)n, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (!done) /* the file is shorter than it was */
			return -EIO;
		at += done;
		advance(&iov, &n, (size_t)done);
	}
	return 0;
}

int disk_flush(const struct disk *d)
{
	return fdatasync(d->fd) ? -errno : 0;
}

static int allocate(const struct disk *d, int mode, uint64_t sector, uint64_t n)
{
	int ret;

	do
		ret = fallocate(d->fd, mode, (off_t)(sector * DISK_SECTOR),
				(off_t)(n * DISK_SECTOR));
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static bool unsupported(int ret)
{
	return ret == -EOPNOTSUPP || ret == -ENOSYS || ret == -ENODEV || ret == -EINVAL;
}

int disk_discard(const struct disk *d, uint64_t sector, uint64_t n)
{
	int ret = n ? allocate(d, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, sector, n) : 0;

	return unsupported(ret) ? 0 : ret;
}

static int write_out_zeroes(const struct disk *d, uint64_t sector, uint64_t n)
{
	static uint8_t zeroes[128 * DISK_SECTOR]; /* never written: no cost but address space */
	struct iovec iov;
	uint64_t part;
	int ret = 0;

	for (; n && !ret; sector += part, n -= part) {
		part = n < sizeof(zeroes) / DISK_SECTOR ? n : sizeof(zeroes) / DISK_SECTOR;
		iov = (struct iovec){zeroes, part * DISK_SECTOR};
		ret = disk_transfer(d, true, sector, &iov, 1);
	}
	return ret;
}

int disk_write_zeroes(const struct disk *d, uint64_t sector, uint64_t n, bool unmap)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int ret = n ? allocate(d, mode | FALLOC_FL_KEEP_SIZE, sector, n) : 0;

	return unsupported(ret) ? write_out_zeroes(d, sector, n) : ret;
}
