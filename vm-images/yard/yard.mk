# SPDX-License-Identifier: GPL-2.0-only
# The yard guest: one source tree, linked high (KVM) and low (process backend), with and without
# retpolines, plus an image with writable text for the hostile tests.

YARD_CC ?= gcc
yard-dir := vm-images/yard
yard-out := $(O)/vm-images/yard
yard-c := $(filter-out $(yard-dir)/reference.c,$(sort $(wildcard $(yard-dir)/*.c)))
yard-s := $(sort $(wildcard $(yard-dir)/*.S))
yard-objects := $(patsubst $(yard-dir)/%,%.o,$(basename $(yard-c) $(yard-s)))
yard-headers := $(wildcard $(yard-dir)/*.h) include/hotrail/yard.h include/hotrail/types.h

# No builtin may become a libc call, no table may be folded into direct calls, and no switch may
# become an indirect jump: every indirect branch in the image is one the source shows.
yard-cflags := -std=gnu11 -O2 -g1 $(WARN) -ffreestanding -nostdinc \
	-isystem $(shell $(YARD_CC) -print-file-name=include) \
	-Iinclude -I$(yard-dir) -fno-strict-aliasing -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-jump-tables \
	-fno-tree-loop-distribute-patterns -fno-ipa-icf -fno-ipa-cp \
	-fno-devirtualize -fno-tree-switch-conversion \
	-fno-common -mindirect-branch-register -ffile-prefix-map=$(CURDIR)=.
yard-retpoline := -mindirect-branch=thunk-extern -mindirect-branch-cs-prefix -DYARD_RETPOLINE
yard-plain :=
yard-high := -mcmodel=kernel -DYARD_BASE=0xffffffff80000000
yard-low := -mcmodel=small -DYARD_BASE=0x40000000
yard-ldflags := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=sha1 \
	--fatal-warnings --no-warn-rwx-segments

# $(1) kind, $(2) base, $(3) variant name, $(4) more flags
define yard-image
$(yard-out)/$(3)/%.o: $(yard-dir)/%.c $(yard-headers)
	@mkdir -p $$(@D)
	$$(call say,CC)$$(YARD_CC) $$(yard-cflags) $$(yard-$(1)) $$(yard-$(2)) $(4) -c -o $$@ $$<

$(yard-out)/$(3)/%.o: $(yard-dir)/%.S $(yard-headers)
	@mkdir -p $$(@D)
	$$(call say,AS)$$(YARD_CC) $$(yard-cflags) $$(yard-$(1)) $$(yard-$(2)) $(4) -c -o $$@ $$<

$(yard-out)/$(3)/yard.lds: $(yard-dir)/yard.lds.in include/hotrail/yard.h
	@mkdir -p $$(@D)
	$$(call say,LDS)$$(YARD_CC) -E -P -undef -xc -fno-pic $$(yard-$(2)) $(4) -o $$@ $$<

$(O)/yard/yard-$(3).img: $(yard-out)/$(3)/yard.lds $(yard-objects:%=$(yard-out)/$(3)/%) $(yard-dir)/link.sh
	@mkdir -p $$(@D)
	$$(call say,LD)CC="$$(YARD_CC)" LDFLAGS="$$(yard-ldflags)" \
		sh $(yard-dir)/link.sh $$@ $$(filter %.lds,$$^) $$(filter %.o,$$^)
endef

yard-variants := retpoline-high retpoline-low plain-high plain-low hostile-high hostile-low
$(eval $(call yard-image,retpoline,high,retpoline-high,))
$(eval $(call yard-image,retpoline,low,retpoline-low,))
$(eval $(call yard-image,plain,high,plain-high,))
$(eval $(call yard-image,plain,low,plain-low,))
$(eval $(call yard-image,retpoline,high,hostile-high,-DYARD_HOSTILE))
$(eval $(call yard-image,retpoline,low,hostile-low,-DYARD_HOSTILE))

yard-images := $(yard-variants:%=$(O)/yard/yard-%.img)
images: $(yard-images)
