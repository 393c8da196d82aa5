# SPDX-License-Identifier: GPL-2.0-only
# Test programs: one a file, each its own process, found by name.

$(O)/tests/%: $(O)/tests/%.o $(O)/libhotrail.a
	$(call say,LD)$(CC) $(cflags) -o $@ $^ -lcunit $(libs)
