/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets: two families, three protocols, queue disciplines and device drivers. */
#ifndef YARD_NET_H
#define YARD_NET_H

#include "filter.h"
#include "kernel.h"

#define SOCKETS	      16
#define DEVICES	      2
#define QUEUE_PACKETS 4
#define SOCKET_RING   512

enum net_class {
	CLASS_INET = 0x70,
	CLASS_LOCAL, /* families */
	CLASS_TCP,
	CLASS_UDP,
	CLASS_STREAM, /* protocols; STREAM is local */
	CLASS_LOOP,
	CLASS_ETHER, /* drivers */
	CLASS_QFIFO,
	CLASS_QFAIR, /* queue disciplines */
	CLASS_RENO,
	CLASS_CUBIC, /* congestion control */
	CLASS_PTYPE_IP,
	CLASS_PTYPE_RAW,
	CLASS_READY_WAKE,
	CLASS_READY_WORK,
	CLASS_READY_COUNT,
	CLASS_ROUTED,
	CLASS_CACHED,
};

enum net_op {
	OP_BIND = 0x280,
	OP_CONNECT,
	OP_LISTEN,
	OP_ACCEPT,
	OP_SENDMSG,
	OP_RECVMSG,
	OP_SHUTDOWN,
	OP_SETOPT,
	OP_GETOPT,
	OP_GETNAME,
	OP_POLL,
	OP_PROTO_CONNECT,
	OP_PROTO_SEND,
	OP_PROTO_RECEIVE,
	OP_PROTO_RCV,
	OP_PROTO_HASH,
	OP_PROTO_PORT,
	OP_PROTO_CLOSE,
	OP_DATA_READY,
	OP_WRITE_SPACE,
	OP_OUTPUT,
	OP_ENQUEUE,
	OP_DEQUEUE,
	OP_PEEK,
	OP_XMIT,
	OP_HEADER,
	OP_DEV_POLL,
	OP_DEV_STATS,
	OP_CONG_ACK,
	OP_CONG_LOSS,
	OP_PTYPE,
};

struct sock;
struct device;

struct family_ops {
	u32 class;
	u64 (*bind)(struct env *e, struct sock *s, u32 port);
	u64 (*connect)(struct env *e, struct sock *s, u32 peer);
	u64 (*listen)(struct env *e, struct sock *s, u32 backlog);
	u64 (*accept)(struct env *e, struct sock *s);
	u32 (*sendmsg)(struct env *e, struct sock *s, const u8 *p, u32 len);
	u32 (*recvmsg)(struct env *e, struct sock *s, u8 *p, u32 len);
	u64 (*shutdown)(struct env *e, struct sock *s);
	u64 (*setopt)(struct env *e, struct sock *s, u32 name, u32 value);
	u64 (*getopt)(struct env *e, struct sock *s, u32 name);
	u64 (*getname)(struct env *e, struct sock *s);
	u64 (*poll)(struct env *e, struct sock *s);
};

struct proto_ops {
	u32 class;
	u64 (*connect)(struct env *e, struct sock *s);
	u32 (*send)(struct env *e, struct sock *s, const u8 *p, u32 len);
	u32 (*receive)(struct env *e, struct sock *s, u8 *p, u32 len);
	u64 (*rcv)(struct env *e, struct sock *s, struct packet *p);
	u64 (*hash)(struct env *e, struct sock *s);
	u64 (*port)(struct env *e, struct sock *s, u32 wanted);
	u64 (*close)(struct env *e, struct sock *s);
};

struct congestion_ops {
	u32 class;
	u64 (*ack)(struct env *e, struct sock *s, u32 bytes);
	u64 (*loss)(struct env *e, struct sock *s);
};

struct qdisc_ops {
	u64 (*enqueue)(struct env *e, struct device *d, const struct packet *p);
	struct packet *(*dequeue)(struct env *e, struct device *d);
};

struct device_ops {
	u64 (*xmit)(struct env *e, struct device *d, struct packet *p);
	u64 (*header)(struct env *e, struct device *d, struct packet *p, struct sock *s);
	u64 (*poll)(struct env *e, struct device *d, struct packet *p);
	u64 (*stats)(struct env *e, struct device *d);
};

struct sock {
	u32 class, proto_class, number, peer;
	u32 ready_class, output_class;
	struct sock_state { /* hashed as bytes */
		u32 port, state, seq, ack, window, threshold, options, errors;
	} st;
	const struct family_ops *ops;
	const struct proto_ops *proto;
	const struct congestion_ops *cong;
	struct device *dev;
	u64 (*data_ready)(struct env *e, struct sock *s, u32 len);
	u64 (*output)(struct env *e, struct sock *s, struct packet *p);
	u32 head, tail; /* bytes ever put into and taken from the ring */
	u8 ring[SOCKET_RING];
};

struct ptype {
	u32 class, count;
	u64 (*rcv)(struct env *e, struct ptype *t, struct packet *p, struct sock *s);
};

struct device {
	u32 class, qclass, queued, turn;
	u64 bytes, drops;
	const struct device_ops *ops;
	const struct qdisc_ops *qdisc;
	struct ptype ptype;
	u8 address[8];
	struct packet queue[QUEUE_PACKETS], wire;
};

struct net {
	struct sock sockets[SOCKETS];
	struct device devices[DEVICES];
	u32 ports[64];
	const struct family_ops *families[2];
	const struct proto_ops *protos[3];
	const struct congestion_ops *congestion[2];
	const struct qdisc_ops *qdiscs[2];
	const struct device_ops *drivers[2];
	u64 (*ready[3])(struct env *e, struct sock *s, u32 len);
	u64 (*outputs[2])(struct env *e, struct sock *s, struct packet *p);
	u64 (*ptypes[2])(struct env *e, struct ptype *t, struct packet *p, struct sock *s);
};

/* Each puts its tables into struct net. */
YARD_FN void inet_init(struct env *e);
YARD_FN void local_init(struct env *e);
YARD_FN void proto_init(struct env *e);
YARD_FN void device_init(struct env *e);
/* Queue a packet, drain the queue to the wire, receive it for `s`'s peer. */
YARD_FN u64 device_send(struct env *e, struct device *d, struct packet *p, struct sock *s);

/* socket.c */
YARD_FN void net_init(struct env *e);
YARD_FN void net_reset(struct env *e);
YARD_FN struct sock *sock_pick(struct env *e);
YARD_FN u32 ring_put(struct sock *s, const u8 *p, u32 len);
YARD_FN u32 ring_get(struct sock *s, u8 *p, u32 len);
YARD_FN u64 sock_create(struct env *e, struct sock *s, u32 port);
YARD_FN u32 sock_send(struct env *e, struct sock *s, const u8 *p, u32 len);
YARD_FN u32 sock_receive(struct env *e, struct sock *s, u8 *p, u32 len);
YARD_FN u64 sock_connect(struct env *e, struct sock *s, u32 peer);
YARD_FN u64 sock_poll(struct env *e, struct sock *s);
YARD_FN u64 sock_option(struct env *e, struct sock *s, u32 name, u32 value);

#endif
