/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets through a tap interface of the host. */
#ifndef HOTRAIL_NET_TAP_H
#define HOTRAIL_NET_TAP_H

#include "util/error.h"
#include "util/packet.h"

/* `name` must exist already: who sets it up decides what the guest may reach. */
int tap_open(const char *name, struct packet_backend *out, struct error *err);

#endif
