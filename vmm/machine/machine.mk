# SPDX-License-Identifier: GPL-2.0-only
# The process backend's stub: its own little program, carried inside the monitor.
# Built without the monitor's flags: it has no C library, no stack and no sanitizer.

stub := $(O)/vmm/machine/stub

objects += $(stub)_image.o

$(stub).elf: vmm/machine/stub.S vmm/machine/stub.ld vmm/machine/stub.h
	@mkdir -p $(@D)
	$(call say,LD)$(CC) -nostdlib -static -no-pie -Ivmm -Wl,--build-id=none \
		-Wl,-z,max-page-size=4096 -Wl,-T,vmm/machine/stub.ld -o $@ $<

$(stub)_image.o: vmm/machine/stub_image.S $(stub).elf
	$(call say,AS)$(CC) -Wa,-I$(@D) -c -o $@ $<
