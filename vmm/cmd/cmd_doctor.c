// SPDX-License-Identifier: GPL-2.0-only
/* hotrail doctor: what works on this machine, why something does not, and what to do about it. */
#include "cmd/cmd.h"
#include "cmd/doctor.h"

#include <string.h>

#include "show/show.h"

static const char more[] =
	"Looks at the CPU, the kernel's mitigations, /dev/kvm, perf events, huge pages, images "
	"and\n"
	"folders, and starts a scratch guest for a moment to try the samplers and the counters.\n"
	"\n"
	"Exit status: 0 a guest can run here, 4 it cannot; the checks marked \"no\" say why.\n"
	"\n"
	"Examples:\n"
	"  hotrail doctor\n"
	"  hotrail doctor -j | jq '.checks[] | select(.state != \"ok\")'";

/* jansson refuses what is not UTF-8, and some of these texts come from files. */
static json_t *text(const char *raw)
{
	char ascii[512];
	size_t i;
	json_t *v;

	if (!raw)
		return json_null();
	v = json_string(raw);
	if (v)
		return v;
	for (i = 0; i < sizeof(ascii) - 1 && raw[i]; i++)
		ascii[i] = raw[i] < 0x20 ? '?' : raw[i];
	ascii[i] = 0;
	return json_string(ascii);
}

void doctor_add(struct doctor *d, const char *name, enum doctor_state state, const char *detail,
		const char *remedy)
{
	static const char *const words[] = {"ok", "limited", "no"};

	json_array_append_new(d->checks, json_pack("{s:o, s:s, s:o, s:o}", "name", text(name),
						   "state", words[state], "detail", text(detail),
						   "remedy", text(remedy)));
}

void doctor_add_result(struct doctor *d, const char *name, int ret, const char *detail,
		       const struct error *err, enum doctor_state otherwise, const char *remedy)
{
	if (!ret)
		doctor_add(d, name, DOCTOR_OK, detail, NULL);
	else
		doctor_add(d, name, otherwise, err->text[0] ? err->text : strerror(-ret), remedy);
}

static int run(bool json)
{
	struct doctor d = {.checks = json_array()};
	json_t *doc;
	struct show s;

	doctor_cpu(&d);
	doctor_cores(&d);
	doctor_mitigations(&d);
	doctor_machines(&d);
	doctor_perf(&d);
	doctor_huge_pages(&d);
	doctor_folders(&d);
	doctor_images(&d);
	doctor_scratch(&d);
	doc = json_pack("{s:i, s:s, s:o}", "schema", JSON_SCHEMA, "kind", "doctor", "checks",
			d.checks);
	show_init(&s, stdout, json);
	show_document(&s, "doctor", doc);
	json_decref(doc);
	return d.machine ? HOTRAIL_EXIT_OK : HOTRAIL_EXIT_UNSUPPORTED;
}

int cmd_doctor(int argc, char **argv)
{
	bool json = false;
	const struct cmd_option options[] = {
		{"json", 'j', CMD_FLAG, &json, NULL, "Print the checks as JSON", 0, 0},
	};
	const struct cmd_usage usage = {.name = "doctor",
					.what = "Say what works on this machine, and why not.",
					.more = more,
					CMD_USAGE_OPTIONS(options)};
	int n = cmd_parse(&usage, argc, argv, NULL, 0);

	return n < 0 ? cmd_parse_exit(n) : run(json);
}
