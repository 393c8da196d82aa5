# SPDX-License-Identifier: GPL-2.0-only
# One stamp a package group; a rule that needs a group depends on its stamp.

deps-groups := build check rig lint fuzz

deps:
	$(Q)scripts/deps.sh $(deps-groups)

# A static pattern rule: make prefers any other rule to one whose prerequisites a plain pattern makes.
$(deps-groups:%=$(O)/.deps-%): $(O)/.deps-%: scripts/packages scripts/deps.sh
	@mkdir -p $(O)
	$(Q)scripts/deps.sh $* && touch $@
