// SPDX-License-Identifier: GPL-2.0-only
/*
 * hotrail-relay: carries bytes between the host's port and the module's device. It looks at none of
 * them; the module checks everything. Needs no udev; comes again by itself when host or
 * module do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent.h"

#define PORTS	 "/sys/class/virtio-ports"
#define BUFFER	 (2 * (int)(sizeof(struct agent_header) + AGENT_MAX_PAYLOAD))
#define RETRY_MS 250

struct pipe {
	const char *what;
	int from, to;
	int begin, end; /* of what is in it */
	char bytes[BUFFER];
};

static struct pipe to_agent = {.what = "to the agent"}, to_host = {.what = "to the host"};

static const char help[] =
	"Usage: hotrail-relay [--port NAME|PATH] [--device PATH]\n"
	"Carries messages between the host and the Hotrail agent in this kernel.\n"
	"  --port    virtio port, by name or path (" AGENT_CHANNEL ")\n"
	"  --device  the agent's device (" AGENT_DEVICE ")\n"
	"Load the module hotrail_agent first or later; the relay waits for port and device.\n";

/* Once for each change of what is waited for. */
static void say(const char *text, const char *what)
{
	static char last[256];
	char line[256];

	snprintf(line, sizeof(line), "hotrail-relay: %s %s", text, what);
	if (!strcmp(line, last))
		return;
	strcpy(last, line);
	fprintf(stderr, "%s\n", line);
}

static bool named(const char *port, const char *name)
{
	char path[512], text[128] = "";
	FILE *f;

	snprintf(path, sizeof(path), PORTS "/%s/name", port);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, name);
}

/* A port by its name; a name with a slash is a path. -1: not there. */
static int open_port(const char *name)
{
	char path[512];
	struct dirent *e;
	int fd = -1;
	DIR *d;

	if (strchr(name, '/'))
		return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	d = opendir(PORTS);
	while (d && fd < 0 && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !named(e->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (d)
		closedir(d);
	return fd;
}

/* Both or none: the device is never held while the port is missing, nor the port, which would look
 * alive to the host, while there is no device. */
static bool open_both(const char *port_name, const char *device_name, int *port, int *device)
{
	*device = open(device_name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*device < 0) {
		say(errno == EBUSY ? "somebody else has" : "waiting for", device_name);
		return false;
	}
	*port = open_port(port_name);
	if (*port >= 0)
		return true;
	close(*device);
	say("waiting for", port_name);
	return false;
}

/* Is somebody at the host's end? A port without says so by hanging up. */
static bool hung_up(int port)
{
	struct pollfd p = {.fd = port};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static short wants_input(const struct pipe *p)
{
	return p->end < BUFFER ? POLLIN : 0;
}

static short wants_output(const struct pipe *p)
{
	return p->begin < p->end ? POLLOUT : 0;
}

/* false: the end of what comes from there. */
static bool fill(struct pipe *p)
{
	ssize_t n = read(p->from, p->bytes + p->end, (size_t)(BUFFER - p->end));

	if (n < 0 && errno == EMSGSIZE)
		return true; /* a whole frame does not fit yet */
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->end += (int)n;
	return n > 0;
}

static bool drain(struct pipe *p)
{
	ssize_t n = write(p->to, p->bytes + p->begin, (size_t)(p->end - p->begin));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->begin += (int)n;
	/* What is left moves to the front, so that there is room for a whole frame behind it. */
	memmove(p->bytes, p->bytes + p->begin, (size_t)(p->end - p->begin));
	p->end -= p->begin;
	p->begin = 0;
	return true;
}

/* The agent's last words still go to the host. */
static void finish(struct pipe *p)
{
	int tries;

	for (tries = 0; p->begin < p->end && tries < 20; tries++) {
		struct pollfd f = {.fd = p->to, .events = POLLOUT};

		if (poll(&f, 1, 100) < 0 || f.revents & POLLHUP || !drain(p))
			return;
	}
}

/* Until one end is gone. */
static void shuttle(int port, int device)
{
	to_agent.from = to_host.to = port;
	to_agent.to = to_host.from = device;
	to_agent.begin = to_agent.end = to_host.begin = to_host.end = 0;
	for (;;) {
		struct pollfd f[2] = {
			{.fd = port,
			 .events = (short)(wants_input(&to_agent) | wants_output(&to_host))},
			{.fd = device,
			 .events = (short)(wants_input(&to_host) | wants_output(&to_agent))},
		};

		if (poll(f, 2, -1) < 0 && errno != EINTR)
			return;
		if (f[1].revents & POLLIN && wants_input(&to_host) && !fill(&to_host)) {
			finish(&to_host);
			return;
		}
		if (f[0].revents & POLLIN && wants_input(&to_agent) && !fill(&to_agent))
			return;
		if (f[0].revents & POLLOUT && wants_output(&to_host) && !drain(&to_host))
			return;
		if (f[1].revents & POLLOUT && wants_output(&to_agent) && !drain(&to_agent))
			return;
		if (f[0].revents & (POLLHUP | POLLERR))
			return;
	}
}

int main(int argc, char **argv)
{
	const char *port_name = AGENT_CHANNEL, *device_name = AGENT_DEVICE;
	int port, device, i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			fputs(help, stdout);
			return 0;
		} else if (!strcmp(argv[i], "--port") && i + 1 < argc) {
			port_name = argv[++i];
		} else if (!strcmp(argv[i], "--device") && i + 1 < argc) {
			device_name = argv[++i];
		} else {
			fprintf(stderr, "hotrail-relay: %s?\n%s", argv[i], help);
			return 2;
		}
	}
	for (;; usleep(RETRY_MS * 1000)) {
		if (!open_both(port_name, device_name, &port, &device))
			continue;
		if (hung_up(port)) {
			say("nobody at the host's end of", port_name);
		} else {
			say("connected to", port_name);
			shuttle(port, device);
			say("disconnected from", port_name);
		}
		close(port);
		close(device);
	}
}
