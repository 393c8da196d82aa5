// SPDX-License-Identifier: GPL-2.0-only
/* hotrail bench: measured before and after. */
#include "cmd/bench.h"

#include <string.h>

#include "cmd/cmd.h"

static const char *machine = "auto", *cpl = "auto";
static bool json;
static struct bench_options options = {.vcpus = 2, .rounds = 7, .window_ms = 300};

static const struct cmd_option option_table[] = {
	{"rounds", 'r', CMD_UNSIGNED, &options.rounds, "N", "rounds, all variants in each", 1,
	 BENCH_MAX_ROUNDS},
	{"window", 'w', CMD_UNSIGNED, &options.window_ms, "MS",
	 "yard: how long one build runs in a round", 10, 60000},
	{"vcpus", 0, CMD_UNSIGNED, &options.vcpus, "N", "yard: vCPUs", 1, HOTRAIL_MAX_VCPUS},
	{"machine", 0, CMD_CHOICE, &machine, "auto|kvm|process", "how the guest is run", 0, 0},
	{"cpl", 0, CMD_CHOICE, &cpl, "auto|0|3", "the guest's privilege level", 0, 0},
	{"json", 'j', CMD_FLAG, &json, NULL, "print one JSON object", 0, 0},
};

static const struct cmd_usage usage = {
	.name = "bench",
	.args = "micro|yard",
	.what = "Measure what Hotrail gains and what it costs, as ratios inside one run.",
	.more = "micro  one call site in a loop: retpoline, tracks with 1, 2 and 4 targets, a "
		"miss, a\n"
		"       direct call, a plain indirect call\n"
		"yard   a whole guest kernel on 2 vCPUs: retpoline, promoted and plain builds in "
		"turn;\n"
		"       cost of sampling, learning and pausing; first gain; phase change\n\n"
		"Nothing is left behind: the guests are the benchmark's own.\n\n"
		"Examples:\n"
		"  hotrail bench micro\n"
		"  hotrail bench yard --rounds 11 -j",
	CMD_USAGE_OPTIONS(option_table),
};

static enum machine_backend backend_named(const char *name)
{
	if (!strcmp(name, "kvm"))
		return MACHINE_KVM;
	return !strcmp(name, "process") ? MACHINE_PROCESS : MACHINE_AUTO;
}

static enum machine_cpl cpl_named(const char *name)
{
	if (!strcmp(name, "auto"))
		return MACHINE_CPL_AUTO;
	return *name == '0' ? MACHINE_CPL_0 : MACHINE_CPL_3;
}

int cmd_bench(int argc, char **argv)
{
	const char *which;
	struct error err = {0};
	json_t *doc = NULL;
	struct show show;
	int ret, n = cmd_parse(&usage, argc, argv, &which, 1);

	if (n < 0)
		return cmd_parse_exit(n);
	if (n != 1 || (strcmp(which, "micro") && strcmp(which, "yard")))
		return cmd_misuse(&usage, "name the benchmark: micro or yard");
	options.backend = backend_named(machine);
	options.cpl = cpl_named(cpl);
	if (!strcmp(which, "micro"))
		ret = bench_micro(&options, &doc, &err);
	else
		ret = bench_yard(&options, &doc, &err);
	if (ret)
		return cmd_fail(&err);
	show_init(&show, stdout, json);
	show_document(&show, *which == 'm' ? "bench-micro" : "bench-yard", doc);
	ret = json_integer_value(json_object_get(doc, "wrong_calls")) ? HOTRAIL_EXIT_FAILED
								      : HOTRAIL_EXIT_OK;
	json_decref(doc);
	return ret;
}
