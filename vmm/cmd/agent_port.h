/* SPDX-License-Identifier: GPL-2.0-only */
/* The port of the in-guest agent: a named virtio-console port of a Linux guest and our client
 * behind it, joined by a socket pair. */
#ifndef HOTRAIL_CMD_AGENT_PORT_H
#define HOTRAIL_CMD_AGENT_PORT_H

#include "agent/agent.h"
#include "guest/pc_guest.h"

struct virtio;

struct agent_port {
	struct virtio *device;
	struct agent *agent; /* any thread may ask it; NULL when there is no port */
	int ours, guests;    /* ends of the pair */
};
#define AGENT_PORT_NONE                                                                            \
	{                                                                                          \
		.ours = -1, .guests = -1                                                           \
	}

/* Between pc_open() and pc_start(); takes one of the PC's slots. What was made before a failure is
 * left to close. */
int agent_port_open(struct pc *pc, struct agent_port *p, struct error *err);
/* Whoever still waits for an answer gets none: after machine_stop(), before its askers are joined.
 */
void agent_port_hang_up(struct agent_port *p);
/* After machine_stop() and the last question to the agent, before pc_close(). Twice is fine. */
void agent_port_close(struct agent_port *p);

#endif
