// SPDX-License-Identifier: GPL-2.0-only
/*
 * 16550A registers as the data sheet (National Semiconductor PC16550D) has them and as the
 * drivers of real kernels probe them: scratch register, loopback, FIFO bits.
 */
#include "device/serial.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Register numbers; 0 and 1 are the divisor while LCR_DLAB is set. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

#define IER_RECEIVED 0x01
#define IER_SENT     0x02
#define IER_LINE     0x04
#define IER_MASK     0x0f

#define IIR_NONE      0x01
#define IIR_SENT      0x02
#define IIR_RECEIVED  0x04
#define IIR_LINE      0x06
#define IIR_FIFO_ON   0xc0
#define FCR_ENABLE    0x01
#define FCR_CLEAR_IN  0x02
#define LCR_DLAB      0x80
#define MCR_OUT2      0x08 /* gates the interrupt line on a PC */
#define MCR_LOOP      0x10
#define MCR_MASK      0x1f
#define LSR_READY     0x01
#define LSR_OVERRUN   0x02
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE      0x40
#define MSR_CTS	      0x10
#define MSR_DSR	      0x20
#define MSR_RI	      0x40
#define MSR_DCD	      0x80

#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04

struct ring {
	uint8_t *bytes;
	size_t size, head, used;
};

struct serial {
	pthread_mutex_t lock; /* everything below */
	struct serial_host host;
	uint8_t ier, fcr, lcr, mcr, scratch, divisor[2];
	bool overrun, sent; /* LSR bit; "transmitter empty" not reported yet */
	bool line;	    /* the interrupt line as last told */
	uint64_t lost;
	struct ring in, out;
	uint8_t in_bytes[SERIAL_INPUT_MAX], out_bytes[SERIAL_OUTPUT_MAX];
};

static bool ring_push(struct ring *r, uint8_t byte)
{
	if (r->used == r->size)
		return false;
	r->bytes[(r->head + r->used++) % r->size] = byte;
	return true;
}

static uint8_t ring_pop(struct ring *r)
{
	uint8_t byte = r->bytes[r->head];

	r->head = (r->head + 1) % r->size;
	r->used--;
	return byte;
}

/* --- interrupts --- */

/* The most urgent cause that is enabled. */
static uint8_t cause(const struct serial *s)
{
	if (s->ier & IER_LINE && s->overrun)
		return IIR_LINE;
	if (s->ier & IER_RECEIVED && s->in.used)
		return IIR_RECEIVED;
	if (s->ier & IER_SENT && s->sent)
		return IIR_SENT;
	return IIR_NONE;
}

/* As on ISA the line is high while there is a cause; a driver looks until there is none. */
static void update_line(struct serial *s)
{
	bool level = cause(s) != IIR_NONE && s->mcr & MCR_OUT2 && !(s->mcr & MCR_LOOP);

	if (level == s->line)
		return;
	s->line = level;
	if (s->host.irq)
		s->host.irq(s->host.ctx, level);
}

/* --- registers --- */

static uint8_t loop_status(const struct serial *s)
{
	uint8_t msr = 0;

	/* In loopback the modem outputs are the modem inputs. */
	msr |= s->mcr & MCR_RTS ? MSR_CTS : 0;
	msr |= s->mcr & MCR_DTR ? MSR_DSR : 0;
	msr |= s->mcr & MCR_OUT1 ? MSR_RI : 0;
	msr |= s->mcr & MCR_OUT2 ? MSR_DCD : 0;
	return msr;
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t lsr = 0;

	if (s->in.used)
		lsr |= LSR_READY;
	if (s->overrun)
		lsr |= LSR_OVERRUN;
	if (s->out.used < s->out.size)
		lsr |= LSR_THR_EMPTY | LSR_IDLE;
	s->overrun = false; /* reading clears it */
	return lsr;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = cause(s);

	if (iir == IIR_SENT)
		s->sent = false;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO_ON : 0);
}

static size_t room(const struct serial *s)
{
	bool listens = s->ier & IER_RECEIVED && !(s->mcr & MCR_LOOP);

	return listens ? s->in.size - s->in.used : 0;
}

static void wake(struct serial *s)
{
	if (s->host.wake)
		s->host.wake(s->host.ctx);
}

static uint8_t read_data(struct serial *s)
{
	if (!s->in.used)
		return 0;
	if (s->in.used == s->in.size)
		wake(s);
	return ring_pop(&s->in);
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
	switch (reg) {
	case REG_DATA:
		return s->lcr & LCR_DLAB ? s->divisor[0] : read_data(s);
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->divisor[1] : s->ier;
	case REG_IIR_FCR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(s);
	case REG_MSR:
		return s->mcr & MCR_LOOP ? loop_status(s) : MSR_CTS | MSR_DSR | MSR_DCD;
	default:
		return s->scratch;
	}
}

static void send_byte(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP) {
		if (!ring_push(&s->in, byte))
			s->overrun = true;
	} else if (!ring_push(&s->out, byte)) {
		s->lost++;
	} else if (s->out.used == 1) {
		wake(s);
	}
	/* The line is infinitely fast: empty again at once, unless the ring is full. */
	s->sent = s->out.used < s->out.size;
}

static void write_register(struct serial *s, unsigned reg, uint8_t byte)
{
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			s->divisor[0] = byte;
		else
			send_byte(s, byte);
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->divisor[1] = byte;
			break;
		}
		/* Enabling "sent" while the transmitter is empty reports at once. */
		if (byte & ~s->ier & IER_SENT)
			s->sent = s->out.used < s->out.size;
		if (byte & ~s->ier & IER_RECEIVED)
			wake(s);
		s->ier = byte & IER_MASK;
		break;
	case REG_IIR_FCR:
		s->fcr = byte;
		if (byte & FCR_CLEAR_IN)
			s->in.used = 0;
		break;
	case REG_LCR:
		s->lcr = byte;
		break;
	case REG_MCR:
		s->mcr = byte & MCR_MASK;
		break;
	case REG_SCRATCH:
		s->scratch = byte;
		break;
	default: /* LSR and MSR are read only */
		break;
	}
}

int serial_access(void *serial, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		  uint64_t *value)
{
	struct serial *s = serial;

	if (size != 1 || offset >= SERIAL_PORTS)
		return -ENODEV;
	pthread_mutex_lock(&s->lock);
	if (write)
		write_register(s, (unsigned)offset, (uint8_t)*value);
	else
		*value = read_register(s, (unsigned)offset);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* --- the host's end --- */

size_t serial_put(struct serial *s, const void *bytes, size_t n)
{
	const uint8_t *from = bytes;
	size_t done = 0;

	pthread_mutex_lock(&s->lock);
	while (done < n && room(s) && ring_push(&s->in, from[done]))
		done++;
	if (done)
		update_line(s);
	pthread_mutex_unlock(&s->lock);
	return done;
}

size_t serial_room(struct serial *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = room(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t serial_take(struct serial *s, void *bytes, size_t n)
{
	uint8_t *to = bytes;
	size_t done = 0;
	bool full;

	pthread_mutex_lock(&s->lock);
	full = s->out.used == s->out.size;
	while (done < n && s->out.used)
		to[done++] = ring_pop(&s->out);
	if (full && done) {
		s->sent = true; /* the guest waits for this */
		update_line(s);
	}
	pthread_mutex_unlock(&s->lock);
	return done;
}

uint64_t serial_lost(struct serial *s)
{
	uint64_t lost;

	pthread_mutex_lock(&s->lock);
	lost = s->lost;
	pthread_mutex_unlock(&s->lock);
	return lost;
}

struct serial *serial_create(const struct serial_host *host)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->host = *host;
	s->divisor[0] = 1; /* 115200 */
	s->lcr = 3;	   /* eight bits, no parity */
	s->sent = true;
	s->in = (struct ring){.bytes = s->in_bytes, .size = sizeof(s->in_bytes)};
	s->out = (struct ring){.bytes = s->out_bytes, .size = sizeof(s->out_bytes)};
	return s;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}
