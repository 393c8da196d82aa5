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

# The guest of tests/agent.sh: the drivers that QEMU's devices need, the module and the relay.
$(O)/agent/test.cpio: vm-images/linux/initramfs.sh vm-images/linux/init tests/agent/guest.sh \
		$(O)/linux/vmlinuz-cloud $(agent-guest)
	@rm -rf $(@D)/modules && mkdir -p $(@D)/modules
	$(Q)cp $(O)/linux/modules/*.ko $(@D)/modules/
	$(Q)for m in hotrail_agent $(basename $(notdir $(wildcard tests/agent/hotrail_*.c))); do \
		strip --strip-debug -o $(@D)/modules/$$m.ko \
			$(@D)/$$(modinfo -F vermagic $(O)/linux/modules/virtio.ko | cut -d' ' -f1)/$$m.ko || exit; done
	$(call say,CPIO)MODULES=$(@D)/modules PROGRAM=$(@D)/hotrail-relay sh $< $@ tests/agent/guest.sh

# Source for DKMS, and the relay.
agent-src = $(DESTDIR)/usr/src/hotrail-agent-$(VERSION)

install-agent: $(O)/agent/hotrail-relay
	install -d $(agent-src)/protocol $(DESTDIR)$(prefix)/sbin
	install -m 644 $(filter-out guest-agent/relay.c,$(wildcard guest-agent/*.[chS])) guest-agent/Kbuild $(agent-src)
	install -m 644 $(wildcard protocol/*.[ch]) $(agent-src)/protocol
	sed 's/@VERSION@/$(VERSION)/' guest-agent/dkms.conf.in >$(agent-src)/dkms.conf
	install -m 755 $(O)/agent/hotrail-relay $(DESTDIR)$(prefix)/sbin/hotrail-relay
