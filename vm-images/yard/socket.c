// SPDX-License-Identifier: GPL-2.0-only
/* Sockets: hooks, then the family. */
#include "env.h"

YARD_FN u32 ring_put(struct sock *s, const u8 *p, u32 len)
{
	u32 room = SOCKET_RING - (s->head - s->tail), i;

	if (len > room)
		len = room;
	for (i = 0; i < len; i++)
		s->ring[(s->head + i) % SOCKET_RING] = p[i];
	s->head += len;
	return len;
}

YARD_FN u32 ring_get(struct sock *s, u8 *p, u32 len)
{
	u32 held = s->head - s->tail, i;

	if (len > held)
		len = held;
	for (i = 0; i < len; i++)
		p[i] = s->ring[(s->tail + i) % SOCKET_RING];
	s->tail += len;
	return len;
}

YARD_FN u64 sock_create(struct env *e, struct sock *s, u32 port)
{
	u64 sum = hook_socket_create(e, s->number, port);

	sum += ICALL(e, OP_PROTO_CLOSE, s->proto->close(e, s));
	sum += ICALL(e, OP_BIND, s->ops->bind(e, s, port));
	return sum + ICALL(e, OP_LISTEN, s->ops->listen(e, s, port & 15));
}

YARD_FN u32 sock_send(struct env *e, struct sock *s, const u8 *p, u32 len)
{
	FOLD(e, hook_socket_send(e, s->number, len));
	len = ICALL(e, OP_SENDMSG, s->ops->sendmsg(e, s, p, len));
	task_account(e, len);
	return len;
}

YARD_FN u32 sock_receive(struct env *e, struct sock *s, u8 *p, u32 len)
{
	FOLD(e, hook_socket_receive(e, s->number, len));
	return ICALL(e, OP_RECVMSG, s->ops->recvmsg(e, s, p, len));
}

YARD_FN u64 sock_connect(struct env *e, struct sock *s, u32 peer)
{
	struct sock *to = &e->net.sockets[peer];
	u64 sum;

	FOLD(e, hook_socket_create(e, s->number, peer));
	sum = ICALL(e, OP_CONNECT, s->ops->connect(e, s, peer));
	return sum + ICALL(e, OP_ACCEPT, to->ops->accept(e, to));
}

YARD_FN u64 sock_poll(struct env *e, struct sock *s)
{
	return ICALL(e, OP_POLL, s->ops->poll(e, s));
}

YARD_FN u64 sock_option(struct env *e, struct sock *s, u32 name, u32 value)
{
	u64 sum = ICALL(e, OP_SETOPT, s->ops->setopt(e, s, name, value));

	return sum ^ ICALL(e, OP_GETOPT, s->ops->getopt(e, s, name));
}

YARD_FN void net_init(struct env *e)
{
	inet_init(e);
	local_init(e);
	proto_init(e);
	device_init(e);
}

/* Which protocol socket n speaks: 0 TCP, 1 UDP, 2 local. */
static u32 proto_of(u32 n)
{
	return n < 6 ? 0 : n < 12 ? 1 : 2;
}

/* Phase A talks TCP, phase B UDP. */
YARD_FN struct sock *sock_pick(struct env *e)
{
	u32 share = BELOW(e, 100), n = BELOW(e, 6);

	if (share >= 96)
		return &e->net.sockets[e->core.phase ? n : 6 + n];
	if (share >= (e->core.phase ? 78 : 88))
		return &e->net.sockets[12 + n % 4];
	return &e->net.sockets[e->core.phase ? 6 + n : n];
}

static void reset_socket(struct env *e, u32 n)
{
	struct net *net = &e->net;
	struct sock *s = &net->sockets[n];
	u32 proto = proto_of(n), ready, output;

	s->class = proto == 2 ? CLASS_LOCAL : CLASS_INET;
	s->proto_class = CLASS_TCP + proto;
	s->number = n;
	s->peer = n < 12 ? n / 6 * 6 + (n + 1) % 6 : 12 + (n + 1) % 4;
	s->st = (struct sock_state){.port = 1024 + n * 7, .window = 1000, .threshold = 4000};
	s->st.seq = (u32)RANDOM(e);
	s->st.ack = s->st.seq ^ 0x5555;
	s->ops = net->families[proto == 2];
	s->proto = net->protos[proto];
	s->cong = net->congestion[(n == 5) ^ e->core.phase];
	s->dev = &net->devices[(n % 5 == 4) ^ e->core.phase];
	ready = (n % 6 == 5 ? 2 : proto + e->core.phase) % 3;
	s->ready_class = CLASS_READY_WAKE + ready;
	s->data_ready = net->ready[ready];
	output = e->core.phase ^ (n % 6 == 3);
	s->output_class = CLASS_ROUTED + output;
	s->output = net->outputs[output];
	s->head = s->tail = 0;
	mem_fill(s->ring, s->st.seq, SOCKET_RING);
}

static void reset_device(struct env *e, u32 n)
{
	struct device *d = &e->net.devices[n];

	d->class = CLASS_LOOP + n;
	d->qclass = CLASS_QFIFO + (n ^ e->core.phase);
	d->queued = d->turn = 0;
	d->bytes = d->drops = 0;
	d->ops = e->net.drivers[n];
	d->qdisc = e->net.qdiscs[n ^ e->core.phase];
	d->ptype.class = CLASS_PTYPE_IP + n;
	d->ptype.count = 0;
	d->ptype.rcv = e->net.ptypes[n];
	/* What an earlier batch left in the ring must not reach this one's digest. */
	mem_fill(d->queue, 0, sizeof(d->queue));
	mem_fill(&d->wire, 0, sizeof(d->wire));
	mem_fill(d->address, RANDOM(e), sizeof(d->address));
}

YARD_FN void net_reset(struct env *e)
{
	u32 n;

	for (n = 0; n < SOCKETS; n++)
		reset_socket(e, n);
	for (n = 0; n < DEVICES; n++)
		reset_device(e, n);
	mem_fill(e->net.ports, 0, sizeof(e->net.ports));
}
