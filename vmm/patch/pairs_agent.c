// SPDX-License-Identifier: GPL-2.0-only
/* A pair's change by the agent, which takes the steps itself. */
#include <errno.h>
#include <inttypes.h>

#include "agent/agent.h"
#include "patch/applier.h"
#include "patch/pairs.h"

/* What the agent says of a pair's change. */
static int lead_errno(uint8_t status)
{
	switch (status) {
	case AGENT_OK:
		return 0;
	case AGENT_BUSY:
	case AGENT_MISMATCH: /* of what it led to before: look again */
		return -EBUSY;
	case AGENT_TARGET:
		return -EINVAL;
	case AGENT_NO_PAIR:
		return -ENOENT;
	case AGENT_REFUSED:
		return -EPERM;
	case AGENT_READBACK:
		return -EUCLEAN;
	default:
		return -EIO;
	}
}

int pairs_agent_lead(struct applier *a, const struct pair *p, gva_t from, gva_t to,
		     struct error *err)
{
	const struct agent_lead lead = {.target = p->target, .from = from, .to = to};
	uint8_t status;
	int rc = agent_lead_pairs(a->agent, &lead, 1, &status, NULL, err);

	if (rc)
		return rc;
	rc = lead_errno(status);
	if (!rc)
		return 0;
	return error_set(err,
			 rc == -EBUSY			  ? HOTRAIL_EXIT_BUSY
			 : rc == -EPERM || rc == -EUCLEAN ? HOTRAIL_EXIT_REFUSED
							  : HOTRAIL_EXIT_FAILED,
			 rc, "the agent does not lead the pair at 0x%" PRIx64 " there: %s",
			 p->target, agent_status_text(status));
}
