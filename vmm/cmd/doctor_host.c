// SPDX-License-Identifier: GPL-2.0-only
/* Facts about the host that decide what Hotrail can do, read from /proc and /sys. */
#include "cmd/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool doctor_cpuinfo(const char *text, const char *key, char *buf, size_t len)
{
	size_t n = strlen(key), used;
	const char *value;

	for (; text && *text; text = strchr(text, '\n'), text += text != NULL) {
		if (strncmp(text, key, n) || !strchr(" \t:", text[n]))
			continue;
		value = text + n + strspn(text + n, " \t");
		if (*value != ':')
			continue;
		value++;
		value += strspn(value, " \t");
		used = strcspn(value, "\n");
		used = used < len ? used : len - 1;
		memcpy(buf, value, used);
		buf[used] = 0;
		return true;
	}
	return false;
}

bool doctor_has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *p = words;

	for (; (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

/* First `len - 1` bytes of a small file; the last newline goes. */
static bool read_text(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(buf, 1, len - 1, f);
	fclose(f);
	while (n && isspace((unsigned char)buf[n - 1]))
		n--;
	buf[n] = 0;
	return true;
}

void doctor_cpu(struct doctor *d)
{
	static char info[16384], flags[8192];
	char vendor[64] = "unknown", model[128] = "unknown", detail[320];
	const char *virt;

	if (!read_text("/proc/cpuinfo", info, sizeof(info))) {
		doctor_add(d, "cpu", DOCTOR_LIMITED, "/proc/cpuinfo cannot be read", "mount /proc");
		return;
	}
	doctor_cpuinfo(info, "vendor_id", vendor, sizeof(vendor));
	doctor_cpuinfo(info, "model name", model, sizeof(model));
	if (!doctor_cpuinfo(info, "flags", flags, sizeof(flags)))
		flags[0] = 0;
	virt = doctor_has_word(flags, "vmx") ? "VMX" : doctor_has_word(flags, "svm") ? "SVM" : NULL;
	snprintf(detail, sizeof(detail), "%s, %s, hardware virtualisation: %s", vendor, model,
		 virt ? virt : "none");
	doctor_add(d, "cpu", virt ? DOCTOR_OK : DOCTOR_LIMITED, detail,
		   virt ? NULL
			: "enable VT-x or AMD-V in the firmware, or nested virtualisation in the "
			  "hypervisor above; without it KVM needs kvm_pvm");
	if (!doctor_has_word(flags, "constant_tsc"))
		doctor_add(d, "time stamp counter", DOCTOR_LIMITED,
			   "its rate is not constant: cycle figures without a PMU are rough", NULL);
}

void doctor_cores(struct doctor *d)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	char detail[80];

	snprintf(detail, sizeof(detail), "%ld online", n);
	doctor_add(d, "cores", n >= 2 ? DOCTOR_OK : DOCTOR_LIMITED, detail,
		   n >= 2 ? NULL
			  : "with one core, vCPUs and monitor take turns: figures will be noisy");
}

void doctor_mitigations(struct doctor *d)
{
	char text[256];

	if (!read_text("/sys/devices/system/cpu/vulnerabilities/spectre_v2", text, sizeof(text))) {
		doctor_add(d, "spectre_v2", DOCTOR_LIMITED, "the kernel does not say", NULL);
		return;
	}
	/* It is the guest's choice that counts; the host's says what this CPU makes kernels choose.
	 */
	if (strstr(text, "etpoline"))
		doctor_add(d, "spectre_v2", DOCTOR_OK, text, NULL);
	else
		doctor_add(
			d, "spectre_v2", DOCTOR_LIMITED, text,
			"this host's kernel uses no retpolines; a guest kernel may choose alike, "
			"and "
			"then there is nothing to gain (spectre_v2=retpoline in the guest asks for "
			"them)");
}

void doctor_perf(struct doctor *d)
{
	char text[32], detail[160];
	long level;

	if (!read_text("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text))) {
		doctor_add(d, "perf events", DOCTOR_NO, "this kernel has no perf events",
			   "use a kernel with CONFIG_PERF_EVENTS; until then sites are found by "
			   "timer");
		return;
	}
	level = strtol(text, NULL, 10);
	snprintf(detail, sizeof(detail), "kernel.perf_event_paranoid is %ld%s", level,
		 geteuid() == 0 ? ", which does not bind root" : "");
	/* Levels: Documentation/admin-guide/sysctl/kernel.rst; above 2 is Debian's and Android's
	 * own. */
	if (geteuid() == 0 || level <= 1)
		doctor_add(d, "perf events", DOCTOR_OK, detail, NULL);
	else
		doctor_add(d, "perf events", level > 2 ? DOCTOR_NO : DOCTOR_LIMITED, detail,
			   "sysctl kernel.perf_event_paranoid=1, or give the program CAP_PERFMON");
}

void doctor_huge_pages(struct doctor *d)
{
	char total[32] = "0", unused[32] = "0", thp[64] = "not there", detail[200];

	read_text("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", total, sizeof(total));
	read_text("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", unused,
		  sizeof(unused));
	read_text("/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp));
	snprintf(detail, sizeof(detail), "%s of %s 2 MiB pages free; transparent huge pages: %s",
		 unused, total, thp);
	if (strtol(unused, NULL, 10) > 0)
		doctor_add(d, "huge pages", DOCTOR_OK, detail, NULL);
	else
		doctor_add(d, "huge pages", DOCTOR_LIMITED, detail,
			   "for --huge-pages: sysctl vm.nr_hugepages=64");
}
