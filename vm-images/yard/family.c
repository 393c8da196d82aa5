// SPDX-License-Identifier: GPL-2.0-only
/* The two socket families: inet, and local. */
#include "env.h"

static u64 inet_bind(struct env *e, struct sock *s, u32 port)
{
	ENTER(e, s->class, CLASS_INET, OP_BIND);
	FOLD(e, ICALL(e, OP_PROTO_PORT, s->proto->port(e, s, port)));
	return ICALL(e, OP_PROTO_HASH, s->proto->hash(e, s));
}

static u64 inet_connect(struct env *e, struct sock *s, u32 peer)
{
	ENTER(e, s->class, CLASS_INET, OP_CONNECT);
	s->peer = peer;
	FOLD(e, ICALL(e, OP_PROTO_HASH, s->proto->hash(e, s)));
	return ICALL(e, OP_PROTO_CONNECT, s->proto->connect(e, s));
}

static u64 inet_listen(struct env *e, struct sock *s, u32 backlog)
{
	ENTER(e, s->class, CLASS_INET, OP_LISTEN);
	s->st.state |= 8;
	return mem_hash(e->net.ports, 128, backlog);
}

static u64 inet_accept(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_INET, OP_ACCEPT);
	s->st.state |= 4;
	return mem_hash(&s->st, sizeof(s->st), s->head) + inet_sum(s->ring, 64, 0);
}

static u32 inet_sendmsg(struct env *e, struct sock *s, const u8 *p, u32 len)
{
	ENTER(e, s->class, CLASS_INET, OP_SENDMSG);
	if (!s->st.port)
		ICALL(e, OP_PROTO_PORT, s->proto->port(e, s, s->number));
	FOLD(e, mem_hash(p, len < 64 ? len : 64, s->peer));
	return ICALL(e, OP_PROTO_SEND, s->proto->send(e, s, p, len));
}

static u32 inet_recvmsg(struct env *e, struct sock *s, u8 *p, u32 len)
{
	ENTER(e, s->class, CLASS_INET, OP_RECVMSG);
	return ICALL(e, OP_PROTO_RECEIVE, s->proto->receive(e, s, p, len));
}

static u64 inet_shutdown(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_INET, OP_SHUTDOWN);
	s->st.state = 0;
	return ICALL(e, OP_PROTO_CLOSE, s->proto->close(e, s));
}

static u64 inet_setopt(struct env *e, struct sock *s, u32 name, u32 value)
{
	u32 i;

	ENTER(e, s->class, CLASS_INET, OP_SETOPT);
	for (i = 0; i < 24; i++)
		s->st.options = (s->st.options << 3 | s->st.options >> 29) ^ (name + value * i);
	return s->st.options;
}

static u64 inet_getopt(struct env *e, struct sock *s, u32 name)
{
	ENTER(e, s->class, CLASS_INET, OP_GETOPT);
	return mem_hash(&s->st, sizeof(s->st), name) + inet_sum(s->ring, 96, name);
}

static u64 inet_getname(struct env *e, struct sock *s)
{
	char name[16];

	ENTER(e, s->class, CLASS_INET, OP_GETNAME);
	name_make(name, s->st.port ^ s->peer << 16);
	return str_hash(name);
}

static u64 inet_poll(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_INET, OP_POLL);
	return (s->head - s->tail) ^ mem_hash(&s->st, sizeof(s->st), 0) ^ inet_sum(s->ring, 128, 1);
}

static u64 local_bind(struct env *e, struct sock *s, u32 port)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_BIND);
	return ICALL(e, OP_PROTO_PORT, s->proto->port(e, s, port));
}

static u64 local_connect(struct env *e, struct sock *s, u32 peer)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_CONNECT);
	s->peer = 12 + peer % 4;
	return ICALL(e, OP_PROTO_CONNECT, s->proto->connect(e, s));
}

static u64 local_listen(struct env *e, struct sock *s, u32 backlog)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_LISTEN);
	s->st.threshold = backlog;
	return inet_sum(s->ring, 128, backlog);
}

static u64 local_accept(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_ACCEPT);
	s->st.state |= 16;
	return ICALL(e, OP_PROTO_HASH, s->proto->hash(e, s));
}

static u32 local_sendmsg(struct env *e, struct sock *s, const u8 *p, u32 len)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_SENDMSG);
	FOLD(e, inet_sum(p, len, s->peer));
	return ICALL(e, OP_PROTO_SEND, s->proto->send(e, s, p, len));
}

static u32 local_recvmsg(struct env *e, struct sock *s, u8 *p, u32 len)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_RECVMSG);
	len = ICALL(e, OP_PROTO_RECEIVE, s->proto->receive(e, s, p, len));
	FOLD(e, inet_sum(p, len, 3));
	return len;
}

static u64 local_shutdown(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_SHUTDOWN);
	s->tail = s->head;
	return inet_sum(s->ring, 192, s->number);
}

static u64 local_setopt(struct env *e, struct sock *s, u32 name, u32 value)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_SETOPT);
	s->st.options ^= mem_crc32(s->ring, 16, name ^ value);
	return s->st.options;
}

static u64 local_getopt(struct env *e, struct sock *s, u32 name)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_GETOPT);
	return mem_hash(s->ring, 160, s->st.options ^ name);
}

static u64 local_getname(struct env *e, struct sock *s)
{
	char name[16];

	ENTER(e, s->class, CLASS_LOCAL, OP_GETNAME);
	name_make(name, s->number);
	return str_hash(name) ^ inet_sum(s->ring, 64, 0);
}

static u64 local_poll(struct env *e, struct sock *s)
{
	ENTER(e, s->class, CLASS_LOCAL, OP_POLL);
	return mem_hash(s->ring, 192, s->head - s->tail);
}

static const struct family_ops inet_ops = {CLASS_INET,	inet_bind,    inet_connect, inet_listen,
					   inet_accept, inet_sendmsg, inet_recvmsg, inet_shutdown,
					   inet_setopt, inet_getopt,  inet_getname, inet_poll};
static const struct family_ops local_ops = {
	CLASS_LOCAL,   local_bind,     local_connect, local_listen, local_accept,  local_sendmsg,
	local_recvmsg, local_shutdown, local_setopt,  local_getopt, local_getname, local_poll};

YARD_FN void inet_init(struct env *e)
{
	e->net.families[0] = &inet_ops;
}

YARD_FN void local_init(struct env *e)
{
	e->net.families[1] = &local_ops;
}
