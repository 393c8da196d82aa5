// SPDX-License-Identifier: GPL-2.0-only
/* The agent's port: org.hotrail.agent.0 on a virtio console without a console. */
#include "cmd/agent_port.h"

#include <sys/socket.h>
#include <unistd.h>

#include "guest/pc_virtio.h"

int agent_port_open(struct pc *pc, struct agent_port *p, struct error *err)
{
	struct virtio_console_options o = {.ports = 2, .port[0] = {.in_fd = -1, .out_fd = -1}};
	struct agent_config c = {0};
	struct virtio_host host;
	int fds[2], ret;

	*p = (struct agent_port)AGENT_PORT_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return error_errno(err, "the agent's port: cannot make a socket pair");
	p->ours = fds[0];
	p->guests = fds[1];
	o.port[1] = (struct virtio_console_port){AGENT_CHANNEL, p->guests, p->guests};
	pc_virtio_host(pc, &host);
	ret = virtio_console_create(&o, &host, &p->device, err);
	if (!ret)
		ret = pc_virtio_attach(pc, p->device, err);
	c.fd = p->ours;
	return ret ? ret : agent_open(&c, &p->agent, err);
}

void agent_port_hang_up(struct agent_port *p)
{
	if (p->agent)
		(void)shutdown(p->ours, SHUT_RDWR);
}

void agent_port_close(struct agent_port *p)
{
	agent_close(p->agent);
	virtio_destroy(p->device);
	if (p->ours >= 0)
		close(p->ours);
	if (p->guests >= 0)
		close(p->guests);
	*p = (struct agent_port)AGENT_PORT_NONE;
}
