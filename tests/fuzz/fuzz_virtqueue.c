// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as a guest's memory: rings, descriptors and data; all that can be popped is. */
#include <stdlib.h>
#include <string.h>

#include "device/virtqueue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM_BYTES 0x4000u

struct memory {
	uint8_t *bytes; /* its own allocation: the sanitizer sees a byte too far */
};

static void *range(void *ctx, gpa_t gpa, uint64_t len)
{
	struct memory *m = ctx;

	return gpa <= RAM_BYTES && len <= RAM_BYTES - gpa ? m->bytes + gpa : NULL;
}

static void check(const struct memory *m, const struct virtqueue_chain *c)
{
	size_t in = 0, out = 0;
	unsigned i;

	if (!c->count || c->count > VIRTQUEUE_SIZE_MAX || c->readable > c->count)
		abort();
	for (i = 0; i < c->count; i++) {
		const uint8_t *at = c->iov[i].iov_base;

		if (at < m->bytes || at + c->iov[i].iov_len > m->bytes + RAM_BYTES)
			abort();
		*(i < c->readable ? &in : &out) += c->iov[i].iov_len;
	}
	if (in != c->in_bytes || out != c->out_bytes || in + out > VIRTQUEUE_BYTES_MAX)
		abort();
}

/* Use a chain as devices do; what is written may hit rings and descriptors. */
static void use(struct virtqueue *q, const struct virtqueue_chain *c, unsigned salt)
{
	static struct iovec iov[VIRTQUEUE_SIZE_MAX];
	uint8_t buf[64] = {0};
	size_t n, sum = 0, offset = salt * 3;
	unsigned i, slices;

	n = virtqueue_read(c, offset, buf, sizeof(buf));
	if (n > sizeof(buf) || (offset < c->in_bytes && !n))
		abort();
	slices = virtqueue_slice(c, true, offset, 1000, iov);
	for (i = 0; i < slices; i++)
		sum += iov[i].iov_len;
	if (sum != (offset >= c->out_bytes	   ? 0
		    : c->out_bytes - offset < 1000 ? c->out_bytes - offset
						   : 1000))
		abort();
	virtqueue_write(c, offset, buf, n);
	virtqueue_push(q, c, sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtqueue_chain c;
	struct virtqueue q = {0};
	struct memory m;
	struct virtqueue_memory memory = {range, &m};
	unsigned i;
	int ret = 1;

	if (size < 4)
		return 0;
	m.bytes = aligned_alloc(16, RAM_BYTES);
	if (!m.bytes)
		return 0;
	memset(m.bytes, 0, RAM_BYTES);
	memcpy(m.bytes, data + 4, size - 4 < RAM_BYTES ? size - 4 : RAM_BYTES);
	q.size = data[0] & 0x80 ? data[0] : 1u << (data[0] & 15);
	/* near the start, so that short inputs reach the descriptors */
	q.driver = (gpa_t)(data[1] & 0x7f) * 2;
	q.device = (gpa_t)data[2] * 64 + (data[1] >> 7);
	q.desc = (gpa_t)(data[3] & 0x3f) * 16;
	if (!virtqueue_start(&q, &memory, data[3] & 0x40, data[3] & 0x80)) {
		for (i = 0; i < 512 && ret == 1; i++) {
			virtqueue_kicks_off(&q);
			ret = virtqueue_pop(&q, &c);
			if (ret == 1) {
				check(&m, &c);
				use(&q, &c, i);
			}
			virtqueue_wants_interrupt(&q);
			virtqueue_kicks_on(&q);
		}
		if ((ret < 0) != q.broken || q.broken != (q.why != NULL))
			abort();
	}
	free(m.bytes);
	return 0;
}
