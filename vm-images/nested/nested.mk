# SPDX-License-Identifier: GPL-2.0-only
# The nested rig: real KVM inside QEMU's software CPU, for hosts without /dev/kvm.
# Needs qemu-system-x86, busybox-static, cpio, xz-utils, gcc. run.sh makes these two itself
# when they are missing; the kernel is fetched once and kept.

.PHONY: nested

nested: $(O)/nested/base.cpio

$(O)/nested/bzImage: vm-images/nested/kernel.sh
	@mkdir -p $(@D)
	$(call say,FETCH)sh $< $(@D)
	@touch $@

$(O)/nested/base.cpio: vm-images/nested/base.sh vm-images/nested/init vm-images/nested/hold.c \
		$(O)/nested/bzImage
	$(call say,CPIO)sh $< $(@D)
