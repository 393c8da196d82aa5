// SPDX-License-Identifier: GPL-2.0-only
/* How runs end, and what is left: signals, killed clients and monitors, full disks, wrong results.
 */
#include "cli_guest.h"

#include <sys/mount.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP};

/* A foreground run that is known to run. */
static pid_t foreground(const char *name, struct kin *k)
{
	pid_t pid = cli_start("run", "--name", name, "--promote", "off", "--time", "600", NULL);

	clock_sleep_ms(50);
	CU_ASSERT_FATAL(UNTIL(30, is_state(name, "running") || process_gone(pid)));
	CU_ASSERT_FALSE_FATAL(process_gone(pid));
	CU_ASSERT(UNTIL(30, status(name, "workload.ops") > 0));
	*k = kin_of(pid);
	return pid;
}

static void ended_by_signal(void)
{
	struct run *r;
	struct kin k;
	unsigned i;
	pid_t pid;

	for (i = 0; i < 3; i++) {
		pid = foreground("fg", &k);
		CU_ASSERT_EQUAL(kill(pid, ends[i]), 0);
		r = cli_join(pid);
		CU_ASSERT_EQUAL(r->code, 128 + ends[i]);
		CU_ASSERT(UNTIL(10, all_gone(&k)));
		CU_ASSERT(no_folder("fg"));
		CU_ASSERT_STRING_EQUAL(state_of("fg"), "");
	}
}

/* Ctrl-C at any moment of the start: nothing may be left, whatever was open by then. */
static void ended_while_starting(void)
{
	struct run *r;
	unsigned i;
	pid_t pid;

	for (i = 0; i < 12; i++) {
		struct kin k;

		pid = cli_start("run", "--name", "fg", "--time", "600", NULL);
		clock_sleep_ms(cli_patience(1) * i * i / 2);
		k = kin_of(pid);
		kill(pid, ends[i % 3]);
		r = cli_join(pid);
		/* Killed before it took charge of signals, or ended in order. */
		CU_ASSERT(r->code == 128 + ends[i % 3] || r->code == 1000 + ends[i % 3]);
		CU_ASSERT(UNTIL(10, all_gone(&k)));
		CU_ASSERT(no_folder("fg"));
	}
}

/* The user gives up on `run --detach` while it waits: the guest runs for whoever lists it, or is
 * gone. */
static void starter_killed(void)
{
	unsigned i;
	pid_t pid;

	for (i = 0; i < 6; i++) {
		pid = cli_start("run", "--detach", "--name", "orphan", NULL);
		clock_sleep_ms(cli_patience(1) * i * 12);
		kill(pid, SIGKILL);
		cli_join(pid);
		clock_sleep_ms(100);
		CU_ASSERT(UNTIL(30, is_state("orphan", "running") || is_state("orphan", "")));
		succeeds(cli("stop", "--all", NULL));
		CU_ASSERT(UNTIL(30, no_folder("orphan")));
	}
}

static void clients_killed(void)
{
	pid_t monitor = start_guest("g", "--promote", "off", NULL), pid;
	unsigned i;

	for (i = 0; i < 10; i++) {
		pid = i % 3 == 2 ? cli_start("demote", "g", "--all", NULL)
				 : cli_start("promote", "g", "--auto", NULL);
		clock_sleep_ms(cli_patience(1) * i * 20);
		kill(pid, SIGKILL);
		cli_join(pid);
		guest_is_well("g");
	}
	CU_ASSERT_EQUAL(status("g", "promotions.quarantined"), 0);
	CU_ASSERT_EQUAL(status("g", "promotions.learning"), 0);
	succeeds(PATIENT(cli("promote", "g", "--auto", NULL)));
	CU_ASSERT(status("g", "promotions.promoted") > 0);
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	guest_is_well("g");
	stop_guest("g", monitor);
}

static void monitor_killed(void)
{
	pid_t pid = start_guest("g", "--promote", "off", NULL);
	struct kin k = kin_of(pid);
	char words[64], path[128];
	struct stat st;
	struct run *r;

	succeeds(PATIENT(cli("promote", "g", "--auto", NULL)));
	snprintf(words, sizeof(words), "%d sites were promoted",
		 (int)status("g", "promotions.promoted"));
	CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
	CU_ASSERT(UNTIL(20, all_gone(&k))); /* its vCPUs do not outlive it */
	CU_ASSERT(UNTIL(10, is_state("g", "stale")));
	r = cli("status", "g", NULL);
	refused(r, 1, "guest is gone");
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, words));
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "hotrail stop g"));
	refused(PATIENT(cli("demote", "g", "--all", NULL)), 1, "the monitor died");

	pid = start_guest("g", "--promote", "off", NULL);
	guest_is_well("g");
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	snprintf(path, sizeof(path), "%s/g/journal.old", runtime);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	stop_guest("g", pid);

	pid = start_guest("g", NULL);
	k = kin_of(pid);
	succeeds(cli("stop", "--kill", "g", NULL));
	CU_ASSERT(UNTIL(20, all_gone(&k)));
	CU_ASSERT(no_folder("g"));
}

/* With the process backend a vCPU is a process that others can kill. */
static void vcpu_killed(void)
{
	pid_t pid = start_guest("g", NULL);
	struct kin k = kin_of(pid);
	struct run *r;

	if (k.n == 1) {
		stop_guest("g", pid);
		return;
	}
	kill(k.pid[k.n - 1], SIGKILL);
	CU_ASSERT(UNTIL(20, all_gone(&k)));
	CU_ASSERT(UNTIL(10, is_state("g", "stale")));
	refused(cli("status", "g", NULL), 1, "has ended");
	r = cli("stop", "g", NULL);
	succeeds(r);
	CU_ASSERT(no_folder("g"));
}

/* --- a full disk --- */

static bool fill(const char *path)
{
	static const char zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = write(fd, zeros, sizeof(zeros))) > 0)
		;
	close(fd);
	return errno == ENOSPC;
}

static void full_disk(void)
{
	char disk[64], filler[96];
	struct run *r;
	pid_t pid;

	snprintf(disk, sizeof(disk), "%s/disk", folder);
	snprintf(filler, sizeof(filler), "%s/filler", disk);
	CU_ASSERT_EQUAL(mkdir(disk, 0700), 0);
	if (mount("hotrail-test", disk, "tmpfs", 0, "size=256k,mode=700")) {
		printf("    no small disk to be had (mount: %s): not tried\n", strerror(errno));
		return;
	}
	setenv("HOTRAIL_RUNTIME_DIR", disk, 1);
	pid = start_guest("g", "--promote", "off", NULL);
	CU_ASSERT(fill(filler));
	r = PATIENT(cli("promote", "g", "--auto", NULL));
	refused(r, 1, "No space left");
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "journal"));
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	CU_ASSERT_EQUAL(status("g", "promotions.learning"), 0);
	guest_is_well("g");
	r = cli("run", "--detach", "--name", "second", NULL);
	refused(r, 1, disk);
	CU_ASSERT_STRING_EQUAL(state_of("second"), "");
	CU_ASSERT_EQUAL(unlink(filler), 0);
	succeeds(PATIENT(cli("promote", "g", "--auto", NULL)));
	CU_ASSERT(status("g", "promotions.promoted") > 0);

	/* What is promoted can be undone, or is refused whole: never half. */
	CU_ASSERT(fill(filler));
	r = PATIENT(cli("demote", "g", "--all", NULL));
	CU_ASSERT(r->code == 1 || status("g", "promotions.promoted") == 0);
	guest_is_well("g");
	unlink(filler);
	succeeds(PATIENT(cli("demote", "g", "--all", NULL)));
	CU_ASSERT_EQUAL(status("g", "promotions.promoted"), 0);
	guest_is_well("g");
	succeeds(cli("stop", "g", NULL));
	CU_ASSERT(UNTIL(10, process_gone(pid)));
	setenv("HOTRAIL_RUNTIME_DIR", runtime, 1);
	CU_ASSERT_EQUAL(umount(disk), 0);
}

/* --- results --- */

static void ram_of(struct ram *ram, const char *name, pid_t monitor)
{
	json_t *doc = json_of(cli("status", name, "-j", NULL));

	ram_open(ram, monitor, json_string_value(at(doc, "guest.image")));
	json_decref(doc);
}

/* A digest of the phase that the guest does not work on, which nothing would put right again. */
static void spoil_digest(const struct ram *ram)
{
	const struct yard_slot lie = {.batches = 1, .digest_sum = 0x0badc0de};

	ram_put(ram, ram->img->header.stats + offsetof(struct yard_stats, slots[1][3]), &lie,
		sizeof(lie));
}

static void wrong_results(void)
{
	struct ram ram;
	char log[4096];
	struct run *r;
	struct kin k;
	pid_t pid = foreground("fg", &k);

	ram_of(&ram, "fg", pid);
	spoil_digest(&ram);
	r = cli_join(pid);
	CU_ASSERT_EQUAL(r->code, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "results are wrong"));
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "phase B, slot 3"));
	CU_ASSERT(UNTIL(10, all_gone(&k)));
	CU_ASSERT(no_folder("fg"));
	ram_close(&ram);

	/* Detached, it says so in its log, which stays. */
	pid = start_guest("g", "--promote", "off", NULL);
	k = kin_of(pid);
	ram_of(&ram, "g", pid);
	spoil_digest(&ram);
	CU_ASSERT(UNTIL(30, all_gone(&k)));
	CU_ASSERT(is_state("g", "stale"));
	from_file("run/g/log", log, sizeof(log));
	CU_ASSERT_PTR_NOT_NULL(strstr(log, "results are wrong"));
	r = cli("status", "g", NULL);
	refused(r, 1, "g has ended");
	ram_close(&ram);
	succeeds(cli("stop", "g", NULL));
	CU_ASSERT(no_folder("g"));
}

static void unverifiable_results(void)
{
	const uint32_t idle = YARD_CMD_IDLE;
	struct ram ram;
	struct run *r;
	struct kin k;
	pid_t pid = foreground("fg", &k);
	uint64_t sequence;
	gva_t stats;

	ram_of(&ram, "fg", pid);
	stats = ram.img->header.stats;
	ram_put(&ram, ram.img->header.control, &idle, sizeof(idle));
	CU_ASSERT_FATAL(UNTIL(30, ram_get(&ram, stats + offsetof(struct yard_stats, cmd)) == idle));
	clock_sleep_ms(50);
	sequence = ram_get(&ram, stats) | 1; /* "just writing", for ever */
	ram_put(&ram, stats, &sequence, sizeof(sequence));
	ram_close(&ram);
	CU_ASSERT(status("fg", "workload.ops") > 0); /* still answers */
	CU_ASSERT_EQUAL(kill(pid, SIGTERM), 0);
	r = cli_join(pid);
	CU_ASSERT_EQUAL(r->code, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(r->err, "could not be verified"));
	CU_ASSERT(UNTIL(10, all_gone(&k)));
	CU_ASSERT(no_folder("fg"));
}

static const struct suite_test tests[] = {
	{"ended by signals", ended_by_signal},
	{"ended while starting", ended_while_starting},
	{"the starter killed", starter_killed},
	{"clients killed", clients_killed},
	{"the monitor killed", monitor_killed},
	{"a vCPU killed", vcpu_killed},
	{"a full disk under the journal", full_disk},
	{"wrong results", wrong_results},
	{"results that cannot be verified", unverifiable_results},
};

int main(void)
{
	return cli_suite("cli-end", tests, sizeof(tests) / sizeof(tests[0]), cli_patience(240));
}
