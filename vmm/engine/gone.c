// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest may start another kernel in the same machine (kexec). What was promoted went with the
 * old one, and nothing that was learned is true of the new one: all of it is forgotten, and the
 * engine refuses from then on.
 */
#include "engine/state.h"

#include <errno.h>
#include <string.h>

#include "util/clock.h"

#define LOOK_AGAIN_MS 20

static int look(struct engine *e, struct error *err)
{
	struct target *t = e->guest->target;
	struct machine_pause pause = {0};
	int ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (ret)
		return ret;
	ret = e->guest->ops->still_there(e->guest, err);
	t->ops->resume(t, &pause);
	return ret;
}

static void forget(struct engine *e, const struct error *why)
{
	e->gone = true;
	e->refused = -ESTALE;
	e->refusal = *why;
	e->follow = false;
	if (e->sampler)
		e->sampler_ops->stop(e->sampler);
	e->sampler = NULL;
	modules_forget(e);
	patch_forget(e->patcher);
	edge_clear(&e->learned);
	edge_clear(&e->sampled);
	memset(e->info, 0, e->sites * sizeof(*e->info));
	e->coverage = 0;
	e->fast_share = -1;
	e->phase = ENGINE_IDLE;
}

int gone_check(struct engine *e, struct error *err)
{
	struct error why = {0};

	if (!e->gone && e->guest->ops->still_there && look(e, &why) == -ESTALE) {
		/* To forget by mistake would leave promotions that nobody can undo: twice. */
		clock_sleep_ms(LOOK_AGAIN_MS);
		if (look(e, &why) == -ESTALE)
			forget(e, &why);
	}
	if (!e->gone)
		return 0;
	if (err)
		*err = e->refusal;
	return e->refused;
}
