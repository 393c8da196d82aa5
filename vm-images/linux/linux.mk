# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest: Debian's cloud kernel as it is, and a tiny root file system.

.PHONY: linux-images

linux-images: $(O)/linux/vmlinuz-cloud $(O)/linux/initrd.cpio

$(O)/linux/vmlinuz-cloud: vm-images/linux/kernel.sh
	@mkdir -p $(@D)
	$(call say,FETCH)sh $< $@
	@touch $@

$(O)/linux/initrd.cpio: vm-images/linux/initramfs.sh vm-images/linux/init
	@mkdir -p $(@D)
	$(call say,CPIO)sh $< $@
