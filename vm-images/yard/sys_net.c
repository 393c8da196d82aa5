// SPDX-License-Identifier: GPL-2.0-only
/* System calls on sockets and the network. */
#include "env.h"

SYSCALL(sendto)
{
	SYS_ENTER(sendto);
	return sock_send(e, sock_pick(e), r->buffer, 40 + r->a % 100);
}

SYSCALL(recvfrom)
{
	SYS_ENTER(recvfrom);
	return sock_receive(e, sock_pick(e), r->buffer, 64 + r->a % 128);
}

SYSCALL(sendmsg)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(sendmsg);
	FOLD(e, mem_hash(r->buffer, 64, s->number));
	return sock_send(e, s, r->buffer + 16, 80 + r->a % 130);
}

SYSCALL(recvmsg)
{
	struct sock *s = sock_pick(e);
	u64 sum;

	SYS_ENTER(recvmsg);
	sum = sock_receive(e, s, r->buffer, 96);
	return sum ^ ICALL(e, OP_GETNAME, s->ops->getname(e, s));
}

SYSCALL(sendmmsg)
{
	struct sock *s = sock_pick(e);
	u64 sum = 0;
	u32 i;

	SYS_ENTER(sendmmsg);
	for (i = 0; i < 3; i++)
		sum += ICALL(e, OP_SENDMSG, s->ops->sendmsg(e, s, r->buffer + i * 32, 48));
	return sum;
}

SYSCALL(recvmmsg)
{
	struct sock *s = sock_pick(e);
	u64 sum = 0;
	u32 i;

	SYS_ENTER(recvmmsg);
	for (i = 0; i < 3; i++)
		sum += ICALL(e, OP_RECVMSG, s->ops->recvmsg(e, s, r->buffer + i * 64, 64));
	return sum;
}

SYSCALL(socket)
{
	SYS_ENTER(socket);
	return sock_create(e, sock_pick(e), 1024 + r->a % 5000);
}

SYSCALL(bind)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(bind);
	return ICALL(e, OP_BIND, s->ops->bind(e, s, 1024 + r->a % 5000));
}

SYSCALL(connect)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(connect);
	return sock_connect(e, s, (s->number < 12 ? s->number / 6 * 6 + (u32)(r->a % 6) : 12));
}

SYSCALL(shutdown)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(shutdown);
	return ICALL(e, OP_SHUTDOWN, s->ops->shutdown(e, s));
}

SYSCALL(setsockopt)
{
	SYS_ENTER(setsockopt);
	return sock_option(e, sock_pick(e), r->a & 15, (u32)r->b);
}

SYSCALL(getsockopt)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(getsockopt);
	return ICALL(e, OP_GETOPT, s->ops->getopt(e, s, r->a & 15));
}

SYSCALL(getsockname)
{
	struct sock *s = sock_pick(e);

	SYS_ENTER(getsockname);
	return ICALL(e, OP_GETNAME, s->ops->getname(e, s));
}

SYSCALL(poll)
{
	u64 sum = 0;
	u32 i;

	SYS_ENTER(poll);
	for (i = 0; i < 2 + r->a % 3; i++)
		sum = sum * 3 + sock_poll(e, sock_pick(e));
	return sum;
}

SYSCALL(select)
{
	struct sock *s = &e->net.sockets[e->core.phase ? 6 : 0];
	u64 sum = r->b;
	u32 i;

	SYS_ENTER(select);
	for (i = 0; i < 4; i++, s++)
		sum = sum * 3 + ICALL(e, OP_POLL, s->ops->poll(e, s));
	return sum;
}

/* Test a packet against the filter, as an administrator does. */
SYSCALL(filter)
{
	struct packet p = {.len = 96 + r->a % 64, .mark = (u32)r->b};

	SYS_ENTER(filter);
	mem_copy(p.data, r->buffer, 160);
	return filter_run(e, &p, r->a % 8 ? 3 : r->b % FILTER_PROGRAMS);
}

SYSCALL(devstat)
{
	struct device *d = &e->net.devices[r->a % 4 == 0 ? !e->core.phase : e->core.phase];

	SYS_ENTER(devstat);
	return ICALL(e, OP_DEV_STATS, d->ops->stats(e, d));
}

SYSCALL(route)
{
	u32 i;

	SYS_ENTER(route);
	for (i = 0; i < ARRAY_SIZE(e->net.ports); i++)
		e->net.ports[i] = e->net.ports[i] * 5 + (u32)(r->a >> i % 32);
	return mem_hash(e->net.ports, sizeof(e->net.ports), r->b);
}

YARD_FN void sys_net_init(struct env *e)
{
#define X(name, a, b) e->sys.table[SYS_##name] = sys_##name;
	SYSCALLS_NET(X)
#undef X
}
