// SPDX-License-Identifier: GPL-2.0-only
/* hotrail run: launch a guest, in the foreground or detached. */
#include "cmd/cmd.h"

#include <string.h>

#include "cmd/doc.h"
#include "cmd/run.h"
#include "guest/pc_guest.h"

struct words {
	const char *promote, *sampler, *cpl, *machine, *phase, *via;
};

static const char more[] = "Without IMAGE it runs the build of the yard guest that fits "
			   "the machine. --machine\n"
			   "auto takes kvm where /dev/kvm works, else process: the guest's code "
			   "runs natively in traced\n"
			   "processes, with no privilege boundary.\n"
			   "\n"
			   "A foreground run ends with Ctrl-C or SIGTERM (exit code 128 + signal, "
			   "as shells expect), with\n"
			   "`hotrail stop` or --time (0), or when the guest ends or computes "
			   "something wrong (1, with a\n"
			   "report).";

static void take_words(const struct words *w, struct run_options *o)
{
	o->instance.backend = cmd_machine(w->machine);
	o->instance.cpl = cmd_cpl(w->cpl);
	o->instance.phase = !strcmp(w->phase, "b");
	o->follow = !strcmp(w->promote, "auto");
	o->sampler = w->sampler;
	(void)doc_via_parse(w->via, &o->via); /* one of the choices */
}

int cmd_run(int argc, char **argv)
{
	struct words w = {"auto", "auto", "auto", "auto", "a", "auto"};
	struct run_options o = {.instance = INSTANCE_DEFAULT};
	const struct cmd_option options[] = {
		CMD_OPTION("kernel", 'k', CMD_TEXT, &o.kernel, "FILE",
			   "run this Linux kernel (bzImage or vmlinux), not an image"),
		CMD_OPTION("initrd", 0, CMD_TEXT, &o.initrd, "FILE", "its initial RAM disk"),
		CMD_OPTION("cmdline", 0, CMD_TEXT, &o.cmdline, "TEXT",
			   "its command line (default: " PC_CMDLINE_DEFAULT ")"),
		CMD_OPTION("disk", 0, CMD_LIST, &o.disks, "FILE[:ro]",
			   "a raw disk of the Linux guest, may be given several times"),
		CMD_OPTION("net", 0, CMD_LIST, &o.nets, "TAP",
			   "a network card of the Linux guest on an existing tap device"),
		CMD_OPTION("no-agent", 0, CMD_FLAG, &o.no_agent, NULL,
			   "no port for an agent in the Linux guest"),
		CMD_OPTION("detach", 'd', CMD_FLAG, &o.detach, NULL, "return when the guest runs"),
		CMD_OPTION("name", 'n', CMD_TEXT, &o.name, "NAME",
			   "default: the first free yard-N"),
		CMD_NUMBER("vcpus", 0, &o.instance.vcpus, "N", "default: 2", 1, HOTRAIL_MAX_VCPUS),
		CMD_OPTION("variant", 0, CMD_CHOICE, &o.instance.variant, "retpoline|plain",
			   "which yard build, without IMAGE (default: retpoline)"),
		CMD_OPTION("mem", 'm', CMD_SIZE, &o.instance.mem, "SIZE",
			   "default: what the image needs"),
		CMD_OPTION("promote", 0, CMD_CHOICE, &w.promote, "auto|off",
			   "promote and follow the workload by itself (default: auto)"),
		CMD_OPTION("via", 0, CMD_CHOICE, &w.via, "auto|host|agent",
			   "who patches a Linux guest: host or agent (default: auto)"),
		CMD_OPTION("sampler", 0, CMD_CHOICE, &w.sampler, "auto|lbr|pmu|timer|hwbp|step|off",
			   "how hot sites are found (default: auto)"),
		CMD_OPTION("cpl", 0, CMD_CHOICE, &w.cpl, "auto|0|3",
			   "guest privilege level (default: auto)"),
		CMD_OPTION("machine", 0, CMD_CHOICE, &w.machine, "auto|kvm|process",
			   "what runs the guest (default: auto)"),
		CMD_OPTION("phase", 0, CMD_CHOICE, &w.phase, "a|b", "workload phase (default: a)"),
		CMD_OPTION("seed", 0, CMD_U64, &o.instance.seed, "N",
			   "of the workload (default: 1)"),
		CMD_OPTION("huge-pages", 0, CMD_FLAG, &o.instance.huge_pages, NULL,
			   "back guest RAM with them"),
		CMD_OPTION("profile", 0, CMD_TEXT, &o.profile, "FILE",
			   "start warm from a saved profile"),
		CMD_OPTION("time", 't', CMD_SECONDS, &o.seconds, "SECONDS", "end after so long"),
		CMD_OPTION("json", 'j', CMD_FLAG, &o.json, NULL,
			   "one JSON document on standard output"),
	};
	const struct cmd_usage usage = {
		.name = "run",
		.args = "[IMAGE]",
		.what = "Launches a guest and, unless told otherwise, promotes its hot indirect "
			"calls.",
		.more = more,
		CMD_USAGE_OPTIONS(options),
	};
	int n = cmd_parse(&usage, argc, argv, &o.instance.image, 1);

	if (n < 0)
		return cmd_parse_exit(n);
	take_words(&w, &o);
	if (!o.kernel && (o.initrd || o.cmdline || o.disks.count || o.nets.count || o.no_agent))
		return cmd_misuse(&usage, "--initrd, --cmdline, --disk, --net and --no-agent go "
					  "with --kernel");
	if (o.kernel && o.instance.image)
		return cmd_misuse(&usage, "an image and --kernel exclude each other");
	if (o.kernel && o.json && !o.detach)
		return cmd_misuse(&usage, "the console of a Linux guest is on standard output: "
					  "--json goes with --detach");
	if (o.detach)
		return run_detached(&o);
	return o.kernel ? run_linux(&o, -1) : run_monitor(&o, -1);
}
