// SPDX-License-Identifier: GPL-2.0-only
/* Whose text a pair's slots and programs lie in; words for users. Pure. */
#include "patch/pair.h"

#include <errno.h>

const char *pair_state_text(enum pair_state s)
{
	static const char *const text[] = {
		[PAIR_EMPTY] = "empty",
		[PAIR_BYPASSED] = "bypassed",
		[PAIR_DIRECT] = "direct",
		[PAIR_BUSY] = "being patched by the guest",
		[PAIR_BROKEN] = "broken: both slots are empty",
		[PAIR_FOREIGN] = "not ours: other bytes than ever belong there",
	};

	return (unsigned)s < sizeof(text) / sizeof(text[0]) ? text[s] : "unknown";
}

static int refuse(const struct pair *p, int ret, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_REFUSED, ret, "the pair at 0x%llx: %s",
			 (unsigned long long)(p->bypass ? p->bypass : p->target), what);
}

static bool in_text(gva_t addr, uint64_t len, gva_t text_start, gva_t text_end)
{
	return addr >= text_start && addr < text_end && text_end - addr >= len;
}

int pair_check(const struct pair *p, gva_t text_start, gva_t text_end, struct error *err)
{
	const char *wrong = pair_wrong(p);

	if (!in_text(p->target, PAIR_SLOT, text_start, text_end) ||
	    (p->bypass && !in_text(p->bypass, PAIR_SLOT, text_start, text_end)) ||
	    !in_text(p->slow, 1, text_start, text_end))
		wrong = "not inside the text";
	return wrong ? refuse(p, -EINVAL, err, wrong) : 0;
}

int pair_check_program(const struct pair *p, gva_t program, gva_t text_start, gva_t text_end,
		       struct error *err)
{
	const char *wrong = pair_wrong_program(p, program);

	if (!in_text(program, 1, text_start, text_end))
		return refuse(p, -EINVAL, err, "the program is not inside the text");
	if (!wrong)
		return 0;
	return refuse(p, pair_reaches(p->target, program) ? -EINVAL : -ERANGE, err, wrong);
}
