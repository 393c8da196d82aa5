# SPDX-License-Identifier: GPL-2.0-only
# The DSDT: ASL through the C preprocessor (shared numbers) and iasl, carried inside the monitor.

dsdt := $(O)/vmm/guest/dsdt

objects += $(dsdt)_image.o

$(dsdt).aml: vmm/guest/dsdt.asl vmm/guest/acpi_layout.h | $(O)/.deps-build
	@mkdir -p $(@D)
	$(call say,IASL)$(CC) -E -P -x c -Ivmm/guest -o $(dsdt).pp.asl $< && \
		iasl -p $(dsdt) $(dsdt).pp.asl >$(dsdt).log 2>&1 || { cat $(dsdt).log; rm -f $@; exit 1; }
	@# Its constant folding has made broken tables without a word: what it cannot read back is wrong.
	$(Q)iasl -p $(dsdt) -d $@ >$(dsdt).log 2>&1 && grep -q 'Disassembly completed' $(dsdt).log || \
		{ cat $(dsdt).log; rm -f $@; exit 1; }

$(dsdt)_image.o: vmm/guest/dsdt_image.S $(dsdt).aml
	$(call say,AS)$(CC) -Wa,-I$(@D) -c -o $@ $<
