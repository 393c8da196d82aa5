// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of running guests. Who holds the write lock on a folder's "lock" file owns
 * the name. It is an open file description lock (fcntl(2)): it survives the fork of
 * --detach as flock() would, and unlike flock() it can be asked about without being
 * taken, so that `ps` never makes a `run` fail.
 */
#include "control/registry.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"

#define LIST_MAX    4096
#define CLAIM_TRIES 100 /* lost races against monitors that end; each is one folder's life */
#define AUTO_NAMES  1000

static bool valid_name(const char *name)
{
	size_t i, len = strlen(name);

	if (!len || len > REGISTRY_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!isascii((unsigned char)name[i]) ||
		    (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])))
			return false;
	return true;
}

static int check_name(const char *name, struct error *err)
{
	if (valid_name(name))
		return 0;
	return error_set(
		err, HOTRAIL_EXIT_USAGE, -EINVAL,
		"\"%.80s\" is no name for a guest: 1 to %d letters, digits, '-', '_' or '.', "
		"not starting with '.' or '-'",
		name, REGISTRY_NAME_MAX);
}

/* --- folders --- */

/* "<variable's value>/hotrail", or `fallback` for root. HOTRAIL_<x>_DIR overrides both. */
static int base_dir(const char *override, const char *variable, const char *fallback, char *buf,
		    size_t len, struct error *err)
{
	const char *env = getenv(override), *suffix = "";
	int n;

	if (!env || !*env) {
		env = geteuid() == 0 ? fallback : getenv(variable);
		suffix = geteuid() == 0 ? "" : "/hotrail";
	}
	if (!env || env[0] != '/')
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
				 "%s is not set: set it to a folder of your own, as in "
				 "`export %s=$(mktemp -d)`, or run as root",
				 variable, variable);
	n = snprintf(buf, len, "%s%s", env, suffix);
	if (n < 0 || (size_t)n >= len)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENAMETOOLONG,
				 "%s: path longer than %zu bytes; use a shorter one", variable,
				 len - 1);
	return 0;
}

/* dir[] of an entry is 256 bytes: the base must leave room for "/NAME". */
static int run_dir(char *buf, struct error *err)
{
	return base_dir("HOTRAIL_RUNTIME_DIR", "XDG_RUNTIME_DIR", "/run/hotrail", buf,
			sizeof(((struct registry_entry *)0)->dir) - REGISTRY_NAME_MAX - 1, err);
}

static int make_dirs(const char *dir, mode_t mode, struct error *err)
{
	char path[PATH_MAX];
	char *slash;

	snprintf(path, sizeof(path), "%s", dir);
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return error_errno(err, "%.200s: cannot create the folder", path);
		*slash = '/';
	}
	if (mkdir(path, mode) && errno != EEXIST)
		return error_errno(err, "%.200s: cannot create the folder", path);
	return 0;
}

int registry_state_dir(char *buf, size_t len, struct error *err)
{
	char home[PATH_MAX];
	const char *env = getenv("XDG_STATE_HOME");
	int ret, n;

	/* The base directory specification's default */
	if (geteuid() != 0 && (!env || !*env) && !getenv("HOTRAIL_STATE_DIR") && getenv("HOME")) {
		n = snprintf(home, sizeof(home), "%s/.local/state/hotrail", getenv("HOME"));
		if (n < 0 || (size_t)n >= len || (size_t)n >= sizeof(home))
			return error_set(err, HOTRAIL_EXIT_FAILED, -ENAMETOOLONG,
					 "HOME: path too long");
		strcpy(buf, home);
	} else {
		ret = base_dir("HOTRAIL_STATE_DIR", "XDG_STATE_HOME", "/var/lib/hotrail", buf, len,
			       err);
		if (ret)
			return ret;
	}
	return make_dirs(buf, 0700, err);
}

void registry_path(const struct registry_entry *e, const char *file, char *buf, size_t len)
{
	snprintf(buf, len, "%s/%s", e->dir, file);
}

static void entry_init(struct registry_entry *e, const char *base, const char *name)
{
	memset(e, 0, sizeof(*e));
	snprintf(e->name, sizeof(e->name), "%.*s", REGISTRY_NAME_MAX, name);
	snprintf(e->dir, sizeof(e->dir), "%.*s/%s", (int)(sizeof(e->dir) - REGISTRY_NAME_MAX - 2),
		 base, e->name);
}

/* --- the lock --- */

static bool lock_is_held(int fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

static pid_t read_pid(int fd)
{
	char buf[16] = "";
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
	long pid = n > 0 ? strtol(buf, NULL, 10) : 0;

	return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* Fill pid and running. -ENOENT when it is no guest's folder (or one that is just being made). */
static int entry_probe(struct registry_entry *e)
{
	char path[320];
	int fd, i;

	registry_path(e, "lock", path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	e->running = lock_is_held(fd);
	/* The owner locks first and then writes its pid. */
	for (i = 0; e->running && !(e->pid = read_pid(fd)) && i < 20; i++) {
		clock_sleep_ms(1);
		e->running = lock_is_held(fd);
	}
	close(fd);
	return 0;
}

static int name_taken(const struct registry_entry *e, struct error *err)
{
	struct registry_entry probe = *e;

	entry_probe(&probe);
	return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
			 "a guest named %s runs already (pid %d): choose another --name, or end it "
			 "with `hotrail stop %s`",
			 e->name, (int)probe.pid, e->name);
}

/* Is the file behind fd still the one at `path`? The last owner may have removed it meanwhile. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !lstat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Our own folder, nobody else's and no link to elsewhere. */
static int check_dir(const char *dir, struct error *err)
{
	struct stat st;

	if (lstat(dir, &st))
		return errno == ENOENT ? -EAGAIN : error_errno(err, "%.200s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EPERM,
				 "%.200s: not a folder that only this user can write; remove it",
				 dir);
	return 0;
}

/* One try. Lock's fd; -EAGAIN when an ending monitor removed the folder under us. */
static int try_claim(const struct registry_entry *e, struct error *err)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[320];
	int fd, ret;

	if (mkdir(e->dir, 0700) && errno != EEXIST)
		return errno == ENOENT
			       ? -EAGAIN
			       : error_errno(err, "%.200s: cannot create the folder", e->dir);
	ret = check_dir(e->dir, err);
	if (ret)
		return ret;
	registry_path(e, "lock", path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : error_errno(err, "%.200s", path);
	if (fcntl(fd, F_OFD_SETLK, &l)) {
		ret = errno == EAGAIN || errno == EACCES
			      ? name_taken(e, err)
			      : error_errno(err, "%.200s: cannot lock", path);
		close(fd);
		return ret;
	}
	if (!same_file(fd, path)) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

/* What a monitor that died left: its socket goes, its journal stays readable. */
static void take_over(const struct registry_entry *e)
{
	char path[320], old[320];

	registry_path(e, "control", path, sizeof(path));
	unlink(path);
	registry_path(e, "journal", path, sizeof(path));
	registry_path(e, "journal.old", old, sizeof(old));
	rename(path, old);
}

static int claim(const char *base, const char *name, struct registry_entry *out, struct error *err)
{
	char pid[16];
	int fd, n, tries = 0;

	entry_init(out, base, name);
	do
		fd = try_claim(out, err);
	while (fd == -EAGAIN && ++tries < CLAIM_TRIES);
	if (fd == -EAGAIN)
		return error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
				 "%s: others claim and release this name all the time; try again",
				 name);
	if (fd < 0)
		return fd;
	take_over(out);
	out->pid = getpid();
	out->running = true;
	n = snprintf(pid, sizeof(pid), "%d\n", (int)out->pid);
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n) {
		n = error_errno(err, "%.200s/lock: cannot write", out->dir);
		registry_release(out, fd);
		return n;
	}
	return fd;
}

int registry_claim(const char *name, struct registry_entry *out, struct error *err)
{
	char base[sizeof(out->dir)], candidate[24];
	int ret, i;

	ret = name ? check_name(name, err) : 0;
	if (!ret)
		ret = run_dir(base, err);
	if (!ret)
		ret = make_dirs(base, geteuid() == 0 ? 0755 : 0700, err);
	if (ret)
		return ret;
	if (name)
		return claim(base, name, out, err);
	for (i = 1; i <= AUTO_NAMES; i++) {
		snprintf(candidate, sizeof(candidate), "yard-%d", i);
		ret = claim(base, candidate, out, err);
		if (ret != -EBUSY)
			return ret;
	}
	return ret;
}

void registry_release(struct registry_entry *e, int lock_fd)
{
	DIR *dir = opendir(e->dir);
	struct dirent *d;

	/* "lock" last: until it is gone nobody else can be in here. */
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "lock"))
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir) {
		unlinkat(dirfd(dir), "lock", 0);
		closedir(dir);
	}
	rmdir(e->dir);
	close(lock_fd);
	e->running = false;
	e->pid = 0;
}

void registry_leave(struct registry_entry *e, int lock_fd)
{
	char path[320];

	registry_path(e, "control", path, sizeof(path));
	unlink(path);
	close(lock_fd);
	e->running = false;
	e->pid = 0;
}

/* --- looking --- */

static int by_name(const void *a, const void *b)
{
	const struct registry_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int add_entry(struct registry_entry **list, size_t *n, const struct registry_entry *e)
{
	struct registry_entry *more;

	if ((*n & (*n - 1)) == 0) { /* full at every power of two */
		more = realloc(*list, (*n ? *n * 2 : 1) * sizeof(**list));
		if (!more)
			return -ENOMEM;
		*list = more;
	}
	(*list)[(*n)++] = *e;
	return 0;
}

int registry_list(struct registry_entry **out, size_t *n, struct error *err)
{
	char base[sizeof((*out)->dir)];
	struct registry_entry e;
	struct dirent *d;
	DIR *dir;
	int ret = run_dir(base, err);

	*out = NULL;
	*n = 0;
	if (ret)
		return ret;
	dir = opendir(base);
	if (!dir)
		return errno == ENOENT ? 0
				       : error_errno(err, "%.200s: cannot read the folder", base);
	while (!ret && *n < LIST_MAX && (d = readdir(dir))) {
		if (!valid_name(d->d_name))
			continue;
		entry_init(&e, base, d->d_name);
		if (!entry_probe(&e))
			ret = add_entry(out, n, &e);
	}
	closedir(dir);
	if (ret) {
		free(*out);
		*out = NULL;
		*n = 0;
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory for the list of guests");
	}
	if (*n)
		qsort(*out, *n, sizeof(**out), by_name);
	return 0;
}

/* "a, b, c" of the running ones, cut where it gets long. */
static unsigned running_names(const struct registry_entry *list, size_t n, char *buf, size_t len)
{
	unsigned count = 0;
	size_t i, used = 0;

	buf[0] = '\0';
	for (i = 0; i < n; i++) {
		if (!list[i].running)
			continue;
		if (used + strlen(list[i].name) + 8 < len)
			used += (size_t)snprintf(buf + used, len - used, "%s%s", count ? ", " : "",
						 list[i].name);
		else if (used + 5 < len)
			used += (size_t)snprintf(buf + used, len - used, " ...");
		count++;
	}
	return count;
}

static int not_found(const char *name, const struct registry_entry *list, size_t n,
		     struct error *err)
{
	char names[160];
	unsigned running = running_names(list, n, names, sizeof(names));

	if (!running)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
				 "%s%s%s guest runs; `hotrail run` starts one",
				 name ? "there is no guest named " : "", name ? name : "",
				 name ? "; no" : "no");
	if (!name)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "%u guests run, name one of them: %s", running, names);
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
			 "there is no guest named %s; running: %s (`hotrail ps` tells more)", name,
			 names);
}

int registry_find(const char *name, struct registry_entry *out, struct error *err)
{
	const struct registry_entry *found = NULL;
	struct registry_entry *list;
	unsigned matches = 0;
	size_t n, i;
	int ret = name ? check_name(name, err) : 0;

	if (!ret)
		ret = registry_list(&list, &n, err);
	if (ret)
		return ret;
	for (i = 0; i < n; i++) {
		if (name ? strcmp(list[i].name, name) != 0 : !list[i].running)
			continue;
		found = &list[i];
		matches++;
	}
	if (matches == 1)
		*out = *found;
	else
		ret = not_found(name, list, n, err);
	free(list);
	return ret;
}
