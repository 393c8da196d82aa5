// SPDX-License-Identifier: GPL-2.0-only
/* Network devices: two queue disciplines, two drivers, and the way back up. */
#include "env.h"

static u64 qfifo_enqueue(struct env *e, struct device *d, const struct packet *p)
{
	ENTER(e, d->qclass, CLASS_QFIFO, OP_ENQUEUE);
	if (d->queued == QUEUE_PACKETS) {
		d->drops++;
		return 1;
	}
	mem_copy(&d->queue[(d->turn + d->queued++) % QUEUE_PACKETS], p, sizeof(*p));
	return 0;
}

static struct packet *qfifo_dequeue(struct env *e, struct device *d)
{
	ENTER(e, d->qclass, CLASS_QFIFO, OP_DEQUEUE);
	mem_copy(&d->wire, &d->queue[d->turn % QUEUE_PACKETS], sizeof(d->wire));
	d->turn++;
	d->queued--;
	return &d->wire;
}

/* Fair queueing's shape: the packet with the smallest flow hash leaves first. */
static u64 qfair_enqueue(struct env *e, struct device *d, const struct packet *p)
{
	u32 at = d->queued, key;

	ENTER(e, d->qclass, CLASS_QFAIR, OP_ENQUEUE);
	key = (u32)mem_hash(p->data + 26, 12, d->turn);
	if (at == QUEUE_PACKETS) {
		d->drops++;
		return 1;
	}
	for (; at && d->queue[at - 1].verdict < key; at--)
		mem_copy(&d->queue[at], &d->queue[at - 1], sizeof(*p));
	mem_copy(&d->queue[at], p, sizeof(*p));
	d->queue[at].verdict = key;
	d->queued++;
	return at;
}

static struct packet *qfair_dequeue(struct env *e, struct device *d)
{
	ENTER(e, d->qclass, CLASS_QFAIR, OP_DEQUEUE);
	d->turn++;
	mem_copy(&d->wire, &d->queue[--d->queued], sizeof(d->wire));
	return &d->wire;
}

static u64 loop_xmit(struct env *e, struct device *d, struct packet *p)
{
	ENTER(e, d->class, CLASS_LOOP, OP_XMIT);
	d->bytes += p->len;
	return mem_hash(p->data, 64, p->len);
}

static u64 loop_header(struct env *e, struct device *d, struct packet *p, struct sock *s)
{
	ENTER(e, d->class, CLASS_LOOP, OP_HEADER);
	mem_fill(p->data, s->peer, 14);
	return p->len + mem_hash(p->data, 48, s->number);
}

static u64 loop_poll(struct env *e, struct device *d, struct packet *p)
{
	ENTER(e, d->class, CLASS_LOOP, OP_DEV_POLL);
	return inet_sum(p->data + 14, 64, d->queued);
}

static u64 loop_stats(struct env *e, struct device *d)
{
	ENTER(e, d->class, CLASS_LOOP, OP_DEV_STATS);
	return d->bytes * 3 + d->drops + mem_hash(d->wire.data, 96, d->turn);
}

/* Fills descriptors: a checksum and a length for each piece. */
static u64 ether_xmit(struct env *e, struct device *d, struct packet *p)
{
	u64 ring = d->turn;
	u32 at;

	ENTER(e, d->class, CLASS_ETHER, OP_XMIT);
	for (at = 0; at < p->len; at += 32)
		ring = ring * 7 + inet_sum(p->data + at, p->len - at < 32 ? p->len - at : 32, at);
	d->bytes += p->len;
	return ring;
}

static u64 ether_header(struct env *e, struct device *d, struct packet *p, struct sock *s)
{
	ENTER(e, d->class, CLASS_ETHER, OP_HEADER);
	mem_copy(p->data, d->address, 6);
	mem_copy(p->data + 6, &s->st.port, 4);
	p->data[12] = 8;
	return mem_crc32(p->data, 14, s->peer);
}

static u64 ether_poll(struct env *e, struct device *d, struct packet *p)
{
	ENTER(e, d->class, CLASS_ETHER, OP_DEV_POLL);
	return mem_crc32(p->data, 20, 0) + inet_sum(p->data + 20, 64, d->queued);
}

static u64 ether_stats(struct env *e, struct device *d)
{
	ENTER(e, d->class, CLASS_ETHER, OP_DEV_STATS);
	return d->bytes ^ d->drops << 32 ^ inet_sum(d->wire.data, 128, d->turn);
}

static u64 ip_rcv(struct env *e, struct ptype *t, struct packet *p, struct sock *s)
{
	struct sock *to = &e->net.sockets[s->peer];

	ENTER(e, t->class, CLASS_PTYPE_IP, OP_PTYPE);
	t->count++;
	FOLD(e, inet_sum(p->data + 14, 28, t->count));
	return ICALL(e, OP_PROTO_RCV, to->proto->rcv(e, to, p));
}

static u64 raw_rcv(struct env *e, struct ptype *t, struct packet *p, struct sock *s)
{
	struct sock *to = &e->net.sockets[s->peer];

	ENTER(e, t->class, CLASS_PTYPE_RAW, OP_PTYPE);
	FOLD(e, mem_hash(p->data, 56, t->count++));
	return ICALL(e, OP_PROTO_RCV, to->proto->rcv(e, to, p));
}

static const struct qdisc_ops qfifo_ops = {qfifo_enqueue, qfifo_dequeue};
static const struct qdisc_ops qfair_ops = {qfair_enqueue, qfair_dequeue};
static const struct device_ops loop_ops = {loop_xmit, loop_header, loop_poll, loop_stats};
static const struct device_ops ether_ops = {ether_xmit, ether_header, ether_poll, ether_stats};

YARD_FN void device_init(struct env *e)
{
	struct net *n = &e->net;

	n->qdiscs[0] = &qfifo_ops;
	n->qdiscs[1] = &qfair_ops;
	n->drivers[0] = &loop_ops;
	n->drivers[1] = &ether_ops;
	n->ptypes[0] = ip_rcv;
	n->ptypes[1] = raw_rcv;
}

YARD_FN u64 device_send(struct env *e, struct device *d, struct packet *p, struct sock *s)
{
	u64 sum = ICALL(e, OP_ENQUEUE, d->qdisc->enqueue(e, d, p));

	/* A burst of two for every packet that finds another waiting. */
	while (d->queued > (e->core.now & 1)) {
		struct packet *out = ICALL(e, OP_DEQUEUE, d->qdisc->dequeue(e, d));

		sum += ICALL(e, OP_XMIT, d->ops->xmit(e, d, out));
		sum ^= ICALL(e, OP_DEV_POLL, d->ops->poll(e, d, out));
		sum += ICALL(e, OP_PTYPE, d->ptype.rcv(e, &d->ptype, out, s));
	}
	return sum;
}
