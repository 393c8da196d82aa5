// SPDX-License-Identifier: GPL-2.0-only
/* argv -> subcommand table. The only place where the process ends by itself. */
#include "cmd/cmd.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name, *what;
	int (*fn)(int argc, char **argv);
} commands[] = {
	{"run", "launch a guest", cmd_run},
	{"ps", "list guests", cmd_ps},
	{"top", "hot sites, live", cmd_top},
	{"sites", "all sites and where they lead", cmd_sites},
	{"promote", "turn hot indirect calls into direct ones", cmd_promote},
	{"demote", "put the original calls back", cmd_demote},
	{"status", "what a guest does and what is applied", cmd_status},
	{"verify", "does guest memory agree with the journal", cmd_verify},
	{"stop", "end a guest", cmd_stop},
	{"profile", "save, load, merge and show profiles", cmd_profile},
	{"bench", "measure: micro, tailcall, yard, linux, agent", cmd_bench},
	{"doctor", "what works on this machine, and why not", cmd_doctor},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	size_t i;

	fprintf(out, "Usage: hotrail COMMAND [OPTION]...\n\n"
		     "Watches which indirect calls a running guest makes and turns the hot ones\n"
		     "into direct calls, from the host.\n\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].what);
	fprintf(out,
		"\nGUEST is a name from `hotrail ps`; it may be left out when one guest runs.\n"
		"`hotrail COMMAND --help` says more.\n\n"
		"Exit codes: 0 ok, 1 failed, 2 usage, 3 busy, 4 not supported here, 5 refused for\n"
		"safety, 6 rolled back, 77 missing permission.\n");
}

static int dispatch(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[0], commands[i].name))
			return commands[i].fn(argc, argv);
	fprintf(stderr, "hotrail: there is no command \"%s\"; `hotrail --help` lists them\n",
		argv[0]);
	return HOTRAIL_EXIT_USAGE;
}

static int help(int argc, char **argv)
{
	static char option[] = "--help";
	char *words[] = {argv[1], option, NULL};

	if (argc > 1)
		return dispatch(2, words);
	usage(stdout);
	return HOTRAIL_EXIT_OK;
}

/* A full disk or a closed pipe must not look like success. */
static int finish(int code)
{
	if ((fflush(stdout) || ferror(stdout)) && code == HOTRAIL_EXIT_OK) {
		fprintf(stderr, "hotrail: standard output: cannot write all of it\n");
		return HOTRAIL_EXIT_FAILED;
	}
	return code;
}

/*
 * Kernels and tables of thousands of sites come and go as large blocks. The C library would learn
 * from the first ones to keep such blocks in its heap, where they stay resident; with the threshold
 * fixed at its default the memory goes back (mallopt(3)).
 */
#define LARGE_BLOCK (128 * 1024)

/*
 * Threads here need a few KiB of stack, the largest some 100. The default of 8 MiB lets a kernel
 * whose transparent huge pages are "always" put a whole one, 2 MiB resident, under each of them; 1
 * MiB still did when the kernel had put a stack next to tables of sites, which it takes for one
 * mapping.
 */
#define STACK_BYTES (512 * 1024)

static void keep_small(void)
{
	pthread_attr_t attr;

	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	/* One heap for all threads: each further one keeps 128 KiB at its end that nobody uses and
	 * malloc_trim() does not reach. No thread here lives on allocating. */
	mallopt(M_ARENA_MAX, 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

int main(int argc, char **argv)
{
	keep_small();
	if (argc < 2) {
		usage(stderr);
		return HOTRAIL_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("hotrail %s\n", HOTRAIL_VERSION);
		return finish(HOTRAIL_EXIT_OK);
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return finish(help(argc - 1, argv + 1));
	return finish(dispatch(argc - 1, argv + 1));
}
