/* SPDX-License-Identifier: GPL-2.0-only */
/* The engine's own thread: draining always, promoting and watching while following is on. */
#ifndef HOTRAIL_ENGINE_FOLLOW_H
#define HOTRAIL_ENGINE_FOLLOW_H

#include "engine/state.h"

void *follow_thread(void *engine);
/* Choose the sites of a whole round: sampled, promoted long ago, and a sweep. Lock held. */
size_t follow_choose_round(struct engine *e);

#endif
