/* SPDX-License-Identifier: GPL-2.0-only */
/* Running the program as a user does, in run-time folders of its own. For one suite a program. */
#ifndef HOTRAIL_TESTS_CLI_H
#define HOTRAIL_TESTS_CLI_H

#include "../unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "util/clock.h"
#include "util/json.h"

#define CLI_WORDS 16

static const char *program;
static char folder[] = "/tmp/hotrail-cli-XXXXXX";
static char runtime[64]; /* folder/run, which HOTRAIL_RUNTIME_DIR names */

struct run {
	int code; /* exit code, or 1000 + signal */
	char out[262144], err[8192];
};

/* An emulated CPU is up to 50 times slower, and so is everything that is waited for. */
static inline unsigned cli_patience(unsigned seconds)
{
	return getenv("HOTRAIL_RIG") ? seconds * 8 : seconds;
}

static inline void drain(int fd, char *buf, size_t len)
{
	size_t used = 0;
	char rest[512];
	ssize_t n;

	while ((n = used + 1 < len ? read(fd, buf + used, len - 1 - used)
				   : read(fd, rest, sizeof(rest))) > 0)
		if (used + 1 < len)
			used += (size_t)n;
	buf[used] = 0;
	close(fd);
}

static inline void to_file(const char *name, int fd)
{
	char path[64];
	int file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(file, fd);
	if (file != fd)
		close(file);
}

static inline void from_file(const char *name, char *buf, size_t len)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	buf[0] = 0;
	if (fd >= 0)
		drain(fd, buf, len);
}

/* `out` and `err`: files of the folder that take what it prints. */
static inline pid_t cli_spawn(const char *const *argv, const char *out, const char *err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	to_file(out, STDOUT_FILENO);
	to_file(err, STDERR_FILENO);
	alarm(cli_patience(60));
	execv(program, (char **)argv);
	_exit(127);
}

static inline struct run *cli_wait(pid_t pid, const char *out, const char *err)
{
	static struct run r;
	int status = 0;

	waitpid(pid, &status, 0);
	r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	from_file(out, r.out, sizeof(r.out));
	from_file(err, r.err, sizeof(r.err));
	return &r;
}

/* The words up to NULL, after `first`. */
static inline void cli_words(const char *argv[CLI_WORDS + 2], const char *first, va_list ap)
{
	unsigned n = 1;

	argv[0] = "hotrail";
	argv[1] = first;
	while (argv[n] && n < CLI_WORDS)
		argv[++n] = va_arg(ap, const char *);
	argv[n] = NULL;
}

/* In the background, one at a time; cli_join() waits for its end. */
static inline pid_t cli_start(const char *first, ...)
{
	const char *argv[CLI_WORDS + 2];
	va_list ap;

	va_start(ap, first);
	cli_words(argv, first, ap);
	va_end(ap);
	return cli_spawn(argv, "background-out", "background-err");
}

static inline struct run *cli_join(pid_t pid)
{
	return cli_wait(pid, "background-out", "background-err");
}

/* Out and err go through files, so that nothing can block. */
static inline struct run *cli(const char *first, ...)
{
	const char *argv[CLI_WORDS + 2];
	va_list ap;

	va_start(ap, first);
	cli_words(argv, first, ap);
	va_end(ap);
	return cli_wait(cli_spawn(argv, "out", "err"), "out", "err");
}

/* Refused with `code`: nothing on stdout, one line that names `word` on stderr. */
static inline void refused(const struct run *r, int code, const char *word)
{
	CU_ASSERT_EQUAL(r->code, code);
	CU_ASSERT_STRING_EQUAL(r->out, "");
	CU_ASSERT_EQUAL(strncmp(r->err, "hotrail: ", 9), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, word));
	CU_ASSERT_PTR_EQUAL(strchr(r->err, '\n'), r->err + strlen(r->err) - 1);
	if (r->code != code || !strstr(r->err, word) || r->out[0])
		printf("    got %d, stdout: %.200s, stderr: %s", r->code, r->out, r->err);
}

/* Done, and if not, what it said. */
static inline void succeeds(const struct run *r)
{
	CU_ASSERT_EQUAL(r->code, 0);
	if (r->code)
		printf("    got %d, stdout: %.600s, stderr: %s\n", r->code, r->out, r->err);
}

static inline void write_file(const char *name, const char *bytes, size_t len, char *path)
{
	FILE *f;

	snprintf(path, 64, "%s/%s", folder, name);
	f = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static inline int cli_suite(const char *name, const struct suite_test *tests, size_t n,
			    unsigned limit_s)
{
	int failed;

	program = getenv("HOTRAIL");
	if (!program || !*program)
		program = "build/hotrail";
	if (access(program, X_OK))
		SUITE_SKIP("%s is not there: build it with make", program);
	/* As a user's shell has them, whatever started this. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	if (!mkdtemp(folder))
		return 1;
	snprintf(runtime, sizeof(runtime), "%s/run", folder);
	setenv("HOTRAIL_RUNTIME_DIR", runtime, 1);
	setenv("HOTRAIL_STATE_DIR", folder, 1);
	failed = suite_run(name, tests, n, limit_s);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return failed;
}

#endif
