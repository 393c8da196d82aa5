// SPDX-License-Identifier: GPL-2.0-only
/* A kernel file -> struct kernel: the order of the steps, and the checks between them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/kernel_view.h"

#define BANNER	   "Linux version "
#define MAX_SLIDE  (1ull << 30) /* KASLR keeps the image within 1 GiB */
#define SLIDE_STEP (2ull << 20) /* and aligned to 2 MiB */

void kernel_free(struct kernel *k)
{
	if (!k)
		return;
	free(k->elf);
	free(k->symbols);
	free(k->names);
	free(k->ranges);
	site_table_free(&k->sites);
	free(k);
}

void kernel_drop_elf(struct kernel *k)
{
	free(k->elf);
	k->elf = NULL;
	k->elf_size = 0;
}

/* Symbols without which the tables were misread, whatever they looked like. */
static int check_symbols(const struct kernel_view *v, const struct kernel *k)
{
	static const char *const wanted[] = {"_text", "_stext",	      "_etext",
					     "_end",  "linux_banner", "init_top_pgt"};
	size_t i;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!kernel_lookup(k, wanted[i]))
			return kernel_unknown(
				v,
				"unknown kallsyms layout (no symbol %s): kernel newer "
				"or older than known (6.1 to 6.12)",
				wanted[i]);
	return 0;
}

/*
 * Where the segment with the code lies is where the symbols should be. In a memory image
 * they are moved by KASLR, since the kernel relocated its own tables: undo that.
 */
static int remove_slide(struct kernel_view *v, struct kernel *k)
{
	gva_t text = kernel_lookup(k, "_text"), base = 0;
	size_t i;

	for (i = 0; i < v->loads && !base; i++)
		if (v->load[i].exec)
			base = v->load[i].addr;
	v->slide = text - base;
	if (!base || text < base || v->slide >= MAX_SLIDE || v->slide % SLIDE_STEP)
		return kernel_broken(v, "_text: 0x%llx by kallsyms, 0x%llx by the ELF",
				     (unsigned long long)text, (unsigned long long)base);
	for (i = 0; v->slide && i < k->symbols_count; i++)
		if (kernel_symbol_addr(&k->symbols[i]) >= text)
			k->symbols[i].addr -= (int32_t)v->slide;
	return 0;
}

static int read_bounds(const struct kernel_view *v, struct kernel *k)
{
	k->text_start = kernel_lookup(k, "_text");
	k->text_end = kernel_lookup(k, "_etext");
	k->init_start = kernel_lookup(k, "__init_begin");
	k->init_end = kernel_lookup(k, "__init_end");
	k->image_end = kernel_lookup(k, "_end");
	if (k->text_start >= k->text_end || k->text_end > k->image_end ||
	    k->image_end - k->text_start > MAX_SLIDE ||
	    !kernel_view_bytes(v, k->text_start, k->text_end - k->text_start))
		return kernel_broken(v, "_text to _etext: not a range in the image");
	if (k->init_start > k->init_end || k->init_end > k->image_end)
		return kernel_broken(v, "__init_begin to __init_end: not a range in the image");
	return 0;
}

/* linux_banner: "Linux version 6.1.0-38-cloud-amd64 (debian-kernel@...) ...". */
static int read_release(const struct kernel_view *v, struct kernel *k)
{
	size_t len = strlen(BANNER), i;
	const char *banner = (const char *)kernel_view_bytes(v, kernel_lookup(k, "linux_banner"),
							     len + sizeof(k->release));

	if (!banner || memcmp(banner, BANNER, len))
		return kernel_broken(v, "linux_banner: does not begin with \"%s\"", BANNER);
	for (i = 0; i < sizeof(k->release) - 1; i++) {
		char c = banner[len + i];

		if (c <= ' ' || c > '~')
			break;
		k->release[i] = c;
	}
	if (sscanf(k->release, "%u.%u", &k->major, &k->minor) != 2)
		return kernel_broken(v, "linux_banner: no version in \"%.40s\"", k->release);
	return 0;
}

/* Tables change their form without a mark of it, so a version outside is not guessed at. */
static int check_version(const struct kernel_view *v, const struct kernel *k)
{
	uint64_t have = (uint64_t)k->major << 32 | k->minor;

	if (have < ((uint64_t)KERNEL_OLDEST_MAJOR << 32 | KERNEL_OLDEST_MINOR))
		return kernel_unknown(v, "Linux %.60s: older than known (6.1 to 6.12)", k->release);
	if (have > ((uint64_t)KERNEL_NEWEST_MAJOR << 32 | KERNEL_NEWEST_MINOR))
		return kernel_unknown(v, "Linux %.60s: newer than known (6.1 to 6.12)", k->release);
	return 0;
}

static int parse_elf(struct kernel *k, const char *name, struct error *err)
{
	struct kernel_view v;
	int ret;

	ret = kernel_view_init(&v, k->elf, k->elf_size, name, err);
	if (!ret)
		ret = kernel_read_kallsyms(&v, k);
	if (!ret)
		ret = check_symbols(&v, k);
	if (!ret)
		ret = remove_slide(&v, k);
	if (!ret)
		ret = read_bounds(&v, k);
	if (!ret)
		ret = read_release(&v, k);
	if (!ret)
		ret = check_version(&v, k);
	if (!ret)
		ret = kernel_read_sites(&v, k);
	if (!ret)
		ret = kernel_read_ranges(&v, k);
	if (!ret)
		kernel_view_build_id(&v, k);
	return ret;
}

int kernel_parse(const uint8_t *bytes, size_t size, const char *name, struct kernel **out,
		 struct error *err)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int ret;

	*out = NULL;
	if (!k)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "%s: no memory", name);
	ret = kernel_unpack(bytes, size, name, &k->elf, &k->elf_size, err);
	if (!ret)
		ret = parse_elf(k, name, err);
	if (ret) {
		kernel_free(k);
		return ret;
	}
	*out = k;
	return 0;
}

/*
 * The file is read, not mapped: a mapping would raise SIGBUS if somebody cut the file
 * while it is parsed.
 */
static int read_file(int fd, const char *path, uint8_t **bytes, size_t *size, struct error *err)
{
	struct stat st;
	size_t done = 0;
	ssize_t got;

	if (fstat(fd, &st))
		return error_errno(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "%s: not a regular file", path);
	if (st.st_size <= 0 || st.st_size > KERNEL_MAX_UNPACKED)
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "%s: %lld bytes; a kernel has at most %u", path,
				 (long long)st.st_size, KERNEL_MAX_UNPACKED);
	*bytes = malloc((size_t)st.st_size);
	if (!*bytes)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "%s: no memory", path);
	while (done < (size_t)st.st_size) {
		got = read(fd, *bytes + done, (size_t)st.st_size - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(*bytes);
			return error_errno(err, "%s", path);
		}
		if (!got)
			break;
		done += (size_t)got;
	}
	*size = done;
	return 0;
}

int kernel_load(const char *path, struct kernel **out, struct error *err)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int fd, ret;

	*out = NULL;
	/* O_NONBLOCK: a FIFO given by mistake must not hang the open. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, "%s", path);
	ret = read_file(fd, path, &bytes, &size, err);
	close(fd);
	if (ret)
		return ret;
	ret = kernel_parse(bytes, size, path, out, err);
	free(bytes);
	return ret;
}
