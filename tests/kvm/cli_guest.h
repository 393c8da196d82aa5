/* SPDX-License-Identifier: GPL-2.0-only */
/* Detached guests as a user has them: starting, asking, and proving that nothing is left of one. */
#ifndef HOTRAIL_TESTS_CLI_GUEST_H
#define HOTRAIL_TESTS_CLI_GUEST_H

#include "../hostile/cli.h"

#include <dirent.h>

#include "guest/image.h"

/* Polls: speed is nothing these tests may depend on. */
#define UNTIL(seconds, condition)                                                                  \
	({                                                                                         \
		uint64_t limit_ = clock_ns() + cli_patience(seconds) * 1000000000ull;              \
		bool met_;                                                                         \
		while (!(met_ = (condition)) && clock_ns() < limit_)                               \
			clock_sleep_ms(20);                                                        \
		met_;                                                                              \
	})

/* A change that was refused as busy, and says "try again", is tried again: a host with more to do
 * than cores may not stop a guest within the pause's budget. */
#define PATIENT(call)                                                                              \
	({                                                                                         \
		struct run *run_;                                                                  \
		(void)UNTIL(60, (run_ = (call))->code != 3);                                       \
		run_;                                                                              \
	})

/* "a.b.c", or NULL. */
static inline json_t *at(json_t *doc, const char *path)
{
	char key[64];
	size_t len;

	while (doc && *path) {
		len = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		doc = json_object_get(doc, key);
		path += len + (path[len] == '.');
	}
	return doc;
}

/* Of a document the caller frees; fails the test when the program failed or wrote no JSON. */
static inline json_t *json_of(const struct run *r)
{
	json_t *doc = json_loads(r->out, 0, NULL);

	CU_ASSERT_EQUAL(r->code, 0);
	if (r->code || !doc)
		printf("    got %d, stderr: %s\n", r->code, r->err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
	return doc;
}

/* A figure of `status -j`; -1 where there is none, or no answer. */
static inline double status(const char *guest, const char *path)
{
	struct run *r = cli("status", guest, "-j", NULL);
	json_t *doc = r->code ? NULL : json_loads(r->out, 0, NULL), *v = at(doc, path);
	double value = json_is_boolean(v)  ? json_is_true(v)
		       : json_is_number(v) ? json_number_value(v)
					   : -1;

	json_decref(doc);
	return value;
}

/* The state `ps` shows, "" when the guest is not in the list. */
static inline const char *state_of(const char *guest)
{
	static char state[16];
	json_t *doc = json_of(cli("ps", "-j", NULL)), *g;
	size_t i;

	state[0] = 0;
	json_array_foreach(at(doc, "guests"), i, g)
	{
		if (!strcmp(json_string_value(at(g, "name")), guest))
			snprintf(state, sizeof(state), "%s", json_string_value(at(g, "state")));
	}
	json_decref(doc);
	return state;
}

static inline bool is_state(const char *guest, const char *state)
{
	return !strcmp(state_of(guest), state);
}

/* --- processes --- */

#define KIN 16

/* A monitor and, with the process backend, the processes that are its vCPUs. */
struct kin {
	pid_t pid[KIN];
	unsigned n;
};

/* State letter, and the parent; 0 when there is no such process. */
static inline char process_state(pid_t pid, pid_t *parent)
{
	char path[32], line[256] = "", state = 0;
	const char *after;
	FILE *f;
	int up = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f) && (after = strrchr(line, ')')) &&
	    sscanf(after, ") %c %d", &state, &up) != 2)
		state = 0;
	fclose(f);
	if (parent)
		*parent = up;
	return state;
}

static inline bool process_gone(pid_t pid)
{
	char state = process_state(pid, NULL);

	return !state || state == 'Z' || state == 'X';
}

static inline struct kin kin_of(pid_t monitor)
{
	struct kin k = {.pid = {monitor}, .n = 1};
	DIR *dir = opendir("/proc");
	struct dirent *d;
	pid_t parent;

	while (dir && k.n < KIN && (d = readdir(dir)))
		if (process_state(atoi(d->d_name), &parent) && parent == monitor)
			k.pid[k.n++] = atoi(d->d_name);
	if (dir)
		closedir(dir);
	return k;
}

static inline bool all_gone(const struct kin *k)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		if (!process_gone(k->pid[i]))
			return false;
	return true;
}

/* --- guests --- */

/* Runs it detached with the words up to NULL; the pid of its monitor. */
static inline pid_t start_guest(const char *name, ...)
{
	const char *argv[CLI_WORDS + 2] = {"hotrail", "run", "--detach", "-j", "--name", name};
	struct run *r;
	unsigned n = 5;
	json_t *doc;
	va_list ap;
	pid_t pid;

	va_start(ap, name);
	while (argv[n] && n < CLI_WORDS)
		argv[++n] = va_arg(ap, const char *);
	va_end(ap);
	argv[n] = NULL;
	r = cli_wait(cli_spawn(argv, "out", "err"), "out", "err");
	if (r->code == 4)
		SUITE_SKIP("%.*s", (int)strcspn(r->err, "\n"), r->err);
	doc = json_of(r);
	pid = (pid_t)json_integer_value(at(doc, "pid"));
	CU_ASSERT_FATAL(pid > 1);
	json_decref(doc);
	return pid;
}

static inline bool no_folder(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", runtime, name);
	return lstat(path, &st) != 0 && errno == ENOENT;
}

/* Alive, its results right, its memory as the journal says. */
static inline void guest_is_well(const char *name)
{
	double before = status(name, "workload.ops");
	json_t *doc;

	CU_ASSERT(before >= 0);
	CU_ASSERT(UNTIL(30, status(name, "workload.ops") > before));
	CU_ASSERT(UNTIL(30, status(name, "workload.wrong_calls") == 0));
	doc = json_of(cli("verify", name, "-j", NULL));
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "differ")), 0);
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "unreadable")), 0);
	CU_ASSERT(json_integer_value(at(doc, "sites")) > 0);
	CU_ASSERT_EQUAL(json_integer_value(at(doc, "wrong_calls")), 0);
	json_decref(doc);
}

/* Ends well and leaves nothing. */
static inline void stop_guest(const char *name, pid_t monitor)
{
	struct kin k = kin_of(monitor);
	struct run *r = cli("stop", name, NULL);

	CU_ASSERT_EQUAL(r->code, 0);
	if (r->code)
		printf("    stop: %s\n", r->err);
	CU_ASSERT(UNTIL(10, all_gone(&k)));
	CU_ASSERT(no_folder(name));
}

/* --- the guest's memory, behind its monitor's back --- */

struct ram {
	int fd;
	struct image *img;
};

static inline void ram_open(struct ram *ram, pid_t monitor, const char *image)
{
	char dir[64], path[320], link[64];
	DIR *fds;
	struct dirent *d;
	ssize_t n;

	ram->fd = -1;
	CU_ASSERT_EQUAL_FATAL(image_load(image, &ram->img, NULL), 0);
	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)monitor);
	fds = opendir(dir);
	CU_ASSERT_PTR_NOT_NULL_FATAL(fds);
	while (ram->fd < 0 && (d = readdir(fds))) {
		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		n = readlink(path, link, sizeof(link) - 1);
		if (n > 0 && !strncmp(link, "/memfd:hotrail-ram", 18))
			ram->fd = open(path, O_RDWR | O_CLOEXEC);
	}
	closedir(fds);
	CU_ASSERT_FATAL(ram->fd >= 0);
}

static inline void ram_close(struct ram *ram)
{
	close(ram->fd);
	image_free(ram->img);
}

static inline off_t ram_at(const struct ram *ram, gva_t gva)
{
	return (off_t)(IMAGE_LOAD_GPA + (gva - ram->img->base));
}

static inline void ram_put(const struct ram *ram, gva_t gva, const void *bytes, size_t len)
{
	CU_ASSERT_EQUAL(pwrite(ram->fd, bytes, len, ram_at(ram, gva)), (ssize_t)len);
}

static inline uint64_t ram_get(const struct ram *ram, gva_t gva)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(pread(ram->fd, &value, sizeof(value), ram_at(ram, gva)), sizeof(value));
	return value;
}

#endif
