// SPDX-License-Identifier: GPL-2.0-only
/*
 * One run, from the claim of its name to its release. Everything that ends a run
 * (signal, `stop`, --time, the guest itself, a wrong result) reaches one poll();
 * what was opened is closed in reverse order on every way out.
 */
#include "cmd/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "control/message.h"
#include "show/show.h"
#include "util/clock.h"

/* For a vCPU that lost its core in the middle of writing, on a host that is very busy. */
#define CHECK_AGAIN_MS 300

struct run {
	const struct run_options *o;
	struct monitor m;
	struct profile *profile;
	int ready_fd;	      /* < 0: foreground, or already told */
	int signals;	      /* signalfd */
	uint64_t deadline_ns; /* 0 = none */
};

/* Blocked before the first thread is made, so all of them inherit it: only the signalfd sees them.
 */
static int block_signals(struct run *r, struct error *err)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, inherited;
	sigset_t set;
	unsigned i;

	sigemptyset(&set);
	/* What nohup, or a shell's background job, ignores stays ignored. */
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &inherited) || inherited.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	sigaction(SIGPIPE, &ignore, NULL);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return error_errno(err, "signals");
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? error_errno(err, "signals") : 0;
}

static void guest_ended(void *ctx)
{
	struct monitor *m = ctx;
	uint64_t one = 1;

	if (write(m->ended, &one, sizeof(one)) < 0)
		return; /* counter full: the main loop is awake already */
}

static int open_engine(struct run *r, struct error *err)
{
	struct monitor *m = &r->m;
	char journal[320];
	struct engine_config c = {
		.policy = POLICY_DEFAULT,
		.sampler = r->o->sampler,
		.hz = SAMPLER_DEFAULT_HZ,
		.journal = journal,
		.follow = r->o->follow,
		.work = monitor_work,
		.work_ctx = m,
	};

	registry_path(&m->entry, "journal", journal, sizeof(journal));
	m->guest = m->instance->guest;
	return engine_create(m->guest, &c, &m->engine, err);
}

static int warm_up(struct run *r, struct error *err)
{
	struct engine_result result = {0};
	int ret;

	if (!r->profile)
		return 0;
	ret = engine_warm(r->m.engine, r->profile, ENGINE_VIA_DEFAULT, &result, err);
	engine_result_free(&result);
	return ret;
}

static int open_guest(struct run *r, struct error *err)
{
	struct instance_config c = r->o->instance;
	struct monitor *m = &r->m;
	int ret;

	c.console_fd = r->o->json && r->ready_fd < 0 ? STDERR_FILENO : STDOUT_FILENO;
	ret = instance_open(&c, &m->instance, err);
	if (ret)
		return ret;
	m->machine = m->instance->machine;
	m->image = m->instance->image_path;
	machine_on_end(m->machine, guest_ended, m);
	m->mem_bytes = machine_ram_bytes(m->machine);
	return instance_start(m->instance, err);
}

static int open_all(struct run *r, struct error *err)
{
	struct monitor *m = &r->m;
	char control[320];
	int ret;

	ret = block_signals(r, err);
	if (!ret && r->o->profile)
		ret = profile_load(r->o->profile, &r->profile, err);
	if (ret)
		return ret;
	m->lock_fd = registry_claim(r->o->name, &m->entry, err);
	if (m->lock_fd < 0)
		return m->lock_fd;
	if (r->ready_fd >= 0)
		ret = run_open_log(m, err);
	if (!ret)
		ret = open_guest(r, err);
	if (!ret)
		ret = open_engine(r, err);
	if (!ret)
		ret = warm_up(r, err);
	registry_path(&m->entry, "control", control, sizeof(control));
	if (!ret)
		ret = control_server_start(control, serve_commands, serve_commands_count, m,
					   &m->server, err);
	return ret;
}

static void close_all(struct run *r, bool keep_log)
{
	struct monitor *m = &r->m;

	control_server_stop(m->server);
	engine_destroy(m->engine);
	instance_close(m->instance);
	if (m->lock_fd >= 0 && keep_log)
		registry_leave(&m->entry, m->lock_fd);
	else if (m->lock_fd >= 0)
		registry_release(&m->entry, m->lock_fd);
	profile_free(r->profile);
	monitor_free(m);
	if (r->signals >= 0)
		close(r->signals);
}

/* --- the first word --- */

static int fail(struct run *r, const struct error *err)
{
	close_all(r, false);
	return run_tell_failure(&r->ready_fd, err);
}

/* 0, or the parent is gone: somebody pressed Ctrl-C while it waited, and nobody wants this guest.
 */
static int announce(struct run *r)
{
	struct monitor *m = &r->m;

	if (r->ready_fd >= 0)
		return run_tell_parent(&r->ready_fd, control_return(run_document(m, NULL), NULL));
	show_note("%s runs on %s, %u vCPUs, pid %d", m->entry.name,
		  machine_backend_name(machine_backend(m->machine)), machine_vcpus(m->machine),
		  (int)m->entry.pid);
	return 0;
}

/* --- the main loop --- */

static bool take_signal(struct run *r, struct run_end *end)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	end->reason = RUN_SIGNAL;
	end->signal = (int)info.ssi_signo;
	return true;
}

static int next_wait_ms(const struct run *r)
{
	uint64_t now = clock_ns(), left;

	if (!r->deadline_ns)
		return MONITOR_TICK_MS;
	left = r->deadline_ns > now ? (r->deadline_ns - now + 999999) / 1000000 : 0;
	return left < MONITOR_TICK_MS ? (int)left : MONITOR_TICK_MS;
}

/* True when the run is over. */
static bool step(struct run *r, struct run_end *end)
{
	struct monitor *m = &r->m;
	struct pollfd p[3] = {
		{.fd = r->signals, .events = POLLIN},
		{.fd = m->stop, .events = POLLIN},
		{.fd = m->ended, .events = POLLIN},
	};

	if (poll(p, 3, next_wait_ms(r)) < 0 && errno != EINTR)
		return true;
	if (p[2].revents && machine_wait_end(m->machine, 1000, &end->report)) {
		end->reason = RUN_GUEST;
		return true;
	}
	if (p[0].revents && take_signal(r, end))
		return true;
	if (p[1].revents)
		return true; /* RUN_STOP */
	monitor_tick(m);
	if (monitor_saw_wrong(m)) {
		end->reason = RUN_WRONG;
		return true;
	}
	run_status_line(m);
	end->reason = RUN_TIME;
	return r->deadline_ns && clock_ns() >= r->deadline_ns;
}

/*
 * A result that went wrong in the last half second counts as well. A guest that lets nobody look
 * at its results has none; one that ended may have been stopped in the middle of writing them.
 */
static void judge(struct monitor *m, struct run_end *end)
{
	bool ok = monitor_check(m, &end->check, &end->checked);

	if (!ok && end->reason != RUN_GUEST) {
		clock_sleep_ms(CHECK_AGAIN_MS);
		ok = monitor_check(m, &end->check, &end->checked);
	}
	if (end->reason == RUN_GUEST)
		return;
	if (end->checked && end->check.wrong)
		end->reason = RUN_WRONG;
	else if (!ok)
		end->reason = RUN_UNVERIFIED;
}

static void run_loop(struct run *r, struct run_end *end)
{
	struct monitor *m = &r->m;

	if (r->o->seconds > 0)
		r->deadline_ns = clock_ns() + (uint64_t)(r->o->seconds * 1e9);
	do
		end->reason = RUN_STOP;
	while (!step(r, end));
	run_status_clear();
	judge(m, end);
	end->ops = yard_ops(m->instance->yard);
	end->uptime_ns = clock_ns() - m->started_ns;
	engine_get_status(m->engine, &end->status);
}

/* How it ended, in words where it ended badly, and as the document. */
static void print_end(struct run *r, const struct run_end *end, const json_t *doc)
{
	struct error err;
	struct show show;

	show_init(&show, stdout, r->o->json);
	show_document(&show, "run", doc);
	if (run_exit_code(end) != HOTRAIL_EXIT_FAILED)
		return;
	if (end->reason == RUN_GUEST)
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "%s: the guest ended by itself: vCPU %u: %.160s", r->m.entry.name,
			  end->report.vcpu, end->report.text);
	else if (end->reason == RUN_UNVERIFIED)
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "%s: the guest's results could not be verified: it kept its statistics "
			  "busy to the end",
			  r->m.entry.name);
	else
		error_set(&err, HOTRAIL_EXIT_FAILED, 0,
			  "%s: the guest's results are wrong: %.160s; the run ended",
			  r->m.entry.name, end->check.text);
	show_error(&err);
}

int run_monitor(const struct run_options *o, int ready_fd)
{
	struct run r = {.o = o, .ready_fd = ready_fd, .signals = -1};
	struct run_end end = {.reason = RUN_SIGNAL, .signal = SIGHUP};
	bool detached = ready_fd >= 0;
	struct error err = {0};
	json_t *doc;
	int code;

	if (monitor_init(&r.m, &err) || open_all(&r, &err))
		return fail(&r, &err);
	if (!announce(&r))
		run_loop(&r, &end);
	code = run_exit_code(&end);
	/* Written while the guest still exists, printed when nothing is left of it. */
	doc = run_document(&r.m, &end);
	close_all(&r, detached && code == HOTRAIL_EXIT_FAILED);
	print_end(&r, &end, doc);
	json_decref(doc);
	return code;
}
