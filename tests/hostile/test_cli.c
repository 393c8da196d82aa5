// SPDX-License-Identifier: GPL-2.0-only
/* The program as users meet it when something is wrong: exit codes, what goes where, and what the
 * words name. */
#include "cli.h"

static const char *const subcommands[] = {"run",     "ps",	"top",	  "sites",
					  "promote", "demote",	"status", "verify",
					  "stop",    "profile", "bench",  "doctor"};
#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void test_help(void)
{
	struct run *r;
	unsigned i;

	for (i = 0; i < SUBCOMMANDS; i++) {
		char usage[64];

		snprintf(usage, sizeof(usage), "Usage: hotrail %s", subcommands[i]);
		r = cli(subcommands[i], "--help", NULL);
		CU_ASSERT_EQUAL(r->code, 0);
		CU_ASSERT_EQUAL(strncmp(r->out, usage, strlen(usage)), 0);
		CU_ASSERT(strlen(r->out) > 100);
		CU_ASSERT_STRING_EQUAL(r->err, "");
		r = cli("help", subcommands[i], NULL);
		CU_ASSERT_EQUAL(r->code, 0);
		CU_ASSERT_EQUAL(strncmp(r->out, usage, strlen(usage)), 0);
	}
	r = cli("--help", NULL);
	CU_ASSERT_EQUAL(r->code, 0);
	for (i = 0; i < SUBCOMMANDS; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(r->out, subcommands[i]));
	r = cli("--version", NULL);
	CU_ASSERT_EQUAL(r->code, 0);
	CU_ASSERT_EQUAL(strncmp(r->out, "hotrail ", 8), 0);
}

static void test_usage(void)
{
	struct run *r = cli(NULL, NULL);
	unsigned i;

	CU_ASSERT_EQUAL(r->code, 2);
	CU_ASSERT_STRING_EQUAL(r->out, "");
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "Usage"));
	refused(cli("no-such-command", NULL), 2, "no-such-command");
	refused(cli("", NULL), 2, "command");
	for (i = 0; i < SUBCOMMANDS; i++) {
		refused(cli(subcommands[i], "--no-such-option", NULL), 2, "--no-such-option");
		refused(cli(subcommands[i], "-Z", NULL), 2, "-Z");
	}
	refused(cli("status", "a", "b", NULL), 2, "\"b\"");
	refused(cli("top", "--interval", NULL), 2, "--interval");
	refused(cli("top", "--interval", "0", NULL), 2, "--interval");
	refused(cli("top", "--interval", "soon", NULL), 2, "soon");
	refused(cli("top", "--once=yes", NULL), 2, "--once");
	refused(cli("sites", "--limit", "0", NULL), 2, "--limit");
	refused(cli("sites", "--limit", "-1", NULL), 2, "--limit");
	refused(cli("sites", "--limit", "99999999999999999999", NULL), 2, "--limit");
	refused(cli("run", "--kernel", "/no/such/kernel", "--json", NULL), 2, "--detach");
	refused(cli("promote", NULL), 2, "--auto");
	refused(cli("promote", "--auto", "--site", "1", NULL), 2, "--auto");
	refused(cli("promote", "--site", "1", "--coverage", "0.5", NULL), 2, "--coverage");
	refused(cli("promote", "--auto", "--coverage", "1.5", NULL), 2, "--coverage");
	refused(cli("promote", "--auto", "--coverage", "0", NULL), 2, "demote --all");
	refused(cli("promote", "--auto", "--follow", "maybe", NULL), 2, "on|off");
	refused(cli("demote", NULL), 2, "--all");
	refused(cli("demote", "--all", "--site", "1", NULL), 2, "--all");
	refused(cli("profile", NULL), 2, "save");
	refused(cli("profile", "frobnicate", NULL), 2, "frobnicate");
	refused(cli("profile", "info", NULL), 2, "arguments");
	refused(cli("profile", "merge", "only-one", NULL), 2, "arguments");
	refused(cli("profile", "export", "a", "b", NULL), 2, "arguments");
	refused(cli("profile", "load", "a", "--via", "nobody", NULL), 2, "auto|host|agent");
	refused(cli("profile", "save", "a", "--via", "host", NULL), 2, "load");
}

/* Where such a guest cannot run, the words say where it can; where it can, what is missing. */
static void test_bench_linux(void)
{
	bool kvm = !access("/dev/kvm", R_OK | W_OK);
	struct run *r = cli("bench", "linux", "--kernel", "/no/such/kernel", "--initrd",
			    "/no/such/initrd", NULL);

	if (kvm && r->code != 4)
		refused(r, 1, "/no/such/kernel");
	else
		refused(r, 4, "make bench-linux-rig");
	refused(cli("bench", "linux", "--seconds", "1", NULL), 2, "--seconds");
	refused(cli("bench", "linux", "--via", "auto", NULL), 2, "host|agent");
	refused(cli("bench", "windows", NULL), 2, "linux");
}

static void test_bench_agent(void)
{
	struct run *r = cli("bench", "agent", "--kernel", "/no/such/kernel", "--initrd",
			    "/no/such/initrd", NULL);

	if (!access("/dev/kvm", R_OK | W_OK) && r->code != 4)
		refused(r, 1, "/no/such/kernel");
	else
		refused(r, 4, "make bench-agent-rig");
	refused(cli("bench", "agent", "--sites", "257", NULL), 2, "--sites");
	refused(cli("bench", "agent", "--sites", "0", NULL), 2, "--sites");
	refused(cli("bench", "agent", "--rate", "0", NULL), 2, "--rate");
	refused(cli("bench", "agent", "--workload", "cat", NULL), 2, "redis");
}

static void test_no_guest(void)
{
	static const char *const names[] = {"top", "sites", "status", "verify", "stop"};
	struct run *r;
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		refused(cli(names[i], "no-such-guest", NULL), 1, "no-such-guest");
		refused(cli(names[i], NULL), 1, "hotrail run");
	}
	refused(cli("promote", "no-such-guest", "--auto", NULL), 1, "no-such-guest");
	refused(cli("promote", "no-such-guest", "--site", "vfs_read", NULL), 1, "no-such-guest");
	refused(cli("demote", "no-such-guest", "--all", NULL), 1, "no-such-guest");
	r = cli("ps", NULL);
	CU_ASSERT_EQUAL(r->code, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->out, "hotrail run"));
	r = cli("ps", "-j", NULL);
	CU_ASSERT_EQUAL(r->code, 0);
	CU_ASSERT_EQUAL(r->out[0], '{');
}

/* Names that would leave the run folder, or hurt a terminal, are refused before anything is opened.
 */
static void test_hostile_names(void)
{
	static const char *const names[] = {"../../etc", "/etc/passwd", "a/b", ".",
					    "..",	 "a\033[31mb",	""};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct run *r = cli("status", names[i], NULL);

		CU_ASSERT(r->code == 1 || r->code == 2);
		CU_ASSERT_STRING_EQUAL(r->out, "");
		CU_ASSERT(strlen(r->err) > 10);
		CU_ASSERT_PTR_NULL(strchr(r->err, '\033'));
	}
}

static void test_profile_files(void)
{
	static const char noise[4096] = "this is no profile";
	char empty[64], bad[64], out[64];
	struct stat st;

	write_file("empty", "", 0, empty);
	write_file("noise", noise, sizeof(noise), bad);
	snprintf(out, sizeof(out), "%s/merged", folder);
	refused(cli("profile", "info", "/no/such/file", NULL), 1, "/no/such/file");
	refused(cli("profile", "info", empty, NULL), 1, empty);
	refused(cli("profile", "info", bad, NULL), 1, bad);
	refused(cli("profile", "info", folder, NULL), 1, folder);
	refused(cli("profile", "export", bad, "-j", NULL), 1, bad);
	refused(cli("profile", "merge", out, bad, empty, NULL), 1, bad);
	CU_ASSERT_EQUAL(stat(out, &st), -1); /* nothing half-written */
	refused(cli("profile", "load", "no-such-guest", bad, NULL), 1, bad);
	refused(cli("profile", "save", "no-such-guest", out, NULL), 1, "no-such-guest");
	refused(cli("profile", "info", "/dev/zero", NULL), 1, "/dev/zero");
}

static void test_doctor(void)
{
	static const char *const wanted[] = {"cpu",	    "machine kvm", "machine process",
					     "perf events", "run folder",  "state folder"};
	struct run *r = cli("doctor", "-j", NULL);
	json_t *doc = json_loads(r->out, 0, NULL), *checks;
	bool machine = false;
	unsigned found = 0, i;
	size_t at;
	json_t *c;

	CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(doc, "schema")), JSON_SCHEMA);
	checks = json_object_get(doc, "checks");
	json_array_foreach(checks, at, c)
	{
		const char *name = json_string_value(json_object_get(c, "name"));
		const char *state = json_string_value(json_object_get(c, "state"));

		CU_ASSERT_PTR_NOT_NULL_FATAL(name);
		CU_ASSERT_PTR_NOT_NULL_FATAL(state);
		CU_ASSERT(!strcmp(state, "ok") || !strcmp(state, "limited") ||
			  !strcmp(state, "no"));
		/* What does not work says why. */
		CU_ASSERT(strlen(json_string_value(json_object_get(c, "detail")) ?: "") > 0);
		for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			found += !strcmp(name, wanted[i]);
		machine |= !strncmp(name, "machine ", 8) && !strcmp(state, "ok");
	}
	CU_ASSERT_EQUAL(found, sizeof(wanted) / sizeof(wanted[0]));
	CU_ASSERT(r->code == 0 || r->code == 4);
	CU_ASSERT(r->code == 4 || machine);
	json_decref(doc);
	r = cli("doctor", "extra", NULL);
	refused(r, 2, "extra");
}

/* A full disk under stdout is a failure, not silence. */
static void test_full_output(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		int full = open("/dev/full", O_WRONLY);

		dup2(full, STDOUT_FILENO);
		to_file("err", STDERR_FILENO);
		execl(program, "hotrail", "promote", "--help", NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 1);
}

static void test_unwritable_folders(void)
{
	setenv("HOTRAIL_RUNTIME_DIR", "/proc/no-such-folder", 1);
	refused(cli("run", "--detach", NULL), 1, "/proc/no-such-folder");
	setenv("HOTRAIL_RUNTIME_DIR", "not/absolute", 1);
	refused(cli("run", "--detach", NULL), 1, "_RUNTIME_DIR");
	setenv("HOTRAIL_RUNTIME_DIR", runtime, 1);
}

static const struct suite_test tests[] = {
	{"help of every command", test_help},
	{"mistakes in the command line", test_usage},
	{"a Linux benchmark that cannot run", test_bench_linux},
	{"an agent benchmark that cannot run", test_bench_agent},
	{"no guest of that name", test_no_guest},
	{"hostile guest names", test_hostile_names},
	{"files that are no profiles", test_profile_files},
	{"doctor tells", test_doctor},
	{"full standard output", test_full_output},
	{"folders that cannot be written", test_unwritable_folders},
};

int main(void)
{
	return cli_suite("cli", tests, sizeof(tests) / sizeof(tests[0]), cli_patience(120));
}
