/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Subcommands: one function each in cmd_<name>.c, and what they share. A subcommand
 * gets its own name as argv[0], prints its results itself and returns the process's
 * exit code (enum hotrail_exit); it never calls exit().
 */
#ifndef HOTRAIL_CMD_CMD_H
#define HOTRAIL_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/control.h"
#include "control/registry.h"
#include "machine/machine.h"
#include "util/error.h"
#include "util/json.h"

int cmd_run(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_sites(int argc, char **argv);
int cmd_promote(int argc, char **argv);
int cmd_demote(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* --- options --- */

enum cmd_option_kind {
	CMD_FLAG,     /* bool *: set to true */
	CMD_TEXT,     /* const char ** */
	CMD_CHOICE,   /* const char **: one of the words in `arg`, "auto|off" */
	CMD_UNSIGNED, /* unsigned *: min..max */
	CMD_U64,      /* uint64_t *: decimal or 0x, any value */
	CMD_SIZE,     /* uint64_t *: bytes; "512M", a bare number is MiB */
	CMD_SHARE,    /* double *: "0.95" or "95%" */
	CMD_SECONDS,  /* double * */
	CMD_LIST,     /* struct cmd_list *: may be given several times, commas separate too */
};

#define CMD_LIST_MAX 64
struct cmd_list {
	const char *item[CMD_LIST_MAX];
	unsigned count;
};

struct cmd_option {
	const char *name; /* long name without "--" */
	char letter;	  /* short name, 0 = none */
	enum cmd_option_kind kind;
	void *value;
	const char *arg;   /* shown in help: "N", "FILE", "auto|off"; NULL for flags */
	const char *help;  /* one line, without full stop */
	unsigned min, max; /* CMD_UNSIGNED only */
};
#define CMD_OPTION(name_, letter_, kind_, value_, arg_, help_)                                     \
	{                                                                                          \
		.name = name_, .letter = letter_, .kind = kind_, .value = value_, .arg = arg_,     \
		.help = help_                                                                      \
	}
#define CMD_NUMBER(name_, letter_, value_, arg_, help_, min_, max_)                                \
	{                                                                                          \
		.name = name_, .letter = letter_, .kind = CMD_UNSIGNED, .value = value_,           \
		.arg = arg_, .help = help_, .min = min_, .max = max_                               \
	}

struct cmd_usage {
	const char *name;		  /* "promote" */
	const char *args;		  /* "[GUEST]"; NULL = none */
	const char *what;		  /* one sentence: what it does */
	const char *more;		  /* further paragraphs of --help, or NULL */
	const struct cmd_option *options; /* -h and --help are added by themselves */
	size_t count;
};
#define CMD_USAGE_OPTIONS(o) .options = (o), .count = sizeof(o) / sizeof((o)[0])

/*
 * Options and positional arguments in any order, "--name value" or "--name=value", "--" ends the
 *options. Returns the number of positional arguments (<= max, stored in pos). Negative: the command
 *is done, what there was to say has been said (help on stdout, or the mistake on stderr), and its
 *exit code is cmd_parse_exit(ret).
 *
 *	n = cmd_parse(&usage, argc, argv, pos, 1);
 *	if (n < 0)
 *		return cmd_parse_exit(n);
 */
int cmd_parse(const struct cmd_usage *usage, int argc, char **argv, const char **pos, unsigned max);
int cmd_parse_exit(int ret);

/* What --machine and --cpl, checked by their lists of words, stand for. */
enum machine_backend cmd_machine(const char *word);
enum machine_cpl cmd_cpl(const char *word);

/* Print the error ("hotrail: ..." on stderr) and return its exit code, never 0. */
int cmd_fail(const struct error *err);
/* The same for a mistake in the command line found after cmd_parse(): text, hint at --help, exit
 * code 2. */
int cmd_misuse(const struct cmd_usage *usage, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* --- a running guest --- */

/*
 * Connect to the monitor of `guest` (NULL: the only running one). `entry` may be NULL.
 * Unknown name, stale folder, several guests: -errno and *err with the remedy.
 */
int cmd_connect(const char *guest, struct control_client **out, struct registry_entry *entry,
		struct error *err);
/* Connect, one command, close. `arguments` is stolen and may be NULL; *ret is a new reference. */
int cmd_call(const char *guest, const char *command, json_t *arguments, json_t **ret,
	     struct error *err);

#endif
