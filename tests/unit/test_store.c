// SPDX-License-Identifier: GPL-2.0-only
/* Profile files: round trips, every refusal by name, merging, atomic saving. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <hotrail/profile_file.h>
#include "profile/store.h"
#include "suite.h"
#include "protocol/crc32c.h"

static struct profile_edge two_edges[] = {{0x10, 0x200, 7}, {0x10, 0x300, 1ull << 40}};
static const struct profile two = {.build_id = {0xab, 0xcd, 3},
				   .build_id_len = 3,
				   .created = 1700000000,
				   .edges = two_edges,
				   .count = 2};

/* The same profile as bytes, written by hand from the format's description; crc at 12. */
static const uint8_t
	two_bytes[96] =
		{
			'H',  'T', 'R', 'P', 'R',  'O',	 'F',  '\n', 1,	   0,	 0,
			0,    0,   0,	0,   0, /* magic, version, crc */
			2,    0,   0,	0,   3,	   0,	 0,    0,    0xab, 0xcd, 3,
			0,    0,   0,	0,   0, /* edges, id length, id */
			0,    0,   0,	0,   0,	   0,	 0,    0,    0,	   0,	 0,
			0,    0,   0,	0,   0,	   0x00, 0xf1, 0x53, 0x65, 0,	 0,
			0,    0,   0,	0,   0,	   0,	 0,    0,    0,	   0, /* created 1700000000
									       */
			0x10, 0,   0,	0,   0x00, 2,	 0,    0,    7,	   0,	 0,
			0,    0,   0,	0,   0,	   0x10, 0,    0,    0,	   0x00, 3,
			0,    0,   0,	0,   0,	   0,	 0,    1,    0,	   0,
};

static void seal(uint8_t *bytes, size_t len)
{
	uint32_t crc;

	memset(bytes + 12, 0, 4);
	crc = hotrail_crc32c(0, bytes, len);
	memcpy(bytes + 12, &crc, 4);
}

static void same(const struct profile *a, const struct profile *b)
{
	CU_ASSERT_EQUAL(a->build_id_len, b->build_id_len);
	CU_ASSERT_EQUAL(memcmp(a->build_id, b->build_id, sizeof(a->build_id)), 0);
	CU_ASSERT_EQUAL(a->created, b->created);
	CU_ASSERT_EQUAL_FATAL(a->count, b->count);
	CU_ASSERT_EQUAL(memcmp(a->edges, b->edges, a->count * sizeof(*a->edges)), 0);
}

static void bytes_are_the_documented_ones(void)
{
	uint8_t want[sizeof(two_bytes)], *bytes;
	struct profile *p;
	struct error err;
	size_t len;

	memcpy(want, two_bytes, sizeof(want));
	seal(want, sizeof(want));
	CU_ASSERT_EQUAL_FATAL(profile_serialise(&two, &bytes, &len), 0);
	CU_ASSERT_EQUAL_FATAL(len, sizeof(want));
	CU_ASSERT_EQUAL(memcmp(bytes, want, len), 0);
	CU_ASSERT_EQUAL_FATAL(profile_parse(bytes, len, &p, &err), 0);
	same(p, &two);
	profile_free(p);
	free(bytes);
}

static void empty_profile(void)
{
	struct profile e = {.build_id = {1}, .build_id_len = 1}, *p;
	struct error err;
	uint8_t *bytes;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(profile_serialise(&e, &bytes, &len), 0);
	CU_ASSERT_EQUAL(len, 64);
	CU_ASSERT_EQUAL_FATAL(profile_parse(bytes, len, &p, &err), 0);
	CU_ASSERT_EQUAL(p->count, 0);
	profile_free(p);
	free(bytes);
	profile_free(NULL);
}

/* One change to good bytes, sealed again unless it is the checksum's own business. */
static const struct {
	unsigned at;
	uint8_t value;
	bool sealed;
	const char *word; /* must be in the message */
} damage[] = {
	{0, 'h', true, "magic"},
	{7, '\r', true, "magic"},
	{8, 2, true, "version 2"},
	{8, 0, true, "version 0"},
	{12, 0x56, false, "checksum"},
	{40, 1, false, "checksum"},
	{95, 1, false, "checksum"},
	{16, 1, true, "bytes where"},
	{16, 3, true, "bytes where"},
	{18, 0x20, true, "limit"},
	{19, 0xff, true, "limit"},
	{20, 0, true, "build id of 0"},
	{20, 21, true, "build id of 21"},
	{23, 0x80, true, "build id of"},
	{27, 9, true, "after the build id"},
	{43, 9, true, "after the build id"},
	{44, 1, true, "reserved"},
	{56, 1, true, "reserved"},
	{63, 0x80, true, "reserved"},
	{72, 0, true, "edge 0 has no calls"},
	{64, 0x11, true, "edge 1 is not after"},
	{85, 2, true, "edge 1 is not after"}, /* equal */
	{85, 1, true, "edge 1 is not after"},
	{80, 0x0f, true, "edge 1 is not after"},
};

static void every_inconsistency_is_refused(void)
{
	uint8_t bytes[sizeof(two_bytes)];
	struct error err;
	struct profile *p;
	size_t i;

	for (i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		memcpy(bytes, two_bytes, sizeof(bytes));
		seal(bytes, sizeof(bytes));
		bytes[damage[i].at] = damage[i].value;
		if (damage[i].sealed)
			seal(bytes, sizeof(bytes));
		err.text[0] = 0;
		CU_ASSERT_EQUAL(profile_parse(bytes, sizeof(bytes), &p, &err), -EINVAL);
		CU_ASSERT_PTR_NULL(p);
		if (!strstr(err.text, damage[i].word)) {
			printf("byte %u: \"%s\"\n", damage[i].at, err.text);
			CU_FAIL("message");
		}
	}
}

static void every_length_but_the_right_one(void)
{
	uint8_t bytes[sizeof(two_bytes) + 16] = {0};
	struct error err;
	struct profile *p;
	size_t len;

	memcpy(bytes, two_bytes, sizeof(two_bytes));
	for (len = 0; len <= sizeof(bytes); len++) {
		if (len == sizeof(two_bytes))
			continue;
		if (len >= 64)
			seal(bytes, len);
		CU_ASSERT_EQUAL(profile_parse(bytes, len, &p, &err), -EINVAL);
		CU_ASSERT_PTR_NULL(p);
	}
}

static void every_flipped_bit_is_noticed(void)
{
	uint8_t bytes[sizeof(two_bytes)];
	struct error err;
	struct profile *p;
	size_t bit;

	memcpy(bytes, two_bytes, sizeof(bytes));
	seal(bytes, sizeof(bytes));
	for (bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(profile_parse(bytes, sizeof(bytes), &p, &err), -EINVAL);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void nothing_bad_is_written(void)
{
	struct profile_edge twice[] = {{1, 2, 1}, {1, 2, 1}}, none[] = {{1, 2, 0}};
	struct profile p = two;
	uint8_t *bytes;
	size_t len;

	p.build_id_len = 0;
	CU_ASSERT_EQUAL(profile_serialise(&p, &bytes, &len), -EINVAL);
	CU_ASSERT_PTR_NULL(bytes);
	p.build_id_len = 21;
	CU_ASSERT_EQUAL(profile_serialise(&p, &bytes, &len), -EINVAL);
	p = two;
	p.edges = twice;
	CU_ASSERT_EQUAL(profile_serialise(&p, &bytes, &len), -EINVAL);
	p.edges = none;
	p.count = 1;
	CU_ASSERT_EQUAL(profile_serialise(&p, &bytes, &len), -EINVAL);
	p.count = HOTRAIL_PROFILE_MAX_EDGES + 1;
	CU_ASSERT_EQUAL(profile_serialise(&p, &bytes, &len), -EINVAL);
	CU_ASSERT_EQUAL(len, 0);
}

static struct profile *make(uint8_t id, const struct profile_edge *edges, size_t n)
{
	struct profile *p = calloc(1, sizeof(*p));

	p->build_id[0] = id;
	p->build_id_len = 2;
	p->count = n;
	p->edges = malloc((n + 1) * sizeof(*edges));
	if (n)
		memcpy(p->edges, edges, n * sizeof(*edges));
	return p;
}

static void merges(void)
{
	static const struct profile_edge a[] = {{1, 5, 10}, {2, 1, UINT64_MAX - 1}, {4, 4, 4}};
	static const struct profile_edge b[] = {{1, 4, 1}, {1, 5, 2}, {2, 1, 5}, {9, 9, 9}};
	static const struct profile_edge want[] = {
		{1, 4, 1}, {1, 5, 12}, {2, 1, UINT64_MAX}, {4, 4, 4}, {9, 9, 9}};
	struct profile *x = make(0xa1, a, 3), *y = make(0xa1, b, 4), *z = make(0xb2, b, 4),
		       *nothing = make(0xa1, NULL, 0);
	struct error err;

	x->created = 5;
	y->created = 9;
	CU_ASSERT_EQUAL(profile_merge(x, z, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "a100"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "b200"));
	CU_ASSERT_EQUAL(x->count, 3); /* untouched by the refusal */
	CU_ASSERT_EQUAL(profile_merge(x, y, &err), 0);
	CU_ASSERT_EQUAL_FATAL(x->count, 5);
	CU_ASSERT_EQUAL(memcmp(x->edges, want, sizeof(want)), 0);
	CU_ASSERT_EQUAL(x->created, 9);
	CU_ASSERT_EQUAL(profile_merge(x, nothing, &err), 0);
	CU_ASSERT_EQUAL(x->count, 5);
	CU_ASSERT_EQUAL(profile_merge(nothing, x, &err), 0);
	CU_ASSERT_EQUAL(nothing->count, 5);
	z->build_id[0] = 0xa1;
	z->build_id_len = 1; /* a prefix is another id */
	CU_ASSERT_EQUAL(profile_merge(x, z, &err), -EINVAL);
	profile_free(x);
	profile_free(y);
	profile_free(z);
	profile_free(nothing);
}

static void merge_keeps_the_limit(void)
{
	size_t n = HOTRAIL_PROFILE_MAX_EDGES / 2 + 1, i;
	struct profile_edge *edges = malloc(n * sizeof(*edges));
	struct profile *x, *y;
	struct error err;

	for (i = 0; i < n; i++)
		edges[i] = (struct profile_edge){1, (uint32_t)i, 1};
	x = make(1, edges, n);
	for (i = 0; i < n; i++)
		edges[i].site_offset = 2;
	y = make(1, edges, n);
	CU_ASSERT_EQUAL(profile_merge(x, y, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "limit"));
	CU_ASSERT_EQUAL(x->count, n);
	profile_free(x);
	profile_free(y);
	free(edges);
}

/* --- files --- */

static char folder[] = "/tmp/hotrail-store-XXXXXX";
static char path[128], other[160];

static unsigned files_in_folder(void)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d = opendir(folder);

	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void saves_and_loads(void)
{
	struct profile changed = two, *p;
	struct error err;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(profile_save(path, &two, &err), 0);
	CU_ASSERT_EQUAL_FATAL(profile_load(path, &p, &err), 0);
	same(p, &two);
	profile_free(p);
	changed.created++;
	CU_ASSERT_EQUAL(profile_save(path, &changed, &err), 0); /* over the old one */
	CU_ASSERT_EQUAL_FATAL(profile_load(path, &p, &err), 0);
	CU_ASSERT_EQUAL(p->created, two.created + 1);
	profile_free(p);
	CU_ASSERT_EQUAL(files_in_folder(), 1);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0400, 0400);
}

static void refuses_to_load(void)
{
	struct profile *p = (void *)1;
	struct error err;
	int fd;

	CU_ASSERT_EQUAL(profile_load("/nonexistent/p", &p, &err), -ENOENT);
	CU_ASSERT_PTR_NULL(p);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/p"));
	CU_ASSERT_EQUAL(profile_load(folder, &p, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "regular"));
	CU_ASSERT_EQUAL(mkfifo(other, 0600), 0);
	CU_ASSERT_EQUAL(profile_load(other, &p, &err), -EINVAL); /* and does not hang */
	unlink(other);
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	CU_ASSERT_EQUAL(ftruncate(fd, 1ll << 40),
			0); /* sparse: nothing of that size is allocated */
	CU_ASSERT_EQUAL(profile_load(other, &p, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "largest"));
	CU_ASSERT_EQUAL(ftruncate(fd, 70), 0);
	CU_ASSERT_EQUAL(profile_load(other, &p, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "magic"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, other));
	close(fd);
	unlink(other);
}

static void unwritable_folder(void)
{
	char in_file[192];
	struct error err;

	CU_ASSERT_EQUAL(profile_save("/nonexistent/folder/p", &two, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/folder/p"));
	CU_ASSERT_EQUAL(profile_save("/proc/p", &two, &err) < 0, 1);
	CU_ASSERT_EQUAL(profile_save(path, &two, &err), 0);
	snprintf(in_file, sizeof(in_file), "%s/p", path);
	CU_ASSERT_EQUAL(profile_save(in_file, &two, &err), -ENOTDIR);
	/* The name is taken by a folder: the rename fails, the temporary file goes. */
	CU_ASSERT_EQUAL(mkdir(other, 0700), 0);
	CU_ASSERT(profile_save(other, &two, &err) < 0);
	CU_ASSERT_EQUAL(rmdir(other), 0);
	CU_ASSERT_EQUAL(files_in_folder(), 1);
}

static void path_too_long(void)
{
	char longest[5000];
	struct error err;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	CU_ASSERT_EQUAL(profile_save(longest, &two, &err), -ENAMETOOLONG);
}

/* A file-size limit stands for the full disk: write() is short, then fails. */
static void full_disk(void)
{
	struct rlimit old, small = {70, 70};
	struct profile *p;
	struct error err;

	CU_ASSERT_EQUAL(profile_save(path, &two, &err), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	err.text[0] = 0;
	CU_ASSERT_EQUAL(profile_save(path, &two, &err), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_EQUAL(files_in_folder(), 1);			/* no temporary file left */
	CU_ASSERT_EQUAL_FATAL(profile_load(path, &p, &err), 0); /* the old one is whole */
	same(p, &two);
	profile_free(p);
	if (access("/dev/full", F_OK) == 0) {
		CU_ASSERT_EQUAL(profile_load("/dev/full", &p, &err), -EINVAL); /* endless zeros */
	}
}

static void folder_goes(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct suite_test tests[] = {
	{"bytes are the documented ones", bytes_are_the_documented_ones},
	{"empty profile", empty_profile},
	{"every inconsistency is refused", every_inconsistency_is_refused},
	{"every length but the right one", every_length_but_the_right_one},
	{"every flipped bit is noticed", every_flipped_bit_is_noticed},
	{"nothing bad is written", nothing_bad_is_written},
	{"merges", merges},
	{"merge keeps the limit", merge_keeps_the_limit},
	{"saves and loads", saves_and_loads},
	{"refuses to load", refuses_to_load},
	{"unwritable folder", unwritable_folder},
	{"path too long", path_too_long},
	{"full disk", full_disk},
	{"folder goes", folder_goes},
};

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/guest.profile", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return suite_run("store", tests, sizeof(tests) / sizeof(tests[0]), 30);
}
