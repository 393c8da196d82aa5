// SPDX-License-Identifier: GPL-2.0-only
/* The protocols below the families: TCP and UDP over a device, a local stream without one;
 * congestion control. */
#include "env.h"

#define HEADERS	    42 /* link, network and transport headers of a packet */
#define PAYLOAD_MAX (sizeof(((struct packet *)0)->data) - HEADERS)

static void packet_build(struct env *e, struct sock *s, struct packet *p, const u8 *data, u32 len)
{
	u8 *h = p->data + 14;

	p->len = HEADERS + len;
	p->proto = s->proto_class;
	p->mark = s->number;
	p->verdict = 0;
	mem_fill(p->data, 0, sizeof(p->data));
	h[0] = 0x45;
	h[2] = (u8)(len >> 8);
	h[3] = (u8)len;
	h[8] = 64;
	h[9] = (u8)s->proto_class;
	mem_copy(h + 12, &s->number, 4);
	mem_copy(h + 16, &s->peer, 4);
	mem_copy(h + 20, &s->st.port, 4);
	mem_copy(h + 24, &s->st.seq, 4);
	mem_copy(p->data + HEADERS, data, len);
	h[10] = (u8)inet_sum(h, 20, 0);
}

/* Program 0 of the filter is for most; which of the others depends on the packet. */
static u64 packet_filter(struct env *e, struct packet *p)
{
	u32 share = BELOW(e, 100);

	return filter_run(e, p, share < 66 ? 0 : share < 88 ? 1 : share < 97 ? 2 : 3);
}

static u64 output_routed(struct env *e, struct sock *s, struct packet *p)
{
	u32 hop = s->peer, i;

	ENTER(e, s->output_class, CLASS_ROUTED, OP_OUTPUT);
	for (i = 0; i < 20; i++)
		hop = hop * 17 + (e->net.ports[(hop + i) % 64] >> (hop & 7));
	p->mark ^= hop;
	FOLD(e, packet_filter(e, p));
	FOLD(e, ICALL(e, OP_HEADER, s->dev->ops->header(e, s->dev, p, s)));
	return device_send(e, s->dev, p, s);
}

static u64 output_cached(struct env *e, struct sock *s, struct packet *p)
{
	ENTER(e, s->output_class, CLASS_CACHED, OP_OUTPUT);
	p->mark += (u32)mem_hash(&s->st, sizeof(s->st), s->peer);
	FOLD(e, ICALL(e, OP_HEADER, s->dev->ops->header(e, s->dev, p, s)));
	FOLD(e, packet_filter(e, p));
	return device_send(e, s->dev, p, s);
}

static u64 tcp_connect(struct env *e, struct sock *s)
{
	struct packet p;

	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_CONNECT);
	packet_build(e, s, &p, (const u8 *)&s->st, 16);
	s->st.state = 1;
	return ICALL(e, OP_OUTPUT, s->output(e, s, &p));
}

static u32 tcp_send(struct env *e, struct sock *s, const u8 *data, u32 len)
{
	u32 sent = 0;

	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_SEND);
	while (sent < len) {
		struct packet p;
		u32 n = len - sent < PAYLOAD_MAX ? len - sent : (u32)PAYLOAD_MAX;

		packet_build(e, s, &p, data + sent, n);
		s->st.seq += n;
		FOLD(e, ICALL(e, OP_OUTPUT, s->output(e, s, &p)));
		FOLD(e, ICALL(e, OP_CONG_ACK, s->cong->ack(e, s, n)));
		sent += n;
	}
	return sent;
}

static u32 tcp_receive(struct env *e, struct sock *s, u8 *to, u32 len)
{
	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_RECEIVE);
	len = ring_get(s, to, len);
	s->st.window += len;
	FOLD(e, inet_sum(to, len, s->st.ack));
	return len;
}

static u64 tcp_rcv(struct env *e, struct sock *s, struct packet *p)
{
	u32 len = p->len - HEADERS, taken;
	u64 sum = inet_sum(p->data + 34, p->len - 34, p->proto);

	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_RCV);
	taken = ring_put(s, p->data + HEADERS, len);
	s->st.ack += taken;
	if (taken < len)
		sum += ICALL(e, OP_CONG_LOSS, s->cong->loss(e, s));
	return sum + ICALL(e, OP_DATA_READY, s->data_ready(e, s, taken));
}

static u64 tcp_hash(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_HASH);
	return mem_hash(&s->st, sizeof(s->st), s->peer);
}

static u64 tcp_port(struct env *e, struct sock *s, u32 wanted)
{
	u32 i, port = wanted;

	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_PORT);
	for (i = 0; i < 32 && e->net.ports[port % 64] == port; i++)
		port += 7;
	e->net.ports[port % 64] = port;
	s->st.port = port & 0xffff;
	return port;
}

static u64 tcp_close(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_TCP, OP_PROTO_CLOSE);
	s->st.state = 0;
	s->tail = s->head;
	return mem_hash(s->ring, 128, s->st.ack);
}

static u64 udp_connect(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_CONNECT);
	s->st.state = 2;
	return mem_hash(&s->st, sizeof(s->st), s->peer);
}

static u32 udp_send(struct env *e, struct sock *s, const u8 *data, u32 len)
{
	struct packet p;

	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_SEND);
	if (len > PAYLOAD_MAX)
		len = PAYLOAD_MAX;
	packet_build(e, s, &p, data, len);
	s->st.seq++;
	FOLD(e, ICALL(e, OP_OUTPUT, s->output(e, s, &p)));
	return len;
}

static u32 udp_receive(struct env *e, struct sock *s, u8 *to, u32 len)
{
	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_RECEIVE);
	len = ring_get(s, to, len < 64 ? len : 64);
	FOLD(e, mem_hash(to, len, s->st.port));
	return len;
}

static u64 udp_rcv(struct env *e, struct sock *s, struct packet *p)
{
	u32 taken;

	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_RCV);
	taken = ring_put(s, p->data + HEADERS, p->len - HEADERS);
	s->st.errors += taken < p->len - HEADERS;
	FOLD(e, mem_hash(p->data + 34, 40, taken));
	return ICALL(e, OP_DATA_READY, s->data_ready(e, s, taken));
}

static u64 udp_hash(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_HASH);
	return inet_sum(&s->st, sizeof(s->st), s->number);
}

static u64 udp_port(struct env *e, struct sock *s, u32 wanted)
{
	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_PORT);
	s->st.port = (wanted + inet_sum(e->net.ports, 128, wanted)) & 0xffff;
	e->net.ports[s->st.port % 64] = s->st.port;
	return s->st.port;
}

static u64 udp_close(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_UDP, OP_PROTO_CLOSE);
	s->tail = s->head;
	return inet_sum(s->ring, 160, s->st.errors);
}

static u64 stream_connect(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_CONNECT);
	s->st.state = 3;
	return inet_sum(s->ring, 96, s->peer);
}

/* Straight into the peer's ring. */
static u32 stream_send(struct env *e, struct sock *s, const u8 *data, u32 len)
{
	struct sock *to = &e->net.sockets[s->peer];

	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_SEND);
	len = ring_put(to, data, len);
	FOLD(e, ICALL(e, OP_DATA_READY, to->data_ready(e, to, len)));
	return len;
}

static u32 stream_receive(struct env *e, struct sock *s, u8 *to, u32 len)
{
	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_RECEIVE);
	len = ring_get(s, to, len);
	FOLD(e, mem_hash(to, len, 1));
	return len;
}

static u64 stream_rcv(struct env *e, struct sock *s, struct packet *p)
{
	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_RCV);
	return ring_put(s, p->data, p->len);
}

static u64 stream_hash(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_HASH);
	return mem_hash(s->ring, 64, s->head);
}

static u64 stream_port(struct env *e, struct sock *s, u32 wanted)
{
	char name[16];

	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_PORT);
	name_make(name, wanted);
	s->st.port = str_hash(name) & 0xffff;
	return s->st.port;
}

static u64 stream_close(struct env *e, struct sock *s)
{
	ENTER(e, s->proto_class, CLASS_STREAM, OP_PROTO_CLOSE);
	s->head = s->tail = 0;
	return mem_hash(s->ring, 96, s->number);
}

static u64 reno_ack(struct env *e, struct sock *s, u32 bytes)
{
	ENTER(e, s->cong->class, CLASS_RENO, OP_CONG_ACK);
	if (s->st.window < s->st.threshold)
		s->st.window += bytes;
	else
		s->st.window += bytes * bytes / (s->st.window | 1);
	return mem_hash(&s->st, sizeof(s->st), bytes);
}

static u64 reno_loss(struct env *e, struct sock *s)
{
	ENTER(e, s->cong->class, CLASS_RENO, OP_CONG_LOSS);
	s->st.threshold = s->st.window / 2 + 100;
	s->st.window = s->st.threshold;
	return s->st.window;
}

/* An integer cube root by bisection, as CUBIC needs one (RFC 9438, 4.2). */
static u64 cubic_ack(struct env *e, struct sock *s, u32 bytes)
{
	u64 target = (u64)s->st.window * bytes + e->core.now, root = 0;
	int bit;

	ENTER(e, s->cong->class, CLASS_CUBIC, OP_CONG_ACK);
	for (bit = 14; bit >= 0; bit--) {
		u64 v = root | 1u << bit;

		if (v * v * v <= target)
			root = v;
	}
	s->st.window += (u32)root;
	return root;
}

static u64 cubic_loss(struct env *e, struct sock *s)
{
	ENTER(e, s->cong->class, CLASS_CUBIC, OP_CONG_LOSS);
	s->st.window = (u32)((u64)s->st.window * 717 / 1024) + 100;
	s->st.threshold = s->st.window;
	return inet_sum(&s->st, sizeof(s->st), 0);
}

static u64 ready_wake(struct env *e, struct sock *s, u32 len)
{
	ENTER(e, s->ready_class, CLASS_READY_WAKE, OP_DATA_READY);
	return task_wake(e, s->number + len);
}

static u64 ready_work(struct env *e, struct sock *s, u32 len)
{
	ENTER(e, s->ready_class, CLASS_READY_WORK, OP_DATA_READY);
	work_queue(e, s->number + len, s->number);
	return mem_hash(&s->st, sizeof(s->st), len);
}

static u64 ready_count(struct env *e, struct sock *s, u32 len)
{
	ENTER(e, s->ready_class, CLASS_READY_COUNT, OP_DATA_READY);
	s->st.errors ^= len;
	return inet_sum(&s->st, sizeof(s->st), len) + mem_hash(s->ring, 64, len);
}

static const struct proto_ops tcp_ops = {CLASS_TCP, tcp_connect, tcp_send, tcp_receive,
					 tcp_rcv,   tcp_hash,	 tcp_port, tcp_close};
static const struct proto_ops udp_ops = {CLASS_UDP, udp_connect, udp_send, udp_receive,
					 udp_rcv,   udp_hash,	 udp_port, udp_close};
static const struct proto_ops stream_ops = {CLASS_STREAM,   stream_connect, stream_send,
					    stream_receive, stream_rcv,	    stream_hash,
					    stream_port,    stream_close};
static const struct congestion_ops reno_ops = {CLASS_RENO, reno_ack, reno_loss};
static const struct congestion_ops cubic_ops = {CLASS_CUBIC, cubic_ack, cubic_loss};

YARD_FN void proto_init(struct env *e)
{
	struct net *n = &e->net;

	n->protos[0] = &tcp_ops;
	n->protos[1] = &udp_ops;
	n->protos[2] = &stream_ops;
	n->congestion[0] = &reno_ops;
	n->congestion[1] = &cubic_ops;
	n->ready[0] = ready_wake;
	n->ready[1] = ready_work;
	n->ready[2] = ready_count;
	n->outputs[0] = output_routed;
	n->outputs[1] = output_cached;
}
