// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer entry: the decoder wrapper, the site scanner and the thunk recogniser on any bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/site.h"
#include "guest/thunk.h"
#include "x86/decode.h"
#include "x86/encode.h"

#define AT 0xffffffff81000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* A decoded rel32 says where its displacement is: following it must lead to its target. */
static void check_insn(const uint8_t *bytes, size_t left, gva_t at, const struct x86_insn *in)
{
	int32_t rel;

	check(in->len >= 1 && in->len <= 15 && in->len <= left && in->reg < HOTRAIL_REGS);
	if (in->kind != X86_CALL_REL32 && in->kind != X86_JMP_REL32 && in->kind != X86_JCC_REL32)
		return;
	check(in->rel_offset + sizeof(rel) == in->len);
	memcpy(&rel, bytes + in->rel_offset, sizeof(rel));
	check(in->target == at + in->len + (uint64_t)(int64_t)rel);
}

static void check_sites(const uint8_t *data, size_t size, const struct site_table *t)
{
	uint8_t out[SITE_MAX_LEN];
	gva_t end = AT;
	size_t i;

	for (i = 0; i < t->count; i++) {
		const struct site *s = &t->sites[i];

		check(s->addr >= end && s->addr - AT + s->len <= size);
		check(!memcmp(s->bytes, data + (s->addr - AT), s->len));
		check(site_find(t, s->addr) == (long)i);
		/* Writing back where it led gives the same bytes. */
		check(!x86_retarget(s->bytes, s->len, s->addr, s->thunk, out));
		check(!memcmp(out, s->bytes, s->len));
		end = s->addr + s->len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gva_t thunks[HOTRAIL_REGS] = {0};
	struct site_table t;
	struct x86_insn in;
	size_t pos;
	int ret;

	for (pos = 0; pos < size; pos += in.len) {
		ret = x86_decode(data + pos, size - pos, AT + pos, &in);
		if (ret)
			break;
		check_insn(data + pos, size - pos, AT + pos, &in);
		if (in.kind == X86_CALL_REL32 || in.kind == X86_JMP_REL32)
			thunks[pos % HOTRAIL_REGS] = in.target;
	}
	if (!site_scan(data, size, AT, thunks, &t, NULL)) {
		check(pos == size);
		check_sites(data, size, &t);
		site_table_free(&t);
	}
	thunk_is_retpoline(data, size, AT, HOTRAIL_RAX);
	thunk_is_retpoline(data, size, AT, HOTRAIL_R11);
	return 0;
}
