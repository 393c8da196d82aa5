# SPDX-License-Identifier: GPL-2.0-only
$(O)/.deps:
	@mkdir -p $(O) && touch $@
