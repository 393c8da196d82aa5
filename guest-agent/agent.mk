# SPDX-License-Identifier: GPL-2.0-only
# The in-guest agent: a kernel module for each kernel of guest-agent/kernels, and its relay.
# Headers are fetched once. AGENT_ARGS='ARENA_CODE_KIB=1024' go to the module's build.

.PHONY: agent install-agent

# What our Linux guest carries.
agent-guest := $(O)/agent/linux-headers-cloud-amd64.built $(O)/agent/hotrail-relay
agent-kernels := $(shell sed '/^\#/d;/^$$/d' guest-agent/kernels)
agent-sources := $(wildcard guest-agent/*.[chS] protocol/*.[ch] tests/agent/hotrail_*.c) guest-agent/Kbuild guest-agent/build.sh

agent: $(agent-kernels:%=$(O)/agent/%.built) $(O)/agent/hotrail-relay

$(O)/agent/%.built: $(agent-sources) | $(O)/.deps-build
	@mkdir -p $(@D)
	$(call say,MODULE)guest-agent/build.sh $(@D) $* HOTRAIL_VERSION=$(VERSION) $(AGENT_ARGS) && touch $@

# Static: a guest may have any C library or none.
$(O)/agent/hotrail-relay: guest-agent/relay.c protocol/agent.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu11 -O2 $(WARN) -D_GNU_SOURCE -I. -static -o $@ $<

# The guests of tests/agent.sh, one for each kernel: the drivers that QEMU's devices need, the module
# and the relay. Kernel and drivers of the first are those of our Linux guest.
$(O)/linux-6.12/vmlinuz-cloud: vm-images/linux/kernel.sh
	@mkdir -p $(@D)
	$(call say,FETCH)sh $< $@ linux-image-6.12-cloud-amd64
	@touch $@

$(O)/agent/test-6.1.cpio: kernel-folder := $(O)/linux
$(O)/agent/test-6.1.cpio: $(O)/linux/vmlinuz-cloud $(O)/agent/linux-headers-cloud-amd64.built
$(O)/agent/test-6.12.cpio: kernel-folder := $(O)/linux-6.12
$(O)/agent/test-6.12.cpio: $(O)/linux-6.12/vmlinuz-cloud $(O)/agent/linux-headers-6.12-cloud-amd64.built
agent-modules := hotrail_agent $(basename $(notdir $(wildcard tests/agent/hotrail_*.c)))

$(O)/agent/test-%.cpio: vm-images/linux/initramfs.sh vm-images/linux/init tests/agent/guest.sh $(O)/agent/hotrail-relay
	@rm -rf $(@:.cpio=.modules) && mkdir -p $(@:.cpio=.modules)
	$(Q)cp $(kernel-folder)/modules/*.ko $(@:.cpio=.modules)/
	$(Q)release=$$(modinfo -F vermagic $(kernel-folder)/modules/loop.ko | cut -d' ' -f1) && \
		for m in $(agent-modules); do \
			strip --strip-debug -o $(@:.cpio=.modules)/$$m.ko $(@D)/$$release/$$m.ko || exit; \
		done
	$(call say,CPIO)MODULES=$(@:.cpio=.modules) PROGRAM=$(@D)/hotrail-relay sh $< $@ tests/agent/guest.sh

# Source for DKMS, and the relay.
agent-src = $(DESTDIR)/usr/src/hotrail-agent-$(VERSION)

install-agent: $(O)/agent/hotrail-relay
	install -d $(agent-src)/protocol $(DESTDIR)$(prefix)/sbin
	install -m 644 $(filter-out guest-agent/relay.c,$(wildcard guest-agent/*.[chS])) guest-agent/Kbuild $(agent-src)
	install -m 644 $(wildcard protocol/*.[ch]) $(agent-src)/protocol
	sed 's/@VERSION@/$(VERSION)/' guest-agent/dkms.conf.in >$(agent-src)/dkms.conf
	install -m 755 $(O)/agent/hotrail-relay $(DESTDIR)$(prefix)/sbin/hotrail-relay
