# SPDX-License-Identifier: GPL-2.0-only
# A Linux guest: Debian's cloud kernel as it is, a tiny root file system to boot with, and one
# with real programs in it for `hotrail bench linux`. Packages are fetched once.

.PHONY: linux-images

linux-images: $(O)/linux/vmlinuz-cloud $(O)/linux/initrd.cpio $(O)/linux/bench.cpio

$(O)/linux/vmlinuz-cloud: vm-images/linux/kernel.sh vm-images/linux/packages
	@mkdir -p $(@D)
	$(call say,FETCH)sh $< $@
	@touch $@

$(O)/linux/initrd.cpio: vm-images/linux/initramfs.sh vm-images/linux/init vm-images/common.sh
	@mkdir -p $(@D)
	$(call say,CPIO)sh $< $@

$(O)/linux/versions: vm-images/linux/fetch.sh vm-images/linux/packages
	@mkdir -p $(@D)
	$(call say,FETCH)sh $< $(@D)
	@touch $@

$(O)/linux/bench.cpio: vm-images/linux/root.sh vm-images/common.sh vm-images/linux/guest-init \
		vm-images/linux/nginx.conf $(wildcard vm-images/linux/load*) \
		$(O)/linux/versions $(O)/linux/vmlinuz-cloud
	$(call say,CPIO)sh $< $(@D)
