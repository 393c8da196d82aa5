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
		vm-images/linux/nginx.conf vm-images/linux/storm $(wildcard vm-images/linux/load*) \
		$(O)/linux/versions $(O)/linux/vmlinuz-cloud $(agent-guest)
	$(call say,CPIO)AGENT=$(O)/agent sh $< $(@D)

# `hotrail bench linux` where there is no hardware virtualisation: under real KVM in an emulated
# machine, with QEMU in there too, whose boot time is measured against. BENCH_ARGS='-j --rounds 1'
# go to the benchmark.
.PHONY: bench-linux bench-linux-rig bench-agent bench-agent-rig
rig-qemu = $(foreach f,$(shell command -v qemu-system-x86_64) $(wildcard /usr/share/qemu /usr/share/seabios),--file $(f))

bench-linux: $(O)/hotrail linux-images
	$(Q)$(O)/hotrail bench linux $(BENCH_ARGS)

bench-linux-rig: $(O)/hotrail linux-images nested | $(O)/.deps-rig
	$(Q)vm-images/nested/run.sh --timeout $(BENCH_LIMIT_S) --memory 2048 \
		--file $(O)/linux/vmlinuz-cloud --file $(O)/linux/bench.cpio $(rig-qemu) \
		$(O)/hotrail bench linux $(BENCH_ARGS)
BENCH_LIMIT_S ?= 3600

# What writing 256 sites costs such a guest, by its agent and by the host.
bench-agent: $(O)/hotrail linux-images
	$(Q)$(O)/hotrail bench agent $(BENCH_ARGS)

bench-agent-rig: $(O)/hotrail linux-images nested | $(O)/.deps-rig
	$(Q)vm-images/nested/run.sh --timeout $(BENCH_LIMIT_S) --memory 2048 \
		--file $(O)/linux/vmlinuz-cloud --file $(O)/linux/bench.cpio \
		$(O)/hotrail bench agent $(BENCH_ARGS)
