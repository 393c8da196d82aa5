// SPDX-License-Identifier: GPL-2.0-only
/* Option parsing shared by all subcommands: one table an option set, one way to say what is wrong.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "show/show.h"
#include "util/parse.h"

#define DONE(exit_code) (-1 - (int)(exit_code))

int cmd_parse_exit(int ret)
{
	return -1 - ret;
}

int cmd_fail(const struct error *err)
{
	show_error(err);
	return err->exit_code ? (int)err->exit_code : HOTRAIL_EXIT_FAILED;
}

int cmd_misuse(const struct cmd_usage *usage, const char *fmt, ...)
{
	struct error err = {.exit_code = HOTRAIL_EXIT_USAGE};
	va_list ap;
	size_t used;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	used = strlen(err.text);
	snprintf(err.text + used, sizeof(err.text) - used, "; see `hotrail %s --help`",
		 usage->name);
	return cmd_fail(&err);
}

#define HELP_COLUMN 28

static void help(const struct cmd_usage *u)
{
	char left[48];
	size_t i;

	printf("Usage: hotrail %s%s%s%s\n\n%s\n", u->name, u->count ? " [OPTION]..." : "",
	       u->args ? " " : "", u->args ? u->args : "", u->what);
	if (u->count)
		printf("\n");
	for (i = 0; i < u->count; i++) {
		const struct cmd_option *o = &u->options[i];

		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
			 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		/* A long left side takes a line of its own rather than push its text out of the
		 * column. */
		if (strlen(left) > HELP_COLUMN)
			printf("  %s\n  %*s %s\n", left, HELP_COLUMN, "", o->help);
		else
			printf("  %-*s %s\n", HELP_COLUMN, left, o->help);
	}
	if (u->more)
		printf("\n%s\n", u->more);
}

static const struct cmd_option *find(const struct cmd_usage *u, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < u->count; i++)
		if (strlen(u->options[i].name) == len && !memcmp(u->options[i].name, name, len))
			return &u->options[i];
	return NULL;
}

static const struct cmd_option *find_letter(const struct cmd_usage *u, char letter)
{
	size_t i;

	for (i = 0; i < u->count; i++)
		if (letter && u->options[i].letter == letter)
			return &u->options[i];
	return NULL;
}

static bool is_choice(const char *choices, const char *word)
{
	size_t len = strlen(word), n;

	for (; *choices; choices += n + (choices[n] == '|')) {
		n = strcspn(choices, "|");
		if (n == len && !memcmp(choices, word, len))
			return true;
	}
	return false;
}

/* Splits in place: argv is ours to write (C11 5.1.2.2.1). */
static int add_items(struct cmd_list *list, char *text)
{
	char *save = NULL, *item;

	for (item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		if (list->count == CMD_LIST_MAX)
			return -ERANGE;
		list->item[list->count++] = item;
	}
	return 0;
}

static int store_unsigned(const struct cmd_option *o, const char *text)
{
	uint64_t v;
	int ret = parse_u64(text, &v);

	if (ret)
		return ret;
	if (v < o->min || v > o->max)
		return -ERANGE;
	*(unsigned *)o->value = (unsigned)v;
	return 0;
}

static int store(const struct cmd_option *o, char *text)
{
	switch (o->kind) {
	case CMD_FLAG:
		*(bool *)o->value = true;
		return 0;
	case CMD_CHOICE:
		if (!is_choice(o->arg, text))
			return -EINVAL;
		/* fallthrough */
	case CMD_TEXT:
		*(const char **)o->value = text;
		return 0;
	case CMD_UNSIGNED:
		return store_unsigned(o, text);
	case CMD_U64:
		return parse_u64(text, o->value);
	case CMD_SIZE:
		return parse_size(text, o->value);
	case CMD_SHARE:
		return parse_share(text, o->value);
	case CMD_SECONDS:
		return parse_seconds(text, o->value);
	case CMD_LIST:
		return add_items(o->value, text);
	}
	return -EINVAL;
}

static int bad_value(const struct cmd_usage *u, const struct cmd_option *o, const char *text)
{
	switch (o->kind) {
	case CMD_CHOICE:
		return cmd_misuse(u, "--%s %s: must be one of %s", o->name, text, o->arg);
	case CMD_UNSIGNED:
		return cmd_misuse(u, "--%s %s: must be a number from %u to %u", o->name, text,
				  o->min, o->max);
	case CMD_SIZE:
		return cmd_misuse(u, "--%s %s: must be a size such as 512M or 1G", o->name, text);
	case CMD_SHARE:
		return cmd_misuse(u, "--%s %s: must be a share such as 0.99 or 99%%", o->name,
				  text);
	case CMD_SECONDS:
		return cmd_misuse(u, "--%s %s: must be a number of seconds", o->name, text);
	case CMD_LIST:
		return cmd_misuse(u, "--%s: at most %d at once", o->name, CMD_LIST_MAX);
	default:
		return cmd_misuse(u, "--%s %s: must be a number", o->name, text);
	}
}

/* One option at argv[*i]; advances *i past a separate value. 0, or DONE(). */
static int option(const struct cmd_usage *u, int argc, char **argv, int *i)
{
	char *word = argv[*i], *value = NULL;
	const struct cmd_option *o;
	size_t len;

	if (word[1] == '-') {
		len = strcspn(word + 2, "=");
		o = find(u, word + 2, len);
		value = word[2 + len] ? word + 3 + len : NULL;
	} else {
		o = find_letter(u, word[1]);
		value = word[2] ? word + 2 : NULL;
	}
	if (!o)
		return DONE(cmd_misuse(u, "%s: unknown option", word));
	if (o->kind == CMD_FLAG && value)
		return DONE(cmd_misuse(u, "%s: --%s takes no value", word, o->name));
	if (o->kind != CMD_FLAG && !value) {
		if (*i + 1 >= argc)
			return DONE(cmd_misuse(u, "--%s needs a value (%s)", o->name, o->arg));
		value = argv[++*i];
	}
	return store(o, value) ? DONE(bad_value(u, o, value)) : 0;
}

int cmd_parse(const struct cmd_usage *usage, int argc, char **argv, const char **pos, unsigned max)
{
	bool options = true;
	unsigned n = 0;
	int i, ret;

	for (i = 1; i < argc; i++) {
		if (options && !strcmp(argv[i], "--")) {
			options = false;
		} else if (options && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			help(usage);
			return DONE(HOTRAIL_EXIT_OK);
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			ret = option(usage, argc, argv, &i);
			if (ret)
				return ret;
		} else if (n == max) {
			return DONE(cmd_misuse(usage, "unexpected argument \"%s\"", argv[i]));
		} else {
			pos[n++] = argv[i];
		}
	}
	return (int)n;
}

enum machine_backend cmd_machine(const char *word)
{
	return !strcmp(word, "kvm")	  ? MACHINE_KVM
	       : !strcmp(word, "process") ? MACHINE_PROCESS
					  : MACHINE_AUTO;
}

enum machine_cpl cmd_cpl(const char *word)
{
	return !strcmp(word, "0")   ? MACHINE_CPL_0
	       : !strcmp(word, "3") ? MACHINE_CPL_3
				    : MACHINE_CPL_AUTO;
}
