/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A Linux guest with the agent, whose console and port are sockets: tests/agent.sh starts it
 * and names the sockets in HOTRAIL_CONSOLE and HOTRAIL_PORT. Only for the test in this folder.
 */
#ifndef HOTRAIL_TESTS_AGENT_VM_H
#define HOTRAIL_TESTS_AGENT_VM_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "../unit/suite.h"
#include "agent/agent.h"

#define VM_EVENTS 256

struct vm {
	int console, port;
	struct agent *agent;
	struct agent_state state; /* as of vm_connect() */
	char out[262144];	  /* of the last command */
	pthread_mutex_t lock;	  /* over what events bring */
	unsigned nconflicts, nmodules;
	struct agent_conflict conflict[VM_EVENTS];
	struct agent_module module[VM_EVENTS];
};

static struct vm vm = {.console = -1, .port = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static inline void vm_sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static inline int vm_dial(const char *variable)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const char *path = getenv(variable);
	int fd, tries;

	if (!path || strlen(path) >= sizeof(at.sun_path))
		SUITE_SKIP("%s names no socket: run tests/agent.sh", variable);
	strcpy(at.sun_path, path);
	for (tries = 0; tries < 100; tries++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!connect(fd, (struct sockaddr *)&at, sizeof(at)))
			return fd;
		close(fd);
		vm_sleep_ms(100);
	}
	return -1;
}

/* Reads the console until a command is done; its status, or -1 when the guest is gone. */
static inline int vm_wait(void)
{
	size_t n = 0;
	ssize_t got;
	char *done;

	for (;;) {
		vm.out[n] = '\0';
		done = strstr(vm.out, "HOTRAIL-DONE ");
		if (done && strchr(done, '\n'))
			return atoi(done + strlen("HOTRAIL-DONE "));
		got = read(vm.console, vm.out + n, sizeof(vm.out) - n - 1);
		if (got <= 0)
			return -1;
		n += (size_t)got;
	}
}

/* Runs a line in the guest's shell. */
static inline int vm_do(const char *line)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (n < 0 || (size_t)n >= sizeof(text) || write(vm.console, text, (size_t)n) != n)
		return -1;
	return vm_wait();
}

static inline void vm_on_conflict(void *ctx, const struct agent_conflict *c)
{
	pthread_mutex_lock(&vm.lock);
	if (vm.nconflicts < VM_EVENTS)
		vm.conflict[vm.nconflicts++] = *c;
	pthread_mutex_unlock(&vm.lock);
}

static inline void vm_on_module(void *ctx, const struct agent_module *m)
{
	pthread_mutex_lock(&vm.lock);
	if (vm.nmodules < VM_EVENTS)
		vm.module[vm.nmodules++] = *m;
	pthread_mutex_unlock(&vm.lock);
}

static inline void vm_forget_events(void)
{
	pthread_mutex_lock(&vm.lock);
	vm.nconflicts = vm.nmodules = 0;
	pthread_mutex_unlock(&vm.lock);
}

/* Is a conflict with this action there within 10 s? */
static inline bool vm_conflict(uint64_t site, uint8_t action)
{
	unsigned i, tries;
	bool found = false;

	for (tries = 0; tries < 100 && !found; tries++) {
		vm_sleep_ms(100);
		pthread_mutex_lock(&vm.lock);
		for (i = 0; i < vm.nconflicts; i++)
			found |= vm.conflict[i].site == site && vm.conflict[i].action == action;
		pthread_mutex_unlock(&vm.lock);
	}
	return found;
}

/* How many sites were led back because `name` left; waits 10 s for the event; -1: none came. */
static inline int vm_demoted(const char *name)
{
	unsigned i, tries;
	int demoted = -1;

	for (tries = 0; tries < 100 && demoted < 0; tries++) {
		pthread_mutex_lock(&vm.lock);
		for (i = 0; i < vm.nmodules; i++)
			if (vm.module[i].state == AGENT_MODULE_GOING &&
			    !strcmp(vm.module[i].name, name))
				demoted = (int)vm.module[i].demoted;
		pthread_mutex_unlock(&vm.lock);
		vm_sleep_ms(100);
	}
	return demoted;
}

/* Another generation than `old` is alive within 60 s. */
static inline bool vm_alive(uint64_t old)
{
	unsigned tries;

	for (tries = 0; tries < 600; tries++) {
		agent_get_state(vm.agent, &vm.state);
		if ((vm.state.health == AGENT_ALIVE || vm.state.health == AGENT_REFUSING) &&
		    vm.state.generation != old)
			return true;
		vm_sleep_ms(100);
	}
	return false;
}

static inline void vm_disconnect(void)
{
	agent_close(vm.agent);
	vm.agent = NULL;
	close(vm.port);
}

static inline bool vm_connect(unsigned lease_ms)
{
	struct agent_config c = {.lease_ms = lease_ms,
				 .patience_ms = 20000,
				 .events = {.module = vm_on_module, .conflict = vm_on_conflict}};
	struct error err = {0};

	vm.port = vm_dial("HOTRAIL_PORT");
	c.fd = vm.port;
	return vm.port >= 0 && !agent_open(&c, &vm.agent, &err) && vm_alive(0);
}

#endif
