// SPDX-License-Identifier: GPL-2.0-only
/* Names of guests: claiming, racing, stale folders, refusals. Real folders in a temporary one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "control/registry.h"
#include "suite.h"

static char base[64];

static void setup(void)
{
	strcpy(base, "/tmp/hotrail-registry-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(base));
	setenv("HOTRAIL_RUNTIME_DIR", base, 1);
}

static void cleanup(void)
{
	/* Every test must leave nothing: the folder is empty. */
	CU_ASSERT_EQUAL(rmdir(base), 0);
}

static void put(const struct registry_entry *e, const char *file, const char *text)
{
	char path[320];
	FILE *f;

	registry_path(e, file, path, sizeof(path));
	f = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static bool exists(const struct registry_entry *e, const char *file)
{
	char path[320];

	registry_path(e, file, path, sizeof(path));
	return !access(path, F_OK);
}

static void claim_find_release(void)
{
	struct registry_entry e, found;
	struct error err;
	int fd;

	setup();
	fd = registry_claim("a.b-c_1", &e, &err);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(e.pid, getpid());
	CU_ASSERT_EQUAL(registry_find("a.b-c_1", &found, &err), 0);
	CU_ASSERT(found.running);
	CU_ASSERT_EQUAL(found.pid, getpid());
	CU_ASSERT_EQUAL(registry_find(NULL, &found, &err), 0);
	CU_ASSERT_STRING_EQUAL(found.name, "a.b-c_1");
	put(&e, "journal", "x");
	registry_release(&e, fd);
	CU_ASSERT_EQUAL(registry_find("a.b-c_1", &found, &err), -ENOENT);
	cleanup();
}

static void taken_name_is_busy(void)
{
	struct registry_entry e, second;
	struct error err;
	int fd;

	setup();
	fd = registry_claim("one", &e, &err);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(registry_claim("one", &second, &err), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "one"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hotrail stop"));
	CU_ASSERT(exists(&e, "lock"));
	registry_release(&e, fd);
	cleanup();
}

static void automatic_names(void)
{
	struct registry_entry e[3];
	struct error err;
	int fd[3], i;

	setup();
	for (i = 0; i < 3; i++) {
		fd[i] = registry_claim(NULL, &e[i], &err);
		CU_ASSERT_FATAL(fd[i] >= 0);
	}
	CU_ASSERT_STRING_EQUAL(e[0].name, "yard-1");
	CU_ASSERT_STRING_EQUAL(e[2].name, "yard-3");
	registry_release(&e[1], fd[1]);
	fd[1] = registry_claim(NULL, &e[1], &err);
	CU_ASSERT_STRING_EQUAL(e[1].name, "yard-2");
	for (i = 0; i < 3; i++)
		registry_release(&e[i], fd[i]);
	cleanup();
}

static void bad_names(void)
{
	static const char *const bad[] = {"",	 ".",	"..",  ".a",	      "-a",
					  "a/b", "a b", "a\n", "caf\xc3\xa9", "a;b"};
	char longish[REGISTRY_NAME_MAX + 2];
	struct registry_entry e;
	struct error err;
	size_t i;

	setup();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(registry_claim(bad[i], &e, &err), -EINVAL);
		CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
		CU_ASSERT_EQUAL(registry_find(bad[i], &e, &err), -EINVAL);
	}
	memset(longish, 'a', sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	CU_ASSERT_EQUAL(registry_claim(longish, &e, &err), -EINVAL);
	longish[REGISTRY_NAME_MAX] = '\0';
	i = (size_t)registry_claim(longish, &e, &err);
	CU_ASSERT((int)i >= 0);
	registry_release(&e, (int)i);
	cleanup();
}

/* Claim in a child that dies without releasing, as after kill -9. */
static pid_t claim_and_die(const char *name)
{
	struct registry_entry e;
	struct error err;
	pid_t pid = fork();

	if (!pid) {
		if (registry_claim(name, &e, &err) < 0)
			_exit(1);
		put(&e, "journal", "old words");
		put(&e, "control", "");
		put(&e, "log", "last words");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return pid;
}

static void stale_is_seen_and_taken_over(void)
{
	struct registry_entry e, found;
	struct error err;
	int fd;

	setup();
	claim_and_die("gone");
	CU_ASSERT_EQUAL(registry_find("gone", &found, &err), 0);
	CU_ASSERT(!found.running);
	CU_ASSERT_EQUAL(found.pid, 0);
	CU_ASSERT_EQUAL(registry_find(NULL, &found, &err), -ENOENT);
	fd = registry_claim("gone", &e, &err);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT(!exists(&e, "control"));
	CU_ASSERT(!exists(&e, "journal"));
	CU_ASSERT(exists(&e, "journal.old"));
	registry_release(&e, fd);
	cleanup();
}

static void leaving_keeps_the_log(void)
{
	struct registry_entry e, found;
	struct error err;
	int fd;

	setup();
	fd = registry_claim("ended", &e, &err);
	CU_ASSERT_FATAL(fd >= 0);
	put(&e, "log", "report");
	put(&e, "control", "");
	registry_leave(&e, fd);
	CU_ASSERT_EQUAL(registry_find("ended", &found, &err), 0);
	CU_ASSERT(!found.running);
	CU_ASSERT(exists(&found, "log"));
	CU_ASSERT(!exists(&found, "control"));
	fd = registry_claim("ended", &e, &err);
	registry_release(&e, fd);
	cleanup();
}

/* The lock outlives the process that took it in one that inherited it: --detach forks. */
static void lock_survives_a_fork(void)
{
	struct registry_entry e, found;
	int fd, go[2], status;
	struct error err;
	char c;
	pid_t pid;

	setup();
	CU_ASSERT_EQUAL_FATAL(pipe(go), 0);
	fd = registry_claim("forked", &e, &err);
	CU_ASSERT_FATAL(fd >= 0);
	pid = fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &c, 1) != 0);
	}
	close(fd);
	CU_ASSERT_EQUAL(registry_find("forked", &found, &err), 0);
	CU_ASSERT(found.running);
	close(go[1]);
	waitpid(pid, &status, 0);
	CU_ASSERT_EQUAL(registry_find("forked", &found, &err), 0);
	CU_ASSERT(!found.running);
	close(go[0]);
	fd = registry_claim("forked", &e, &err);
	registry_release(&e, fd);
	cleanup();
}

/* Children fight for one name: never two winners at once, and looking never disturbs a claim. */
static int fighter(int owner_fd)
{
	struct registry_entry e;
	struct error err;
	int fd, wins = 0;
	char mark;

	while (wins < 50) { /* the program's time limit ends a fighter that never wins */
		fd = registry_claim("prize", &e, &err);
		if (fd == -EBUSY)
			continue;
		if (fd < 0)
			return 2;
		/* Inside: the shared byte says whether somebody else is too. */
		if (pread(owner_fd, &mark, 1, 0) != 1 || mark != '0' ||
		    pwrite(owner_fd, "1", 1, 0) != 1)
			return 3;
		usleep(50);
		if (pwrite(owner_fd, "0", 1, 0) != 1)
			return 4;
		registry_release(&e, fd);
		wins++;
	}
	return 0;
}

static void racing_for_one_name(void)
{
	char mark[] = "/tmp/hotrail-mark-XXXXXX";
	struct registry_entry *list;
	struct error err;
	int fd = mkstemp(mark), status, i;
	pid_t pid[3];
	size_t n;

	setup();
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, "0", 1, 0), 1);
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(fighter(fd));
	}
	for (i = 0; i < 200; i++) {
		CU_ASSERT_EQUAL(registry_list(&list, &n, &err), 0);
		CU_ASSERT(n <= 1);
		free(list);
	}
	for (i = 0; i < 3; i++) {
		waitpid(pid[i], &status, 0);
		CU_ASSERT(WIFEXITED(status));
		CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	}
	close(fd);
	unlink(mark);
	cleanup();
}

/* ps polls while guests start: asking about a lock must never make a claim fail. */
static void looking_disturbs_nobody(void)
{
	struct registry_entry e, *list;
	struct error err;
	pid_t pid;
	size_t n;
	int i, fd;

	setup();
	pid = fork();
	if (!pid) {
		for (;;) {
			if (!registry_list(&list, &n, &err))
				free(list);
		}
	}
	for (i = 0; i < 500; i++) {
		fd = registry_claim("calm", &e, &err);
		CU_ASSERT_FATAL(fd >= 0);
		registry_release(&e, fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cleanup();
}

static void several_running_must_be_named(void)
{
	struct registry_entry a, b, found;
	struct error err;
	int fa, fb;

	setup();
	fa = registry_claim("alpha", &a, &err);
	fb = registry_claim("beta", &b, &err);
	CU_ASSERT_EQUAL(registry_find(NULL, &found, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "alpha, beta"));
	CU_ASSERT_EQUAL(registry_find("gamma", &found, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "alpha, beta"));
	registry_release(&a, fa);
	registry_release(&b, fb);
	cleanup();
}

static void list_ignores_what_is_no_guest(void)
{
	struct registry_entry e, *list;
	char path[128];
	struct error err;
	size_t n;
	int fd;

	setup();
	snprintf(path, sizeof(path), "%s/plain-file", base);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	fd = registry_claim("real", &e, &err);
	CU_ASSERT_EQUAL(registry_list(&list, &n, &err), 0);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_STRING_EQUAL(list[0].name, "real");
	free(list);
	registry_release(&e, fd);
	unlink(path);
	cleanup();
}

/* Somebody put a link or an open folder where ours would go. */
static void foreign_folder_is_refused(void)
{
	struct registry_entry e;
	struct error err;
	char path[128];

	setup();
	snprintf(path, sizeof(path), "%s/trap", base);
	CU_ASSERT_EQUAL(symlink("/tmp", path), 0);
	CU_ASSERT_EQUAL(registry_claim("trap", &e, &err), -EPERM);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT(access("/tmp/lock", F_OK));
	unlink(path);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(chmod(path, 0777), 0);
	CU_ASSERT_EQUAL(registry_claim("trap", &e, &err), -EPERM);
	rmdir(path);
	cleanup();
}

/* Without root there must be a folder of one's own; the message says which variable. */
static void missing_runtime_dir(void)
{
	struct registry_entry *list;
	struct error err = {0};
	size_t n;
	int status;
	pid_t pid = fork();

	if (!pid) {
		unsetenv("HOTRAIL_RUNTIME_DIR");
		unsetenv("XDG_RUNTIME_DIR");
		if (!geteuid() && setuid(65534))
			_exit(2);
		if (registry_list(&list, &n, &err) != -ENOENT)
			_exit(3);
		_exit(strstr(err.text, "XDG_RUNTIME_DIR") ? 0 : 4);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

static void too_long_a_folder(void)
{
	char longish[400];
	struct registry_entry e;
	struct error err;

	memset(longish, 'x', sizeof(longish));
	longish[0] = '/';
	longish[sizeof(longish) - 1] = '\0';
	setenv("HOTRAIL_RUNTIME_DIR", longish, 1);
	CU_ASSERT_EQUAL(registry_claim("a", &e, &err), -ENAMETOOLONG);
}

static void state_folder_is_made(void)
{
	char dir[256], path[128];
	struct error err;
	struct stat st;

	setup();
	snprintf(path, sizeof(path), "%s/deep/er", base);
	setenv("HOTRAIL_STATE_DIR", path, 1);
	CU_ASSERT_EQUAL(registry_state_dir(dir, sizeof(dir), &err), 0);
	CU_ASSERT_STRING_EQUAL(dir, path);
	CU_ASSERT_EQUAL(stat(dir, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	CU_ASSERT_EQUAL(registry_state_dir(dir, 8, &err), -ENAMETOOLONG);
	rmdir(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	cleanup();
}

static const struct suite_test tests[] = {
	{"claim find release", claim_find_release},
	{"a taken name is busy", taken_name_is_busy},
	{"automatic names fill gaps", automatic_names},
	{"bad names are refused", bad_names},
	{"a dead monitor is stale and taken over", stale_is_seen_and_taken_over},
	{"leaving keeps the log", leaving_keeps_the_log},
	{"the lock survives a fork", lock_survives_a_fork},
	{"racing for one name has one winner", racing_for_one_name},
	{"looking disturbs nobody", looking_disturbs_nobody},
	{"several running must be named", several_running_must_be_named},
	{"what is no guest is not listed", list_ignores_what_is_no_guest},
	{"a foreign folder is refused", foreign_folder_is_refused},
	{"no runtime folder without root", missing_runtime_dir},
	{"a folder name that is too long", too_long_a_folder},
	{"the state folder is made", state_folder_is_made},
};
SUITE_MAIN("registry", tests, 60)
