// SPDX-License-Identifier: GPL-2.0-only
/* Guest RAM: memfd, huge pages, range checks. */
#include "machine/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_SIZE (2ull << 20)
#define HUGE_2MB                                                                                   \
	(21u << 26) /* MFD_HUGE_2MB of <linux/memfd.h>, which clashes with <sys/mman.h>            \
		     */
#define THP	  "/sys/kernel/mm/transparent_hugepage/enabled"
#define SHMEM_THP "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* Does the kernel give transparent huge pages to who asks by madvise()? */
static bool thp_enabled(const char *path)
{
	char text[128];
	FILE *f = fopen(path, "re");
	bool enabled;

	if (!f)
		return false;
	/* e.g. "always within_size [advise] never deny force" (kernel: mm/transhuge.rst) */
	enabled =
		fgets(text, sizeof(text), f) && !strstr(text, "[never]") && !strstr(text, "[deny]");
	fclose(f);
	return enabled;
}

static int map_fd(struct memory *mem, int fd, uint64_t size)
{
	void *base;
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size))
		goto fail;
	/* A file that shrinks under a mapping turns accesses into SIGBUS: nobody may do that. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		goto fail;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		goto fail;
	mem->fd = fd;
	mem->base = base;
	mem->size = mem->low = size;
	return 0;
fail:
	ret = -errno;
	close(fd);
	return ret;
}

static int map_hugetlb(struct memory *mem, uint64_t size)
{
	if (size % HUGE_SIZE)
		return -EINVAL;
	/* Shared hugetlb mappings reserve at mmap(): success here cannot become SIGBUS later. */
	return map_fd(mem,
		      memfd_create("hotrail-ram",
				   MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | HUGE_2MB),
		      size);
}

/* On a whole huge page, so that gpa and address agree in their low bits: KVM then maps them whole.
 */
static int map_private(struct memory *mem, uint64_t size)
{
	uint64_t all = size + HUGE_SIZE, before;
	uint8_t *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	before = -(uintptr_t)base % HUGE_SIZE;
	if (before)
		munmap(base, before);
	munmap(base + before + size, all - before - size);
	mem->base = base + before;
	mem->size = mem->low = size;
	/* A child that had a copy would make the next writes of ours go to new pages, not to those
	 * that KVM has mapped. */
	(void)madvise(mem->base, size, MADV_DONTFORK);
	return 0;
}

static int check_size(struct memory *mem, uint64_t size, struct error *err)
{
	memset(mem, 0, sizeof(*mem));
	mem->fd = -1;
	if (!size || size % 4096 || size > INT64_MAX)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "guest RAM of %#llx bytes is not a whole number of 4 KiB pages",
				 (unsigned long long)size);
	return 0;
}

static int no_memory(int ret, uint64_t size, struct error *err)
{
	errno = -ret;
	return error_errno(err, "cannot allocate %llu KiB of guest RAM",
			   (unsigned long long)(size >> 10));
}

int memory_create_private(struct memory *mem, uint64_t size, bool huge, struct error *err)
{
	int ret = check_size(mem, size, err);

	if (ret || (huge && !map_hugetlb(mem, size)))
		return ret;
	if (huge && !thp_enabled(THP))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOMEM,
				 "no huge pages for guest RAM: write \"madvise\" to " THP
				 ", or reserve some in vm.nr_hugepages, or run without huge pages");
	ret = map_private(mem, size);
	if (ret)
		return no_memory(ret, size, err);
	/* A kernel without them has said so above when they must be. */
	(void)madvise(mem->base, size, MADV_HUGEPAGE);
	return 0;
}

int memory_create(struct memory *mem, uint64_t size, enum memory_huge huge, struct error *err)
{
	int ret = check_size(mem, size, err);

	if (ret || (huge == MEMORY_HUGE_ANY && !map_hugetlb(mem, size)))
		return ret;
	if (huge != MEMORY_HUGE_NONE && !thp_enabled(SHMEM_THP))
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOMEM,
				 "no huge pages for guest RAM: write \"advise\" to " SHMEM_THP
				 "%s, or run without huge pages",
				 huge == MEMORY_HUGE_ANY ? ", or reserve some in vm.nr_hugepages"
							 : "");
	ret = map_fd(mem, memfd_create("hotrail-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING), size);
	if (ret)
		return no_memory(ret, size, err);
	if (huge != MEMORY_HUGE_NONE && madvise(mem->base, size, MADV_HUGEPAGE)) {
		ret = error_errno(err, "cannot ask for huge pages for guest RAM");
		memory_destroy(mem);
		return ret;
	}
	return 0;
}

void memory_destroy(struct memory *mem)
{
	if (!mem->base)
		return;
	munmap(mem->base, mem->size);
	if (mem->fd >= 0)
		close(mem->fd);
	memset(mem, 0, sizeof(*mem));
	mem->fd = -1;
}

void memory_set_hole(struct memory *mem, gpa_t start, gpa_t end)
{
	if (mem->size <= start)
		return;
	mem->low = start;
	mem->high = end;
}

void *memory_range(const struct memory *mem, gpa_t gpa, uint64_t len)
{
	uint64_t rest = mem->size - mem->low;

	/* gpa + len could wrap; low - gpa cannot once gpa < low. */
	if (!len)
		return NULL;
	if (gpa < mem->low)
		return len <= mem->low - gpa ? mem->base + gpa : NULL;
	if (gpa < mem->high || gpa - mem->high >= rest || len > rest - (gpa - mem->high))
		return NULL;
	return mem->base + mem->low + (gpa - mem->high);
}
