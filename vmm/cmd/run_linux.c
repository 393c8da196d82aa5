// SPDX-License-Identifier: GPL-2.0-only
/* hotrail run --kernel: a Linux guest, its serial console on our terminal or in its log. */
#include "cmd/run.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/terminal.h"
#include "control/message.h"
#include "guest/pc_guest.h"
#include "show/show.h"
#include "util/clock.h"

#define GATHER_NS                                                                                  \
	1000000 /* output is written at most so often: one write for a line, not a byte            \
		 */

struct linux_run {
	const struct run_options *o;
	struct monitor m;
	struct attach *attach;
	struct pc *pc;
	struct run_devices devices;
	int ready_fd; /* < 0: foreground, or already told */
	struct terminal terminal;
	int signals, ended, wake; /* signalfd, eventfds */
	uint64_t deadline_ns;	  /* 0 = none */
	struct machine_report report;
	int signal; /* that ended it */
};

static void poke(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake already */
}

static void on_end(void *ctx)
{
	poke(((struct linux_run *)ctx)->ended);
}

static void on_wake(void *ctx)
{
	poke(((struct linux_run *)ctx)->wake);
}

/* Before the first thread, so that all inherit the mask. */
static int open_events(struct linux_run *r, struct error *err)
{
	static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGCONT};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	sigaction(SIGPIPE, &ignore, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->signals < 0 || r->ended < 0 || r->wake < 0)
		return error_errno(err, "cannot open event descriptors");
	return 0;
}

static int open_guest(struct linux_run *r, struct error *err)
{
	const struct instance_config *i = &r->o->instance;
	const struct pc_config config = {
		.kernel = r->o->kernel,
		.initrd = r->o->initrd,
		.cmdline = r->o->cmdline,
		.backend = i->backend,
		.cpl = i->cpl,
		.vcpus = i->vcpus,
		.mem = i->mem,
		.huge_pages = i->huge_pages,
		.wake = on_wake,
		.wake_ctx = r,
	};
	int ret = pc_open(&config, &r->pc, err);

	if (ret)
		return ret;
	machine_on_end(r->pc->machine, on_end, r);
	r->m.machine = r->pc->machine;
	r->m.image = r->o->kernel;
	r->m.mem_bytes = machine_ram_bytes(r->pc->machine);
	ret = run_devices_open(r->pc, r->o, &r->devices, err);
	r->m.agent = r->devices.agent.agent;
	return ret ? ret : pc_start(r->pc, err);
}

static int open_all(struct linux_run *r, struct error *err)
{
	struct monitor *m = &r->m;
	char control[320];
	int ret = open_events(r, err);

	if (ret)
		return ret;
	m->lock_fd = registry_claim(r->o->name, &m->entry, err);
	if (m->lock_fd < 0)
		return m->lock_fd;
	if (r->ready_fd >= 0)
		ret = run_open_log(m, err);
	if (!ret)
		ret = open_guest(r, err);
	if (ret)
		return ret;
	r->attach = attach_start(m, r->o);
	registry_path(&m->entry, "control", control, sizeof(control));
	return control_server_start(control, serve_commands, serve_commands_count, m, &m->server,
				    err);
}

static bool take_signal(struct linux_run *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCONT) {
		terminal_resume(&r->terminal);
		return false;
	}
	r->signal = (int)info.ssi_signo;
	return true;
}

static int wait_ms(const struct linux_run *r)
{
	uint64_t now = clock_ns();

	if (!r->deadline_ns)
		return 500;
	if (r->deadline_ns <= now)
		return 0;
	return r->deadline_ns - now > 500000000u ? 500
						 : (int)((r->deadline_ns - now + 999999) / 1000000);
}

/* True when the run is over. */
static bool step(struct linux_run *r)
{
	const struct timespec gather = {.tv_nsec = GATHER_NS};
	struct pollfd p[6] = {
		{.fd = r->signals, .events = POLLIN},
		{.fd = r->ended, .events = POLLIN},
		{.fd = r->wake, .events = POLLIN},
		{.fd = r->m.stop, .events = POLLIN},
	};
	uint64_t count;

	terminal_poll(&r->terminal, p + 4);
	if (poll(p, 6, wait_ms(r)) < 0)
		return errno != EINTR;
	if (p[3].revents || (p[0].revents && take_signal(r)))
		return true; /* `hotrail stop`, or a signal */
	if (p[1].revents && machine_wait_end(r->pc->machine, 1000, &r->report))
		return true;
	if (p[2].revents && read(r->wake, &count, sizeof(count)) > 0)
		nanosleep(&gather, NULL);
	switch (terminal_step(&r->terminal, p + 4)) {
	case TERMINAL_LEAVE:
		return true;
	case TERMINAL_BROKEN:
		r->signal = SIGPIPE;
		return true;
	case TERMINAL_GO_ON:
		break;
	}
	return r->deadline_ns && clock_ns() >= r->deadline_ns;
}

static int explain_end(const struct linux_run *r)
{
	const struct machine_report *report = &r->report;
	struct error err;

	if (r->signal)
		return 128 + r->signal;
	if (report->end == MACHINE_END_NONE || report->end == MACHINE_END_STOPPED ||
	    report->end == MACHINE_END_POWEROFF)
		return HOTRAIL_EXIT_OK;
	if (report->end == MACHINE_END_RESET)
		error_set(&err, HOTRAIL_EXIT_FAILED, 0, "%.160s; Hotrail does not restart guests",
			  report->text);
	else
		error_set(&err, HOTRAIL_EXIT_FAILED, 0, "the guest ended: vCPU %u at %#llx: %.160s",
			  report->vcpu, (unsigned long long)report->regs.rip, report->text);
	return cmd_fail(&err);
}

static void close_all(struct linux_run *r, bool keep_log)
{
	const int fds[] = {r->signals, r->ended, r->wake};
	struct monitor *m = &r->m;
	size_t i;

	control_server_stop(m->server);
	if (r->pc)
		machine_stop(r->pc->machine);
	agent_port_hang_up(&r->devices.agent);
	attach_stop(r->attach);
	run_devices_close(&r->devices);
	pc_close(r->pc);
	if (m->lock_fd >= 0 && keep_log)
		registry_leave(&m->entry, m->lock_fd);
	else if (m->lock_fd >= 0)
		registry_release(&m->entry, m->lock_fd);
	monitor_free(m);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int announce(struct linux_run *r)
{
	if (r->ready_fd >= 0)
		return run_tell_parent(&r->ready_fd,
				       control_return(run_document(&r->m, NULL), NULL));
	if (isatty(STDIN_FILENO))
		show_note("%s: Ctrl-] stops the guest; watch it with: hotrail top %s",
			  r->m.entry.name, r->m.entry.name);
	return 0;
}

static void run_guest(struct linux_run *r)
{
	uint64_t lost;

	if (r->o->seconds > 0)
		r->deadline_ns = clock_ns() + (uint64_t)(r->o->seconds * 1e9);
	terminal_open(&r->terminal, r->pc->serial);
	while (!step(r))
		;
	machine_stop(r->pc->machine);
	if (!r->signal)
		terminal_drain(&r->terminal);
	terminal_close(&r->terminal);
	lost = serial_lost(r->pc->serial);
	if (lost)
		show_note("%llu bytes of console output were lost", (unsigned long long)lost);
}

int run_linux(const struct run_options *o, int ready_fd)
{
	struct linux_run r = {.o = o, .signals = -1, .ended = -1, .wake = -1, .ready_fd = ready_fd};
	bool detached = ready_fd >= 0;
	struct error err = {0};
	int code;

	if (monitor_init(&r.m, &err) || open_all(&r, &err)) {
		close_all(&r, false);
		return run_tell_failure(&r.ready_fd, &err);
	}
	if (announce(&r))
		r.signal = SIGHUP; /* the parent is gone: nobody wants this guest */
	else
		run_guest(&r);
	code = explain_end(&r);
	close_all(&r, detached && code == HOTRAIL_EXIT_FAILED);
	return code;
}
