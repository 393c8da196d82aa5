// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module in a Debian kernel that runs in QEMU: the host's own client asks it to promote real
 * sites, to refuse what it must, and to cope with what the guest and the host do meanwhile.
 * The tests build on each other: one guest, one after the other.
 */
#include "sites.h"

static bool kernel_locked;

static void test_greets(void)
{
	static const char *const regs[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					     "rsi", "rdi", "r8",  "r9",	 "r10", "r11",
					     "r12", "r13", "r14", "r15"};
	static const char *const functions[] = {"vfs_read", "vfs_write", "vfs_statx"};
	char name[64];
	unsigned i;

	vm.console = vm_dial("HOTRAIL_CONSOLE");
	CU_ASSERT_FATAL(vm.console >= 0 && !vm_wait());
	CU_ASSERT_PTR_NULL_FATAL(strstr(vm.out, "no agent"));
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_EQUAL_FATAL(vm.state.hello.refusals, 0);
	CU_ASSERT_EQUAL(vm.state.hello.features, AGENT_CAN_BATCH | AGENT_CAN_RECLAIM |
							 AGENT_CAN_PROTECT | AGENT_CAN_PER_CPU |
							 AGENT_CAN_PAIRS);
	CU_ASSERT_EQUAL(vm.state.hello.text_start, symbol("_stext"));
	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "__x86_indirect_thunk_%s", regs[i]);
		thunk[i] = i == 4 ? 0 : symbol(name);
	}
	iput = symbol("iput");
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		uint64_t at = symbol(functions[i]);

		CU_ASSERT_FATAL(at != 0);
		nsites += scan(at, 700, site + nsites, MAX_SITES - nsites);
	}
	CU_ASSERT_FATAL(nsites > 2 && iput);
	CU_ASSERT(all_blocks());
}

static void test_promotes(void)
{
	unsigned i;

	CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
	CU_ASSERT_EQUAL(vm_do("ls -R /proc/sys /lib >/dev/null"), 0);
	for (i = 0; i < nsites; i++)
		CU_ASSERT(holds(&site[i], site[i].now));
	CU_ASSERT_EQUAL(promote(AGENT_MISMATCH), nsites);
	CU_ASSERT_EQUAL(write_blocks(true, site, nsites, AGENT_IN_USE), nsites);
	CU_ASSERT_EQUAL(write_blocks(false, site, nsites, AGENT_RANGE), nsites);
	CU_ASSERT_EQUAL(demote(AGENT_OK), nsites);
	for (i = 0; i < nsites; i++)
		CU_ASSERT(holds(&site[i], site[i].old));
}

static void test_reclaims(void)
{
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(write_blocks(true, site, nsites, AGENT_OK), nsites);
	CU_ASSERT_EQUAL(promote(AGENT_TARGET), nsites);
	CU_ASSERT(!agent_read_text(vm.agent, vm.state.hello.arena_code, &byte, 1, &err));
	CU_ASSERT_EQUAL(byte, 0xcc);
	CU_ASSERT_EQUAL(write_blocks(false, site, nsites, AGENT_OK), nsites);
}

static void test_refuses(void)
{
	struct found s = site[0];
	unsigned other = s.reg == HOTRAIL_RAX ? HOTRAIL_RBX : HOTRAIL_RAX;

	s.at++; /* the middle of an instruction */
	lead(s.old, &s, s.thunk);
	lead(s.now, &s, vm.state.hello.arena_code + s.offset);
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_PROTECTED), 1);
	s.at = symbol("__noinstr_text_start");
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_OK), 0);
	s.at = vm.state.hello.arena_data;
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_OWNER), 1);
	s.at = 0x400000;
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_OWNER), 1);
	s = site[0];
	lead(s.now, &s, iput);
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_TARGET), 1);
	s.now[s.len - 5] ^= 1; /* a jump for a call */
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_OPCODE), 1);
	/* A sound track, for another register than the site's. */
	s = site[0];
	s.reg = (enum hotrail_reg)other;
	s.thunk = thunk[other];
	encode(&s, iput, false, 0);
	CU_ASSERT_EQUAL(write_blocks(false, &s, 1, AGENT_OK), 1);
	CU_ASSERT_EQUAL(poke(&s, 1, false, AGENT_POKE_ONLY, AGENT_TARGET), 1);
	s.block[3]++; /* no longer a track: where it compares and where it jumps differ */
	s.offset = next_offset;
	CU_ASSERT_EQUAL(write_blocks(false, &s, 1, AGENT_TARGET), 1);
}

static void test_learns(void)
{
	static struct found l[MAX_SITES];
	static struct agent_counted counted[MAX_SITES];
	uint32_t tables[MAX_SITES];
	uint64_t calls = 0;
	unsigned i, j;

	memcpy(l, site, sizeof(l));
	for (i = 0; i < nsites; i++) {
		tables[i] = 320 * i;
		encode(&l[i], 0, true, tables[i]);
	}
	CU_ASSERT_EQUAL(write_blocks(false, l, nsites, AGENT_OK), nsites);
	CU_ASSERT_EQUAL(poke(l, nsites, false, AGENT_POKE_LEARN_START, AGENT_OK), nsites);
	vm_do("ls -R /proc/sys /lib >/dev/null");
	CU_ASSERT_EQUAL(poke(l, nsites, true, AGENT_POKE_LEARN_STOP, AGENT_OK), nsites);
	CU_ASSERT_EQUAL(agent_read_tables(vm.agent, tables, nsites, counted, &err), 0);
	for (i = 0; i < nsites; i++)
		for (j = 0; j < counted[i].used; j++) {
			calls += counted[i].slot[j].count;
			CU_ASSERT(counted[i].slot[j].target >= 0x80000000u);
		}
	CU_ASSERT(calls > 0);
	CU_ASSERT_EQUAL(write_blocks(true, l, nsites, AGENT_OK), nsites);
}

static void probe(const char *what)
{
	char line[512];

	snprintf(line, sizeof(line), "cd /sys/kernel/tracing; %s; cd /", what);
	CU_ASSERT_EQUAL(vm_do(line), 0);
}

static void probe_site(bool armed)
{
	char line[256];

	snprintf(line, sizeof(line), "echo p:t/p 0x%llx >kprobe_events%s",
		 (unsigned long long)site[0].at, armed ? "; echo 1 >events/t/p/enable" : "");
	probe(line);
}

static void test_probe_on_promoted(void)
{
	vm_forget_events();
	CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
	probe_site(true);
	CU_ASSERT(vm_conflict(site[0].at, AGENT_CONFLICT_SEEN));
	CU_ASSERT_EQUAL(poke(site, 1, true, AGENT_POKE_ONLY, AGENT_BUSY), 1);
	vm_do("ls -R /lib >/dev/null");
	probe("echo 0 >events/t/p/enable; echo >kprobe_events");
	CU_ASSERT(vm_conflict(site[0].at, AGENT_CONFLICT_DEMOTED));
	CU_ASSERT(holds(&site[0], site[0].old));
	CU_ASSERT_EQUAL(poke(site, 1, false, AGENT_POKE_ONLY, AGENT_OK), 1);
}

/* A probe that is not armed is nowhere to be seen in text, but holds a copy of it. */
static void test_sleeping_probe(void)
{
	struct agent_unpatch_reply r;

	probe_site(false);
	CU_ASSERT_EQUAL(agent_unpatch_all(vm.agent, &r, &err), 0);
	CU_ASSERT(r.left == 1 && r.undone == nsites - 1);
	CU_ASSERT_EQUAL(write_blocks(true, site, 1, AGENT_IN_USE), 1);
	probe("echo >kprobe_events");
	CU_ASSERT_EQUAL(agent_unpatch_all(vm.agent, &r, &err), 0);
	CU_ASSERT(r.left == 0 && r.undone == 1);
}

static bool find_module(const char *name, struct agent_module *out)
{
	static struct agent_module m[AGENT_MAX_MODULES];
	size_t n = AGENT_MAX_MODULES, i;

	if (agent_list_modules(vm.agent, m, &n, &err))
		return false;
	for (i = 0; i < n; i++)
		if (!strcmp(m[i].name, name)) {
			*out = m[i];
			return true;
		}
	return false;
}

/* The kernel's own names; none outside of modules. */
static void named_in(const struct found *in, const struct agent_module *m)
{
	const uint64_t addr[] = {in->at, iput, m->text - 1};
	struct agent_function fn[3];

	CU_ASSERT_EQUAL_FATAL(agent_name_functions(vm.agent, addr, 3, fn, &err), 0);
	printf("    0x%llx is in %s\n", (unsigned long long)in->at, fn[0].name);
	CU_ASSERT(fn[0].start >= m->text && in->at - fn[0].start < fn[0].size);
	CU_ASSERT(fn[0].name[0] != '\0');
	CU_ASSERT(fn[1].start == 0);
	CU_ASSERT(fn[2].start < m->text);
}

/* Sites in its text, and one in the kernel that leads to a function of it. */
static void module_cycle(void)
{
	static struct found in[MAX_SITES];
	struct found core = site[0];
	uint32_t before = next_offset;
	struct agent_module m = {0};
	unsigned n, i;

	CU_ASSERT_FATAL(!vm_do("insmod /lib/modules/fat.ko && insmod /lib/modules/vfat.ko"));
	CU_ASSERT_FATAL(find_module("fat", &m));
	n = scan(m.text, m.text_size < 32768 ? (unsigned)m.text_size : 32768, in, MAX_SITES - 1);
	CU_ASSERT_FATAL(n > 5);
	named_in(&in[0], &m);
	for (i = 0; i < n; i++)
		encode(&in[i], iput, false, 0);
	encode(&core, m.text + 64, false, 0);
	CU_ASSERT_EQUAL(write_blocks(false, in, n, AGENT_OK), n);
	CU_ASSERT_EQUAL(write_blocks(false, &core, 1, AGENT_OK), 1);
	n = poke(in, n, false, AGENT_POKE_ONLY, AGENT_OK);
	CU_ASSERT(n > 5);
	CU_ASSERT_EQUAL(poke(&core, 1, false, AGENT_POKE_ONLY, AGENT_OK), 1);
	CU_ASSERT(
		!vm_do("mount -t vfat -o loop /tmp/disk /mnt && cp /bin/busybox /mnt/x && sync && "
		       "cmp /bin/busybox /mnt/x && rm /mnt/x && umount /mnt"));
	vm_forget_events();
	CU_ASSERT(!vm_do("rmmod vfat && rmmod fat"));
	CU_ASSERT_EQUAL(vm_demoted("fat"), (int)n + 1);
	CU_ASSERT(holds(&core, core.old));
	CU_ASSERT_EQUAL(write_blocks(true, in, i, AGENT_OK), i);
	CU_ASSERT_EQUAL(write_blocks(true, &core, 1, AGENT_OK), 1);
	next_offset = before;
}

static unsigned cycles(void)
{
	const char *n = getenv("AGENT_CYCLES");

	return n ? (unsigned)atoi(n) : 5;
}

static void test_module_leaves(void)
{
	unsigned i;

	vm_do("mkdir -p /mnt; dd if=/dev/zero of=/tmp/disk bs=65536 count=64; mkdosfs /tmp/disk");
	for (i = 0; i < cycles(); i++)
		module_cycle();
}

static void test_lost_host(void)
{
	CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
	vm_disconnect();
	CU_ASSERT_FATAL(vm_connect(1500));
	CU_ASSERT_EQUAL(vm.state.hello.pokes, nsites);
	vm_disconnect();
	vm_sleep_ms(4000);
	CU_ASSERT_FATAL(vm_connect(60000));
	CU_ASSERT_EQUAL(vm.state.hello.pokes, 0);
	CU_ASSERT(holds(&site[0], site[0].old));
}

/* Under load, each time with promotions in place and the relay on the open device. */
static void test_reloads(void)
{
	uint64_t old;
	unsigned i;

	vm_do("touch /tmp/load; (while [ -e /tmp/load ]; do ls -R /lib /proc/sys; done) >/dev/null "
	      "2>&1 &");
	for (i = 0; i < cycles(); i++) {
		CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
		old = vm.state.generation;
		CU_ASSERT_FATAL(
			!vm_do("rmmod hotrail_agent && insmod /lib/modules/hotrail_agent.ko"));
		CU_ASSERT_FATAL(vm_alive(old));
		CU_ASSERT_EQUAL(vm.state.hello.pokes, 0);
		CU_ASSERT(all_blocks());
	}
	vm_do("rm /tmp/load");
}

/* CPUs go and come back; text is changed while there is one, and none comes back to old text. */
static void test_hotplug(void)
{
	static const char *const states[] = {"0", "1"};
	char line[64];
	unsigned i;

	for (i = 0; i < 4; i++) {
		snprintf(line, sizeof(line), "echo %s >/sys/devices/system/cpu/cpu1/online",
			 states[i % 2]);
		CU_ASSERT_EQUAL(vm_do(line), 0);
		CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
		CU_ASSERT(holds(&site[0], site[0].now));
		CU_ASSERT_EQUAL(demote(AGENT_OK), nsites);
		CU_ASSERT(holds(&site[0], site[0].old));
	}
	CU_ASSERT_EQUAL(vm_do("[ $(nproc) = 2 ]"), 0);
}

static void test_disabled(void)
{
	CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
	vm_do("echo 1 >/sys/module/hotrail_agent/parameters/disable");
	CU_ASSERT(holds(&site[0], site[0].old));
	CU_ASSERT_EQUAL(promote(AGENT_REFUSED), nsites);
	vm_do("echo 0 >/sys/module/hotrail_agent/parameters/disable");
	CU_ASSERT_EQUAL(promote(AGENT_OK), nsites);
}

/* Cannot be taken back in this guest: the last. What is in place can still be undone. */
static void test_lockdown(void)
{
	CU_ASSERT_EQUAL(vm_do("echo integrity >/sys/kernel/security/lockdown"), 0);
	CU_ASSERT_EQUAL(demote(AGENT_OK), nsites);
	CU_ASSERT_EQUAL(promote(AGENT_REFUSED), nsites);
	kernel_locked = true;
}

static void test_no_complaints(void)
{
	vm_disconnect();
	vm_do("dmesg | grep -E 'WARNING:|BUG:|Oops|lockup|general protection|stall'");
	CU_ASSERT_PTR_NULL(strstr(vm.out, "["));
	CU_ASSERT(kernel_locked);
}

static const struct suite_test tests[] = {
	{"greets and names its kernel", test_greets},
	{"promotes and demotes", test_promotes},
	{"reclaims what no site leads to", test_reclaims},
	{"refuses by name", test_refuses},
	{"learns without a PMU", test_learns},
	{"a probe on a promoted site", test_probe_on_promoted},
	{"a probe that sleeps", test_sleeping_probe},
	{"a module with sites and targets leaves", test_module_leaves},
	{"a host that is lost", test_lost_host},
	{"unloaded and loaded under load", test_reloads},
	{"CPUs come and go", test_hotplug},
	{"disabled", test_disabled},
	{"lockdown", test_lockdown},
	{"the kernel did not complain", test_no_complaints},
};

SUITE_MAIN("agent_module", tests, 1500)
