// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer entry: kernel images. The first byte says what the rest is: the file itself;
 * a bzImage's payload; or changes to a valid small kernel (so that the deep checks are
 * reached at once), four bytes each: 24-bit offset and the new byte, in one of the three
 * kallsyms orders.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/kernel_builder.h"
#include "guest/kernel.h"

#define PAYLOAD	    (2 * 512)
#define MAX_PAYLOAD (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void use(const struct kernel *k)
{
	size_t i;

	for (i = 0; i < k->sites.count; i++) {
		const struct site *s = &k->sites.sites[i];

		check(s->len == 5 || s->len == 6);
		check(s->reg < HOTRAIL_REGS && k->thunks[s->reg] == s->thunk);
		check(!i || s->addr >= s[-1].addr + s[-1].len);
		kernel_protected(k, s->addr, s->len);
	}
	for (i = 0; i < k->ranges_count; i++) {
		const struct kernel_range *r = &k->ranges[i];

		check(r->start < r->end && (!i || r->start >= r[-1].end));
		check(kernel_protected(k, r->start, 1) == r);
		check(kernel_protected(k, r->end - 1, 1) == r);
	}
	for (i = 0; i < k->symbols_count; i++) {
		gva_t addr = kernel_symbol_addr(&k->symbols[i]);

		check(!i || addr >= kernel_symbol_addr(&k->symbols[i - 1]));
		check(k->names[k->symbols[i].name] != '\0');
		kernel_is_function(k, addr);
		kernel_symbol_at(k, addr, NULL);
	}
	kernel_subsystem(k->release);
}

static void parse(const uint8_t *data, size_t size)
{
	struct kernel *k;
	struct error err = {0};

	if (kernel_parse(data, size, "fuzz", &k, &err)) {
		check(!k && err.text[0]);
		return;
	}
	use(k);
	kernel_free(k);
}

static void parse_payload(const uint8_t *data, size_t size)
{
	static uint8_t file[PAYLOAD + MAX_PAYLOAD];
	uint32_t length;

	length = size < MAX_PAYLOAD ? (uint32_t)size : MAX_PAYLOAD;
	file[0x1f1] = 1;
	memcpy(file + 0x202, "HdrS\x0f\x02", 6);
	memcpy(file + 0x24c, &length, sizeof(length));
	memcpy(file + PAYLOAD, data, length);
	parse(file, PAYLOAD + length);
}

static void parse_changed(enum kb_layout layout, const uint8_t *data, size_t size)
{
	static struct kernel_builder built[KB_LAYOUTS];
	static uint8_t file[KB_FILE];
	struct kernel_builder *b = &built[layout];
	size_t i;

	if (!b->size) {
		kb_init(b, layout);
		kb_build(b);
	}
	memcpy(file, b->file, b->size);
	for (i = 0; i + 4 <= size; i += 4)
		file[(data[i] | data[i + 1] << 8 | data[i + 2] << 16) % b->size] = data[i + 3];
	parse(file, b->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] < KB_LAYOUTS)
		parse_changed(data[0], data + 1, size - 1);
	else if (data[0] & 1)
		parse_payload(data + 1, size - 1);
	else
		parse(data + 1, size - 1);
	return 0;
}
