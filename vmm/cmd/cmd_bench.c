// SPDX-License-Identifier: GPL-2.0-only
/* hotrail bench: measured before and after. */
#include "cmd/bench.h"

#include <string.h>

#include "cmd/bench_agent.h"
#include "cmd/cmd.h"
#include "cmd/doc.h"

static const char *machine = "auto", *cpl = "auto", *via = "host";
static bool json;
static struct bench_options options = {.vcpus = 2,
				       .window_ms = 300,
				       .seconds = 5,
				       .boots = 5,
				       .workload = "redis",
				       .sites = AGENT_BENCH_SITES,
				       .rate = 1};

static const struct cmd_option option_table[] = {
	{"rounds", 'r', CMD_UNSIGNED, &options.rounds, "N",
	 "rounds, all variants in each (default 7, tailcall 25, linux 3, agent 25)", 1,
	 BENCH_MAX_ROUNDS},
	{"window", 'w', CMD_UNSIGNED, &options.window_ms, "MS",
	 "yard: how long one build runs in a round", 10, 60000},
	{"kernel", 0, CMD_TEXT, &options.kernel, "FILE", "linux, agent: kernel of the guest", 0, 0},
	{"initrd", 0, CMD_TEXT, &options.initrd, "FILE", "linux, agent: its root file system", 0,
	 0},
	{"seconds", 's', CMD_UNSIGNED, &options.seconds, "N", "linux: how long one run takes", 2,
	 3600},
	{"boots", 0, CMD_UNSIGNED, &options.boots, "N",
	 "linux: boots that are timed, ours and QEMU's in turn (default 5)", 1, BENCH_MAX_ROUNDS},
	{"vcpus", 0, CMD_UNSIGNED, &options.vcpus, "N", "yard, linux, agent: vCPUs", 1,
	 HOTRAIL_MAX_VCPUS},
	{"via", 0, CMD_CHOICE, &via, "host|agent", "linux: who writes (default host)", 0, 0},
	{"workload", 0, CMD_CHOICE, &options.workload, "nginx|redis|dbench|syscall|udp",
	 "agent: what runs while sites are written (default redis)", 0, 0},
	{"sites", 0, CMD_UNSIGNED, &options.sites, "N", "agent: sites in a batch", 1,
	 AGENT_BENCH_SITES},
	{"rate", 0, CMD_UNSIGNED, &options.rate, "N", "agent: batches a second; one window each", 1,
	 100},
	{"machine", 0, CMD_CHOICE, &machine, "auto|kvm|process", "how the guest is run", 0, 0},
	{"cpl", 0, CMD_CHOICE, &cpl, "auto|0|3", "the guest's privilege level", 0, 0},
	{"json", 'j', CMD_FLAG, &json, NULL, "print one JSON object", 0, 0},
};

static const struct cmd_usage usage = {
	.name = "bench",
	.args = "micro|tailcall|yard|linux|agent",
	.what = "Measure what Hotrail gains and what it costs, as ratios inside one run.",
	.more = "micro  one call site in a loop: retpoline, tracks with 1, 2 and 4 targets, a "
		"miss, a\n"
		"       direct call, a plain indirect call\n"
		"tailcall  a packet through parsers that jump to one another: through a program "
		"array,\n"
		"       by one patched slot a jump, by a pair of slots (as BPF patches them)\n"
		"yard   a whole guest kernel on 2 vCPUs: retpoline, promoted and plain builds in "
		"turn;\n"
		"       cost of sampling, learning and pausing; first gain; phase change\n"
		"linux  a stock kernel with nginx, redis, dbench, system calls and UDP, promoted "
		"and not\n"
		"       in turn; needs KVM with hardware virtualisation and the files of\n"
		"       `make linux-images`. `make bench-linux-rig` runs it in an emulated "
		"machine\n"
		"agent  256 sites of such a kernel led to and fro, by its agent while it runs and "
		"by the\n"
		"       host in a pause: what that takes, and what the workload loses. "
		"`make\n"
		"       bench-agent-rig` runs it in an emulated machine\n\n"
		"Nothing is left behind: the guests are the benchmark's own.\n\n"
		"Examples:\n"
		"  hotrail bench micro\n"
		"  hotrail bench tailcall -j\n"
		"  hotrail bench yard --rounds 11 -j\n"
		"  hotrail bench linux --seconds 10\n"
		"  hotrail bench agent --workload syscall --rate 10",
	CMD_USAGE_OPTIONS(option_table),
};

struct bench {
	const char *name, *screen;
	const char *wrong; /* what must be 0 in the document */
	unsigned rounds;
	int (*run)(const struct bench_options *o, json_t **doc, struct error *err);
};

static const struct bench benches[] = {
	{"micro", "bench-micro", "wrong_calls", 7, bench_micro},
	{"tailcall", "bench-tailcall", "wrong_calls", 25, bench_tailcall},
	{"yard", "bench-yard", "wrong_calls", 7, bench_yard},
	{"linux", "bench-linux", "failures", 3, bench_linux},
	{"agent", "bench-agent", "failures", 25, bench_agent},
};

static const struct bench *bench_named(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
		if (!strcmp(benches[i].name, name))
			return &benches[i];
	return NULL;
}

int cmd_bench(int argc, char **argv)
{
	const struct bench *bench;
	const char *which;
	struct error err = {0};
	json_t *doc = NULL;
	struct show show;
	int ret, n = cmd_parse(&usage, argc, argv, &which, 1);

	if (n < 0)
		return cmd_parse_exit(n);
	bench = n == 1 ? bench_named(which) : NULL;
	if (!bench)
		return cmd_misuse(&usage,
				  "name the benchmark: micro, tailcall, yard, linux or agent");
	options.backend = cmd_machine(machine);
	options.cpl = cmd_cpl(cpl);
	(void)doc_via_parse(via, &options.via); /* one of the choices */
	options.rounds = options.rounds ? options.rounds : bench->rounds;
	ret = bench->run(&options, &doc, &err);
	if (ret)
		return cmd_fail(&err);
	show_init(&show, stdout, json);
	show_document(&show, bench->screen, doc);
	ret = json_integer_value(json_object_get(doc, bench->wrong)) ? HOTRAIL_EXIT_FAILED
								     : HOTRAIL_EXIT_OK;
	json_decref(doc);
	return ret;
}
